//! Redis in captures of others, compared with tshark, and in the original Kindling's fixture, compared with its record.

#[path = "common/corpus.rs"]
mod corpus;
#[path = "common/original.rs"]
mod original;

use std::{collections::HashMap, path::Path};

use kindling_core::{Exchange, Outcome, Side, Timestamp};
use kindling_protocols::{Content, Engine, Limits, Registry, parsers::redis::Redis};
use original::Fixture;

/// Captures in which we see something else than tshark, what we see, and why that is right. None may be listed that agrees.
const DIFFERENT: &[(&str, &[&str], &str)] = &[(
    "redis.pcap",
    &[
        "EXISTS verify_code integer",
        "EXISTS verify_code integer",
        "EXISTS verify_code integer",
        "GET user_conf_config_1 bulk_string",
        "GET user_conf_config_1 bulk_string",
        "GET user_conf_config_1 bulk_string",
        "GET user_conf_config_1 bulk_string",
        "GET user_conf_config_1 bulk_string",
        "GET user_conf_config_1 bulk_string",
        "unanswered GET 1 1 http://127.0.0.1:20013/v2/pod-groups",
    ],
    "of the last answer, 490502 bytes of 490504 are there",
)];

#[test]
fn captures_hold_what_tshark_sees() {
    let Some(folder) = corpus::folder() else { return };
    let captures = corpus::captures(&folder, "redis");
    assert!(captures.len() >= 2, "only {} captures", captures.len());
    let wrong: Vec<_> = captures.iter().filter_map(|path| difference(path)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong about a capture.
fn difference(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let theirs = theirs(path)?;
    let limits = Limits::default().content(Content::Raw);
    let mut ours: Vec<_> = corpus::exchanges(path, &registry(), &limits).iter().map(line).collect();
    ours.sort();
    match DIFFERENT.iter().find(|(different, ..)| *different == name) {
        Some((_, _, why)) if ours == theirs => Some(format!("{name} agrees, but is listed: {why}")),
        Some((_, expected, _)) => (ours != *expected).then(|| format!("{name}: {ours:#?}, listed {expected:#?}")),
        None => (ours != theirs).then(|| format!("{name}: {ours:#?}, tshark {theirs:#?}")),
    }
}

/// `GET key bulk_string`, what it is unless it is complete before.
fn line(exchange: &Exchange) -> String {
    let kind = exchange.attributes.iter().find(|attribute| attribute.name == "redis.reply.type");
    let kind = kind.map_or_else(String::new, |attribute| match &attribute.value {
        kindling_core::Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    });
    let outcome = if exchange.outcome == Outcome::Complete { "" } else { exchange.outcome.name() };
    let details = &exchange.details;
    format!("{outcome} {} {} {kind}", details.operation, details.resource).trim().into()
}

/// The same from tshark, which shows the values of each packet; in these captures a packet is a command or a reply.
fn theirs(path: &Path) -> Option<Vec<String>> {
    let fields = [
        "tcp.stream",
        "tcp.dstport",
        "resp.bulk_string.value",
        "resp.string",
        "resp.integer",
        "resp.error",
        "resp.array.length",
    ];
    let (mut lines, mut open) = (Vec::new(), HashMap::<String, Vec<String>>::new());
    for row in corpus::tshark(path, "resp", &fields)? {
        let [stream, port, bulk, simple, integer, error, array] = &row[..] else { panic!("{row:?}") };
        if port == "6379" {
            let words: Vec<_> = bulk.split(',').map(unhex).collect();
            let key = words.get(1).cloned().unwrap_or_default();
            open.entry(stream.clone()).or_default().push(format!("{} {key}", words[0].to_uppercase()));
            continue;
        }
        let kinds = [
            (array, "array"),
            (error, "error"),
            (integer, "integer"),
            (simple, "simple_string"),
            (bulk, "bulk_string"),
        ];
        let kind = kinds.iter().find(|(value, _)| !value.is_empty()).map_or("", |(_, name)| name);
        let asked = open.get_mut(stream).filter(|asked| !asked.is_empty()).map(|asked| asked.remove(0));
        lines.push(asked.map_or_else(|| format!("unmatched {kind}"), |asked| format!("{asked} {kind}")));
    }
    lines.extend(open.into_values().flatten().map(|asked| format!("unanswered {asked}")));
    lines.sort();
    Some(lines)
}

fn unhex(digits: &str) -> String {
    let bytes =
        digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

/// Differences from the original's record:
/// * a command's name is in upper case, and the resource is the key;
/// * payloads are not kept, and slowness is not judged by the parser;
/// * an instant is that at which a call returned, so times that start with a call lack that call's duration.
#[test]
fn the_original_s_record_comes_out() {
    let Some(folder) = corpus::folder() else { return };
    let folder = folder.join("kindling/redis");
    let fixture = Fixture::read(&folder.join("server-trace-get.yml"), &folder.join("server-event.yml"));
    let mut engine = Engine::new(registry(), Limits::default().content(Content::Raw));
    engine.handle_batch(&fixture.batch(false));
    engine.handle_end();
    engine.ledger().check().unwrap();
    let exchanges: Vec<_> = std::iter::from_fn(|| engine.poll_exchange()).collect();
    let ([exchange], [record]) = (&exchanges[..], &fixture.records[..]) else { panic!("{exchanges:?}") };

    assert_eq!(exchange.outcome, Outcome::Complete);
    assert_eq!(exchange.details.operation.to_string(), record.get("redis_command").to_uppercase());
    assert_eq!(exchange.details.resource.to_string(), "key");
    assert_eq!(exchange.details.error.is_some().to_string(), record.get("is_error"));
    assert_eq!(exchange.client.to_string(), format!("{}:{}", record.get("src_ip"), record.get("src_port")));
    assert_eq!(exchange.server.to_string(), format!("{}:{}", record.get("dst_ip"), record.get("dst_port")));
    assert_eq!((exchange.side == Side::Server).to_string(), record.get("is_server"));
    assert_eq!(exchange.task.unwrap().tid.to_string(), record.get("request_tid"));
    assert_eq!(exchange.request_bytes, record.number("request_io"));
    assert_eq!(exchange.response_bytes, record.number("response_io"));
    let nanos = |at: Option<Timestamp>| at.unwrap().as_nanos();
    let latency = |at: u64| fixture.calls.iter().find(|call| call.at == at).unwrap().latency;
    let (asked, last) = (exchange.request_at.as_nanos(), nanos(exchange.response_at));
    assert_eq!(asked - latency(asked), record.at);
    assert_eq!(last - (asked - latency(asked)), record.number("request_total_time"));
    assert_eq!(last - latency(last) - nanos(exchange.request_end), record.number("waiting_ttfb_time"));
    assert_eq!(last, record.number("end_timestamp"));
}

fn registry() -> Registry {
    Registry::new().with::<Redis>()
}
