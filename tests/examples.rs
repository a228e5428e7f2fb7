//! The examples that need no kernel, as their users run them: help, mistakes, damage, closed pipes, Ctrl-C.

mod common;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::Stdio,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{example, finish, json, run, stderr, stdout};

const RECORDING: &str = "examples/observe/demo.kindling";
const SOON: Duration = Duration::from_secs(10);

/// A file of the repository.
fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn help_says_how_they_end() {
    for name in ["replay", "offline", "streams", "add_protocol", "observe", "record"] {
        if ["observe", "record"].contains(&name) && cfg!(not(feature = "bpf")) {
            continue;
        }
        let output = run(example(name).arg("--help"));
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        assert!(text.contains(&format!("Usage: {name}")) && text.contains("Exit codes:"), "{text}");
        let output = run(example(name).arg("--no-such-flag"));
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("--no-such-flag"));
    }
}

#[test]
fn replay_prints_what_the_recording_holds() {
    let output = run(example("replay").arg(file(RECORDING)).arg("--json"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (header, exchanges, ledger) = json(&output);
    assert_eq!((&header["version"], &header["content"]), (&Value::from(1), &Value::from("safe")));
    assert_eq!(ledger["balanced"], true);
    let complete = exchanges.iter().filter(|e| e["outcome"] == "complete").count();
    assert_eq!(ledger["exchanges"]["complete"], complete);
    assert!(complete > 200, "{complete}");
    // Every exchange of the demo was seen at both of its ends, which agree on what it was.
    let seen = |side: &str| {
        let mut all: Vec<_> = exchanges
            .iter()
            .filter(|e| e["side"] == side)
            .map(|e| [&e["client"], &e["server"], &e["operation"], &e["resource"], &e["status"]].map(Value::to_string))
            .collect();
        all.sort();
        all
    };
    assert_eq!(seen("client"), seen("server"));
    let again = run(example("replay").arg(file(RECORDING)).arg("--json"));
    assert!(output.stdout == again.stdout, "two replays differ");
}

/// What the demo is, however its parsers and the engine are rebuilt. `KINDLING_BLESS=1` after it was recorded anew.
#[test]
fn the_demo_holds_what_it_held() {
    let (_, exchanges, _) = json(&run(example("replay").arg(file(RECORDING)).arg("--json")));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for e in &exchanges {
        let keys = ["side", "protocol", "operation", "resource", "status", "error", "outcome"];
        let line = keys.map(|key| e[key].as_str().unwrap_or("-")).join("\t");
        *counts.entry(line).or_default() += 1;
    }
    let written: String = counts.iter().map(|(line, count)| format!("{line}\t{count}\n")).collect();
    let golden = file("tests/golden/demo.tsv");
    if std::env::var_os("KINDLING_BLESS").is_some() {
        fs::write(&golden, &written).unwrap();
    }
    assert_eq!(written, fs::read_to_string(&golden).unwrap());
}

#[test]
fn the_text_form_ends_with_table_and_account() {
    let text = stdout(&run(example("replay").arg(file(RECORDING))));
    assert!(text.starts_with("TIME (UTC)"), "{text}");
    let table = text.lines().find(|line| line.contains("POST /payments") && line.starts_with("server")).unwrap();
    assert!(table.contains("http1"), "{table}");
    assert!(text.contains("\nexchanges  ") && text.trim_end().ends_with("lost       nothing"), "{text}");
    let summary = stdout(&run(example("replay").arg(file(RECORDING)).arg("--summary")));
    assert!(summary.starts_with("SIDE") && text.ends_with(&summary), "{summary}");
}

#[test]
fn content_comes_out_only_where_asked_for_and_credentials_never() {
    let safe = stdout(&run(example("replay").arg(file(RECORDING)).arg("--json")));
    let raw = stdout(&run(example("replay").args(["--raw", "--json"]).arg(file(RECORDING))));
    assert!(raw.starts_with(r#"{"header":{"version":1,"content":"raw"}}"#));
    assert!(raw.contains("product:10") && !safe.contains("product:10"), "keys");
    assert!(raw.contains("/products/10") && !safe.contains("/products/10"), "targets");
    for secret in ["8f14e45f", "4111111111111111", "Secret Street"] {
        assert!(!safe.contains(secret) && !raw.contains(secret), "{secret}");
    }
}

#[test]
fn a_file_that_is_none_gets_a_clear_message() {
    for (path, why) in [("no/such/file", "No such file"), ("Cargo.toml", "neither a recording nor a capture")] {
        for name in ["replay", "offline", "streams"] {
            let output = run(example(name).arg(file(path)));
            assert_eq!(output.status.code(), Some(1));
            let message = stderr(&output);
            assert!(message.starts_with("error: ") && message.contains(path) && message.contains(why), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
    }
}

#[test]
fn a_torn_recording_gives_what_it_has_and_says_so() {
    let whole = fs::read(file(RECORDING)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let torn = folder.path().join("torn");
    fs::write(&torn, &whole[..whole.len() / 2]).unwrap();
    let output = run(example("replay").arg(&torn).arg("--json"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("torn: "), "{}", stderr(&output));
    let (_, exchanges, ledger) = json(&output);
    assert!(exchanges.len() > 50, "{}", exchanges.len());
    assert_eq!(ledger["balanced"], true);
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let mut child = example("replay")
        .arg(file(RECORDING))
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut reader = BufReader::with_capacity(64, child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    drop(reader);
    let output = finish(child, SOON);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn the_small_examples_end_quietly_too() {
    for (name, files) in
        [("add_protocol", vec![]), ("offline", vec![file(RECORDING)]), ("streams", vec![file(RECORDING)])]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = example(name).args(files).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = finish(child, SOON);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{name}");
    }
}

#[test]
fn ctrl_c_reports_what_was_seen() {
    let whole = fs::read(file(RECORDING)).unwrap();
    let mut child = example("replay")
        .args(["-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A writer that goes silent in the middle.
    let (mut input, pid) = (child.stdin.take().unwrap(), Pid::from_child(&child));
    let writer = thread::spawn(move || {
        input.write_all(&whole[..whole.len() / 2]).unwrap();
        thread::sleep(Duration::from_millis(500));
        kill_process(pid, Signal::INT).unwrap();
        input
    });
    let output = finish(child, SOON);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (_, exchanges, ledger) = json(&output);
    assert!(exchanges.len() > 50, "{}", exchanges.len());
    assert_eq!(ledger["balanced"], true);
    drop(writer.join());
}

#[test]
fn the_small_examples_run() {
    let output = run(&mut example("add_protocol"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("courier") && stdout(&output).contains("exchanges  3 opened = 2 complete"));
    let output = run(example("offline").arg(file(RECORDING)));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).lines().next().unwrap().contains("GET /reports/daily"), "{}", stdout(&output));
    let output = run(example("streams").args([file(RECORDING), file(RECORDING)]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for name in ["offline", "streams"] {
        let output = run(&mut example(name));
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("FILE"), "{}", stderr(&output));
    }
}
