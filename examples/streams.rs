//! The asynchronous face: sources are streams, adaptors compose, and the runtime is the user's choice (here the smallest there is).
//!
//! `cargo run --example streams -- a.kindling b.pcap` merges recordings and captures, of different hosts perhaps, in the order of wall
//! time, keeps what TCP carried, and counts exchanges by host and outcome.

#[path = "support/outcome.rs"]
mod outcome;

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::PathBuf,
    pin::pin,
    process::ExitCode,
};

use clap::Parser;
use futures::{TryStreamExt as _, executor::block_on};
use kindling::{EventStreamExt as _, Opened, Output, Pipeline, Transport, source, stream};

use crate::outcome::Failure;

/// Merge recordings and capture files in the order of wall time, and count their exchanges by host and outcome.
#[derive(Parser)]
#[command(name = "streams", after_help = CODES)]
struct Arguments {
    /// Recordings, pcap or pcapng
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    outcome::code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let open = |path: &PathBuf| {
        let named = |problem: String| Failure::from(format!("{}: {problem}", path.display()));
        let source = source::open(path).map_err(|error| named(outcome::chain(&error)))?;
        let name = path.display().to_string();
        Ok(source.into_stream().map_err(move |error| Failure::from(format!("{name}: {}", outcome::chain(&error)))))
    };
    let sources = arguments.files.iter().map(open).collect::<Result<Vec<_>, Failure>>()?;
    let tcp = |opened: &Opened| opened.transport == Transport::Tcp;
    block_on(async {
        let mut outputs = pin!(Pipeline::new(stream::merge(sources).filter_flows(tcp)));
        let mut counts: BTreeMap<(String, &str, &str), u64> = BTreeMap::new();
        while let Some(output) = outputs.try_next().await? {
            if let Output::Exchange(exchange) = output {
                let key = (exchange.origin.host.to_string(), exchange.protocol, exchange.outcome.name());
                *counts.entry(key).or_default() += 1;
            }
        }
        let mut out = io::stdout().lock();
        for ((host, protocol, outcome), count) in counts {
            writeln!(out, "{count:>8}  {protocol} {outcome}  {host}")?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

const CODES: &str = "Exit codes: 0 success, 1 failure, 2 wrong usage. A closed output pipe is no failure.";
