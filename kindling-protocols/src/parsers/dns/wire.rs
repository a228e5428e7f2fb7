//! How a message is written. RFC 1035 section 4, RFC 6891 (EDNS).

use nom::{
    IResult, Parser,
    bytes::complete::take,
    combinator::rest,
    multi::length_data,
    number::complete::{be_u8, be_u16, be_u32},
};

use super::{
    domain::{self, MAX_LABEL, MAX_NAME},
    names,
};

/// What is read from bytes of one message, all of which are there; why something does not fit is never asked.
type Read<'a, T> = IResult<&'a [u8], T, ()>;

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

    // Called once or twice a message, and costs twice as much where it is not inlined.
    #[inline(always)]
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let counts = (be_u16, be_u16, be_u16, be_u16);
        let layout: Read<'_, _> = (be_u16, be_u16, counts).parse(message.get(..Self::LEN)?);
        let (_, (id, flags, (questions, answers, authorities, additionals))) = layout.ok()?;
        Some(Self { id, flags, counts: [questions, answers, authorities, additionals] })
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
#[inline]
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
    let layout: Read<'_, _> = (be_u16, be_u16).parse(message.get(at..)?);
    let (_, (kind, class)) = layout.ok()?;
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
    // One look at the length for all that is fixed.
    let fixed = take(10_usize).and_then((be_u16, be_u16, be_u32, be_u16));
    let (rest, (name, (kind, class, ttl, length))) = (name(message), fixed).parse(message.get(at..)?).ok()?;
    let data = rest.get(..length.into())?;
    Some(Record { name, kind, class, ttl, at: message.len() - rest.len(), data })
}

impl Record<'_> {
    pub(super) const fn end(&self) -> usize {
        self.at + self.data.len()
    }

    /// The serial number of a start of authority, which stands after two names.
    pub(super) fn serial(&self, message: &[u8]) -> Option<u32> {
        let (_, (_, _, serial)) = (name(message), name(message), be_u32).parse(message.get(self.at..)?).ok()?;
        Some(serial)
    }
}

/// The data of a record whose type is known here; names are told by where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data<'a> {
    A([u8; 4]),
    Aaaa([u8; 16]),
    /// Of all types that are one name.
    Name(usize),
    Mx(u16, usize),
    /// Priority, weight, port and target. RFC 2782.
    Srv([u16; 3], usize),
    /// Order and preference; flags, services and expression; replacement. RFC 3403 section 4.1.
    Naptr([u16; 2], [&'a [u8]; 3], usize),
    /// RFC 1035 section 3.3.13.
    Soa([usize; 2], [u32; 5]),
    /// [`strings`] up to the end.
    Txt(&'a [u8]),
    /// Flags, tag and value. RFC 8659 section 4.1.
    Caa(u8, &'a [u8], &'a [u8]),
    /// Key tag, algorithm, digest type and digest. RFC 4034 section 5.1.
    Ds(u16, [u8; 2], &'a [u8]),
    /// Priority, target and [`parameters`] up to the end. RFC 9460 section 2.2.
    Svcb(u16, usize, &'a [u8]),
}

impl<'a> Data<'a> {
    /// The data of type `kind` that `message` ends with, from `at`. What follows the last part of a fixed layout does not count.
    pub(super) fn read(message: &'a [u8], kind: u16, at: usize) -> Option<Self> {
        let data = message.get(at..)?;
        let read: Read<'a, Self> = match kind {
            names::A => return data.try_into().ok().map(Self::A),
            names::AAAA => return data.try_into().ok().map(Self::Aaaa),
            names::NS | names::CNAME | names::PTR | names::DNAME => return Some(Self::Name(at)),
            names::MX => (be_u16, last(message)).map(|(preference, host)| Self::Mx(preference, host)).parse(data),
            names::SRV => ((be_u16, be_u16, be_u16), last(message))
                .map(|(fields, target)| Self::Srv(fields.into(), target))
                .parse(data),
            names::NAPTR => ((be_u16, be_u16), (string, string, string), last(message))
                .map(|(order, strings, to)| Self::Naptr(order.into(), strings.into(), to))
                .parse(data),
            names::SOA => ((name(message), name(message)), (be_u32, be_u32, be_u32, be_u32, be_u32))
                .map(|(both, numbers)| Self::Soa(both.into(), numbers.into()))
                .parse(data),
            names::TXT | names::SPF => rest.map(Self::Txt).parse(data),
            names::CAA => (be_u8, string, rest).map(|(flags, tag, value)| Self::Caa(flags, tag, value)).parse(data),
            names::DS => (be_u16, (be_u8, be_u8), rest)
                .map(|(tag, kinds, digest)| Self::Ds(tag, kinds.into(), digest))
                .parse(data),
            names::HTTPS | names::SVCB => (be_u16, name(message), rest)
                .map(|(priority, target, parameters)| Self::Svcb(priority, target, parameters))
                .parse(data),
            _ => return None,
        };
        read.ok().map(|(_, data)| data)
    }
}

/// Steps over a name in the rest of `message`, and tells where it stands.
fn name<'a>(message: &'a [u8]) -> impl Fn(&'a [u8]) -> Read<'a, usize> {
    move |rest| {
        let at = message.len() - rest.len();
        let after = domain::skip(message, at).and_then(|end| message.get(end..)).ok_or(nom::Err::Error(()))?;
        Ok((after, at))
    }
}

/// Where a name stands that nothing follows.
fn last<'a>(message: &'a [u8]) -> impl Fn(&'a [u8]) -> Read<'a, usize> {
    |rest| Ok((rest, message.len() - rest.len()))
}

/// A character string, and what follows it. RFC 1035 section 3.3.
fn string(input: &[u8]) -> Read<'_, &[u8]> {
    length_data(be_u8).parse_complete(input)
}

/// The strings of `data`; `None` for one that is cut.
pub(super) fn strings(data: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    each(data, string)
}

/// The parameters of a service; `None` for one that is cut. RFC 9460 section 2.2.
pub(super) fn parameters(data: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    each(data, |input| (be_u16, length_data(be_u16)).parse_complete(input))
}

/// What `read` finds again and again, up to the end or to what does not fit.
fn each<'a, T>(mut rest: &'a [u8], read: impl Fn(&'a [u8]) -> Read<'a, T>) -> impl Iterator<Item = Option<T>> {
    std::iter::from_fn(move || {
        let found = (!rest.is_empty()).then(|| read(rest))?.ok();
        let (after, item) = found.unzip();
        rest = after.unwrap_or_default();
        Some(item)
    })
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
    let mut rest = message.get(first.map_or(Header::LEN, |question| question.end)..)?;
    for _ in 1..questions {
        (rest, _) = (name(message), take(4_usize)).parse(rest).ok()?;
    }
    Some(message.len() - rest.len())
}

pub(super) fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    let number: Read<'_, _> = be_u16(message.get(at..)?);
    number.ok().map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and what follows it.
    fn message(rest: &[u8]) -> Vec<u8> {
        [&[0; Header::LEN][..], rest].concat()
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
