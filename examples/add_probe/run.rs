//! What is run while it is traced, and the batches that come of it.

use std::{
    ffi::OsString,
    fmt, io,
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitCode, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use kindling::{
    Batch, BoundedMap, Endpoint, Event, FlowId,
    bpf::{Probe, ReaderEnded},
};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use crate::demo;

/// What is started when the probe is attached, if anything.
pub(crate) struct Work(Option<Command>);

impl Work {
    /// The `command`; without one, the demonstration if it is `idle` otherwise.
    pub(crate) fn new(command: &[OsString], idle: bool) -> io::Result<Self> {
        Ok(Self(match command {
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments);
                Some(command)
            }
            [] if idle => Some(demo::command()?),
            [] => None,
        }))
    }

    pub(crate) const fn starts_something(&self) -> bool {
        self.0.is_some()
    }
}

/// A probe at work: its batches, until what was started has ended, or Ctrl-C.
pub(crate) struct Run {
    probe: Probe,
    child: Option<Started>,
    stop: Arc<AtomicBool>,
    stopped: bool,
    flows: BoundedMap<FlowId, Ends>,
}

/// The ends of a flow, the traced one first.
pub(crate) struct Ends {
    local: Endpoint,
    remote: Endpoint,
}

impl Run {
    /// Start `work`, which `probe` sees from its first instruction on.
    pub(crate) fn new(probe: Probe, work: Work) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Registered first, so that it sees what the one below set the time before.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
        }
        let start = |mut command: Command| {
            let spawned = command.spawn();
            spawned.map_err(|error| {
                io::Error::new(error.kind(), format!("cannot run {}: {error}", command.get_program().display()))
            })
        };
        let child = work.0.map(start).transpose()?.map(|child| Started { child, asked: None });
        Ok(Self { probe, child, stop, stopped: false, flows: BoundedMap::new(FLOWS) })
    }

    /// The ends of `flow`, if it was announced.
    pub(crate) fn ends(&self, flow: FlowId) -> Option<&Ends> {
        self.flows.get(&flow)
    }

    /// The exit code: that of what was started, unless we made it end.
    pub(crate) fn code(mut self) -> ExitCode {
        let own = self.child.as_mut().filter(|child| child.asked.is_none()).and_then(Started::ended);
        own.map_or(ExitCode::SUCCESS, |status| {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        })
    }

    /// Whether it is time to end. What was started ends first, so that its end is seen too.
    fn over(&mut self) -> bool {
        let asked = self.stop.load(Ordering::Relaxed);
        let Some(child) = &mut self.child else { return asked };
        let running = child.ended().is_none();
        if running && asked {
            child.end();
        }
        !running
    }
}

impl Iterator for Run {
    type Item = Result<Batch, ReaderEnded>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if !self.stopped && self.over() {
                self.probe.stop();
                self.stopped = true;
            }
            match self.probe.next_batch(Duration::from_millis(50)) {
                Ok(Some(batch)) => {
                    for event in &batch.events {
                        if let Event::Opened(opened) = event {
                            let ends = Ends { local: opened.local.clone(), remote: opened.remote.clone() };
                            self.flows.insert(opened.flow, ends);
                        }
                    }
                    return Some(Ok(batch));
                }
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

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", self.local, self.remote)
    }
}

/// A process that we started.
struct Started {
    child: Child,
    /// When we asked it to end.
    asked: Option<Instant>,
}

impl Started {
    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ask it to end; a second later, end it.
    fn end(&mut self) {
        let signal = match self.asked {
            None => Signal::TERM,
            Some(since) if since.elapsed() > Duration::from_secs(1) => Signal::KILL,
            Some(_) => return,
        };
        self.asked.get_or_insert_with(Instant::now);
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It has not been waited for, so the number is still its own.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Whoever goes away leaves nothing running.
impl Drop for Started {
    fn drop(&mut self) {
        while self.ended().is_none() {
            self.end();
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How many flows are remembered; the oldest are forgotten first.
const FLOWS: usize = 65_536;
