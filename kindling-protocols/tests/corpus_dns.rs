//! DNS in captures of others, compared with tshark, and in the original Kindling's fixtures, compared with its records.

#[path = "common/corpus.rs"]
mod corpus;
#[path = "common/original.rs"]
mod original;

use std::{collections::BTreeMap, path::Path};

use kindling_core::{Exchange, Outcome, Side, Timestamp, Value};
use kindling_protocols::{
    Engine, Limits, Registry,
    parsers::dns::{Config, Dns},
};
use original::{Call, Fixture, Record};

/// Captures in which we see something else than tshark, what we see, and why that is right. None may be listed that agrees.
const DIFFERENT: &[(&str, &[&str], &str)] = &[(
    "dns-udp-junkrequest-first_input.pcap",
    &["50574 catenacyber.fr A NOERROR 188.165.53.185"],
    "SNMP sent to port 53, and an answer to it of a header only: tshark takes what the port says for a question without a name",
)];

#[test]
fn captures_hold_what_tshark_sees() {
    let Some(folder) = corpus::folder() else { return };
    let captures = corpus::captures(&folder, "dns");
    assert!(captures.len() >= 25, "only {} captures", captures.len());
    let wrong: Vec<_> = captures.iter().filter_map(|path| difference(path)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong about a capture.
fn difference(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let theirs = theirs(path)?;
    let mut ours: Vec<_> = corpus::exchanges(path, &registry(), &Limits::default()).iter().map(line).collect();
    ours.sort();
    match DIFFERENT.iter().find(|(different, ..)| *different == name) {
        Some((_, _, why)) if ours == theirs => Some(format!("{name} agrees, but is listed: {why}")),
        Some((_, expected, _)) => (ours != *expected).then(|| format!("{name}: {ours:#?}, listed {expected:#?}")),
        None => (ours != theirs).then(|| format!("{name}: {ours:#?}, tshark {theirs:#?}")),
    }
}

/// Id, name, number of the type, number of the response code, addresses; `?` for what has no question and `-` for what has no answer.
fn line(exchange: &Exchange) -> String {
    let answers = list(exchange, "dns.answers").into_iter().zip(list(exchange, "dns.answer.types"));
    let addresses: Vec<_> = answers.filter(|(_, kind)| kind == "A" || kind == "AAAA").map(|(data, _)| data).collect();
    let question = match exchange.outcome {
        Outcome::Unmatched => "? ",
        _ => "",
    };
    let status = exchange.details.status.as_ref().map_or_else(|| "-".into(), ToString::to_string);
    let (name, kind) = (&exchange.details.resource, text(exchange, "dns.question.type"));
    format!("{question}{} {name} {kind} {status} {}", text(exchange, "dns.id"), addresses.join(",")).trim_end().into()
}

fn text(exchange: &Exchange, name: &str) -> String {
    match exchange.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| &attribute.value) {
        Some(Value::Text(text)) => text.to_string(),
        Some(Value::Int(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn list(exchange: &Exchange, name: &str) -> Vec<String> {
    match exchange.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| &attribute.value) {
        Some(Value::List(list)) => list.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

/// The same from tshark, which numbers streams; questions sent again count once.
fn theirs(path: &Path) -> Option<Vec<String>> {
    let fields = [
        "udp.stream",
        "tcp.stream",
        "dns.flags.response",
        "dns.id",
        "dns.qry.name",
        "dns.qry.type",
        "dns.flags.rcode",
        "dns.a",
        "dns.aaaa",
        "dns.count.answers",
        "dns.resp.type",
    ];
    let mut open: BTreeMap<[String; 5], usize> = BTreeMap::new();
    let mut lines: Vec<(String, bool)> = Vec::new();
    for row in corpus::tshark(path, "dns", &fields)? {
        let [udp, tcp, response, id, name, kind, rcode, a, aaaa, answers, kinds] = &row[..] else { panic!("{row:?}") };
        let name = name.to_lowercase().replace("<root>", ".");
        let number = u16::from_str_radix(id.trim_start_matches("0x"), 16).unwrap();
        let asked = format!("{number} {name} {}", kind_name(kind));
        let key = [udp.clone(), tcp.clone(), id.clone(), name, kind.clone()];
        if matches!(response.as_str(), "0" | "False") {
            open.entry(key).or_insert_with(|| {
                lines.push((format!("{asked} -"), true));
                lines.len() - 1
            });
            continue;
        }
        // It lists the addresses of all sections, those of answers first.
        let (mut a, mut aaaa) = (a.split(','), aaaa.split(','));
        let kinds = kinds.split(',').take(answers.parse().unwrap_or_default());
        let addresses: Vec<_> = kinds
            .filter_map(|kind| match kind {
                "1" => a.next(),
                "28" => aaaa.next(),
                _ => None,
            })
            .collect();
        let answer = format!("{asked} {} {}", rcode_name(rcode), addresses.join(",")).trim_end().to_owned();
        match open.remove(&key) {
            Some(place) => lines[place] = (answer, false),
            None => lines.push((format!("? {answer}"), false)),
        }
    }
    let mut lines: Vec<_> = lines.into_iter().map(|(line, _)| line).collect();
    lines.sort();
    Some(lines)
}

/// The original's traces with records, the file of what their calls have in common, and whether that a name does not exist is an error there.
const TRACES: [(&str, &str, bool); 5] = [
    ("server-trace", "server-event", false),
    ("server-trace-multi", "server-event", false),
    ("client-trace-sendmmg", "client-event", false),
    ("client-trace-dns3", "client-event", false),
    ("client-trace-tcp", "client-event-tcp", true),
];

/// Differences from the original's records that hold for all of them:
/// * a name has no dot at its end;
/// * all addresses are reported, the original stops after the first;
/// * payloads are not kept, and slowness is not judged by the parser;
/// * an instant is that at which a call returned, so times that start with a call lack that call's duration.
#[test]
fn the_original_s_records_come_out() {
    let Some(folder) = corpus::folder() else { return };
    let folder = folder.join("kindling/dns");
    for (trace, event, strict) in TRACES {
        let path = |name: &str| folder.join(format!("{name}.yml"));
        let mut fixture = Fixture::read(&path(trace), &path(event));
        fixture.calls = fixture.calls.into_iter().flat_map(messages).collect();
        let config = Config::default().nxdomain_is_error(strict);
        let mut engine = Engine::new(Registry::new().configured::<Dns>(config), Limits::default());
        engine.handle_batch(&fixture.batch(false));
        engine.handle_end();
        engine.ledger().check().unwrap();
        let exchanges: Vec<_> = std::iter::from_fn(|| engine.poll_exchange()).collect();
        assert_eq!(exchanges.len(), fixture.records.len(), "{trace}: {exchanges:?}");
        for (exchange, record) in exchanges.iter().zip(&fixture.records) {
            same(trace, exchange, record, &fixture);
        }
    }
}

/// `sendmmsg` moves several messages, each after its length in the trace.
fn messages(call: Call) -> Vec<Call> {
    if call.name != "sendmmsg" {
        return vec![call];
    }
    let (mut out, mut rest) = (Vec::new(), &call.data[..]);
    while let Some((length, after)) = rest.split_first_chunk() {
        let (data, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        out.push(Call { name: call.name.clone(), moved: data.len() as u64, data: data.to_vec(), ..call });
        rest = after;
    }
    out
}

fn same(name: &str, exchange: &Exchange, record: &Record, fixture: &Fixture) {
    assert_eq!(exchange.outcome, Outcome::Complete, "{name}");
    assert_eq!(format!("{}.", exchange.details.resource), record.get("dns_domain"), "{name}");
    assert_eq!(text(exchange, "dns.id"), record.get("dns_id"), "{name}");
    assert_eq!(exchange.key.as_ref().unwrap().to_string(), record.get("dns_id"), "{name}");
    assert_eq!(text(exchange, "dns.response_code"), rcode_name(record.get("dns_rcode")), "{name}");
    assert_eq!(exchange.details.error.is_some().to_string(), record.get("is_error"), "{name}");
    let first =
        list(exchange, "dns.answers").into_iter().zip(list(exchange, "dns.answer.types")).find(|(_, kind)| kind == "A");
    assert_eq!(first.map(|(address, _)| address).unwrap_or_default(), record.get("dns_ip"), "{name}");
    assert_eq!(exchange.client.to_string(), format!("{}:{}", record.get("src_ip"), record.get("src_port")), "{name}");
    assert_eq!(exchange.server.to_string(), format!("{}:{}", record.get("dst_ip"), record.get("dst_port")), "{name}");
    assert_eq!((exchange.side == Side::Server).to_string(), record.get("is_server"), "{name}");
    assert_eq!(exchange.task.unwrap().pid.to_string(), record.get("pid"), "{name}");
    assert_eq!(exchange.request_bytes, record.number("request_io"), "{name}");
    assert_eq!(exchange.response_bytes, record.number("response_io"), "{name}");

    let nanos = |at: Option<Timestamp>| at.unwrap().as_nanos();
    let began = |at: u64| at - fixture.calls.iter().find(|call| call.at == at).unwrap().latency;
    let (asked, sent) = (exchange.request_at.as_nanos(), nanos(exchange.request_end));
    let (first, last) = (nanos(exchange.first_byte_at), nanos(exchange.response_at));
    assert_eq!(began(asked), record.at, "{name}");
    assert_eq!(sent - began(asked), record.number("request_sent_time"), "{name}");
    assert_eq!(began(first) - sent, record.number("waiting_ttfb_time"), "{name}");
    assert_eq!(last - began(first), record.number("content_download_time"), "{name}");
    assert_eq!(last, record.number("end_timestamp"), "{name}");
}

fn kind_name(number: &str) -> &str {
    match number {
        "1" => "A",
        "2" => "NS",
        "5" => "CNAME",
        "6" => "SOA",
        "10" => "NULL",
        "12" => "PTR",
        "15" => "MX",
        "16" => "TXT",
        "28" => "AAAA",
        "33" => "SRV",
        "44" => "SSHFP",
        "65" => "HTTPS",
        "255" => "ANY",
        other => other,
    }
}

fn rcode_name(number: &str) -> &str {
    match number {
        "0" => "NOERROR",
        "1" => "FORMERR",
        "2" => "SERVFAIL",
        "3" => "NXDOMAIN",
        "5" => "REFUSED",
        other => other,
    }
}

fn registry() -> Registry {
    Registry::new().with::<Dns>()
}
