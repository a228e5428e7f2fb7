//! BPF programs of your own beside kindling's, in the same stream: TCP retransmits and OOM kills, between the exchanges they delay or end.
//!
//! `probe.bpf.c` is the probe, `records.rs` its records in Rust. The rest is what any embedder does, without async. Nothing here needs more
//! of kindling than its public API and `kindling.bpf.h`, so the folder can be moved to a crate of its own as it is.

#![expect(clippy::print_stdout, reason = "it is a program")]

mod demo;
mod records;
mod run;

use std::{
    collections::BTreeSet,
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use kindling::{
    Custom, Output, Pipeline,
    bpf::{AttachPoint, Decode as _, Probe, StartError, Targets},
    export::text::{Account, HEADINGS, Line, Missing, Refused},
};

use crate::{
    records::{OomKill, Retransmit},
    run::{Run, Work},
};

/// Print TCP retransmits and OOM kills beside the exchanges of what is traced.
///
/// Without arguments it runs a demonstration: an HTTP server on loopback that does not hear every request the first time.
#[derive(Parser)]
#[command(name = "add_probe", after_help = CODES)]
struct Arguments {
    /// Trace this process and its descendants; may be given several times
    #[arg(long, value_name = "N")]
    pid: Vec<u32>,
    /// Start this command and trace it and its descendants
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<std::ffi::OsString>,
}

fn main() -> ExitCode {
    if let Some(code) = demo::play() {
        return code;
    }
    match trace(&Arguments::parse()) {
        Ok(code) => code,
        Err(failure) if closed_pipe(&*failure) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", chain(&*failure));
            ExitCode::FAILURE
        }
    }
}

fn trace(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let work = Work::new(&arguments.command, arguments.pid.is_empty())?;
    let mut targets = arguments.pid.iter().fold(Targets::new(), |targets, &pid| targets.tree(pid));
    if work.starts_something() {
        // This program is left out of its own trace; what it starts is its descendant, and traced from birth.
        targets = targets.tree(std::process::id());
    }
    let probe = start(&targets)?;
    eprintln!("tracing on the {} path, with probes of its own; Ctrl-C ends it", probe.path());
    let control = probe.control();
    let mut pipeline = Pipeline::new(Run::new(probe, work)?).control(control);
    let printed = print(&mut pipeline);
    let code = pipeline.into_source().code();
    printed.map(|()| code)
}

/// kindling's own programs, and with them ours.
fn start(targets: &Targets) -> Result<Probe, StartError> {
    let ours = || {
        let builder = Probe::builder().targets(targets.clone()).object(OBJECT);
        builder.attach("on_retransmit", tracepoint("tcp_retransmit_skb")).decode::<Retransmit>()
    };
    match ours().attach("on_oom_kill", tracepoint("mark_victim")).decode::<OomKill>().start() {
        Err(StartError::Object { .. }) => {
            let probe = ours().start()?;
            eprintln!(
                "OOM kills are not shown: the tracepoint mark_victim is not there, or names no task (before Linux 6.8)"
            );
            Ok(probe)
        }
        started => started,
    }
}

fn tracepoint(name: &str) -> AttachPoint {
    AttachPoint::BtfTracepoint(name.to_owned())
}

/// Print everything as it comes, and at the end what there was.
fn print(pipeline: &mut Pipeline<Run>) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let mut seen = Seen::default();
    writeln!(out, "{HEADINGS}")?;
    while let Some(output) = pipeline.next() {
        let clock = pipeline.clock();
        match output? {
            Output::Exchange(exchange) => writeln!(out, "{}", Line(&exchange))?,
            Output::Custom(custom) => seen.custom(&mut out, &custom, pipeline)?,
            Output::ConnectFailed(failed) => writeln!(out, "{}", Refused(&failed, clock))?,
            Output::Lost(lost) => writeln!(out, "{}", Missing(&lost, clock))?,
            _ => {}
        }
    }
    println!("\n{}\n{}", Account(pipeline.ledger()), seen.summary());
    Ok(())
}

/// What our own probe saw.
#[derive(Default)]
struct Seen {
    retransmits: usize,
    flows: BTreeSet<u64>,
    kills: usize,
    strange: usize,
}

impl Seen {
    fn custom(&mut self, out: &mut impl Write, custom: &Custom, pipeline: &Pipeline<Run>) -> io::Result<()> {
        let time = time_of_day(pipeline.clock().wall_at(custom.at));
        if custom.tag == Retransmit::TAG {
            let (Some(record), Some(flow)) = (Retransmit::decode(&custom.data), custom.flow) else { return Ok(()) };
            // Sockets get their number also from others that ask for it, and before they are connected.
            let Some(ends) = pipeline.source().ends(flow) else {
                self.strange += 1;
                return Ok(());
            };
            self.retransmits += 1;
            self.flows.insert(flow.0);
            writeln!(out, "{time}  retransmit  number {} of flow {flow}, {ends}, {}", record.total, record.state())
        } else if custom.tag == OomKill::TAG {
            let (Some(record), Some(task)) = (OomKill::decode(&custom.data), &custom.task) else { return Ok(()) };
            self.kills += 1;
            let OomKill { pages, score_adj } = record;
            writeln!(
                out,
                "{time}  oom-kill    {}/{}, {pages} pages, score adjusted by {score_adj}",
                task.comm, task.pid
            )
        } else {
            Ok(())
        }
    }

    fn summary(&self) -> String {
        let Self { retransmits, flows, kills, strange } = self;
        let strange = if *strange > 0 { format!(" (and {strange} on sockets not met before)") } else { String::new() };
        format!("probe      {retransmits} retransmits on {} flows{strange}, {kills} OOM kills", flows.len())
    }
}

/// Of `wall`, nanoseconds since the Unix epoch; UTC, as in the lines of exchanges.
fn time_of_day(wall: u64) -> String {
    let micros = wall / 1_000;
    let seconds = micros / 1_000_000 % 86_400;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1_000_000)
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Whether whoever read our output went away.
fn closed_pipe(failure: &(dyn Error + 'static)) -> bool {
    failure.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

const OBJECT: &[u8] = include_bytes!("probe.bpf.o");

const CODES: &str = "\
Exit codes: 0 success, 1 failure, 2 wrong usage; with a COMMAND its own code, or 128 and the signal that ended it, unless add_probe ended it.
Ctrl-C ends the trace (and the COMMAND) cleanly; a second one ends at once.";
