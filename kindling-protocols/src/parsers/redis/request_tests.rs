//! Commands, whole and in pieces.

use super::{
    request::{Step, step},
    wire::Stop,
};
use crate::parse::Span;

/// The commands in `input`, given in pieces of `piece` bytes, as name and key.
fn commands(input: &[u8], piece: usize) -> Vec<(String, String)> {
    let (mut paused, mut out, mut at, mut have, mut skip) = (None, Vec::new(), 0, 0, 0usize);
    while at < input.len() {
        let step = step(&mut paused, &input[at..have.max(at)], 0);
        let span = match step {
            Step::Done(command, span) => {
                out.push((command.name().to_string(), command.key().to_string()));
                span
            }
            Step::Progress(span) => span,
            Step::Stop(Stop::Incomplete(_)) if have < input.len() => {
                have = (have + piece).min(input.len());
                continue;
            }
            Step::Stop(stop) => panic!("{stop:?} at {at} of {}", input.escape_ascii()),
        };
        skip = usize::try_from(span.skip).unwrap();
        at += span.consumed + skip;
    }
    assert_eq!(at, input.len(), "skipped past the end by {skip}");
    out
}

fn resp(args: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend(format!("${}\r\n{arg}\r\n", arg.len()).into_bytes());
    }
    out
}

#[test]
fn names_and_keys() {
    for (args, name, key) in [
        (&["get", "user:1"][..], "GET", "user:1"),
        (&["PING"], "PING", ""),
        (&["config", "get", "maxmemory"], "CONFIG GET", ""),
        (&["CONFIG", "SET", "requirepass", "hunter2"], "CONFIG SET", ""),
        (&["AUTH", "hunter2"], "AUTH", ""),
        (&["HELLO", "3", "AUTH", "u", "hunter2"], "HELLO", ""),
        (&["ACL", "SETUSER", "u", ">hunter2"], "ACL SETUSER", ""),
        (&["MIGRATE", "h", "6379", "k:1", "0", "9", "AUTH", "hunter2"], "MIGRATE", "k:1"),
        (&["EVAL", "return 1", "2", "k:1", "k:2", "v"], "EVAL", "k:1"),
        (&["EVALSHA", "abc", "0", "hunter2"], "EVALSHA", ""),
        (&["XREAD", "COUNT", "2", "BLOCK", "0", "streams", "s:1", "s:2", "0", "0"], "XREAD", "s:1"),
        (&["XREADGROUP", "GROUP", "streams", "c", "STREAMS", "s:1", ">"], "XREADGROUP", "s:1"),
        (&["OBJECT", "ENCODING", "k:1"], "OBJECT ENCODING", "k:1"),
        (&["XGROUP", "CREATE", "s:1", "g", "$"], "XGROUP CREATE", "s:1"),
        (&["BITOP", "AND", "d", "a", "b"], "BITOP", "d"),
        (&["ZINTERCARD", "2", "a", "b"], "ZINTERCARD", "a"),
        (&["BLMPOP", "1.5", "2", "a", "b", "LEFT"], "BLMPOP", "a"),
        (&["SUBSCRIBE", "news", "sport"], "SUBSCRIBE", "news"),
        (&["JSON.GET", "doc:1", "$"], "JSON.GET", "doc:1"),
        (&["my_auth", "hunter2"], "_OTHER", ""),
        (&["hunter2"], "_OTHER", ""),
        (&["hunter2.x", "hunter2"], "_OTHER", ""),
        (&["ACL", "hunter2"], "ACL", ""),
        (&["CONFIG", "hunter2", "x"], "CONFIG", ""),
        (&["DEBUG", "hunter2"], "DEBUG", ""),
        (&["CLIENT", "hunter2"], "CLIENT", ""),
        (&["client", "no-evict", "on"], "CLIENT NO-EVICT", ""),
        (&["\u{1}\u{2}", "x"], "_OTHER", ""),
        (&["CONFIG", "not a word", "hunter2"], "CONFIG", ""),
    ] {
        for piece in [1, 3, 7, 1000] {
            let expected = vec![(name.to_string(), key.to_string())];
            assert_eq!(commands(&resp(args), piece), expected, "{args:?} by {piece}");
        }
    }
}

#[test]
fn lines() {
    for (line, name, key) in [
        ("PING\r\n", "PING", ""),
        ("set \"a key\" 'va lue'\r\n", "SET", "a key"),
        ("get  user:1 \n", "GET", "user:1"),
        ("AUTH hunter2\r\n", "AUTH", ""),
        ("hunter2 hunter2\r\n", "_OTHER", ""),
        ("config hunter2\r\n", "CONFIG", ""),
        ("config get hunter2\r\n", "CONFIG GET", ""),
        ("EVAL \"return \\\" 1\" 1 k:1\r\n", "EVAL", "k:1"),
    ] {
        for piece in [1, 1000] {
            assert_eq!(commands(line.as_bytes(), piece), [(name.into(), key.into())], "{line}");
        }
    }
    assert_eq!(commands(b"\r\n\nPING\r\n*0\r\n*-1\r\nPING\r\n", 1).len(), 2);
    for line in [&b"GET/ \r\n"[..], b"\x00\r\n", b"Host: x\r\n", &[b'a'; 40]] {
        assert!(matches!(step(&mut None, line, 0), Step::Stop(Stop::Reject(_))), "{}", line.escape_ascii());
    }
}

#[test]
fn values_are_not_waited_for() {
    let input = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nab";
    let Step::Done(_, span) = step(&mut None, input, 0) else { panic!() };
    assert_eq!(span, Span::of(input.len() - 2).skipping(1_000_002));
    let Step::Progress(span) = step(&mut None, b"*3\r\n$3\r\nSET\r\n$1000\r\nab", 0) else { panic!() };
    assert_eq!(span, Span::of(13), "the start of a key is waited for");
}
