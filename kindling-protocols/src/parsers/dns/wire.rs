//! How a message is written. RFC 1035 section 4, RFC 6891 (EDNS).

use kindling_core::Text;

use super::names;

/// The first twelve bytes. RFC 1035 section 4.1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: u16,
    pub(super) flags: u16,
    /// How many questions, answers, authorities and additional records follow.
    pub(super) counts: [u16; 4],
}

impl Header {
    pub(super) const LEN: usize = 12;

    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let header = message.get(..Self::LEN)?;
        let [id, flags] = [u16_at(header, 0)?, u16_at(header, 2)?];
        let counts = [u16_at(header, 4)?, u16_at(header, 6)?, u16_at(header, 8)?, u16_at(header, 10)?];
        Some(Self { id, flags, counts })
    }

    pub(super) const fn is_response(self) -> bool {
        self.flags & 0x8000 != 0
    }

    pub(super) const fn opcode(self) -> u8 {
        (self.flags >> 11 & 0xf) as u8
    }

    pub(super) const fn authoritative(self) -> bool {
        self.flags & 0x0400 != 0
    }

    pub(super) const fn truncated(self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// The bit that has to be zero. RFC 2535 section 6.1 took the other two of RFC 1035's.
    pub(super) const fn reserved(self) -> bool {
        self.flags & 0x0040 != 0
    }

    pub(super) const fn rcode(self) -> u16 {
        self.flags & 0xf
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) kind: u16,
    pub(super) class: u16,
    /// Of the name in lower case.
    pub(super) hash: u64,
    /// Where the next section starts.
    pub(super) end: usize,
}

/// The first question, which stands right after the header. `None`: it does not parse.
pub(super) fn question(message: &[u8]) -> Option<Question> {
    let mut at = Header::LEN;
    // FNV-1a over the name as on the wire; the bytes that say lengths are below every letter, so lower case leaves them alone.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    loop {
        let length = *message.get(at)?;
        // Nothing stands before it that a pointer could point to.
        if length > MAX_LABEL || at - Header::LEN + usize::from(length) >= MAX_NAME {
            return None;
        }
        let next = at + 1 + usize::from(length);
        for byte in message.get(at..next)? {
            hash = (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3);
        }
        at = next;
        if length == 0 {
            break;
        }
    }
    let (kind, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
    Some(Question { kind, class, hash, end: at + 4 })
}

/// Whether the first question is right as far as it goes.
pub(super) fn question_is_cut(message: &[u8]) -> bool {
    let mut at = Header::LEN;
    while let Some(&length) = message.get(at) {
        match length {
            0 => return message.len() < at + 5,
            1..=MAX_LABEL if at - Header::LEN < MAX_NAME => at += 1 + usize::from(length),
            _ => return false,
        }
    }
    true
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Where its name stands.
    pub(super) name: usize,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) ttl: u32,
    /// Where its data stands.
    pub(super) at: usize,
    pub(super) data: &'a [u8],
}

/// The record at `at`. RFC 1035 section 4.1.3.
pub(super) fn record(message: &[u8], at: usize) -> Option<Record<'_>> {
    let fixed = skip_name(message, at)?;
    let ttl = u32::from(u16_at(message, fixed + 4)?) << 16 | u32::from(u16_at(message, fixed + 6)?);
    let length = usize::from(u16_at(message, fixed + 8)?);
    let data = message.get(fixed + 10..fixed + 10 + length)?;
    let (kind, class) = (u16_at(message, fixed)?, u16_at(message, fixed + 2)?);
    Some(Record { name: at, kind, class, ttl, at: fixed + 10, data })
}

impl Record<'_> {
    pub(super) const fn end(&self) -> usize {
        self.at + self.data.len()
    }

    /// The serial number of a start of authority, which stands after two names.
    pub(super) fn serial(&self, message: &[u8]) -> Option<u32> {
        let at = skip_name(message, skip_name(message, self.at)?)?;
        Some(u32::from(u16_at(message, at)?) << 16 | u32::from(u16_at(message, at + 2)?))
    }
}

