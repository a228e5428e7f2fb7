//! Running the examples as their users do.

use std::{
    env,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The example `name`, which `cargo test` has built.
pub(crate) fn example(name: &str) -> Command {
    let path = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --examples` first", path.display());
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// Wait for `child`, which must end in time, and take its output.
pub(crate) fn finish(mut child: Child, within: Duration) -> Output {
    let streams = (child.stdout.take(), child.stderr.take());
    let out = thread::spawn(move || read(streams.0));
    let err = thread::spawn(move || read(streams.1));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > within {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it did not end within {within:?}: {}", String::from_utf8_lossy(&err.join().unwrap()));
        }
        thread::sleep(Duration::from_millis(5));
    };
    Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

fn read(stream: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.map(|mut stream| stream.read_to_end(&mut bytes)).transpose().unwrap();
    bytes
}

/// Run to the end.
pub(crate) fn run(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    finish(child, Duration::from_secs(60))
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// JSON lines, taken apart: the header, the exchanges, the ledger.
pub(crate) fn json(output: &Output) -> (Value, Vec<Value>, Value) {
    let text = stdout(output);
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut ledger = lines.pop().expect("a ledger");
    let mut header = lines.remove(0);
    assert!(lines.iter().all(|line| line.get("id").is_some()), "{text}");
    (header["header"].take(), lines, ledger["ledger"].take())
}
