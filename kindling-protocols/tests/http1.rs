//! HTTP/1 through the engine.

#[path = "common/fixtures.rs"]
mod fixtures;

use kindling_core::Event;
use kindling_protocols::{
    Registry,
    parsers::http1::Http1,
    testing::{Run, Transcript, run},
};
use proptest::{collection::vec, prelude::*, sample::Index};

fn registry() -> Registry {
    Registry::new().with::<Http1>()
}

#[test]
fn every_transcript_keeps_every_law() {
    fixtures::check("http1", &registry(), 25);
}

/// The run of a conversation in which `client` and then `server` speak, in segments of 1000 bytes.
fn talk(client: &str, server: &str) -> Run {
    let mut text = "# protocol: http1\n# port: 80\n".to_owned();
    for (mark, said) in [(">>>", client), ("<<<", server)] {
        for piece in said.as_bytes().chunks(1000) {
            let piece = std::str::from_utf8(piece).unwrap().replace('\r', "\\r").replace('\n', "\\n");
            text += &format!("{mark}\n{piece}\n");
        }
    }
    Run::of(&registry(), &Transcript::parse("talk", &text).unwrap()).unwrap()
}

const ASKED: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn floods_end_nothing_but_themselves() {
    let long_line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let endless_line = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(100_000));
    let many_fields = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(9_000));
    let folds = format!("GET / HTTP/1.1\r\na: b\r\n{}\r\n", " c\r\n".repeat(9_000));
    let chunk_line = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;{}", "a".repeat(100_000));
    let trailers = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}", "a: b\r\n".repeat(9_000));
    for flood in [long_line, endless_line, many_fields, folds, chunk_line, trailers] {
        let run = talk(&format!("{ASKED}{flood}{ASKED}"), "");
        let what = flood.get(..40).unwrap();
        assert!(run.ledger.rejects > 0, "{what}");
        assert!(run.ledger.scanned <= 8 * run.ledger.bytes.captured, "{what}: {} looked at", run.ledger.scanned);
        let asked = run.exchanges.iter().filter(|exchange| exchange.details.resource == "/a").count();
        assert_eq!(asked, 2, "{what}");
    }
}

#[test]
fn chunks_without_end_cost_their_bytes_once() {
    let chunks = "1\r\na\r\n".repeat(50_000);
    let run = talk(ASKED, &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    assert_eq!((run.ledger.rejects, run.exchanges.len()), (0, 1));
    assert!(run.ledger.scanned <= run.ledger.bytes.captured, "{}", run.ledger.scanned);
}

#[test]
fn lengths_out_of_range_are_refused() {
    for length in ["9223372036854775808", "18446744073709551615", "18446744073709551616", "99999999999999999999999999"]
    {
        let run = talk(ASKED, &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
        assert_eq!(run.ledger.rejects, 1, "{length}");
    }
    for size in ["8000000000000000", "ffffffffffffffff", "10000000000000000"] {
        let run = talk(ASKED, &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n"));
        assert_eq!(run.ledger.rejects, 1, "{size}");
    }
    let run = talk(ASKED, "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nabc");
    assert_eq!((run.ledger.rejects, run.ledger.bytes.skipped), (0, 3));
}

#[test]
fn no_credential_comes_out() {
    let secret = "s3cr3t";
    let asked = format!(
        "GET http://user:{secret}@h/p;jsessionid={secret}?access_token={secret}&password={secret}&X-Amz-Signature={secret} HTTP/1.1\r\n\
         Host: user:{secret}@h\r\nAuthorization: Bearer {secret}\r\nCookie: a={secret}\r\nX-Api-Key: {secret}\r\n\r\n"
    );
    let answer = format!("HTTP/1.1 200 OK\r\nSet-Cookie: a={secret}\r\nContent-Length: 6\r\n\r\n{secret}");
    for content in ["safe", "raw"] {
        let (asked, answer) = (asked.replace("\r\n", "\\r\\n"), answer.replace("\r\n", "\\r\\n"));
        let text = format!("# protocol: http1\n# content: {content}\n>>>\n{asked}\n<<<\n{answer}\n");
        let run = Run::of(&registry(), &Transcript::parse("canary", &text).unwrap()).unwrap();
        assert_eq!(run.exchanges.len(), 1);
        assert!(!format!("{:?}", run.exchanges).contains(secret), "{:?}", run.exchanges);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever becomes of a conversation's bytes, the account holds and nothing stays behind; `run` checks both.
    #[test]
    fn damage_is_survived(changes in vec((any::<Index>(), any::<Index>(), any::<u8>()), 1..20)) {
        for transcript in fixtures::of("http1") {
            let mut batch = transcript.batch();
            for (event, place, value) in &changes {
                let index = event.index(batch.events.len());
                if let Event::Segment(segment) = &mut batch.events[index] && !segment.data.is_empty() {
                    let mut data = segment.data.to_vec();
                    let place = place.index(data.len());
                    data[place] = *value;
                    segment.data = data.into();
                }
            }
            run(&registry(), &transcript.limits(), &batch).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn any_bytes_are_survived(client in vec(vec(any::<u8>(), 0..200), 0..8), server in vec(vec(any::<u8>(), 0..200), 0..8)) {
        let escape = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        let mut text = format!("# protocol: http1\n>>>\n{}\n", ASKED.replace("\r\n", "\\r\\n"));
        for said in &client {
            text += &format!(">>>\n{}\n", escape(said));
        }
        text += &format!("<<<\n{}\n", OK.replace("\r\n", "\\r\\n"));
        for said in &server {
            text += &format!("<<<\n{}\n", escape(said));
        }
        Run::of(&registry(), &Transcript::parse("any", &text).unwrap()).map_err(TestCaseError::fail)?;
    }
}
