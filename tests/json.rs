//! The JSON form is a contract: its bytes are compared with `golden/exchanges.jsonl`.
//!
//! A deliberate change is made with `KINDLING_BLESS=1 cargo test --test json`, and described in `docs/json.md`.

use std::{net::SocketAddr, path::Path, sync::Arc};

use kindling::{
    Attribute, Clock, Comm, Content, Endpoint, Exchange, FlowId, Ledger, LostClass, Origin, Outcome, Quality, Side,
    Task, Text, Timestamp, Transport, Value, export::json,
};
use serde_json::Value as Json;

#[test]
fn the_form_is_what_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/exchanges.jsonl");
    let written = lines();
    if std::env::var_os("KINDLING_BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (i, (new, old)) in written.lines().zip(golden.lines()).enumerate() {
        assert_eq!(new, old, "line {}", i + 1);
    }
    assert_eq!(written.lines().count(), golden.lines().count());
}

#[test]
fn keys_are_there_and_in_the_order_of_the_contract() {
    let keys = [
        "id",
        "flow",
        "host",
        "side",
        "protocol",
        "transport",
        "client",
        "server",
        "operation",
        "resource",
        "status",
        "error",
        "outcome",
        "quality",
        "key",
        "request_at",
        "first_byte_at",
        "response_at",
        "latency_ns",
        "request_bytes",
        "response_bytes",
        "pid",
        "tid",
        "comm",
        "attributes",
    ];
    let written = lines();
    for line in written.lines().filter(|line| line.starts_with("{\"id\"")) {
        let object: Json = serde_json::from_str(line).unwrap();
        assert_eq!(object.as_object().unwrap().len(), keys.len());
        let places: Vec<_> = keys.iter().map(|key| line.find(&format!("\"{key}\":")).expect(key)).collect();
        assert!(places.is_sorted(), "{line}");
    }
}

#[test]
fn absent_facts_are_null_and_never_zero() {
    let mut out = Vec::new();
    json::exchange(&Exchange::new(Arc::default(), FlowId(1), "dns"), &mut out);
    let object: Json = serde_json::from_slice(&out).unwrap();
    for key in ["host", "client", "server", "operation", "resource", "status", "error", "key", "latency_ns", "pid"] {
        assert_eq!(object[key], Json::Null, "{key}");
    }
}

fn lines() -> String {
    let mut lines = json::Lines::new(Vec::new(), Content::Raw).unwrap();
    for exchange in [complete(), unanswered(), unmatched(), one_way()] {
        lines.exchange(&exchange).unwrap();
    }
    lines.ledger(&ledger()).unwrap();
    String::from_utf8(lines.into_inner()).unwrap()
}

fn address(text: &str) -> Endpoint {
    Endpoint::from(text.parse::<SocketAddr>().unwrap())
}

/// Everything that can be known is.
fn complete() -> Exchange {
    let mut e = Exchange::new(Arc::new(Origin::new(7, "node-1", "kernel")), FlowId(0x1a2b), "http1");
    e.id = 0x00c0_ffee;
    e.side = Side::Server;
    e.client = address("[2001:db8::1]:50000");
    e.server = address("[::ffff:10.0.0.2]:80");
    e.details.operation = "GET".into();
    e.details.resource = "/users/\"7\"?q=\\".into();
    e.details.status = Some("503".into());
    e.details.error = Some("503".into());
    e.outcome = Outcome::Complete;
    e.quality = Quality::MID_STREAM.union(Quality::ROLE_INFERRED);
    e.clock = Clock { mono: Timestamp::from_nanos(1_000), wall: 1_700_000_000_000_000_000, boot: 0 };
    e.request_at = Timestamp::from_nanos(2_000);
    e.request_end = Some(Timestamp::from_nanos(2_500));
    e.first_byte_at = Some(Timestamp::from_nanos(5_000));
    e.response_at = Some(Timestamp::from_nanos(9_000));
    (e.request_bytes, e.response_bytes) = (120, 4096);
    e.task = Some(Task::new(100, 101, Comm::from(&b"worker\xff"[..])));
    e.attributes = vec![
        Attribute { name: "user_agent.original", value: Value::Text(Text::from(&b"caf\xc3\xa9 \xfe\n"[..])) },
        Attribute { name: "http.response.body.size", value: Value::Int(-1) },
        Attribute { name: "keep_alive", value: Value::Bool(true) },
        Attribute { name: "keep_alive", value: Value::Bool(false) },
        Attribute { name: "answers", value: Value::List(vec!["10.0.0.1".into(), "::1".into()]) },
    ];
    e
}

fn unanswered() -> Exchange {
    let mut e = Exchange::new(Arc::default(), FlowId(2), "dns");
    e.side = Side::Client;
    e.transport = Transport::Udp;
    e.client = address("127.0.0.1:40000");
    e.server = address("127.0.0.53:53");
    e.details.operation = "A".into();
    e.details.resource = "example.com".into();
    e.outcome = Outcome::Unanswered;
    e.key = Some("4660".into());
    e.request_at = Timestamp::from_nanos(3);
    e.request_bytes = 29;
    e
}

/// The request's instant is that of the answer for want of a better one, so it is not given.
fn unmatched() -> Exchange {
    let mut e = Exchange::new(Arc::default(), FlowId(3), "redis");
    e.transport = Transport::Unix;
    e.client = Endpoint::Unnamed(77);
    e.server = Endpoint::Unix("/run/redis.sock".into());
    e.details.status = Some("OK".into());
    e.outcome = Outcome::Unmatched;
    e.request_at = Timestamp::from_nanos(4);
    e.first_byte_at = Some(Timestamp::from_nanos(4));
    e.response_at = Some(Timestamp::from_nanos(5));
    e.response_bytes = 5;
    e
}

fn one_way() -> Exchange {
    let mut e = Exchange::new(Arc::default(), FlowId(4), "redis");
    e.details.operation = "message".into();
    e.outcome = Outcome::OneWay;
    e.request_at = Timestamp::from_nanos(6);
    e
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.bytes.advanced = 10;
    ledger.bytes.framed = 4;
    ledger.bytes.skipped = 6;
    (ledger.exchanges.opened, ledger.exchanges.complete) = (1, 1);
    ledger.events_lost.insert(LostClass::RingSegment, 2);
    ledger.events_lost.insert(LostClass::HandOver, 0);
    ledger
}
