//! The slowest exchanges of a recording or capture: no async, no kernel, no privileges.
//!
//! `cargo run --example offline -- trace.pcap`

#[path = "support/outcome.rs"]
mod outcome;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use kindling::{Exchange, Output, Pipeline, source};

use crate::outcome::Failure;

/// Print the slowest exchanges of a recording or a capture file.
#[derive(Parser)]
#[command(name = "offline", after_help = CODES)]
struct Arguments {
    /// A recording, pcap or pcapng
    file: PathBuf,
}

fn main() -> ExitCode {
    outcome::code(run(&Arguments::parse()))
}

fn run(Arguments { file }: &Arguments) -> Result<ExitCode, Failure> {
    let named = |problem: String| format!("{}: {problem}", file.display());
    let mut pipeline = Pipeline::new(source::open(file).map_err(|error| named(outcome::chain(&error)))?);
    let mut slowest: Vec<(Duration, Exchange)> = Vec::new();
    for output in &mut pipeline {
        // A file that is damaged yields what stands before the damage, and then one error.
        if let Output::Exchange(exchange) = output.map_err(|error| named(outcome::chain(&error)))?
            && let Some(latency) = exchange.latency()
        {
            let place = slowest.partition_point(|(other, _)| *other >= latency);
            slowest.insert(place, (latency, exchange));
            slowest.truncate(10);
        }
    }
    let mut out = io::stdout().lock();
    for (latency, exchange) in &slowest {
        let details = &exchange.details;
        writeln!(out, "{latency:>12.3?}  {} {} {}", exchange.protocol, details.operation, details.resource)?;
    }
    let counted = pipeline.ledger().exchanges;
    writeln!(out, "{} of {} exchanges complete", counted.complete, counted.opened)?;
    Ok(ExitCode::SUCCESS)
}

const CODES: &str = "Exit codes: 0 success, 1 failure, 2 wrong usage. A closed output pipe is no failure.";
