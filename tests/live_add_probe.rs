//! `add_probe` on a live kernel: records of a user's own probe beside exchanges. Only processes that the tests started are traced.
#![cfg(feature = "bpf")]

#[expect(dead_code, reason = "its other users read JSON lines too")]
mod common;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use kindling::bpf::Capabilities;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::common::{example, finish, run, stderr, stdout};

/// Whether the kernel can be traced; if not, says why on standard error, and fails where that is required.
fn capable() -> bool {
    let capabilities = Capabilities::detect();
    if capabilities.path().is_some() {
        return true;
    }
    assert_ne!(std::env::var("KINDLING_REQUIRE_BPF").as_deref(), Ok("1"), "{capabilities}");
    eprintln!("skipped: {capabilities}");
    false
}

#[test]
fn help_says_how_it_ends() {
    let output = run(example("add_probe").arg("--help"));
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.contains("Usage: add_probe") && text.contains("Exit codes:"), "{text}");
    assert_eq!(run(example("add_probe").arg("--no-such-flag")).status.code(), Some(2));
}

/// Each retransmit is on a flow that was opened by the demonstration, whose exchanges it delays.
#[test]
fn the_demonstration_shows_retransmits_on_flows_it_opened() {
    if !capable() {
        return;
    }
    let output = run(&mut example("add_probe"));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    let exchanges: Vec<Vec<&str>> =
        text.lines().filter(|l| l.contains(" http1 ")).map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(exchanges.len(), 8, "{text}");
    // The last columns: client > server thread.
    let ends: BTreeSet<(&str, &str)> = exchanges.iter().map(|e| (e[e.len() - 4], e[e.len() - 2])).collect();
    assert_eq!(ends.len(), 1, "{text}");
    let (client, server) = ends.into_iter().next().unwrap();
    let retransmits: Vec<&str> = text.lines().filter(|l| l.contains("  retransmit  ")).collect();
    let sent = |from, to| retransmits.iter().filter(|l| l.contains(&format!(", {from} > {to}, ESTAB"))).count();
    // Two requests were not heard the first time. The server may have to acknowledge twice, too.
    assert!(sent(client, server) >= 2, "{text}");
    assert_eq!(sent(client, server) + sent(server, client), retransmits.len(), "{text}");
    let unheard = exchanges.iter().filter(|e| e[1] == "client" && e[4] == "/unheard");
    let slow: Vec<f64> = unheard.map(|e| milliseconds(e[6])).collect();
    // The server was deaf for half a second.
    assert!(slow.len() == 2 && slow.iter().all(|&ms| ms >= 500.0), "{slow:?} {text}");
    assert!(text.contains("\nlost       nothing\n"), "{text}");
    assert!(text.contains(&format!("\nprobe      {} retransmits on ", retransmits.len())), "{text}");
}

/// `text`, a latency as the example prints it; 0 if it is shorter than a millisecond.
fn milliseconds(text: &str) -> f64 {
    let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok());
    number("ms").or_else(|| number("s").map(|seconds| seconds * 1e3)).unwrap_or_default()
}

/// Records of the kill's own victim: the running task is who asked for memory, here the same.
#[test]
fn an_oom_kill_names_its_victim() {
    if !capable() {
        return;
    }
    let Some(group) = Group::new() else { return };
    let script = format!("echo $$ >{}/cgroup.procs && exec tail /dev/zero", group.0.display());
    let output = run(example("add_probe").args(["--", "sh", "-c", &script]));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(128 + 9), "{text}{}", stderr(&output));
    let kills: Vec<&str> = text.lines().filter(|l| l.contains("  oom-kill    tail/")).collect();
    assert_eq!(kills.len(), 1, "{text}");
    assert!(text.contains(", 1 OOM kills\n"), "{text}");
    let pages = kills[0].split_whitespace().nth_back(5).and_then(|n| n.parse::<u64>().ok());
    // It had filled the 16 MiB of its cgroup.
    assert!(pages.is_some_and(|pages| pages > 4096), "{text}");
}

/// A memory cgroup of 16 MiB, whichever version; `None`, said on standard error, where there can be none.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let name = format!("kindling-add-probe-{}", std::process::id());
        for (parent, limit) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            let group = PathBuf::from(parent).join(&name);
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let group = Self(group);
            if fs::write(group.0.join(limit), "16777216").is_ok() {
                return Some(group);
            }
        }
        eprintln!("skipped: no memory cgroup can be made here");
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn ctrl_c_ends_what_it_started_and_reports() {
    if !capable() {
        return;
    }
    let mut child = example("add_probe")
        .args(["--", "sh", "-c", "echo $$; exec sleep 60"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let started: i32 = lines.find_map(|line| line.parse().ok()).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line == "probe      0 retransmits on 0 flows, 0 OOM kills"), "{rest:?}");
    assert_eq!(finish(child, Duration::from_secs(10)).status.code(), Some(0));
    assert!(test_kill_process(Pid::from_raw(started).unwrap()).is_err(), "{started} still runs");
}

#[test]
fn mistakes_are_named() {
    if !capable() {
        return;
    }
    let output = run(example("add_probe").args(["--pid", "4000000"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("error: no process 4000000"), "{}", stderr(&output));
    let output = run(example("add_probe").args(["--", "/nonexistent"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot run /nonexistent"), "{}", stderr(&output));
    let program = example("add_probe").get_program().to_owned();
    let dropped = Command::new("setpriv").args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(program).output();
    let Ok(output) = dropped else {
        eprintln!("skipped: it needs setpriv, and privileges to drop");
        return;
    };
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("error: missing CAP_BPF"), "{}", stderr(&output));
}
