//! What the engine costs: `cargo bench --bench engine`.
//!
//! Figures are per request/answer pair unless the name says otherwise; compare only figures of one run.

#![expect(missing_docs, reason = "criterion's macros make items without docs")]

use std::{hint::black_box, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kindling::{
    Batch, Comm, Direction, Event, FlowId, Offsets, Opened, Origin, Role, Segment, Task, Timestamp, Transport,
    protocols::{Engine, Limits, Registry, Sharded},
};

const PAIRS: usize = 1000;

struct Talk {
    port: u16,
    transport: Transport,
    request: Bytes,
    answer: Bytes,
}

fn http1() -> Talk {
    Talk {
        port: 80,
        transport: Transport::Tcp,
        request: Bytes::from_static(
            b"GET /api/v1/items HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
        ),
        answer: Bytes::from_static(
            b"HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
        ),
    }
}

fn redis() -> Talk {
    Talk {
        port: 6379,
        transport: Transport::Tcp,
        request: Bytes::from_static(b"*2\r\n$3\r\nGET\r\n$9\r\nuser:1234\r\n"),
        answer: Bytes::from_static(b"$5\r\nhello\r\n"),
    }
}

fn dns() -> Talk {
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";
    let answer = b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\x5d\xb8\xd8\x22";
    Talk { port: 53, transport: Transport::Udp, request: Bytes::from_static(query), answer: Bytes::from_static(answer) }
}

fn opened(talk: &Talk, flow: u64) -> Event {
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port)).into();
    Event::Opened(Opened {
        flow: FlowId(flow),
        transport: talk.transport,
        offsets: if talk.transport == Transport::Udp { Offsets::Datagram } else { Offsets::Tcp },
        local: address(40_000),
        remote: address(talk.port),
        role: Role::Client,
        first_out: Some(0),
        first_in: Some(0),
        ..Opened::default()
    })
}

/// `pairs` requests, each answered, over `flows` flows in turn.
fn events(talk: &Talk, flows: u64, pairs: usize) -> Vec<Event> {
    let mut events: Vec<_> = (0..flows).map(|flow| opened(talk, flow)).collect();
    let task = Some(Task::new(100, 101, Comm::from(&b"client"[..])));
    let mut at = 1_000;
    for pair in 0..pairs as u64 {
        let (flow, turn) = (FlowId(pair % flows), pair / flows);
        for (direction, data) in [(Direction::Out, &talk.request), (Direction::In, &talk.answer)] {
            at += 10_000;
            let len = data.len() as u64;
            let (at, offset, data) = (Timestamp::from_nanos(at), turn * len, data.clone());
            events.push(Event::Segment(Segment { at, flow, direction, offset, data, len, task }));
        }
    }
    events
}

fn batch(talk: &Talk, flows: u64, pairs: usize) -> Arc<Batch> {
    Arc::new(Batch::new(Arc::new(Origin::new(1, "host", "bench")), events(talk, flows, pairs)))
}

fn engine() -> Engine {
    Engine::new(Registry::builtin(), Limits::default())
}

fn drain(engine: &mut Engine, batch: &Batch) -> u64 {
    engine.handle_batch(batch);
    let mut count = 0;
    while let Some(exchange) = engine.poll_exchange() {
        black_box(&exchange);
        count += 1;
    }
    while engine.poll_directive().is_some() {}
    count
}

fn pairs(c: &mut Criterion) {
    let mut group = c.benchmark_group("pair");
    group.throughput(Throughput::Elements(PAIRS as u64));
    for (name, talk) in [("http1", http1()), ("redis", redis()), ("dns", dns())] {
        let batch = batch(&talk, 1, PAIRS);
        for (suffix, attributes) in [("", false), ("_attributes", true)] {
            // The batch opens its flow anew, which ends the one before; the engine itself goes on, as it does in use.
            let mut engine = Engine::new(Registry::builtin(), Limits::default().attributes(attributes));
            group.bench_function(format!("{name}{suffix}"), |b| {
                b.iter(|| assert_eq!(drain(&mut engine, &batch), PAIRS as u64));
            });
        }
    }
    let talk = http1();
    group.bench_function("httparse_alone", |b| {
        b.iter(|| {
            for _ in 0..PAIRS {
                let mut headers = [httparse::EMPTY_HEADER; 32];
                let mut request = httparse::Request::new(&mut headers);
                black_box(request.parse(black_box(&talk.request)).is_ok());
                let mut headers = [httparse::EMPTY_HEADER; 32];
                let mut answer = httparse::Response::new(&mut headers);
                black_box(answer.parse(black_box(&talk.answer)).is_ok());
            }
        });
    });
    group.finish();
}

fn skipped(c: &mut Criterion) {
    let head = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
    let body = Bytes::from(vec![b'x'; 4096]);
    let talk = Talk { answer: head.clone(), ..http1() };
    let mut events = events(&talk, 1, 1);
    let mut offset = head.len() as u64;
    for n in 0..PAIRS as u64 {
        let at = Timestamp::from_nanos(100_000 + n);
        let (flow, direction, data) = (FlowId(0), Direction::In, body.clone());
        events.push(Event::Segment(Segment { at, flow, direction, offset, data, len: 4096, task: None }));
        offset += 4096;
    }
    let batch = Batch::new(Arc::default(), events);
    let mut group = c.benchmark_group("segment");
    group.throughput(Throughput::Elements(PAIRS as u64));
    let mut engine = engine();
    group.bench_function("skipped", |b| b.iter(|| drain(&mut engine, &batch)));
    group.finish();
}

fn flows(c: &mut Criterion) {
    let mut group = c.benchmark_group("flows");
    group.sample_size(20);
    for (name, flows) in [("1", 1_u64), ("10000", 10_000)] {
        let pairs = 100_000;
        group.throughput(Throughput::Elements(pairs as u64));
        let warm = batch(&redis(), flows, flows as usize);
        // The flows exist; only messages are measured.
        let later: Vec<_> = events(&redis(), flows, pairs + flows as usize).split_off(3 * flows as usize);
        let later = Batch::new(warm.origin.clone(), later);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || {
                    let mut engine = engine();
                    drain(&mut engine, &warm);
                    engine
                },
                |engine| drain(engine, &later),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn sharded(c: &mut Criterion) {
    let mut group = c.benchmark_group("sharded");
    group.sample_size(20);
    let pairs = 50_000;
    group.throughput(Throughput::Elements(pairs as u64));
    let batch = batch(&http1(), 64, pairs);
    let parts: Vec<_> =
        batch.events.chunks(2_000).map(|part| Arc::new(Batch::new(batch.origin.clone(), part.to_vec()))).collect();
    for shards in [1, 2] {
        group.bench_function(shards.to_string(), |b| {
            b.iter_batched_ref(
                || Sharded::new(shards, &Registry::builtin(), &Limits::default()).expect("threads start"),
                |sharded| {
                    for part in &parts {
                        sharded.handle_batch(part);
                        while let Some(exchange) = sharded.poll_exchange() {
                            black_box(&exchange);
                        }
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, pairs, skipped, flows, sharded);
criterion_main!(benches);
