//! Whether bytes start a message, and where in lost bytes the next one may start.

use memchr::{memchr, memmem, memrchr};

use crate::{
    Probe, Sender, Verdict,
    parsers::http1::wire::{MAX_METHOD, is_visible, leading_newlines, line, request_line, status_line, token},
};

/// More than the method must speak for it: a first line that is complete has a target and the version 1.x.
pub(super) fn detect(probe: &Probe<'_>) -> Verdict {
    let verdict = |sender, plausible| match plausible {
        _ if !probe.may_be_from(sender) => Verdict::No,
        Plausible::Yes => Verdict::Match(sender),
        Plausible::Perhaps => Verdict::Maybe,
        Plausible::No => Verdict::No,
    };
    let head = probe.head.get(leading_newlines(probe.head)..).unwrap_or_default();
    match verdict(Sender::Server, response(head)) {
        Verdict::No => {}
        // `H` may as well start a method.
        Verdict::Maybe if head.len() < 5 => return Verdict::Maybe,
        found => return found,
    }
    match verdict(Sender::Client, request(head)) {
        // The first byte of a flow joined late may be the second of a method: `ET / HTTP/1.1`.
        Verdict::Match(_) if probe.midstream && !is_registered(head.get(..token(head)).unwrap_or_default()) => {
            Verdict::No
        }
        found => found,
    }
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plausible {
    Yes,
    Perhaps,
    No,
}

/// Whether `head` starts with a request line or a part of one.
pub(super) fn request(head: &[u8]) -> Plausible {
    if let Some((text, _)) = line(head, 0) {
        return if request_line(text).is_some() { Plausible::Yes } else { Plausible::No };
    }
    let (method, rest) = head.split_at(token(head));
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    match rest.first() {
        _ if method.len() > MAX_METHOD => return Plausible::No,
        None => return Plausible::Perhaps,
        Some(first) if method.is_empty() || !blank(first) => return Plausible::No,
        Some(_) => {}
    }
    let rest = rest.trim_ascii_start();
    let (target, rest) = rest.split_at(rest.iter().position(blank).unwrap_or(rest.len()));
    let version = rest.trim_ascii_start();
    if request_line(head).is_some() {
        Plausible::Yes
    } else if is_visible(target) && (VERSION.starts_with(version) || (target.is_empty() && version.is_empty())) {
        Plausible::Perhaps
    } else {
        Plausible::No
    }
}

/// Whether `head` starts with a status line or a part of one.
pub(super) fn response(head: &[u8]) -> Plausible {
    if let Some((text, _)) = line(head, 0) {
        return if status_line(text).is_some() { Plausible::Yes } else { Plausible::No };
    }
    let Some(rest) = head.strip_prefix(VERSION) else {
        return if VERSION.starts_with(head) { Plausible::Perhaps } else { Plausible::No };
    };
    match rest {
        [] | [b'0'..=b'9'] => Plausible::Perhaps,
        [b'0'..=b'9', b' ', code @ ..] => match code.trim_ascii_start() {
            code if code.len() < 3 && code.iter().all(u8::is_ascii_digit) => Plausible::Perhaps,
            _ if status_line(head).is_some() => Plausible::Yes,
            _ => Plausible::No,
        },
        _ => Plausible::No,
    }
}

/// Where the next request line starts, or what may become one at the end.
///
/// A request may follow a body that ends without a line end, so a registered method is looked for before its target, not a line's start.
pub(super) fn next_request(input: &[u8]) -> Option<usize> {
    let plausible = |start: &usize| input.get(*start..).is_some_and(|rest| request(rest) != Plausible::No);
    for version in memmem::find_iter(input, b" HTTP/1.") {
        let before = input.get(..version)?;
        let from = memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        let start = before.get(from..).and_then(method_before_target).map(|start| from + start);
        if let Some(start) = start.filter(plausible) {
            return Some(start);
        }
    }
    let from = memrchr(b'\n', input).map_or(0, |newline| newline + 1);
    let tail = input.get(from..)?;
    // A line this long is none of a request that would be parsed.
    if tail.is_empty() || tail.len() > MAX_TAIL {
        return None;
    }
    let start =
        method_before_target(tail).or_else(|| METHODS.iter().any(|method| method.starts_with(tail)).then_some(0))?;
    Some(from + start).filter(plausible)
}

/// Where the next status line starts, or what may become one at the end. It may follow a body that ends without a line end.
pub(super) fn next_response(input: &[u8]) -> Option<usize> {
    let full = memmem::find_iter(input, VERSION).find(|&at| {
        let rest = input.get(at..).unwrap_or_default();
        let text = memchr(b'\n', rest).and_then(|end| rest.get(..end + 1)).unwrap_or(rest);
        response(text) != Plausible::No
    });
    full.or_else(|| {
        let longest = VERSION.len().min(input.len());
        (1..=longest).rev().find(|&n| input.ends_with(VERSION.get(..n).unwrap_or_default())).map(|n| input.len() - n)
    })
}

/// Where in `before`, which ends with a target, the registered method before that target starts.
fn method_before_target(before: &[u8]) -> Option<usize> {
    let target = memrchr(b' ', before)?;
    if !matches!(before.get(target + 1), None | Some(b'/' | b'*' | b'[' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')) {
        return None;
    }
    let before = before.get(..target)?;
    let letters = before.iter().rev().take_while(|b| b.is_ascii_uppercase() || **b == b'-').count();
    let start = before.len() - letters;
    is_registered(before.get(start..)?).then_some(start)
}

fn is_registered(method: &[u8]) -> bool {
    METHODS.contains(&method)
}

const VERSION: &[u8] = b"HTTP/1.";
const MAX_TAIL: usize = 8 << 10;
/// The registry of methods (RFC 9110 section 16.1) but for `PRI`, which HTTP/2 reserved, and three that caches and UPnP made usual.
const METHODS: [&[u8]; 43] = [
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"CONNECT",
    b"TRACE",
    b"ACL",
    b"BASELINE-CONTROL",
    b"BIND",
    b"CHECKIN",
    b"CHECKOUT",
    b"COPY",
    b"LABEL",
    b"LINK",
    b"LOCK",
    b"MERGE",
    b"MKACTIVITY",
    b"MKCALENDAR",
    b"MKCOL",
    b"MKREDIRECTREF",
    b"MKWORKSPACE",
    b"MOVE",
    b"ORDERPATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"QUERY",
    b"REBIND",
    b"REPORT",
    b"SEARCH",
    b"UNBIND",
    b"UNCHECKOUT",
    b"UNLINK",
    b"UNLOCK",
    b"UPDATE",
    b"UPDATEREDIRECTREF",
    b"VERSION-CONTROL",
    b"PURGE",
    b"NOTIFY",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(head: &str) -> Verdict {
        detect(&Probe::new(head.as_bytes()))
    }

    #[test]
    fn requests_and_answers_match() {
        for head in [
            "GET / HTTP/1.1\r\n",
            "\r\nPOST /x HTTP/1.0\nA: b",
            "OPTIONS * HTTP/1.1\r\n",
            "CONNECT h:443 HTTP/1.1",
            "frob /x HTTP/1.1",
        ] {
            assert_eq!(verdict(head), Verdict::Match(Sender::Client), "{head}");
        }
        for head in ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 404\r\n", "HTTP/1.1 200 "] {
            assert_eq!(verdict(head), Verdict::Match(Sender::Server), "{head}");
        }
    }

    #[test]
    fn prefixes_may_match() {
        for whole in
            ["GET /index.html HTTP/1.1", "HTTP/1.1 200 OK", "UPDATEREDIRECTREF  /a\tHTTP/1.0", "HEAD / HTTP/1.1"]
        {
            for end in 0..whole.len() {
                let found = verdict(&whole[..end]);
                assert!(found != Verdict::No, "{} {found:?}", &whole[..end]);
            }
        }
    }

    #[test]
    fn others_do_not() {
        for head in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "INVITE sip:b@h SIP/2.0\r\n",
            "SIP/2.0 200 OK\r\n",
            "OPTIONS rtsp://h/ RTSP/1.0\r\n",
            "RTSP/1.0 200 OK\r\n",
            "ICAP/1.0 200 OK\r\n",
            "REQMOD icap://h/ ICAP/1.0\r\n",
            "GET key\r\n",
            "get a b c\r\n",
            "GET / HTTP/2.0\r\n",
            "GET /\r\n",
            "*3\r\n$3\r\nSET",
            "+OK\r\n",
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/2.0 200",
            "HTTP/1.1 abc",
            "HTTP/1.x",
            "\x16\x03\x01",
            "(a",
            "GET \x00\x01\x02\x03",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ",
        ] {
            assert_eq!(verdict(head), Verdict::No, "{head}");
        }
    }

    #[test]
    fn the_socket_knows_who_sent() {
        let head = b"GET / HTTP/1.1\r\n";
        assert_eq!(detect(&Probe::new(head).sender(Some(Sender::Server))), Verdict::No);
        let head = b"HTTP/1.1 200 OK\r\n";
        assert_eq!(detect(&Probe::new(head).sender(Some(Sender::Client))), Verdict::No);
    }

    #[test]
    fn a_cut_method_is_not_believed() {
        assert_eq!(detect(&Probe::new(b"ET / HTTP/1.1\r\n").midstream(true)), Verdict::No);
        assert_eq!(detect(&Probe::new(b"GET / HTTP/1.1\r\n").midstream(true)), Verdict::Match(Sender::Client));
    }

    #[test]
    fn requests_are_found_again() {
        for (input, at) in [
            ("ET /a HTTP/1.1\r\nHost: h\r\n\r\nPUT /b HTTP/1.1\r\n", Some(27)),
            ("{\"a\":1}POST /x HTTP/1.1\r\n", Some(7)),
            ("\"GET /x HTTP/1.1\" 200\r\n", None),
            ("junk\r\nGET http://h/ HTTP/1.0\n", Some(6)),
            ("junk\r\nGET /unfin", Some(6)),
            ("junk\r\nDEL", Some(6)),
            ("junkGET /unfin", Some(4)),
            ("XGET /unfin", None),
            ("}GET /unfin", Some(1)),
            ("GET / HTTP/1.", Some(0)),
            ("junk\r\n", None),
            ("x HTTP/1.1\r\n", None),
            (" HTTP/1.1", None),
        ] {
            assert_eq!(next_request(input.as_bytes()), at, "{input}");
        }
    }

    #[test]
    fn answers_are_found_again() {
        for (input, at) in [
            ("</html>HTTP/1.1 204 No Content\r\n", Some(7)),
            ("see HTTP/1.1 for HTTP/1.0 200 OK\r\n", Some(17)),
            ("xxHTTP/1.1 2", Some(2)),
            ("xxHTT", Some(2)),
            ("xx", None),
            ("", None),
        ] {
            assert_eq!(next_response(input.as_bytes()), at, "{input}");
        }
    }
}
