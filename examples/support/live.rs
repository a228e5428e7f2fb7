//! Live tracing: what to trace, for how long, and the batches that come of it.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{
    launch::{self, Launched},
    outcome::Failure,
    stop::Stop,
};
use clap::{Args, ValueEnum};
use kindling::{
    Batch,
    bpf::{Path, Probe, ReaderEnded, Targets},
};

/// What to trace, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct Scope {
    /// Trace this process and its descendants; may be given several times
    #[arg(long, value_name = "N")]
    pid: Vec<u32>,
    /// Leave out the descendants of --pid
    #[arg(long, requires = "pid")]
    no_descendants: bool,
    /// Trace the processes in this cgroup directory and below it; may be given several times
    #[arg(long, value_name = "PATH")]
    cgroup: Vec<PathBuf>,
    /// Trace sockets with this local or remote port; may be given several times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,
    /// Trace everything on this machine but this program
    #[arg(long, conflicts_with_all = ["pid", "cgroup", "port"])]
    all: bool,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Size of the ring buffer between kernel and program
    #[arg(long, value_name = "MIB", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    ring: u32,
    /// Use this capture path; the default is the best that works here
    #[arg(long, value_enum)]
    path: Option<CapturePath>,
    /// Start this command and trace it and its descendants, from its first instruction on
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CapturePath {
    /// Socket tracepoints (Linux 6.3 and later)
    Sockets,
    /// System call tracepoints (Linux 5.8 and later)
    Syscalls,
}

impl Scope {
    /// Whether nothing was named.
    pub(crate) fn is_empty(&self) -> bool {
        self.command.is_empty() && self.targets().is_empty()
    }

    fn targets(&self) -> Targets {
        let mut targets = if self.all { Targets::all() } else { Targets::new() };
        for &pid in &self.pid {
            targets = if self.no_descendants { targets.process(pid) } else { targets.tree(pid) };
        }
        targets = self.cgroup.iter().fold(targets, Targets::cgroup);
        self.port.iter().fold(targets, |targets, &port| targets.port(port))
    }
}

/// What decides how long a trace goes on.
pub(crate) trait End {
    /// Whether it is time to end; asked every few milliseconds.
    fn over(&mut self) -> bool;
}

/// A probe at work: an iterator of batches that ends when it should, with everything that happened until then.
pub(crate) struct Live<E> {
    pub(crate) probe: Probe,
    pub(crate) end: E,
    stopped: bool,
}

impl<E> Live<E> {
    pub(crate) const fn new(probe: Probe, end: E) -> Self {
        Self { probe, end, stopped: false }
    }
}

impl<E: End> Iterator for Live<E> {
    type Item = Result<Batch, ReaderEnded>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if !self.stopped && self.end.over() {
                self.probe.stop();
                self.stopped = true;
            }
            match self.probe.next_batch(Duration::from_millis(50)) {
                Ok(Some(batch)) => return Some(Ok(batch)),
                Ok(None) if self.probe.is_over() => return None,
                Ok(None) => {}
                Err(error) => {
                    self.stopped = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The end that a [`Scope`] says: its command's, its duration's, or Ctrl-C.
pub(crate) struct ScopeEnd {
    command: Option<Launched>,
    until: Option<Instant>,
    stop: Stop,
}

impl ScopeEnd {
    /// The exit code: the command's own, unless we made it end.
    pub(crate) fn code(&mut self) -> Result<ExitCode, Failure> {
        let Some(command) = &mut self.command else { return Ok(ExitCode::SUCCESS) };
        let status = command.ended()?.filter(|_| !command.asked_to_end());
        Ok(status.map_or(ExitCode::SUCCESS, launch::code))
    }
}

impl End for ScopeEnd {
    /// The command ends first, so that its end is seen too.
    fn over(&mut self) -> bool {
        let asked = self.stop.asked() || self.until.is_some_and(|until| Instant::now() >= until);
        let Some(command) = &mut self.command else { return asked };
        let gone = command.gone();
        if !gone && (asked || command.asked_to_end()) {
            command.end();
        }
        gone
    }
}

impl Scope {
    /// Attach to what it says; its command waits.
    pub(crate) fn attach(&self) -> Result<Attached, Failure> {
        let command = (!self.command.is_empty()).then(|| Launched::new(&self.command)).transpose()?;
        let targets = command.iter().fold(self.targets(), |targets, command| targets.tree(command.pid()));
        Ok(Attached { probe: self.start(targets)?, command })
    }

    /// When it ends at the latest, if it begins now.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.duration.map(|duration| Instant::now() + duration)
    }

    /// Attach to `targets`.
    pub(crate) fn start(&self, targets: Targets) -> Result<Probe, Failure> {
        let mut builder = Probe::builder().targets(targets).ring_bytes(self.ring << 20);
        if let Some(path) = self.path {
            builder = builder.path(match path {
                CapturePath::Sockets => Path::Sockets,
                CapturePath::Syscalls => Path::Syscalls,
            });
        }
        Ok(builder.start()?)
    }
}

/// A probe that is attached, and a command that waits for it.
pub(crate) struct Attached {
    probe: Probe,
    command: Option<Launched>,
}

impl Attached {
    /// Start the command.
    pub(crate) fn begin(mut self, scope: &Scope, stop: Stop) -> Result<Live<ScopeEnd>, Failure> {
        // Before the command says something itself.
        eprintln!("tracing on the {} path; Ctrl-C ends it", self.probe.path());
        if let Some(command) = &mut self.command {
            command.go()?;
        }
        Ok(Live::new(self.probe, ScopeEnd { command: self.command, until: scope.until(), stop }))
    }
}

/// A length of time, from 1 ms to a year.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=31_536_000.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("not between 0.001 and 31536000".to_owned())
    }
}
