//! `observe` and `record` on a live kernel. Only processes that the tests started are traced.
#![cfg(feature = "bpf")]

mod common;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use kindling::bpf::Capabilities;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{example, finish, json, run, stderr, stdout};

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

/// An HTTP server for `connections` connections of one request each; says what was asked.
fn server(connections: usize) -> (u16, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let answer = |stream: std::net::TcpStream| {
            let mut reader = BufReader::new(stream);
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            let mut line = first.clone();
            while line.trim_end() != "" {
                line.clear();
                reader.read_line(&mut line).unwrap();
            }
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi").unwrap();
            first
        };
        listener.incoming().take(connections).map(|stream| answer(stream.unwrap())).collect()
    };
    (port, thread::spawn(serve))
}

/// A shell command that asks the server on `port` for each of `paths`, as the first thing it does.
fn client(port: u16, paths: &[&str], then: &str) -> [String; 3] {
    let ask = |path: &&str| {
        format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET {path} HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' >&3; cat <&3 >/dev/null; "
        )
    };
    ["bash".to_owned(), "-c".to_owned(), paths.iter().map(ask).collect::<String>() + then]
}

fn asked(exchanges: &[Value]) -> Vec<&str> {
    exchanges.iter().map(|e| e["resource"].as_str().unwrap_or("-")).collect()
}

#[test]
fn the_demo_shows_all_of_its_parts() {
    if !capable() {
        return;
    }
    let start = Instant::now();
    let output = run(example("observe").args(["--json", "--raw"]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let (_, exchanges, ledger) = json(&output);
    assert_eq!(ledger["balanced"], true);
    assert_eq!(ledger["events_lost"].as_object().unwrap().values().filter(|n| **n != 0).count(), 0, "{ledger}");
    assert!(exchanges.iter().all(|e| e["outcome"] == "complete"), "{}", stdout(&output));
    let processes: std::collections::BTreeSet<_> = exchanges.iter().map(|e| e["pid"].as_u64()).collect();
    assert_eq!(processes.len(), 4, "{processes:?}");
    let count = |side: &str| exchanges.iter().filter(|e| e["side"] == side).count();
    assert!(count("client") > 100 && count("client") == count("server"));
    let slow = |e: &&Value| e["resource"] == "/reports/daily";
    assert!(exchanges.iter().filter(slow).all(|e| e["latency_ns"].as_u64().unwrap() > 300_000_000));
    assert!(exchanges.iter().any(|e| e["status"] == "503") && exchanges.iter().any(|e| e["status"] == "502"));
    for secret in ["4111111111111111", "Secret Street"] {
        assert!(!stdout(&output).contains(secret));
    }
}

/// `observe` with these capabilities and no others; `None` where they cannot be dropped.
fn confined(capabilities: &str) -> Option<Command> {
    if !capable() || Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: it needs setpriv, and privileges to drop");
        return None;
    }
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set=-all{capabilities}")).args(["--inh-caps=-all", "--"]);
    command.arg(example("observe").get_program()).stdin(Stdio::null());
    Some(command)
}

#[test]
fn without_privileges_the_demo_says_what_is_missing_and_replays() {
    let Some(mut command) = confined("") else { return };
    let output = run(command.arg("--json"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(message.contains("CAP_BPF") && message.contains("a recording of this demo"), "{message}");
    let (_, exchanges, ledger) = json(&output);
    assert!(exchanges.len() > 200 && ledger["balanced"] == true, "{ledger}");
    let output = run(command.args(["--pid", "1"]));
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()));
    assert!(stderr(&output).contains("CAP_BPF"), "{}", stderr(&output));
}

/// The README's table of privileges.
#[test]
fn two_capabilities_suffice_and_each_is_needed() {
    let rows = [
        (",+bpf,+perfmon", None),
        (",+sys_admin", None),
        (",+bpf", Some("CAP_PERFMON")),
        (",+perfmon", Some("CAP_BPF")),
    ];
    for (capabilities, missing) in rows {
        let Some(mut command) = confined(capabilities) else { return };
        let (port, server) = server(1);
        let output = run(command.args(["--json", "--"]).args(client(port, &["/seen"], "exit 0")));
        if let Some(name) = missing {
            assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()), "{capabilities}");
            assert!(stderr(&output).contains(&format!("missing {name}")), "{capabilities}: {}", stderr(&output));
        } else {
            assert_eq!(output.status.code(), Some(0), "{capabilities}: {}", stderr(&output));
            assert_eq!(asked(&json(&output).1), ["/seen"], "{capabilities}");
            assert_eq!(server.join().unwrap().len(), 1);
        }
    }
}

