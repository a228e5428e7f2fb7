//! Start a traced child, let it work, and look at the events.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use kindling_bpf::{Builder, Capabilities, Path, Probe, Targets};
use kindling_core::{Direction, Event, FlowId, Lost, Opened, Segment};

/// The paths that work here. None: skip the test, or fail it where the kernel is required.
pub(crate) fn paths() -> Vec<Path> {
    let capabilities = Capabilities::detect();
    let required = std::env::var_os("KINDLING_REQUIRE_BPF").is_some_and(|v| v == "1");
    let mut usable = Vec::new();
    for path in [Path::Sockets, Path::Syscalls] {
        match capabilities.obstacle(path) {
            None => usable.push(path),
            Some(obstacle) => {
                eprintln!("skipped on the {path} path: {} ({:?})", obstacle.name, obstacle.missing);
                assert!(!required, "KINDLING_REQUIRE_BPF=1, but {obstacle:?}");
            }
        }
    }
    usable
}

/// A child of this test binary that runs one workload of [`crate::child`], once it is told to.
pub(crate) struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    /// Start it; it waits.
    pub(crate) fn start(workload: &str) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()), workload)
    }

    /// Start it through the program and arguments of `wrapper`.
    pub(crate) fn start_in(wrapper: &[&str], workload: &str) -> Self {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(std::env::current_exe().unwrap());
        Self::spawn(command, workload)
    }

    fn spawn(mut command: Command, workload: &str) -> Self {
        let mut child = command
            .args(["--exact", "child::work", "--nocapture", "--test-threads=1"])
            .env(crate::child::WORKLOAD, workload)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut worker = Self { child, stdin, stdout };
        assert_eq!(worker.line(), "ready");
        worker
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Let it go on to its next [`crate::child::pause`].
    pub(crate) fn go(&mut self) {
        writeln!(self.stdin.as_mut().unwrap(), "go").unwrap();
    }

    /// Its next line of output.
    pub(crate) fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the child ended early");
            // libtest prints as well, on the same line if it likes.
            if let Some((_, said)) = line.split_once("@ ") {
                return said.trim_end().to_owned();
            }
        }
    }

    /// Wait for its end.
    pub(crate) fn finish(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success(), "the child failed");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A child of ours that has ended already is no matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What happened.
pub(crate) struct Trace {
    pub(crate) path: Path,
    pub(crate) pid: u32,
    pub(crate) events: Vec<Event>,
}

/// Run `workload` under a probe of its process tree, on `path`.
pub(crate) fn trace(path: Path, workload: &str) -> Trace {
    trace_with(path, workload, |builder| builder)
}

/// As [`trace`], with the builder changed.
pub(crate) fn trace_with(path: Path, workload: &str, change: impl FnOnce(Builder) -> Builder) -> Trace {
    let mut worker = Worker::start(workload);
    let pid = worker.pid();
    let probe = change(Probe::builder().targets(Targets::new().tree(pid)).path(path)).start().unwrap();
    worker.go();
    assert_eq!(worker.line(), "done");
    let events = settle(&probe);
    worker.finish();
    Trace { path, pid, events }
}

/// Everything that comes until the kernel's counters have been read once more with nothing new.
pub(crate) fn settle(probe: &Probe) -> Vec<Event> {
    let mut events = Vec::new();
    let mut quiet = Instant::now();
    let deadline = quiet + Duration::from_secs(20);
    while quiet.elapsed() < Duration::from_millis(300) && Instant::now() < deadline {
        if let Some(batch) = probe.next_batch(Duration::from_millis(50)).unwrap() {
            if batch.events.iter().any(|e| !matches!(e, Event::Tick(_) | Event::Clock(_))) {
                quiet = Instant::now();
            }
            events.extend(batch.events);
        }
    }
    events
}

impl Trace {
    /// Flows opened, in order.
    pub(crate) fn opened(&self) -> Vec<&Opened> {
        self.events.iter().filter_map(|e| if let Event::Opened(o) = e { Some(o) } else { None }).collect()
    }

    /// The one flow for which `is` holds.
    pub(crate) fn flow(&self, is: impl Fn(&Opened) -> bool) -> &Opened {
        let found: Vec<_> = self.opened().into_iter().filter(|o| is(o)).collect();
        assert_eq!(found.len(), 1, "{}: {:#?}", self.path, self.opened());
        found[0]
    }

    pub(crate) fn segments(&self, flow: FlowId, direction: Direction) -> Vec<&Segment> {
        let segments = self.events.iter().filter_map(|e| if let Event::Segment(s) = e { Some(s) } else { None });
        segments.filter(|s| s.flow == flow && s.direction == direction).collect()
    }

    pub(crate) fn of_flow(&self, flow: FlowId) -> Vec<&Event> {
        self.events.iter().filter(|e| e.flow() == Some(flow)).collect()
    }

    /// The bytes of one direction, put together by their offsets; `None` in place of a byte that was not shown.
    pub(crate) fn bytes(&self, flow: FlowId, direction: Direction) -> Vec<Option<u8>> {
        let mut placed: BTreeMap<u64, Option<u8>> = BTreeMap::new();
        for segment in self.segments(flow, direction) {
            for i in 0..segment.len {
                let byte = segment.data.get(usize::try_from(i).unwrap()).copied();
                assert_eq!(placed.insert(segment.offset + i, byte), None, "{}: a byte twice", self.path);
            }
        }
        placed.into_values().collect()
    }

    /// The bytes of one direction, all of which must have been shown, without a hole.
    pub(crate) fn text(&self, flow: FlowId, direction: Direction) -> String {
        let segments = self.segments(flow, direction);
        for pair in segments.windows(2) {
            assert_eq!(pair[0].offset + pair[0].len, pair[1].offset, "{}: a hole: {pair:#?}", self.path);
        }
        let bytes: Option<Vec<u8>> = self.bytes(flow, direction).into_iter().collect();
        String::from_utf8(bytes.unwrap_or_else(|| panic!("{}: not all shown: {segments:#?}", self.path))).unwrap()
    }

    pub(crate) fn lost(&self) -> Vec<&Lost> {
        self.events.iter().filter_map(|e| if let Event::Lost(l) = e { Some(l) } else { None }).collect()
    }

    /// Whether `needle` is in any payload.
    pub(crate) fn shows(&self, needle: &[u8]) -> bool {
        let payloads = self.events.iter().filter_map(|e| if let Event::Segment(s) = e { Some(&s.data) } else { None });
        payloads.into_iter().any(|data| data.windows(needle.len()).any(|w| w == needle))
    }
}
