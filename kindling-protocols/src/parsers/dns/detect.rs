//! Telling DNS from other binary protocols. There is no magic number, so everything has to fit.

use super::{
    names,
    wire::{self, Header},
};
use crate::{
    parse::{Probe, Verdict},
    protocol::Sender,
};
use kindling_core::Transport;

/// What one message's bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Fits(Sender),
    Short,
    Unlike,
}

pub(super) fn detect(probe: &Probe<'_>, ports: &[u16]) -> Verdict {
    let usual = probe.port.is_some_and(|port| ports.contains(&port));
    if probe.transport == Transport::Udp {
        return match look(probe.head, probe.head.len(), usual) {
            // Datagrams go both ways between servers: who asks is told by the message, who connected by the socket.
            Look::Fits(sender) => Verdict::Match(probe.sender.unwrap_or(sender)),
            Look::Short | Look::Unlike => Verdict::No,
        };
    }
    match framed(probe.head, usual) {
        Look::Fits(sender) if probe.may_be_from(sender) => Verdict::Match(sender),
        Look::Short => Verdict::Maybe,
        Look::Fits(_) | Look::Unlike => Verdict::No,
    }
}

/// Where a message starts in a stream after a loss.
pub(super) fn resync(input: &[u8]) -> Option<usize> {
    (0..input.len()).find(|&at| match framed(input.get(at..).unwrap_or_default(), false) {
        Look::Fits(_) => true,
        // A header that fits, and not all of its question.
        Look::Short => input.len() - at < LEAST_SURE,
        Look::Unlike => false,
    })
}

/// A message after its length. RFC 1035 section 4.2.2.
fn framed(head: &[u8], usual: bool) -> Look {
    let Some(length) = wire::u16_at(head, 0).map(usize::from) else { return Look::Short };
    if length < Header::LEN {
        return Look::Unlike;
    }
    let message = head.get(2..).unwrap_or_default();
    look(message.get(..length).unwrap_or(message), length, usual)
}

/// The first bytes of a message of `length`.
fn look(message: &[u8], length: usize, usual: bool) -> Look {
    let short = if message.len() < length { Look::Short } else { Look::Unlike };
    let Some(header) = Header::read(message) else { return short };
    // Where all of it can be checked, bits that should be zero need not be: resolvers take such messages too.
    let whole = message.len() >= length;
    let [questions, answers, ..] = header.counts;
    let empty = questions == 0 && answers == 0;
    if !plausible(header, length) || !(whole || clean(header)) || (empty && !usual) {
        return Look::Unlike;
    }
    let sender = if header.is_response() { Sender::Server } else { Sender::Client };
    let question = match (questions, wire::question(message)) {
        (0, _) => None,
        (_, Some(question)) if sane(question, usual || (whole && clean(header))) && !netbios(message) => Some(question),
        (_, None) if !whole && wire::question_is_cut(message) => return Look::Short,
        _ => return Look::Unlike,
    };
    if !whole {
        // A long answer: its question is enough.
        return if question.is_some() { Look::Fits(sender) } else { Look::Short };
    }
    let intact = wire::after_questions(message, questions, question)
        .is_some_and(|at| wire::sections(message, header, at).intact);
    if intact || (usual && question.is_some()) { Look::Fits(sender) } else { Look::Unlike }
}

/// Whether a header fits itself and the length of its message.
pub(super) fn plausible(header: Header, length: usize) -> bool {
    let [questions, answers, authorities, additionals] = header.counts.map(usize::from);
    let records = answers + authorities + additionals;
    // The shortest question has 5 bytes, the shortest record 11.
    let room = Header::LEN + 5 * questions + 11 * records <= length;
    // A question comes with answers only if many are asked at once, in which case it has no id (RFC 6762 section 7.1), or if it tells of
    // a change (RFC 1996 section 3.7, RFC 2136 section 2).
    let known = header.id == 0 || matches!(header.opcode(), 4 | 5);
    room && questions <= MOST_QUESTIONS && (header.is_response() || (questions > 0 && (answers == 0 || known)))
}

/// Whether the bits that have to be zero are, and the opcode exists.
const fn clean(header: Header) -> bool {
    let coded = header.rcode() != 0 && !header.is_response();
    !header.reserved() && !coded && matches!(header.opcode(), 0 | 1 | 2 | 4 | 5 | 6)
}

/// Whether a question is one that is asked; a type without a name only where nothing else is unusual.
fn sane(question: wire::Question, any_type: bool) -> bool {
    // Multicast DNS uses the upper bit for itself. RFC 6762 section 5.4.
    let class = question.class & 0x7fff;
    matches!(class, 1 | 3 | 4 | 254 | 255)
        && question.kind != 0
        && (any_type || names::known_type(question.kind).is_some())
}

