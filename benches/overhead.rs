//! What tracing costs the traced: `cargo build --release --example observe && cargo bench --bench overhead`.
//!
//! nginx with one worker and keep-alive serves a page of 3.8 KiB to wrk, without and with `observe` on the worker, in alternating pairs. CPU
//! per request is the worker's own (`/proc/PID/schedstat`), so what the tracer itself uses is not in it; it is in the ratio of requests per
//! second, because everything shares the machine. Needs root, nginx and wrk. `PAIRS` and `SECONDS` change the length.
#![expect(clippy::print_stdout, reason = "its figures are what a bench is for")]

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

fn main() {
    let number = |name: &str, or: u32| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let (pairs, seconds) = (number("PAIRS", 7), number("SECONDS", 2));
    let observe = observe();
    let server = Server::start();
    server.load(1);
    for path in ["sockets", "syscalls"] {
        let mut runs = Vec::new();
        for pair in 0..pairs {
            let traced = |server: &Server| Traced::start(&observe, path, server.worker).measure(server, seconds);
            // The order alternates, so that a drift of the machine falls on both.
            let (off, on) = if pair % 2 == 0 {
                let off = server.load(seconds);
                (off, traced(&server))
            } else {
                let on = traced(&server);
                (server.load(seconds), on)
            };
            println!(
                "{path}: off {:.2} us/request {:.0}/s, on {:.2} us/request {:.0}/s, attach {:.2} s, observe {:.1} MB {:.2} us/request, {}",
                off.cpu, off.rate, on.load.cpu, on.load.rate, on.attach, on.memory, on.own, on.lost
            );
            runs.push((off, on));
        }
        let spread = |of: &dyn Fn(&(Load, Run)) -> f64| {
            let mut all: Vec<_> = runs.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            let at =
                |share: f64| all.get((share * (all.len() - 1) as f64).round() as usize).copied().unwrap_or_default();
            format!("{:.2} [{:.2}..{:.2}]", at(0.5), at(0.0), at(1.0))
        };
        println!("{path}, median of {pairs} pairs [range]:");
        println!("  added CPU per request: {} us", spread(&|(off, on)| on.load.cpu - off.cpu));
        println!("  CPU per request, ratio: {}", spread(&|(off, on)| on.load.cpu / off.cpu));
        println!("  requests per second, ratio: {}", spread(&|(off, on)| on.load.rate / off.rate));
        println!("  attached after: {} s", spread(&|(_, on)| on.attach));
        println!("  memory of observe: {} MB", spread(&|(_, on)| on.memory));
        println!("  CPU of observe per request: {} us", spread(&|(_, on)| on.own));
    }
}

/// The example, built before.
fn observe() -> PathBuf {
    let own = std::env::current_exe().expect("a bench knows itself");
    let release = own.ancestors().nth(2).expect("target/release/deps/overhead");
    let observe = release.join("examples/observe");
    assert!(observe.exists(), "{} is missing: cargo build --release --example observe", observe.display());
    observe
}

struct Server {
    nginx: Child,
    worker: u32,
    _folder: tempfile::TempDir,
}

/// What one run of wrk found.
struct Load {
    /// Microseconds of the worker's CPU time per request.
    cpu: f64,
    /// Requests per second.
    rate: f64,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for nginx");
        let path = folder.path();
        std::fs::write(path.join("index.html"), "x".repeat(3800)).expect("a page");
        // The worker runs as nobody and must reach the page.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, open).expect("a folder that others may enter");
        std::fs::write(path.join("nginx.conf"), configuration(path)).expect("a configuration");
        let nginx = Command::new("nginx").arg("-c").arg(path.join("nginx.conf")).spawn().expect("nginx starts");
        let children = format!("/proc/{0}/task/{0}/children", nginx.id());
        let worker = (0..200).find_map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            std::fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok()
        });
        Self { nginx, worker: worker.expect("nginx has a worker"), _folder: folder }
    }

    fn load(&self, seconds: u32) -> Load {
        let before = cpu(self.worker);
        let start = Instant::now();
        let url = format!("http://127.0.0.1:{PORT}/index.html");
        let wrk = Command::new("wrk").args(["-t1", "-c16", &format!("-d{seconds}s"), &url]).output().expect("wrk runs");
        let elapsed = start.elapsed().as_secs_f64();
        let text = String::from_utf8_lossy(&wrk.stdout);
        let count = text.lines().find_map(|line| line.split_once(" requests in ")).map(|(count, _)| count.trim());
        let requests: f64 = count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("wrk said: {text}"));
        Load { cpu: (cpu(self.worker) - before) / 1e3 / requests, rate: requests / elapsed }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM ends the worker as well; a kill of the master would leave it.
        let _ = Command::new("kill").arg(self.nginx.id().to_string()).status();
        let _ = self.nginx.wait();
    }
}

/// `observe` at work.
struct Traced {
    observe: Child,
    attach: f64,
}

/// One run with `observe`.
struct Run {
    load: Load,
    /// Seconds until it had attached.
    attach: f64,
    /// Most memory it used, in megabytes.
    memory: f64,
    /// Microseconds of its own CPU time per request.
    own: f64,
    /// What it said it lost.
    lost: String,
}

impl Traced {
    fn start(observe: &Path, path: &str, worker: u32) -> Self {
        let start = Instant::now();
        let mut observe = Command::new(observe)
            .args(["--summary", "--path", path, "--pid", &worker.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("observe starts");
        let mut said = String::new();
        let mut stderr = BufReader::new(observe.stderr.take().expect("it is piped"));
        stderr.read_line(&mut said).expect("observe says something");
        assert!(said.starts_with("tracing"), "observe said: {said}");
        observe.stderr = Some(stderr.into_inner());
        Self { observe, attach: start.elapsed().as_secs_f64() }
    }

    fn measure(mut self, server: &Server, seconds: u32) -> Run {
        let before = cpu(self.observe.id());
        let load = server.load(seconds);
        let requests = load.rate * f64::from(seconds);
        let own = (cpu(self.observe.id()) - before) / 1e3 / requests;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.observe.id())).expect("observe runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: f64 = peak.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default();
        let _ = Command::new("kill").args(["-INT", &self.observe.id().to_string()]).status();
        let mut text = String::new();
        self.observe.stdout.take().expect("it is piped").read_to_string(&mut text).expect("observe reports");
        let _ = self.observe.wait();
        let lost = text.lines().find(|line| line.starts_with("lost")).unwrap_or("lost: not said").to_owned();
        Run { load, attach: self.attach, memory: kib / 1024.0, own, lost }
    }
}

/// Nanoseconds of CPU time all threads of a process have used.
fn cpu(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let used = tasks.flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    used.sum()
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; keepalive_requests 100000000; server {{ listen 127.0.0.1:{PORT}; root {folder}; }} }}\n"
    )
}

const PORT: u16 = 18_480;
