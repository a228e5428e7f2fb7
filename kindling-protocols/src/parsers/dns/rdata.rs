//! Data of records as text, as in zone files.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use kindling_core::Text;

use super::{
    names,
    wire::{self, Record},
};

/// The data of `record`, at most about 256 bytes; types not known here, and data that does not fit its type, in the form of RFC 3597.
pub(super) fn text(message: &[u8], record: &Record<'_>) -> Text {
    let mut text = known(message, record).unwrap_or_else(|| unknown(record.data));
    text.truncate(LONGEST);
    text
}

fn known(message: &[u8], record: &Record<'_>) -> Option<Text> {
    let data = record.data;
    // Names are compressed against the whole message, of which nothing after the data counts.
    let message = message.get(..record.end())?;
    let mut out = Text::new();
    match record.kind {
        names::A => out = dotted(<[u8; 4]>::try_from(data).ok()?),
        names::AAAA => write!(out, "{}", Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)).ok()?,
        names::NS | names::CNAME | names::PTR | names::DNAME => out = wire::name(message, record.at)?,
        names::MX => {
            write!(out, "{} ", word(data, 0)?).ok()?;
            out.push(wire::name(message, record.at + 2)?.as_bytes());
        }
        names::SRV => {
            write!(out, "{} {} {} ", word(data, 0)?, word(data, 2)?, word(data, 4)?).ok()?;
            out.push(wire::name(message, record.at + 6)?.as_bytes());
        }
        names::NAPTR => naming(message, record, &mut out)?,
        names::SOA => authority(message, record, &mut out)?,
        names::TXT | names::SPF => strings(data, &mut out)?,
        names::CAA => {
            let (&flags, rest) = data.split_first()?;
            let (tag, value) = string(rest)?;
            write!(out, "{flags} ").ok()?;
            out.push(tag);
            out.push(b" ");
            quoted(value, &mut out);
        }
        names::DS => {
            write!(out, "{} {} {} ", word(data, 0)?, data.get(2)?, data.get(3)?).ok()?;
            hex(data.get(4..)?, &mut out);
        }
        names::HTTPS | names::SVCB => service(message, record, &mut out)?,
        _ => return None,
    }
    Some(out)
}

/// An address; formatting as such costs more than everything else about an answer.
fn dotted(address: [u8; 4]) -> Text {
    let mut buffer = [0; 16];
    let mut free = buffer.iter_mut();
    for byte in address {
        let digits = [b'0' + byte / 100, b'0' + byte / 10 % 10, b'0' + byte % 10];
        let zeroes = if byte >= 100 { 0 } else { 1 + usize::from(byte < 10) };
        digits.into_iter().skip(zeroes).chain(*b".").zip(&mut free).for_each(|(digit, place)| *place = digit);
    }
    let used = 16 - free.len();
    buffer.get(..used.saturating_sub(1)).unwrap_or_default().into()
}

/// RFC 1035 section 3.3.13.
fn authority(message: &[u8], record: &Record<'_>, out: &mut Text) -> Option<()> {
    let contact = wire::skip_name(message, record.at)?;
    let numbers = wire::skip_name(message, contact)?;
    out.push(wire::name(message, record.at)?.as_bytes());
    out.push(b" ");
    out.push(wire::name(message, contact)?.as_bytes());
    for field in 0..5 {
        let [high, low] = [word(message, numbers + 4 * field)?, word(message, numbers + 4 * field + 2)?];
        write!(out, " {}", u32::from(high) << 16 | u32::from(low)).ok()?;
    }
    Some(())
}

/// RFC 3403 section 4.1.
fn naming(message: &[u8], record: &Record<'_>, out: &mut Text) -> Option<()> {
    write!(out, "{} {} ", word(record.data, 0)?, word(record.data, 2)?).ok()?;
    let mut rest = record.data.get(4..)?;
    for _ in 0..3 {
        let (text, after) = string(rest)?;
        quoted(text, out);
        out.push(b" ");
        rest = after;
    }
    out.push(wire::name(message, record.end() - rest.len())?.as_bytes());
    Some(())
}

/// RFC 9460 section 2.
fn service(message: &[u8], record: &Record<'_>, out: &mut Text) -> Option<()> {
    write!(out, "{} ", word(record.data, 0)?).ok()?;
    let end = wire::skip_name(message, record.at + 2)?;
    out.push(wire::name(message, record.at + 2)?.as_bytes());
    let mut rest = message.get(end..)?;
    while !rest.is_empty() {
        let (key, length) = (word(rest, 0)?, usize::from(word(rest, 2)?));
        let value = rest.get(4..4 + length)?;
        rest = rest.get(4 + length..)?;
        parameter(key, value, out)?;
    }
    Some(())
}

fn parameter(key: u16, value: &[u8], out: &mut Text) -> Option<()> {
    match key {
        1 => {
            out.push(b" alpn=");
            let mut rest = value;
            while !rest.is_empty() {
                let (protocol, after) = string(rest)?;
                if rest.len() < value.len() {
                    out.push(b",");
                }
                characters(protocol, out);
                rest = after;
            }
        }
        2 => out.push(b" no-default-alpn"),
        3 => write!(out, " port={}", word(value, 0)?).ok()?,
        4 => addresses(" ipv4hint", value.as_chunks::<4>().0.iter().map(|bytes| Ipv4Addr::from(*bytes)), out),
        6 => addresses(" ipv6hint", value.as_chunks::<16>().0.iter().map(|bytes| Ipv6Addr::from(*bytes)), out),
        _ => {
            write!(out, " key{key}=").ok()?;
            hex(value, out);
        }
    }
    Some(())
}

