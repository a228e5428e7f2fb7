//! Telling Redis from other protocols, and finding a message again after a loss.

use memchr::{memchr, memchr_iter};

use super::{
    command,
    wire::{self, Group, Head, Scalar, Stop},
};
use crate::{
    parse::{Needed, Probe, Verdict},
    protocol::Sender,
};

/// Commands as arrays are unmistakable; what servers say first and what people type is judged with care, as SMTP, POP3, NATS, memcached
/// and others have lines that look alike.
pub(super) fn detect(probe: &Probe<'_>) -> Verdict {
    let mut verdict = Verdict::No;
    if probe.may_be_from(Sender::Client) {
        verdict = either(verdict, of_client(probe));
    }
    if probe.may_be_from(Sender::Server) {
        verdict = either(verdict, of_server(probe));
    }
    verdict
}

fn either(one: Verdict, other: Verdict) -> Verdict {
    match (one, other) {
        (Verdict::Match(_), _) | (Verdict::Maybe, Verdict::No) => one,
        _ => other,
    }
}

fn of_client(probe: &Probe<'_>) -> Verdict {
    let sent = Verdict::Match(Sender::Client);
    if probe.head.first() != Some(&b'*') {
        return typed(probe.head);
    }
    match first_word(probe.head) {
        Ok(word) if confirmation(word, probe.head) => Verdict::No,
        Ok(word) if command::lookup(word).is_some() => sent,
        // Without knowing who sent it, it may as well be a reply.
        Ok(word) if probe.sender.is_some() && command::plausible(word) => sent,
        Ok(_) | Err(Stop::Reject(_)) => Verdict::No,
        Err(Stop::Incomplete(_)) => Verdict::Maybe,
    }
}

/// The first element of an array of strings: `*1\r\n$4\r\nPING\r\n`.
fn first_word(input: &[u8]) -> Result<&[u8], Stop> {
    let (Head::Many(Group::Array, 1..), first) = wire::head(input, 0)? else { return Err(wire::MALFORMED) };
    let rest = input.get(first..).unwrap_or_default();
    let (Head::Bulk(Scalar::Bulk, length @ 1..), second) = wire::head(rest, 0)? else { return Err(wire::MALFORMED) };
    let body = rest.get(second..).unwrap_or_default();
    let length = usize::try_from(length).ok().filter(|n| *n <= command::LONGEST).ok_or(wire::MALFORMED)?;
    if !body.iter().take(length).all(|&b| command::is_word(b)) {
        return Err(wire::MALFORMED);
    }
    let Some((word, end)) = body.split_at_checked(length) else { return Err(needed(length - body.len())) };
    match end {
        [b'\r', b'\n', ..] => Ok(word),
        [] | [b'\r'] => Err(needed(2 - end.len())),
        _ => Err(wire::MALFORMED),
    }
}

const fn needed(missing: usize) -> Stop {
    Stop::Incomplete(Needed::more(missing))
}

/// `*3 subscribe channel :1`, which a server answers `SUBSCRIBE` with: its third element is a number, which no command has.
fn confirmation(word: &[u8], input: &[u8]) -> bool {
    word.ends_with(b"subscribe")
        && input.starts_with(b"*3\r\n")
        && memchr_iter(b'\n', input).nth(4).and_then(|at| input.get(at + 1)).is_none_or(|b| *b == b':')
}

/// A line typed by hand. Only words that no other protocol of lines starts with are taken for a command.
fn typed(input: &[u8]) -> Verdict {
    let word = input.iter().position(|b| !command::is_word(*b)).unwrap_or(input.len());
    let (word, rest) = input.split_at(word);
    if word.is_empty() || word.len() > command::LONGEST || !matches!(rest, [] | [b' ' | b'\r' | b'\n', ..]) {
        return Verdict::No;
    }
    let end = memchr(b'\n', input);
    let line = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
    // `GET / HTTP/1.1`
    if line.len() > LINE
        || line.iter().any(|&b| b < b' ' && b != b'\r')
        || memchr::memmem::find(line, b" HTTP/").is_some()
    {
        return Verdict::No;
    }
    match end {
        None => Verdict::Maybe,
        Some(_) if command::lookup(word).is_none() => Verdict::No,
        Some(_) if SHARED_WORDS.iter().any(|shared| shared.as_bytes().eq_ignore_ascii_case(word)) => Verdict::Maybe,
        Some(_) => Verdict::Match(Sender::Client),
    }
}

