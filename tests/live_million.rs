//! Every request counts: what `observe` says of nginx under load is what the load generator knows, for a million requests with connection
//! churn, on both capture paths; and where the ring is too small, what is missing is accounted for, and nothing is paired wrongly.
#![cfg(feature = "bpf")]

#[expect(dead_code, reason = "these tests run `observe` beside their client, not to its end")]
mod common;
#[path = "live_million/generator.rs"]
mod generator;
#[path = "common/servers.rs"]
mod servers;

use std::{
    fs,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    generator::{Generator, PER_CONNECTION},
    servers::{Observe, Seen, Server, paths},
};

/// The two loads would hold each other up.
static ALONE: Mutex<()> = Mutex::new(());

/// nginx with one worker that keeps no log, and gives each request its number back.
fn nginx() -> Server {
    Server::start("nginx", |folder, port| {
        let path = folder.join("nginx.conf");
        let folder = folder.display();
        let configuration = format!(
            r#"
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        add_header X-Request-Id $http_x_request_id always;
        location = /found {{ return 200 "found\n"; }}
        location = /made {{ return 201 "made\n"; }}
        location = /missing {{ return 404; }}
    }}
}}
"#
        );
        fs::write(&path, configuration).unwrap();
        ["-e", "stderr", "-c", path.to_str().unwrap()].map(str::to_owned).into()
    })
}

/// In turns that the ring can hold: a tracer that gets no processor for a while, on a machine with other work, then loses nothing.
#[test]
fn a_million_requests_are_a_million_exchanges() {
    const REQUESTS: u64 = 1_000_000;
    const TURN: u64 = 50_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for path in paths() {
        let server = nginx();
        let observe = Observe::start(path, &["--summary", "--ring", "64", "--pid", &server.pid()]);
        let start = Instant::now();
        let mut generator = Generator::start(&server.address());
        for _ in 0..REQUESTS / TURN {
            generator.run(TURN);
            observe.rest();
        }
        let took = start.elapsed();
        let peak = observe.peak();
        let seen = observe.stop().whole();
        eprintln!("{path}: {REQUESTS} requests in {took:.1?}, observe's peak {peak} KiB: {}", seen.ledger);
        assert_eq!(seen.number("exchanges", "complete"), REQUESTS, "{path}: {}", seen.ledger);
        assert_eq!(seen.number("exchanges", "opened"), REQUESTS, "{path}: {}", seen.ledger);
        assert_eq!(seen.number("exchanges", "unmatched"), 0, "{path}: {}", seen.ledger);
        assert_eq!(segments(&seen), 2 * REQUESTS, "{path}: {}", seen.ledger);
        assert_eq!(seen.ledger["flows"], REQUESTS / PER_CONNECTION, "{path}: {}", seen.ledger);
        assert_eq!(seen.ledger["flows_closed"], REQUESTS / PER_CONNECTION, "{path}: {}", seen.ledger);
    }
}

/// `observe` stands still, or nearly, so that the smallest ring overflows again and again, at any place of a conversation.
#[test]
fn what_a_full_ring_loses_is_counted_and_nothing_is_paired_wrongly() {
    const TURNS: u64 = 8;
    const TURN: u64 = 8_000;
    const REQUESTS: u64 = TURNS * TURN;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for path in paths() {
        let server = nginx();
        let observe = Observe::start(path, &["--raw", "--ring", "1", "--pid", &server.pid()]);
        let mut generator = Generator::start(&server.address());
        for turn in 0..TURNS {
            if turn % 2 == 0 {
                observe.signal(Signal::STOP);
                generator.run(TURN);
                observe.signal(Signal::CONT);
            } else {
                stumble(&observe, || generator.run(TURN));
            }
            observe.rest();
        }
        let seen = observe.stop();
        eprintln!("{path}: {}", seen.ledger);
        let lost = seen.number("events_lost", "ring_segment");
        assert!(lost > REQUESTS / 10, "{path}: the ring was meant to overflow: {}", seen.ledger);
        assert_eq!(segments(&seen) + lost, 2 * REQUESTS, "{path}: {}", seen.ledger);
        for class in ["recursion", "decode", "hand_over", "table", "frame"] {
            assert_eq!(seen.number("events_lost", class), 0, "{path}: {}", seen.ledger);
        }
        let mut complete = 0;
        for exchange in seen.exchanges.iter().filter(|e| e["outcome"] == "complete") {
            complete += 1;
            let number = exchange["attributes"]["http.response.header.x-request-id"].as_str().unwrap();
            let (resource, status) = generator::plan(number.parse().unwrap());
            assert_eq!(exchange["attributes"]["http.request.header.x-request-id"], number, "{path}: {exchange}");
            assert_eq!((&exchange["resource"], &exchange["status"]), (&resource.into(), &status.into()), "{path}");
        }
        assert_eq!(seen.number("exchanges", "complete"), complete, "{path}");
        assert_eq!(seen.text.lines().count(), seen.exchanges.len() + 2, "{path}");
        // Of what is missing, both halves were lost, or one.
        assert!(
            (REQUESTS.saturating_sub(lost)..=REQUESTS - lost.div_ceil(2)).contains(&complete),
            "{path}: {}",
            seen.ledger
        );
    }
}

/// Run `work` while `observe` is held up again and again.
fn stumble(observe: &Observe, work: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let work = scope.spawn(work);
        while !work.is_finished() {
            observe.signal(Signal::STOP);
            thread::sleep(Duration::from_millis(60));
            observe.signal(Signal::CONT);
            thread::sleep(Duration::from_millis(2));
        }
        work.join().unwrap();
    });
}

fn segments(seen: &Seen) -> u64 {
    seen.ledger["segments"].as_u64().unwrap()
}
