//! Real servers on loopback, and `observe` at work on exactly their processes.

use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::Path as FilePath,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use kindling::bpf::{Capabilities, Path};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{example, json};

/// The capture paths that work here. None: skip the test, or fail it where the kernel is required.
pub(crate) fn paths() -> Vec<Path> {
    let capabilities = Capabilities::detect();
    let works = |path: &Path| {
        let Some(obstacle) = capabilities.obstacle(*path) else { return true };
        assert_ne!(std::env::var("KINDLING_REQUIRE_BPF").as_deref(), Ok("1"), "{obstacle:?}");
        eprintln!("skipped on the {path} path: {obstacle:?}");
        false
    };
    [Path::Sockets, Path::Syscalls].into_iter().filter(works).collect()
}

/// A server, with a folder of its own; both go with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
}

impl Server {
    /// Start the program for which `command` gives the arguments, in a folder and on a port, and wait until it takes connections.
    pub(crate) fn start(program: &str, arguments: impl Fn(&FilePath, u16) -> Vec<String>) -> Self {
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let log = File::create(folder.path().join("output")).unwrap();
            // It ends with the test, even where that is killed.
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "TERM", "--", program]).args(arguments(folder.path(), port));
            let out = log.try_clone().unwrap();
            let child = command.stdin(Stdio::null()).stdout(out).stderr(log).spawn().unwrap();
            let mut server = Self { child, port, folder };
            if server.comes_up() {
                return server;
            }
            // Somebody took the port between our look and its start.
            eprintln!("{program} did not start: {}", server.file("output"));
        }
        panic!("{program} does not start");
    }

    fn comes_up(&mut self) -> bool {
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(10) {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                thread::sleep(Duration::from_millis(20));
                return self.child.try_wait().unwrap().is_none();
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What is in a file of its folder.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ask it to end, so that it takes its own children with it; if it does not, end it.
fn end(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    signal(child, Signal::TERM);
    signal(child, Signal::CONT);
    let start = Instant::now();
    while matches!(child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// To a child that has not been waited for, so that the number is still its own.
fn signal(child: &Child, signal: Signal) {
    let _ = kill_process(Pid::from_child(child), signal);
}

/// `observe` at work.
pub(crate) struct Observe {
    child: Child,
    folder: TempDir,
}

impl Observe {
    /// Start it on `path` with JSON lines, and wait until it traces.
    pub(crate) fn start(path: Path, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Files, as a pipe that nobody reads holds up the trace.
        let [out, err] = ["out", "err"].map(|name| File::create(folder.path().join(name)).unwrap());
        let mut command = example("observe");
        command.args(["--json", "--path", &path.to_string()]);
        if !arguments.contains(&"--ring") {
            // Room for a debug build beside other tests on two cores; what a full ring does has a test of its own.
            command.args(["--ring", "64"]);
        }
        command.args(arguments);
        let mut observe = Self { child: command.stdout(out).stderr(err).spawn().unwrap(), folder };
        let start = Instant::now();
        while !observe.said().contains("tracing on the") {
            let ended = observe.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {}", observe.said());
            assert!(start.elapsed() < Duration::from_secs(30), "it does not start: {}", observe.said());
            thread::sleep(Duration::from_millis(5));
        }
        observe
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.folder.path().join("out")).unwrap()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("err")).unwrap()
    }

    pub(crate) fn signal(&self, what: Signal) {
        signal(&self.child, what);
    }

    /// Wait until it has worked off what has come so far: until none of its threads wants to run, for a while.
    pub(crate) fn rest(&self) {
        let threads = format!("/proc/{}/task", self.child.id());
        let asleep = || {
            let stats =
                fs::read_dir(&threads).unwrap().map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")));
            stats.flatten().all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')))
        };
        let (start, mut looks) = (Instant::now(), 0);
        while looks < 10 {
            assert!(start.elapsed() < Duration::from_secs(60), "it does not come to rest");
            thread::sleep(Duration::from_millis(10));
            looks = if asleep() { looks + 1 } else { 0 };
        }
    }

    /// The most memory it had, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// End it, once the servers had the time to come back from their last calls.
    pub(crate) fn stop(self) -> Seen {
        thread::sleep(SETTLE);
        self.signal(Signal::INT);
        self.wait(Duration::from_secs(60))
    }

    /// Wait for its end, with success.
    pub(crate) fn wait(self, within: Duration) -> Seen {
        self.wait_for(within, 0)
    }

    /// Wait for its end, with `code`.
    pub(crate) fn wait_for(mut self, within: Duration, code: i32) -> Seen {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(start.elapsed() < within, "it does not end: {}", self.said()),
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(code), "{}", self.said());
        Seen::new(status, self.printed())
    }
}

impl Drop for Observe {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// What `observe` printed.
pub(crate) struct Seen {
    pub(crate) text: String,
    pub(crate) exchanges: Vec<Value>,
    pub(crate) ledger: Value,
}

impl Seen {
    fn new(status: ExitStatus, text: String) -> Self {
        let output = Output { status, stdout: text.into_bytes(), stderr: Vec::new() };
        let (_, exchanges, ledger) = json(&output);
        assert_eq!(ledger["balanced"], true, "{ledger}");
        Self { text: String::from_utf8(output.stdout).unwrap(), exchanges, ledger }
    }

    /// Nothing was lost on the way from the kernel.
    pub(crate) fn whole(self) -> Self {
        assert!(self.ledger["events_lost"].as_object().unwrap().values().all(|n| *n == 0), "{}", self.ledger);
        self
    }

    /// A number of the ledger, 0 if it is not there.
    pub(crate) fn number(&self, group: &str, name: &str) -> u64 {
        self.ledger[group][name].as_u64().unwrap_or(0)
    }
}

/// A server's last call may still be on its way out when its client has the answer already.
const SETTLE: Duration = Duration::from_millis(400);