fn addresses(name: &str, all: impl Iterator<Item = impl std::fmt::Display>, out: &mut Text) {
    out.push(name.as_bytes());
    for (index, address) in all.enumerate() {
        // Writing to a text cannot fail.
        let _ = write!(out, "{}{address}", if index == 0 { '=' } else { ',' });
    }
}

/// Character strings one after the other. RFC 1035 section 3.3.14.
fn strings(data: &[u8], out: &mut Text) -> Option<()> {
    let mut rest = data;
    while !rest.is_empty() && out.len() < LONGEST {
        let (text, after) = string(rest)?;
        if !out.is_empty() {
            out.push(b" ");
        }
        quoted(text, out);
        rest = after;
    }
    Some(())
}

fn string(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = rest.split_first()?;
    rest.split_at_checked(usize::from(length))
}

fn quoted(text: &[u8], out: &mut Text) {
    out.push(b"\"");
    characters(text, out);
    out.push(b"\"");
}

/// RFC 1035 section 5.1.
fn characters(text: &[u8], out: &mut Text) {
    for &b in text {
        match b {
            b'"' | b'\\' => out.push(&[b'\\', b]),
            b' '..=b'~' => out.push(&[b]),
            _ => out.push(&[b'\\', b'0' + b / 100, b'0' + b / 10 % 10, b'0' + b % 10]),
        }
    }
}

/// RFC 3597 section 5.
fn unknown(data: &[u8]) -> Text {
    let mut out = Text::new();
    // Writing to a text cannot fail.
    let _ = write!(out, "\\# {}", data.len());
    if !data.is_empty() {
        out.push(b" ");
        hex(data, &mut out);
    }
    out
}

fn hex(data: &[u8], out: &mut Text) {
    for byte in data.iter().take(LONGEST / 2) {
        let _ = write!(out, "{byte:02x}");
    }
}

fn word(data: &[u8], at: usize) -> Option<u16> {
    wire::u16_at(data, at)
}

/// Most bytes of one record's text.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of data that stands after a header and the name `example.com`.
    fn shown(kind: u16, data: &[u8]) -> String {
        let message = [&[0; 12][..], b"\x07example\x03com\0", data].concat();
        let record = Record { name: 12, kind, class: 1, ttl: 1, at: 25, data };
        String::from_utf8(text(&message, &record).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn every_usual_type() {
        for (kind, data, expected) in [
            (names::A, &b"\x01\x02\x03\x04"[..], "1.2.3.4"),
            (names::AAAA, b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", "2001:db8::1"),
            (names::CNAME, b"\x03www\xc0\x0c", "www.example.com"),
            (names::NS, b"\0", "."),
            (names::MX, b"\0\x0a\x04mail\xc0\x0c", "10 mail.example.com"),
            (names::SRV, b"\0\x01\0\x02\x13\xc4\x03sip\xc0\x0c", "1 2 5060 sip.example.com"),
            (names::SOA, b"\xc0\x0c\x01h\xc0\x0c\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\x0e\x10", "example.com h.example.com 1 2 3 4 3600"),
            (names::TXT, b"\x03a\"b\x00\x01\xff", "\"a\\\"b\" \"\" \"\\255\""),
            (names::CAA, b"\0\x05issueca.example", "0 issue \"ca.example\""),
            (names::DS, b"\x12\x34\x08\x02\xab\xcd", "4660 8 2 abcd"),
            (names::HTTPS, b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x03\0\x02\x01\xbb\0\x04\0\x08\x01\x02\x03\x04\x05\x06\x07\x08\0\x05\0\x01\xaa", "1 . alpn=h2,h3 port=443 ipv4hint=1.2.3.4,5.6.7.8 key5=aa"),
            (names::NAPTR, b"\0\x0a\0\x14\x01S\x07SIP+D2U\0\x04_udp\xc0\x0c", "10 20 \"S\" \"SIP+D2U\" \"\" _udp.example.com"),
            (names::SVCB, b"\0\0\xc0\x0c", "0 example.com"),
            (44, b"\x01\x02\xff", "\\# 3 0102ff"),
            (10, b"", "\\# 0"),
            (names::A, b"\0\x0a\x63\xff", "0.10.99.255"),
            (names::A, b"\xff\xff\xff\xff", "255.255.255.255"),
            (names::A, b"\x01\x02\x03", "\\# 3 010203"),
            (names::TXT, b"\x05ab", "\\# 3 056162"),
            (names::MX, b"\0\x0a\xc0\xff", "\\# 4 000ac0ff"),
        ] {
            assert_eq!(shown(kind, data), expected);
        }
        assert_eq!(shown(names::TXT, &[&[255; 256][..], &[255; 256]].concat()).len(), LONGEST);
        assert_eq!(shown(9999, &[1; 60_000]).len(), LONGEST);
    }
}
