//! HTTP/1 in captures of others, compared with tshark, and in the original Kindling's fixtures, compared with its records.

#[path = "common/corpus.rs"]
mod corpus;
#[path = "common/original.rs"]
mod original;

use std::{collections::HashMap, path::Path};

use kindling_core::{Exchange, Outcome, Quality};
use kindling_protocols::{Content, Engine, Limits, Registry, parsers::http1::Http1};
use original::{Fixture, Record};

/// Captures in which we see something else than tshark, what we see, and why that is right. None may be listed that agrees.
const DIFFERENT: &[(&str, &[&str], &str)] = &[
    (
        "http-evader_http-evader-046_input.pcap",
        &["GET /chunked/eicar.txt/clen,chunked,http10,do_clen 200"],
        "HTTP/1.0 with a coding, and none in the body: tshark looks for chunks and gives the answer up, RFC 9112 section 6.1 lets it end with the connection",
    ),
    (
        "http-evader_http-evader-078_input.pcap",
        &["GET /chunked/eicar.txt/chunkedcr-,do_clen 200"],
        "a coding announced and not used: tshark drops the answer, we say that its status was 200 and that the exchange is lost",
    ),
    (
        "http-evader_http-evader-254_input.pcap",
        &["GET /clen/eicar.txt/close,clen100-folding200,content,junk"],
        "a length folded into two numbers: RFC 9112 section 6.3 rule 5 has the answer discarded",
    ),
    (
        "http-evader_http-evader-366_input.pcap",
        &["GET /broken/eicar.txt/proto%3AHTTP/1.10"],
        "HTTP/1.10: a minor version is one digit (RFC 9112 section 2.3)",
    ),
    (
        "http-evader_http-evader-478_input.pcap",
        &["GET /broken/eicar.txt/2040"],
        "2040 is no status code (RFC 9112 section 4), and not 204 either",
    ),
    (
        "http-evader_http-evader-494_input.pcap",
        &["- 200", "GET /broken/eicar.txt/space-lf-header;chunked"],
        "the line before the status line is not empty: tshark reads no answer, we one that belongs to nothing",
    ),
    (
        "client-ip.pcap",
        &["POST /biz-inquiry-bff/bff/v1/common/check/polymerization?channel=webportal&terminalType=bff 200"],
        "the rest of the request's head is not in the capture: tshark waits for it, we say what its first lines say",
    ),
    (
        "http-request-line_input.pcap",
        &["GET /index.html"],
        "the request's head never ends: tshark waits for it, we say what its lines say, and that nothing answered",
    ),
];

#[test]
fn captures_hold_what_tshark_sees() {
    let Some(folder) = corpus::folder() else { return };
    let captures: Vec<_> = ["http", "http1"].iter().flat_map(|kind| corpus::captures(&folder, kind)).collect();
    assert!(captures.len() >= 40, "only {} captures", captures.len());
    let compare = |paths: &[std::path::PathBuf]| paths.iter().filter_map(|path| difference(path)).collect::<Vec<_>>();
    let halves = captures.split_at(captures.len() / 2);
    let wrong = std::thread::scope(|scope| {
        let other = scope.spawn(|| compare(halves.0));
        let mut wrong = compare(halves.1);
        wrong.extend(other.join().unwrap());
        wrong
    });
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
        Some((_, expected, _)) => (ours != *expected).then(|| format!("{name}: {ours:?}, listed {expected:?}")),
        None => (ours != theirs).then(|| format!("{name}: {ours:?}, tshark {theirs:?}")),
    }
}

/// `GET /path 200`; without the status if it has no answer, and a dash if it has no request.
fn line(exchange: &Exchange) -> String {
    let details = &exchange.details;
    let asked =
        if details.operation.is_empty() { "-".into() } else { format!("{} {}", details.operation, details.resource) };
    format!("{asked} {}", details.status.clone().unwrap_or_default()).trim_end().into()
}

/// The same from tshark, which says in which frame the request of an answer is.
fn theirs(path: &Path) -> Option<Vec<String>> {
    let fields = ["frame.number", "http.request.method", "http.request.uri", "http.response.code", "http.request_in"];
    let rows = corpus::tshark(path, "http", &fields)?;
    let (mut lines, mut answers) = (Vec::new(), HashMap::new());
    for row in &rows {
        if let [_, _, _, code, request] = &row[..]
            && let Ok(code) = code.parse::<u16>()
            && !(100..200).contains(&code)
        {
            answers.insert(request.clone(), code);
        }
    }
    for row in &rows {
        if let [frame, method, uri, ..] = &row[..]
            && !method.is_empty()
        {
            let status = answers.remove(frame).map_or_else(String::new, |code| format!(" {code:03}"));
            lines.push(format!("{method} {uri}{status}"));
        }
    }
    lines.extend(answers.into_values().map(|code| format!("- {code:03}")));
    lines.sort();
    Some(lines)
}

