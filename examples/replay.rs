//! Print what a recording or a capture file holds, in the form of `observe`.
//!
//! It needs no kernel, no privileges and no async runtime.

#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/report.rs"]
mod report;
#[path = "support/stop.rs"]
mod stop;
#[path = "support/stoppable.rs"]
mod stoppable;

use std::{fs::File, io, os::fd::AsFd as _, path::PathBuf, process::ExitCode};

use clap::Parser;
use kindling::{Pipeline, source::Source};

use crate::{outcome::Failure, report::Style, stop::Stop, stoppable::Stoppable};

/// Print the exchanges of a recording or a capture file (pcap, pcapng), told apart by content.
#[derive(Parser)]
#[command(name = "replay", after_help = CODES)]
struct Arguments {
    /// The file; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    style: Style,
}

fn main() -> ExitCode {
    outcome::code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let stop = Stop::on_signals()?;
    let named = |problem: String| Failure::from(format!("{}: {problem}", arguments.file.display()));
    let file = match arguments.file.to_str() {
        Some("-") => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        _ => File::open(&arguments.file),
    };
    let file = file.map_err(|error| named(error.to_string()))?;
    let source = Source::new(Stoppable(file, stop.clone())).map_err(|error| named(outcome::chain(&error)))?;
    let source = source.take_while(|batch| !(stop.asked() && batch.is_err()));
    // What was read before the damage is printed before it is named; what Ctrl-C cut short is not damaged.
    let source = source.map(|batch| batch.map_err(|error| named(outcome::chain(&error))));
    report::print(&arguments.style, &mut Pipeline::new(source).limits(arguments.style.limits()))?;
    Ok(ExitCode::SUCCESS)
}

const CODES: &str = "Exit codes: 0 success, 1 failure, 2 wrong usage. A closed output pipe is no failure.";