/// The end of the name at `at`. A pointer ends it, and points to before it.
pub(super) fn skip_name(message: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=MAX_LABEL => at += 1 + usize::from(length),
            0xc0.. => {
                let target = usize::from(u16_at(message, at)? & 0x3fff);
                return (Header::LEN..start).contains(&target).then_some(at + 2);
            }
            // Extended labels were given up by RFC 6891 section 5.
            _ => return None,
        }
        if at - start >= MAX_NAME {
            return None;
        }
    }
}

/// The name at `at` as text in lower case, without the last dot; `.` for the root. Dots and backslashes in labels are escaped, bytes that
/// do not print as `\DDD` (RFC 4343 section 2.1).
pub(super) fn name(message: &[u8], at: usize) -> Option<Text> {
    // Nearly every name is written as it stands, and put together here before it is allocated.
    let mut buffer = [0; MAX_NAME + 1];
    let mut free = buffer.iter_mut();
    let mut odd = false;
    labels(message, at, |label| {
        for &b in label.iter().chain(b".") {
            odd |= !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            if let Some(place) = free.next() {
                *place = b.to_ascii_lowercase();
            }
        }
        odd |= label.contains(&b'.');
    })?;
    let used = MAX_NAME + 1 - free.len();
    if !odd {
        // Without the last dot, unless it is all there is.
        return Some(if used == 0 { ".".into() } else { Text::from(buffer.get(..used - 1)?) });
    }
    let mut out = Text::new();
    labels(message, at, |label| {
        if !out.is_empty() {
            out.push(b".");
        }
        escaped(label, &mut out);
    })?;
    Some(out)
}

/// Takes the labels of the name at `at` one by one.
fn labels(message: &[u8], mut at: usize, mut take: impl FnMut(&[u8])) -> Option<()> {
    let (mut total, mut before) = (0, usize::MAX);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(()),
            1..=MAX_LABEL => {
                let next = at + 1 + usize::from(length);
                total += 1 + usize::from(length);
                if total >= MAX_NAME {
                    return None;
                }
                take(message.get(at + 1..next)?);
                at = next;
            }
            0xc0.. => {
                // Always to before the last one: no loops.
                let target = usize::from(u16_at(message, at)? & 0x3fff);
                if target >= before.min(at) || target < Header::LEN {
                    return None;
                }
                (before, at) = (target, target);
            }
            _ => return None,
        }
    }
}

fn escaped(label: &[u8], out: &mut Text) {
    for &b in label {
        match b {
            b'.' | b'\\' => out.push(&[b'\\', b]),
            0x21..=0x7e => out.push(&[b.to_ascii_lowercase()]),
            _ => out.push(&[b'\\', b'0' + b / 100, b'0' + b / 10 % 10, b'0' + b % 10]),
        }
    }
}

/// What the records of a message tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sections {
    /// Least time to live of the answers.
    pub(super) ttl_min: Option<u32>,
    pub(super) edns: Option<Edns>,
    /// Every section is as long as it says, and nothing follows.
    pub(super) intact: bool,
}

/// The pseudo-record of RFC 6891 section 6.1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edns {
    pub(super) udp_size: u16,
    /// The upper eight bits of the response code.
    pub(super) rcode: u8,
    pub(super) dnssec_ok: bool,
}

/// Walk over all records from `at`.
pub(super) fn sections(message: &[u8], header: Header, mut at: usize) -> Sections {
    let mut out = Sections::default();
    let [_, answers, authorities, additionals] = header.counts;
    for (section, count) in [answers, authorities, additionals].into_iter().enumerate() {
        for _ in 0..count {
            let Some(record) = record(message, at) else { return out };
            if section == 0 {
                out.ttl_min = Some(out.ttl_min.map_or(record.ttl, |least| least.min(record.ttl)));
            } else if section == 2 && record.kind == names::OPT {
                let [rcode, _, flags, _] = record.ttl.to_be_bytes();
                out.edns = Some(Edns { udp_size: record.class, rcode, dnssec_ok: flags & 0x80 != 0 });
            }
            at = record.end();
        }
    }
    out.intact = at == message.len();
    out
}