/// The traces of the original with records, and whether their flow is older than the trace.
const TRACES: [(&str, bool); 5] =
    [("normal", false), ("slow", false), ("error", false), ("continue", false), ("split", true)];

/// Differences from the original's records that hold for all of them:
/// * the protocol is `http1`, not `http`;
/// * payloads are not kept;
/// * slowness is judged by what the same endpoint usually does, not by one threshold, and not by the parser;
/// * an instant is that at which a call returned, so times that start with a call lack that call's duration;
/// * an answer's bytes include those of interim answers (44 in `continue`);
/// * an error is named by its status code, not by a class of all protocols' errors.
#[test]
fn the_original_s_records_come_out() {
    let Some(folder) = corpus::folder() else { return };
    let folder = folder.join("kindling/http");
    for (name, midstream) in TRACES {
        let trace = folder.join(format!("server-trace-{name}.yml"));
        let fixture = Fixture::read(&trace, &folder.join("server-event.yml"));
        let safe = exchanges(&fixture, midstream, Content::Safe);
        if name == "split" {
            // It starts with `ET /test`: the original guesses GET. We do not, and an answer without a request is one.
            let [answer] = &safe[..] else { panic!("{safe:?}") };
            assert_eq!((answer.outcome, line(answer)), (Outcome::Unmatched, "- 200".into()));
            continue;
        }
        let raw = exchanges(&fixture, midstream, Content::Raw);
        let ([safe], [raw], [record]) = (&safe[..], &raw[..], &fixture.records[..]) else { panic!("{name}: {safe:?}") };
        assert_eq!(raw.details.resource.to_string(), record.get("http_url"), "{name}");
        same(name, safe, record, &fixture);
        let interim = if name == "continue" { 44 } else { 0 };
        assert_eq!(safe.response_bytes, record.number("response_io") + interim, "{name}");
        // All but this one stop at 80 of 200 bytes, inside the heads.
        assert_eq!(safe.quality.contains(Quality::TRUNCATED), name != "continue", "{name}");
    }
}

fn same(name: &str, exchange: &Exchange, record: &Record, fixture: &Fixture) {
    let text = |field: &str| record.get(field).to_owned();
    assert_eq!(exchange.outcome, Outcome::Complete, "{name}");
    assert_eq!(exchange.details.operation.to_string(), text("http_method"), "{name}");
    assert_eq!(exchange.details.resource.to_string(), text("content_key"), "{name}");
    assert_eq!(exchange.details.status.as_ref().unwrap().to_string(), text("http_status_code"), "{name}");
    assert_eq!(exchange.details.error.is_some().to_string(), text("is_error"), "{name}");
    assert_eq!(exchange.client.to_string(), format!("{}:{}", text("src_ip"), text("src_port")), "{name}");
    assert_eq!(exchange.server.to_string(), format!("{}:{}", text("dst_ip"), text("dst_port")), "{name}");
    assert_eq!((exchange.side == kindling_core::Side::Server).to_string(), text("is_server"), "{name}");
    let (asking, answering) = (exchange.task.unwrap(), exchange.response_task.unwrap());
    assert_eq!(asking.pid.to_string(), text("pid"), "{name}");
    assert_eq!(asking.tid.to_string(), text("request_tid"), "{name}");
    assert_eq!(answering.tid.to_string(), text("response_tid"), "{name}");
    assert_eq!(exchange.request_bytes, record.number("request_io"), "{name}");

    let nanos = |at: Option<kindling_core::Timestamp>| at.unwrap().as_nanos();
    let began = |at: u64| at - fixture.calls.iter().find(|call| call.at == at).unwrap().latency;
    let (asked, sent) = (exchange.request_at.as_nanos(), nanos(exchange.request_end));
    let (first, last) = (nanos(exchange.first_byte_at), nanos(exchange.response_at));
    assert_eq!(began(asked), record.at, "{name}");
    assert_eq!(sent - began(asked), record.number("request_sent_time"), "{name}");
    assert_eq!(began(first) - sent, record.number("waiting_ttfb_time"), "{name}");
    assert_eq!(last - began(first), record.number("content_download_time"), "{name}");
    assert_eq!(last - began(asked), record.number("request_total_time"), "{name}");
    assert_eq!(last, record.number("end_timestamp"), "{name}");
}

fn exchanges(fixture: &Fixture, midstream: bool, content: Content) -> Vec<Exchange> {
    let mut engine = Engine::new(registry(), Limits::default().content(content));
    engine.handle_batch(&fixture.batch(midstream));
    engine.handle_end();
    engine.ledger().check().unwrap();
    std::iter::from_fn(|| engine.poll_exchange()).collect()
}

fn registry() -> Registry {
    Registry::new().with::<Http1>()
}
