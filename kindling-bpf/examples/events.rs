//! Print the events of a command: `cargo run -p kindling-bpf --example events -- COMMAND ARGS..`
//!
//! Without a command it says what this kernel allows. `SYSCALLS=1` uses the system call path.
#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::{process::Command, time::Duration};

use kindling_bpf::{Capabilities, Path, Probe, Targets};
use kindling_core::Event;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let Some(program) = args.next() else {
        println!("{}", Capabilities::detect());
        return Ok(());
    };
    // A shell that waits for a line, so that nothing of the command happens before the probe is there.
    let mut child = Command::new("sh")
        .args(["-c", "read line; exec \"$@\"", "sh"])
        .arg(program)
        .args(args)
        .stdin(std::process::Stdio::piped())
        .spawn()?;
    let mut builder = Probe::builder().targets(Targets::new().tree(child.id()));
    if std::env::var_os("SYSCALLS").is_some() {
        builder = builder.path(Path::Syscalls);
    }
    let started = std::time::Instant::now();
    let probe = builder.start()?;
    println!("started in {:?}", started.elapsed());
    drop(child.stdin.take());
    let mut ended = false;
    loop {
        let batch = probe.next_batch(Duration::from_millis(200))?;
        for event in batch.into_iter().flat_map(|b| b.events) {
            if !matches!(event, Event::Tick(_)) {
                println!("{event:?}");
            }
        }
        if ended {
            break;
        }
        ended = child.try_wait()?.is_some();
    }
    println!("{:?}", probe.control().stats());
    Ok(())
}
