//! What flows cost in memory: `cargo bench --bench memory`. Fails where a figure of the documentation no longer holds.
#![expect(clippy::print_stdout, reason = "its figures are what a bench is for")]

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use kindling::{
    Batch, CloseReason, Closed, Direction, Event, FlowId, Offsets, Opened, Role, Segment, Timestamp,
    protocols::{Engine, Limits, Registry},
};

const FLOWS: u64 = 100_000;

fn main() {
    // Each protocol in a process of its own: memory that one freed would be the next one's for nothing.
    if !std::env::args().any(|argument| argument == "http1" || argument == "redis") {
        let own = std::env::current_exe().expect("a bench knows itself");
        for name in ["http1", "redis"] {
            let status = std::process::Command::new(&own).arg(name).status().expect("it starts again");
            assert!(status.success(), "{name}");
        }
        return;
    }
    for (name, port, request, answer) in [
        ("http1", 80, &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &b"HTTP/1.1 204 No Content\r\n\r\n"[..]),
        ("redis", 6379, b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
    ] {
        if !std::env::args().any(|argument| argument == name) {
            continue;
        }
        let before = resident();
        let mut engine = Engine::new(Registry::builtin(), Limits::default());
        for flow in 0..FLOWS {
            engine.handle_batch(&conversation(FlowId(flow), port, request, answer));
            while engine.poll_exchange().is_some() {}
            while engine.poll_directive().is_some() {}
        }
        let idle = resident().saturating_sub(before);
        println!("{name}: {FLOWS} idle flows, {} bytes each, {:.1} MB in all", idle / FLOWS, idle as f64 / 1e6);
        assert!(idle < 100_000_000, "{idle} bytes for {FLOWS} idle flows");
        // Flows that come and go leave nothing behind: as many again as were there, ten times over, in the same memory.
        for flow in 0..FLOWS {
            engine.handle_event(&closed(FlowId(flow)));
        }
        let emptied = resident();
        for flow in FLOWS..11 * FLOWS {
            engine.handle_batch(&conversation(FlowId(flow), port, request, answer));
            engine.handle_event(&closed(FlowId(flow)));
            while engine.poll_exchange().is_some() {}
            while engine.poll_directive().is_some() {}
        }
        let grown = resident().saturating_sub(emptied);
        println!("{name}: {:.1} MB more after {} flows came and went", grown as f64 / 1e6, 10 * FLOWS);
        assert!(engine.flows() == 0 && grown < 8_000_000, "{grown} bytes left by flows that ended");
    }
}

fn conversation(flow: FlowId, port: u16, request: &'static [u8], answer: &'static [u8]) -> Batch {
    let at = Timestamp::from_nanos(1_000 + flow.0 * 1_000);
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port)).into();
    let segment = |direction, data: &'static [u8]| {
        let (data, len) = (Bytes::from_static(data), data.len() as u64);
        Event::Segment(Segment { at, flow, direction, offset: 0, data, len, task: None })
    };
    let opened = Opened {
        at,
        flow,
        offsets: Offsets::Tcp,
        local: address(40_000),
        remote: address(port),
        role: Role::Client,
        first_out: Some(0),
        first_in: Some(0),
        ..Opened::default()
    };
    let events = vec![Event::Opened(opened), segment(Direction::Out, request), segment(Direction::In, answer)];
    Batch::new(Arc::default(), events)
}

fn closed(flow: FlowId) -> Event {
    Event::Closed(Closed { at: Timestamp::ZERO, flow, reason: CloseReason::Closed, stats: None })
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has /proc");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("statm has a second field");
    pages * 4096
}