fn of_server(probe: &Probe<'_>) -> Verdict {
    let sent = Verdict::Match(Sender::Server);
    // Line feeds come before the answer to `SYNC`, as the first thing a server says.
    let feeds = probe.head.iter().take_while(|b| **b == b'\n').count();
    if feeds > 0 && probe.midstream {
        return Verdict::No;
    }
    let mut rest = probe.head.get(feeds..).unwrap_or_default();
    // Other protocols say these as well.
    while let Some(after) = rest.strip_prefix(b"+OK\r\n") {
        rest = after;
    }
    if rest.is_empty() {
        return Verdict::Maybe;
    }
    if OURS.iter().any(|line| rest.starts_with(line.as_bytes())) {
        return sent;
    }
    if OURS.iter().any(|line| line.as_bytes().starts_with(rest)) || b"+OK\r\n".starts_with(rest) {
        return Verdict::Maybe;
    }
    // What may be a reply is kept until the other side has said something that tells.
    match wire::head(rest, 0) {
        Ok((Head::Bulk(Scalar::Bulk, length), used)) => {
            // The value has to end where it says.
            match usize::try_from(length).ok().and_then(|length| rest.get(used..)?.get(length..)).unwrap_or_default() {
                [b'\r', b'\n', ..] => sent,
                [] | [b'\r'] if probe.midstream => sent,
                [] | [b'\r'] => Verdict::Maybe,
                _ => Verdict::No,
            }
        }
        Ok((Head::Many(group, parts), used)) => match wire::head(rest.get(used..).unwrap_or_default(), 0) {
            Err(Stop::Reject(_)) => Verdict::No,
            Err(Stop::Incomplete(_)) if parts > 0 => Verdict::Maybe,
            _ if probe.midstream || group != Group::Array => sent,
            _ => Verdict::Maybe,
        },
        Ok((Head::Nil | Head::Chunked, _)) => sent,
        Ok((Head::Line(Scalar::Integer, _), _)) if probe.midstream => sent,
        Ok(_) | Err(Stop::Incomplete(_)) => Verdict::Maybe,
        Err(Stop::Reject(_)) if rest.starts_with(b"$EOF:") => Verdict::Maybe,
        Err(Stop::Reject(_)) => Verdict::No,
    }
}

/// Where the next command or reply starts in what follows a loss: at its first byte, or after a line end.
pub(super) fn resync(sender: Sender, input: &[u8]) -> Option<usize> {
    let starts = std::iter::once(0).chain(memchr_iter(b'\n', input).map(|at| at + 1));
    for at in starts {
        let (before, rest) = input.split_at_checked(at)?;
        if rest.is_empty() || !(at == 0 || before.ends_with(b"\r\n")) {
            continue;
        }
        let plausible = match sender {
            Sender::Client if !rest.starts_with(b"*") => false,
            Sender::Client => match first_word(rest) {
                Ok(word) => command::lookup(word).is_some(),
                Err(Stop::Incomplete(_)) => true,
                Err(Stop::Reject(_)) => false,
            },
            // After a line end a string is more likely an element of an array than a reply.
            Sender::Server => (at == 0 || rest.first() != Some(&b'$')) && chains(rest),
        };
        if plausible {
            return Some(at);
        }
    }
    None
}

/// Whether heads and values follow one another to the end of `input`, as far as a few of them go.
fn chains(mut input: &[u8]) -> bool {
    for _ in 0..8 {
        match wire::head(input, 0) {
            Ok((Head::Bulk(_, length) | Head::Chunk(length @ 1..), used)) => {
                let body = input.get(used..).unwrap_or_default();
                let Some(end) = usize::try_from(length).ok().and_then(|length| body.get(length..)) else { return true };
                match end {
                    [b'\r', b'\n', rest @ ..] => input = rest,
                    [] | [b'\r'] => return true,
                    _ => return false,
                }
            }
            Ok((_, used)) => input = input.get(used..).unwrap_or_default(),
            Err(Stop::Incomplete(_)) => return true,
            Err(Stop::Reject(_)) => return false,
        }
    }
    true
}

/// Starts of lines that no other server sends.
const OURS: &[&str] = &[
    "+PONG\r\n",
    "+QUEUED\r\n",
    "+FULLRESYNC ",
    "-NOAUTH ",
    "-WRONGPASS ",
    "-NOPERM ",
    "-WRONGTYPE ",
    "-MOVED ",
    "-ASK ",
    "-CLUSTERDOWN ",
    "-CROSSSLOT ",
    "-LOADING ",
    "-READONLY ",
    "-NOSCRIPT ",
    "-BUSYGROUP ",
    "-EXECABORT ",
    "-MASTERDOWN ",
    "-MISCONF ",
    "-NOREPLICAS ",
    "-OOM ",
    "-DENIED Redis ",
    "-ERR unknown command ",
    "-ERR wrong number of arguments for ",
];

