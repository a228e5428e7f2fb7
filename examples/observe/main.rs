//! Watch what processes say to each other, live; without arguments, a demo.

mod demo;
#[path = "../support/launch.rs"]
mod launch;
#[path = "../support/live.rs"]
mod live;
#[path = "../support/outcome.rs"]
mod outcome;
#[path = "../support/report.rs"]
mod report;
mod show;
#[path = "../support/stop.rs"]
mod stop;

use std::process::ExitCode;

use clap::Parser;
use kindling::Pipeline;

use crate::{live::Scope, outcome::Failure, report::Style, stop::Stop};

/// Print each request and its answer as it completes, and at the end a table by endpoint and the account of everything seen and lost.
///
/// Without anything to trace it runs a demo: a small shop of four processes, traced through the kernel for some eight seconds.
#[derive(Parser)]
#[command(name = "observe", after_help = CODES)]
struct Arguments {
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    style: Style,
}

fn main() -> ExitCode {
    if let Some(code) = launch::stand_in().or_else(demo::play) {
        return code;
    }
    let Arguments { scope, style } = Arguments::parse();
    outcome::code(if scope.is_empty() { show::run(&scope, &style) } else { observe(&scope, &style) })
}

fn observe(scope: &Scope, style: &Style) -> Result<ExitCode, Failure> {
    let live = scope.attach()?.begin(scope, Stop::on_signals()?)?;
    let control = live.probe.control();
    let mut pipeline = Pipeline::new(live).limits(style.limits()).control(control);
    report::print(style, &mut pipeline)?;
    pipeline.into_source().end.code()
}

const CODES: &str = "\
Exit codes: 0 success, 1 failure, 2 wrong usage; with a COMMAND its own code, or 128 and the signal that ended it, unless observe ended it.
A closed output pipe is no failure. Ctrl-C ends the trace (and the COMMAND) and prints what was seen; a second one ends at once.";
