//! The slowest exchanges of a recording or capture: no async, no kernel, no privileges, no command-line library.
//!
//! `cargo run --example offline -- trace.pcap`

#![expect(clippy::print_stdout, reason = "it is a program")]

#[path = "support/outcome.rs"]
mod outcome;

use std::{process::ExitCode, time::Duration};

use kindling::{Exchange, Output, Pipeline, source};

use crate::outcome::Failure;

fn main() -> ExitCode {
    outcome::code(run())
}

fn run() -> Result<ExitCode, Failure> {
    let Some(path) = std::env::args_os().nth(1) else {
        return Err("usage: offline FILE (a recording, pcap or pcapng)".into());
    };
    let mut pipeline = Pipeline::new(source::open(path)?);
    let mut slowest: Vec<(Duration, Exchange)> = Vec::new();
    for output in &mut pipeline {
        // A file that is damaged yields what stands before the damage, and then one error.
        if let Output::Exchange(exchange) = output?
            && let Some(latency) = exchange.latency()
        {
            let place = slowest.partition_point(|(other, _)| *other >= latency);
            slowest.insert(place, (latency, exchange));
            slowest.truncate(10);
        }
    }
    for (latency, exchange) in &slowest {
        let details = &exchange.details;
        println!("{latency:>12.3?}  {} {} {}", exchange.protocol, details.operation, details.resource);
    }
    let counted = pipeline.ledger().exchanges;
    println!("{} of {} exchanges complete", counted.complete, counted.opened);
    Ok(ExitCode::SUCCESS)
}
