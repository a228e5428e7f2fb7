//! Record live events to a file, to be printed by `replay` later, elsewhere, as often as one likes.
//!
//! No async runtime, and no parsing: what the kernel said goes to the file.

#[path = "support/launch.rs"]
mod launch;
#[path = "support/live.rs"]
mod live;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/stop.rs"]
mod stop;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, error::ErrorKind};
use kindling::{
    Event,
    source::recording::{Content, Options, Writer},
};

use crate::{live::Scope, outcome::Failure, stop::Stop};

/// Record what processes do to a file that only you can read.
///
/// Recordings hold what was said, credentials included. --heads keeps the beginning of each message only; that saves space and hides nothing.
#[derive(Parser)]
#[command(name = "record", after_help = CODES)]
struct Arguments {
    /// The file
    file: PathBuf,
    /// Replace the file if there is one
    #[arg(long)]
    force: bool,
    /// Keep at most so many bytes of each segment
    #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, default_missing_value = "256")]
    heads: Option<u32>,
    #[command(flatten)]
    scope: Scope,
}

fn main() -> ExitCode {
    launch::stand_in().unwrap_or_else(|| outcome::code(run(&Arguments::parse())))
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.scope.is_empty() {
        let text = "nothing to trace: name a --pid, a --cgroup, a --port or a command, or say --all";
        Arguments::command().error(ErrorKind::MissingRequiredArgument, text).exit();
    }
    let named = |problem: String| Failure::from(format!("{}: {problem}", arguments.file.display()));
    let content = arguments.heads.map_or(Content::Full, Content::Heads);
    let options = Options::default().content(content).overwrite(arguments.force);
    let stop = Stop::on_signals()?;
    // Before the file, so that what cannot be traced costs no earlier recording.
    let attached = arguments.scope.attach()?;
    let mut writer = Writer::create(&arguments.file, options).map_err(|error| named(outcome::chain(&error)))?;
    let mut live = attached.begin(&arguments.scope, stop)?;
    let (mut events, mut lost) = (0, 0);
    for batch in &mut live {
        let batch = batch?;
        writer.write(&batch).map_err(|error| named(error.to_string()))?;
        events += batch.events.len();
        for event in &batch.events {
            if let Event::Lost(loss) = event {
                lost += loss.count;
            }
        }
    }
    writer.finish().map_err(|error| named(error.to_string()))?;
    eprintln!("{events} events recorded, {lost} lost; the file holds what was said, so keep it safe");
    live.end.code()
}

const CODES: &str = "\
Exit codes: 0 success, 1 failure, 2 wrong usage; with a COMMAND its own code, or 128 and the signal that ended it, unless record ended it.
Ctrl-C ends the recording (and the COMMAND) cleanly; a second one ends at once.";
