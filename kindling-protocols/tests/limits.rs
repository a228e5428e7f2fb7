//! What an engine may hold is a hard limit, whatever is said to it.

use std::sync::Arc;

use bytes::Bytes;
use kindling_core::{Direction, Event, FlowId, Opened, Origin, Role, Segment, Timestamp, Transport};
use kindling_protocols::{Engine, Limits, Registry};

const LIMIT: u64 = 1 << 20;
const FLOWS: u64 = 500;

/// The same bytes on many flows, piece by piece in turn; the most that was buffered at once.
fn peak(pieces: &[&[u8]]) -> (Engine, u64) {
    let mut engine = Engine::new(Registry::builtin(), Limits::default().max_buffered(LIMIT));
    engine.handle_origin(&Arc::new(Origin::new(1, "host", "test")));
    let mut peak = 0;
    let mut offset = 0;
    for (turn, piece) in (0..).zip(pieces) {
        for id in 1..=FLOWS {
            let (at, flow) = (Timestamp::from_nanos(turn * FLOWS + id), FlowId(id));
            if turn == 0 {
                engine.handle_event(&Event::Opened(Opened {
                    at,
                    flow,
                    transport: Transport::Tcp,
                    role: Role::Client,
                    first_out: Some(0),
                    first_in: Some(0),
                    ..Opened::default()
                }));
            }
            let (data, len) = (Bytes::copy_from_slice(piece), piece.len() as u64);
            let direction = Direction::Out;
            engine.handle_event(&Event::Segment(Segment { at, flow, direction, offset, data, len, task: None }));
            engine.ledger().check().unwrap();
            peak = peak.max(engine.ledger().bytes.buffered);
        }
        offset += piece.len() as u64;
    }
    (engine, peak)
}

#[test]
fn endless_heads_on_many_flows_stay_within_the_limit() {
    let header = [b'a'; 4000];
    let mut pieces = vec![&b"GET / HTTP/1.1\r\nHost: a\r\nx: "[..]];
    pieces.extend([&header[..]; 8]);
    let (mut engine, peak) = peak(&pieces);
    assert!(peak <= LIMIT, "{peak} bytes buffered at once");
    assert!(peak > LIMIT / 2, "only {peak} bytes: nothing was put to the test");
    let evicted = engine.ledger().bytes.evicted;
    assert!(evicted > 0, "what went for the limit is counted: {:?}", engine.ledger().bytes);
    engine.handle_end();
    engine.ledger().check().unwrap();
}

#[test]
fn flows_that_may_yet_be_something_stay_within_the_limit() {
    let target = [b'a'; 4000];
    let mut pieces = vec![&b"GET /"[..]];
    pieces.extend([&target[..]; 8]);
    let (mut engine, peak) = peak(&pieces);
    assert!(peak <= LIMIT, "{peak} bytes buffered at once");
    assert!(peak > LIMIT / 2, "only {peak} bytes: nothing was put to the test");
    engine.handle_end();
    engine.ledger().check().unwrap();
}

#[test]
fn bytes_before_a_flows_first_count_as_well() {
    let limits = Limits::default().max_buffered(1_000);
    let mut engine = Engine::new(Registry::builtin(), limits);
    let flow = FlowId(1);
    engine.handle_event(&Event::Opened(Opened {
        flow,
        offsets: kindling_core::Offsets::Tcp,
        first_out: Some(0),
        ..Opened::default()
    }));
    let (at, data) = (Timestamp::from_nanos(1), Bytes::from_static(b"GET / HT"));
    let segment = Segment { at, flow, direction: Direction::Out, offset: 100, data, len: 5_000, task: None };
    engine.handle_event(&Event::Segment(segment));
    assert!(engine.ledger().bytes.buffered <= 1_000, "{:?}", engine.ledger().bytes);
    engine.ledger().check().unwrap();
}