/// Commands whose names other protocols of lines use: HTTP, memcached, SMTP, FTP, IRC, NATS, IMAP, beanstalkd.
const SHARED_WORDS: &[&str] = &[
    "APPEND",
    "AUTH",
    "COPY",
    "DECR",
    "DEL",
    "DELETE",
    "ECHO",
    "EXPIRE",
    "GET",
    "HELLO",
    "INCR",
    "INFO",
    "KEYS",
    "MOVE",
    "PING",
    "PUBLISH",
    "QUIT",
    "RESET",
    "ROLE",
    "SAVE",
    "SELECT",
    "SET",
    "SORT",
    "SUBSCRIBE",
    "SYNC",
    "TIME",
    "TOUCH",
    "TYPE",
    "UNSUBSCRIBE",
    "WATCH",
];

/// Longest line typed by hand that detection looks at.
const LINE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Verdict = Verdict::Match(Sender::Client);
    const SERVER: Verdict = Verdict::Match(Sender::Server);

    #[test]
    fn verdicts() {
        let [client, server] = [Some(Sender::Client), Some(Sender::Server)];
        for (head, sender, midstream, verdict) in [
            (&b"*1\r\n$4\r\nPING\r\n"[..], None, false, CLIENT),
            (b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", client, false, CLIENT),
            (b"*1\r\n$4\r\nPI", None, false, Verdict::Maybe),
            (b"*", client, false, Verdict::Maybe),
            (b"*1\r\n$6\r\nFOOBAR\r\n", client, false, CLIENT),
            (b"*1\r\n$6\r\nFOOBAR\r\n", None, false, Verdict::Maybe),
            (b"*1\r\n$6\r\nFOO AR\r\n", client, false, Verdict::No),
            (b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n", None, true, SERVER),
            (b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n$1\r\na\r\n", None, true, CLIENT),
            (b"HGETALL user:1\r\n", client, false, CLIENT),
            (b"PING\r\n", client, false, Verdict::Maybe),
            (b"GET / HTTP/1.1\r\n", client, false, Verdict::No),
            (b"GET /a", client, false, Verdict::Maybe),
            (b"EHLO there\r\n", client, false, Verdict::No),
            (b"CONNECT {\"verbose\":false}\r\n", client, false, Verdict::No),
            (b"+PONG\r\n", server, false, SERVER),
            (b"+OK\r\n", server, true, Verdict::Maybe),
            (b"+OK POP3 ready\r\n", server, false, Verdict::Maybe),
            (b"-ERR 'Unknown Protocol Operation'\r\n", server, true, Verdict::Maybe),
            (b"$3\r\nabc\r\n", server, false, SERVER),
            (b"$3\r\nabcd\r\n", server, true, Verdict::No),
            (b"$1000\r\nabcd\r\n", None, true, SERVER),
            (b":1\r\n", server, true, SERVER),
            (b":1\r\n", server, false, Verdict::Maybe),
            (b":irc.example 001 x\r\n", server, true, Verdict::No),
            (b"*2\r\n$1\r\na\r\n:1\r\n", server, true, SERVER),
            (b"220 smtp\r\n", None, true, Verdict::No),
            (b"HTTP/1.1 200 OK\r\n", None, true, Verdict::No),
            (b"\x16\x03\x01", None, true, Verdict::No),
        ] {
            let probe = Probe::new(head).sender(sender).midstream(midstream);
            assert_eq!(detect(&probe), verdict, "{} from {sender:?}", head.escape_ascii());
        }
    }

    #[test]
    fn the_next_message_is_found() {
        for (sender, input, at) in [
            (Sender::Client, &b"lue\r\n*1\r\n$4\r\nPING\r\n"[..], Some(5)),
            (Sender::Client, b"*1\r\n$4\r\nPING\r\n", Some(0)),
            (Sender::Client, b"xx\r\n$3\r\nabc\r\n*1\r\n$", Some(13)),
            (Sender::Client, b"xx\r\n$3\r\nabc\r\n", None),
            (Sender::Client, b"a\r\n*1\r\n$5\r\nHELLX\r\n", None),
            (Sender::Server, b"lue\r\n+OK\r\n", Some(5)),
            (Sender::Server, b"lue\r\n$3\r\nabc\r\n:1\r\n", Some(14)),
            (Sender::Server, b"$3\r\nabc\r\n:1\r\n", Some(0)),
            (Sender::Server, b"nothing here", None),
        ] {
            assert_eq!(resync(sender, input), at, "{}", input.escape_ascii());
        }
    }
}