/// `CKAAAA..`: the name service of NetBIOS has the same form, and names of 32 letters from A to P. RFC 1001 section 14.1.
fn netbios(message: &[u8]) -> bool {
    matches!(message.get(Header::LEN..), Some([32, name @ ..]) if name.iter().take(32).all(|b| (b'A'..=b'P').contains(b)))
}

/// Questions of one message; more than one is rare but for multicast DNS.
const MOST_QUESTIONS: usize = 32;
/// Length, header and the longest question.
const LEAST_SURE: usize = 2 + Header::LEN + 255 + 4;

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x31\x99\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
    const ANSWER: &[u8] =
        b"\x31\x99\x81\x80\0\x01\0\x01\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x01\x02\x03\x04";

    fn udp(message: &[u8], port: Option<u16>) -> Verdict {
        detect(&Probe::new(message).transport(Transport::Udp).port(port), &[53])
    }

    fn tcp(message: &[u8]) -> Verdict {
        detect(&Probe::new(message), &[53])
    }

    /// `message` with `byte` at `at`.
    fn with(message: &[u8], at: usize, byte: u8) -> Vec<u8> {
        let mut message = message.to_vec();
        message[at] = byte;
        message
    }

    #[test]
    fn datagrams() {
        let [client, server] = [Sender::Client, Sender::Server].map(Verdict::Match);
        assert_eq!(udp(QUERY, None), client);
        assert_eq!(udp(ANSWER, None), server);
        assert_eq!(udp(&with(QUERY, 2, 0x39), None), client, "an opcode that does not exist");
        assert_eq!(udp(&with(QUERY, 3, 0x43), None), client, "bits that have to be zero");
        assert_eq!(udp(&with(QUERY, 5, 2), None), Verdict::No, "a second question that is not there");
        assert_eq!(udp(&with(QUERY, 30, 200), None), client, "a type without a name");
        assert_eq!(udp(&with(&with(QUERY, 30, 200), 3, 0x40), None), Verdict::No, "and a bit that has to be zero");
        assert_eq!(udp(&with(QUERY, 32, 9), None), Verdict::No, "a class that does not exist");
        assert_eq!(udp(&[QUERY, b"x"].concat(), None), Verdict::No, "something behind it");
        assert_eq!(udp(&[ANSWER, b"x"].concat(), Some(53)), server);
        for cut in 0..QUERY.len() {
            assert_eq!(udp(&QUERY[..cut], None), Verdict::No);
        }
        let netbios = [&b"\x31\x99\x01\x10\0\x01\0\0\0\0\0\0\x20"[..], &[b'A'; 32], b"\0\0\x21\0\x01"].concat();
        assert_eq!(udp(&netbios, None), Verdict::No);
        assert_eq!(udp(&[0; 12], Some(53)), Verdict::No);
        assert_eq!(udp(&[0; 48], None), Verdict::No);
    }

    #[test]
    fn streams() {
        let framed = [&[0, QUERY.len() as u8], QUERY].concat();
        assert_eq!(tcp(&framed), Verdict::Match(Sender::Client));
        for cut in 1..framed.len() - 4 {
            assert_eq!(tcp(&framed[..cut]), Verdict::Maybe, "{cut}");
        }
        assert_eq!(tcp(&with(&framed, 5, 0x40)[..20]), Verdict::No, "a bit that has to be zero");
        assert_eq!(tcp(&with(&framed, 5, 0x40)), Verdict::Match(Sender::Client), "but all the rest fits");
        let long = [&[0x20, 0], ANSWER].concat();
        assert_eq!(tcp(&long), Verdict::Match(Sender::Server), "of a long answer the question is enough");
        assert_eq!(tcp(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"), Verdict::No);
        assert_eq!(tcp(b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n"), Verdict::No);
        assert_eq!(tcp(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0\0\0\0\0\0\0\0\0\0"), Verdict::No);
    }

    #[test]
    fn the_next_message_is_found() {
        let framed = [&[0, QUERY.len() as u8], QUERY].concat();
        assert_eq!(resync(&framed), Some(0));
        assert_eq!(resync(&[b"rest of one", &framed[..]].concat()), Some(11));
        assert_eq!(resync(&[&[0xff; 100][..], &framed[..25]].concat()), Some(100));
        assert_eq!(resync(&[0xff; 100]), Some(87), "what is shorter than a header may be one");
    }
}