#[test]
fn a_command_is_traced_from_its_first_request_and_gives_its_code() {
    if !capable() {
        return;
    }
    let (port, server) = server(2);
    let command = client(port, &["/first", "/second"], "exit 7");
    let output = run(example("observe").args(["--json", "--"]).args(command));
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    let (_, exchanges, ledger) = json(&output);
    assert_eq!(asked(&exchanges), ["/first", "/second"], "{}", stdout(&output));
    assert!(exchanges.iter().all(|e| e["side"] == "client" && e["outcome"] == "complete" && e["comm"] == "bash"));
    assert_eq!((&ledger["exchanges"]["opened"], &ledger["balanced"]), (&Value::from(2), &Value::from(true)));
    assert_eq!(server.join().unwrap().len(), 2);
}

#[test]
fn a_command_that_fails_to_start_or_is_killed_shows_in_the_code() {
    if !capable() {
        return;
    }
    let output = run(example("observe").args(["--", "/no/such/program"]));
    assert_eq!(output.status.code(), Some(127));
    let message = stderr(&output);
    assert!(message.lines().any(|line| line.starts_with("error: cannot run /no/such/program: ")), "{message}");
    let output = run(example("observe").args(["--port", "0"]));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = run(example("observe").args(["--", "sh", "-c", "kill -9 $$"]));
    assert_eq!(output.status.code(), Some(128 + 9), "{}", stderr(&output));
}

#[test]
fn ctrl_c_ends_trace_and_command_and_prints_what_was_seen() {
    if !capable() {
        return;
    }
    let (port, server) = server(1);
    let command = client(port, &["/seen"], "echo $$ >&2; exec sleep 600");
    let mut child = example("observe")
        .args(["--json", "--"])
        .args(command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let sleeper: i32 = lines.find_map(|line| line.unwrap().parse().ok()).expect("the command's pid");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = finish(child, Duration::from_secs(20));
    assert_eq!(output.status.code(), Some(0));
    let (_, exchanges, ledger) = json(&output);
    assert_eq!((asked(&exchanges), &ledger["balanced"]), (vec!["/seen"], &Value::from(true)));
    assert!(!std::path::Path::new(&format!("/proc/{sleeper}")).exists(), "the command goes on");
    assert_eq!(server.join().unwrap().len(), 1);
}

#[test]
fn ctrl_c_ends_what_the_command_started_too() {
    if !capable() {
        return;
    }
    // One that ends when asked, and one that has to be made to.
    for sleep in ["sleep 777 & echo $! >&2; wait", "(trap '' TERM; exec sleep 777) & echo $! >&2; wait"] {
        let mut child = example("observe")
            .args(["--json", "--", "sh", "-c", sleep])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let sleeper: i32 = lines.find_map(|line| line.unwrap().parse().ok()).expect("the sleeper's pid");
        thread::sleep(Duration::from_millis(100));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(finish(child, Duration::from_secs(20)).status.code(), Some(0));
        // It may wait, dead, for whoever inherited it.
        let state = std::fs::read_to_string(format!("/proc/{sleeper}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{sleep}: {state}");
    }
}

#[test]
fn a_closed_pipe_ends_it_even_when_nothing_happens() {
    if !capable() {
        return;
    }
    let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
    let mut child = example("observe")
        .args(["--json", "--pid", &sleeper.id().to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The header comes when the trace has begun.
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0]).unwrap();
    drop(output);
    let output = finish(child, Duration::from_secs(20));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("error"), "{}", stderr(&output));
}

#[test]
fn what_is_not_there_gets_a_clear_message() {
    if !capable() {
        return;
    }
    for (arguments, why) in
        [(["--pid", "4194305"], "no process 4194305"), (["--cgroup", "/no/such"], "/no/such is no cgroup")]
    {
        let output = run(example("observe").args(arguments));
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()));
        assert!(stderr(&output).starts_with("error: ") && stderr(&output).contains(why), "{}", stderr(&output));
    }
}

#[test]
fn a_recording_replays_to_what_was_live() {
    if !capable() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session");
    let (port, server) = server(3);
    let command = client(port, &["/a", "/b", "/c"], "exit 0");
    let output = run(example("record").arg(&path).arg("--").args(command));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(server.join().unwrap().len(), 3);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (_, exchanges, ledger) = json(&run(example("replay").arg("--json").arg(&path)));
    assert_eq!(asked(&exchanges), ["/a", "/b", "/c"]);
    assert_eq!(ledger["balanced"], true);
    // It is not overwritten unasked, and a failed start leaves nothing behind.
    let output = run(example("record").arg(&path).args(["--pid", &std::process::id().to_string()]));
    assert!(output.status.code() == Some(1) && stderr(&output).contains("exists"), "{}", stderr(&output));
    let before = std::fs::read(&path).unwrap();
    let output = run(example("record").arg(&path).args(["--force", "--pid", "4194305"]));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(std::fs::read(&path).unwrap() == before, "a failed start replaced the recording");
    let none = folder.path().join("none");
    let output = run(example("record").arg(&none).args(["--pid", "4194305"]));
    assert!(output.status.code() == Some(1) && !none.exists(), "{}", stderr(&output));
    let output = run(example("record").arg(&none));
    assert!(output.status.code() == Some(2) && stderr(&output).contains("nothing to trace"), "{}", stderr(&output));
}
