//! Trace processes and throw the events away: what the probe alone costs. `drain PATH SECONDS PID..`, PATH being sockets or syscalls.
#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::time::{Duration, Instant};

use kindling_bpf::{Path, Probe, Targets};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: drain sockets|syscalls SECONDS PID..";
    let path = match args.next().as_deref() {
        Some("sockets") => Path::Sockets,
        Some("syscalls") => Path::Syscalls,
        _ => return Err(usage.into()),
    };
    let seconds: f64 = args.next().ok_or(usage)?.parse()?;
    let mut targets = Targets::new();
    for pid in args {
        targets = targets.process(pid.parse()?);
    }
    let payload = std::env::var("PAYLOAD").ok().and_then(|v| v.parse().ok()).unwrap_or(16384);
    let started = Instant::now();
    let probe = Probe::builder().targets(targets).path(path).payload(payload).start()?;
    println!("started in {:?}", started.elapsed());
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < until {
        probe.next_batch(Duration::from_millis(100))?;
    }
    println!("{:?}", probe.control().stats());
    Ok(())
}