/// Where the records start: after all questions.
pub(super) fn after_questions(message: &[u8], questions: u16, first: Option<Question>) -> Option<usize> {
    let mut at = first.map_or(Header::LEN, |question| question.end);
    for _ in 1..questions {
        at = skip_name(message, at)? + 4;
    }
    (at <= message.len()).then_some(at)
}

pub(super) fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// RFC 1035 section 2.3.4.
const MAX_LABEL: u8 = 63;
const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and what follows it.
    fn message(rest: &[u8]) -> Vec<u8> {
        [&[0; Header::LEN][..], rest].concat()
    }

    #[test]
    fn names_are_read_back() {
        let text = |rest: &[u8], at: usize| {
            name(&message(rest), 12 + at).map(|name| String::from_utf8(name.as_bytes().to_vec()).unwrap())
        };
        assert_eq!(text(b"\x03wWw\x07example\x03com\0", 0).as_deref(), Some("www.example.com"));
        assert_eq!(text(b"\0", 0).as_deref(), Some("."));
        assert_eq!(text(b"\x03a.b\x04c\\ \xff\0", 0).as_deref(), Some("a\\.b.c\\\\\\032\\255"));
        assert_eq!(text(b"\x03com\0\x01a\xc0\x0c", 5).as_deref(), Some("a.com"));
        assert_eq!(text(b"\x01b\xc0\x0e\xc0\x0c", 0), None, "a pointer to itself");
        assert_eq!(text(b"\x01b\xc0\x0c", 0), None, "a loop");
        assert_eq!(text(b"\x01b\xc0\x0c\x01c\xc0\x0c", 4), None, "a loop behind a pointer");
        assert_eq!(text(b"\x01b\xc0\x20", 0), None, "a pointer ahead");
        assert_eq!(text(b"\x01b\xc0\x00", 0), None, "a pointer into the header");
        assert_eq!(text(b"\x05b", 0), None, "cut short");
        assert_eq!(text(b"\x41b\0", 0), None, "an extended label");
        assert_eq!(text(&[[1, b'a'].repeat(128), vec![0]].concat(), 0), None, "256 bytes");
    }

    #[test]
    fn questions_of_any_case_are_one() {
        let [lower, upper, other] = [&b"\x03www\0\0\x01\0\x01"[..], b"\x03WwW\0\0\x01\0\x01", b"\x02ww\0\0\x01\0\x01"]
            .map(|rest| question(&message(rest)).unwrap());
        assert_eq!(lower, upper);
        assert_ne!(lower.hash, other.hash);
        assert_eq!((lower.kind, lower.class, lower.end), (1, 1, 21));
        for cut in 0..9 {
            let cut = message(&b"\x03www\0\0\x01\0\x01"[..cut]);
            assert!(question(&cut).is_none() && question_is_cut(&cut));
        }
        assert!(!question_is_cut(&message(b"\x03www\xc0")));
        assert_eq!(question(&message(b"\xc0\x0c\0\x01\0\x01")), None);
    }

    #[test]
    fn sections_are_walked() {
        let rest =
            b"\0\0\x01\0\x01\0\0\x05\0\0\x02\0\0\0\x01\x2c\0\x04\x01\x02\x03\x04\0\0\x29\x04\xd0\x01\0\x80\0\0\0";
        let all = message(
            &[
                &rest[..5],
                &b"\0\0\x01\0\x01\0\0\x01\x2c\0\x04\x01\x02\x03\x04"[..],
                b"\0\0\x29\x04\xd0\x01\0\x80\0\0\0",
            ]
            .concat(),
        );
        let header = Header { counts: [1, 1, 0, 1], ..Header::default() };
        let edns = Some(Edns { udp_size: 1232, rcode: 1, dnssec_ok: true });
        assert_eq!(sections(&all, header, 17), Sections { ttl_min: Some(300), edns, intact: true });
        assert!(!sections(&all[..all.len() - 1], header, 17).intact);
        assert!(!sections(&[&all[..], b"x"].concat(), header, 17).intact);
        let many = Header { counts: [1, 65535, 65535, 65535], ..Header::default() };
        assert!(!sections(&all, many, 17).intact);
    }
}
