//! Replies, whole and in pieces.

use super::{
    reply::{Reply, Word, step},
    request::Step,
    wire::Stop,
};
use crate::parse::{Needed, Reject};

/// The replies in `input`, given in pieces of `piece` bytes, and how many bytes were looked at.
fn replies(input: &[u8], piece: usize) -> Result<(Vec<Reply>, usize), Stop> {
    let (mut paused, mut out, mut at, mut have, mut seen, mut work) = (None, Vec::new(), 0, 0, 0, 0);
    while at < input.len() {
        let view = &input[at..have.max(at).min(input.len())];
        work += view.len() - seen;
        let span = match step(&mut paused, view, seen) {
            Step::Done(reply, span) => {
                out.push(reply);
                span
            }
            Step::Progress(span) => span,
            Step::Stop(Stop::Incomplete(needed)) if have < input.len() => {
                seen = if needed == Needed::Unknown { view.len() } else { 0 };
                have = (have.max(at) + piece).min(input.len());
                continue;
            }
            Step::Stop(stop) => return Err(stop),
        };
        seen = 0;
        at += span.consumed + usize::try_from(span.skip).unwrap();
    }
    Ok((out, work))
}

fn one(input: &[u8]) -> Reply {
    let (mut all, _) = replies(input, 1).unwrap();
    assert_eq!(all.len(), 1, "{}", input.escape_ascii());
    let (whole, _) = replies(input, usize::MAX / 2).unwrap();
    assert_eq!(format!("{all:?}"), format!("{whole:?}"));
    all.remove(0)
}

#[test]
fn kinds_and_counts() {
    for (input, kind, elements) in [
        (&b"+OK\r\n"[..], "simple_string", None),
        (b"$5\r\nhello\r\n", "bulk_string", None),
        (b"$-1\r\n", "nil", None),
        (b"*-1\r\n", "nil", None),
        (b"_\r\n", "nil", None),
        (b":1\r\n", "integer", None),
        (b"*0\r\n", "array", Some(0)),
        (b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n+x\r\n", "array", Some(3)),
        (b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n#t\r\n", "map", Some(2)),
        (b"~2\r\n,1.5\r\n(123\r\n", "set", Some(2)),
        (b"=7\r\ntxt:abc\r\n", "verbatim_string", None),
        (b"$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n", "bulk_string", None),
        (b"*?\r\n:1\r\n*?\r\n.\r\n%?\r\n+a\r\n:1\r\n.\r\n.\r\n", "array", None),
        (b"|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n|1\r\n+a\r\n*1\r\n:9\r\n:2\r\n", "array", Some(2)),
        (b"*1\r\n$?\r\n;2\r\nab\r\n;0\r\n", "array", Some(1)),
    ] {
        let reply = one(input);
        assert_eq!((reply.kind.name(), reply.elements()), (kind, elements), "{}", input.escape_ascii());
    }
}

#[test]
fn errors_and_words() {
    assert_eq!(*one(b"-WRONGTYPE Operation against\r\n").error, *b"WRONGTYPE Operation against");
    assert_eq!(*one(b"!21\r\nSYNTAX invalid syntax\r\n").error, *b"SYNTAX invalid syntax");
    assert_eq!(one(b"+QUEUED\r\n").word, Word::Queued);
    assert_eq!(one(b"+FULLRESYNC 8f27 0\r\n").word, Word::Sync);
    assert_eq!(one(b"+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n").word, Word::Monitor);
    let push = one(b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n").push.unwrap();
    assert_eq!((push.word.to_string(), push.channel.to_string()), ("message".into(), "news".into()));
    let push = one(b">3\r\n+subscribe\r\n+first\r\n:12\r\n").push.unwrap();
    assert_eq!(push.count, Some(12));
    assert!(one(b"*3\r\n$4\r\nsome\r\n$4\r\nnews\r\n$5\r\nhello\r\n").push.is_none());
}

#[test]
fn malformed() {
    for input in [&b"*2\r\n:1\r\n.\r\n"[..], b".\r\n", b";1\r\na\r\n", b"$?\r\n+x\r\n", b"*1\r\n;0\r\n", b"GET\r\n"] {
        assert!(matches!(replies(input, 1), Err(Stop::Reject(_))), "{}", input.escape_ascii());
    }
    assert!(matches!(replies(b"$3\r\nabcde", 9), Err(Stop::Reject(_))));
    assert!(matches!(replies(&b"*1\r\n".repeat(1000), 4), Err(Stop::Reject(Reject::Depth))));
}

#[test]
fn work_is_linear() {
    let mut big = b"*40000\r\n".to_vec();
    (0..40_000).for_each(|_| big.extend(b"$3\r\nxxx\r\n"));
    let (all, work) = replies(&big, 256).unwrap();
    assert_eq!(all.len(), 1);
    assert!(work < 2 * big.len(), "{work} of {}", big.len());
    let mut line = vec![b'+'];
    line.resize(60_000, b'x');
    line.extend(b"\r\n");
    let (_, work) = replies(&line, 1).unwrap();
    assert!(work < 3 * line.len(), "{work} of {}", line.len());
}
