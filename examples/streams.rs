//! The asynchronous face: sources are streams, adaptors compose, and the runtime is the user's choice (here the smallest there is).
//!
//! `cargo run --example streams -- a.kindling b.pcap` merges recordings and captures, of different hosts perhaps, in the order of wall
//! time, keeps what TCP carried, and counts exchanges by host and outcome.

#![expect(clippy::print_stdout, reason = "it is a program")]

#[path = "support/outcome.rs"]
mod outcome;

use std::{collections::BTreeMap, pin::pin, process::ExitCode};

use futures::{TryStreamExt as _, executor::block_on};
use kindling::{EventStreamExt as _, Opened, Output, Pipeline, Transport, source, stream};

use crate::outcome::Failure;

fn main() -> ExitCode {
    outcome::code(run())
}

fn run() -> Result<ExitCode, Failure> {
    let sources = std::env::args_os()
        .skip(1)
        .map(|path| Ok(source::open(path)?.into_stream()))
        .collect::<Result<Vec<_>, Failure>>()?;
    if sources.is_empty() {
        return Err("usage: streams FILE.. (recordings, pcap or pcapng)".into());
    }
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
        for ((host, protocol, outcome), count) in counts {
            println!("{count:>8}  {protocol} {outcome}  {host}");
        }
        Ok(ExitCode::SUCCESS)
    })
}
