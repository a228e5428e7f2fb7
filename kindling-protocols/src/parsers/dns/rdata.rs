//! Data of records as text, as in zone files.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use kindling_core::Text;

use super::{
    domain,
    wire::{self, Data, Record},
};

/// The data of `record`, at most about 256 bytes; types not known here, and data that does not fit its type, in the form of RFC 3597.
pub(super) fn text(message: &[u8], record: &Record<'_>) -> Text {
    let mut text = known(message, record).unwrap_or_else(|| unknown(record.data));
    text.truncate(LONGEST);
    text
}

fn known(message: &[u8], record: &Record<'_>) -> Option<Text> {
    // Names are compressed against the whole message, of which nothing after the data counts.
    let message = message.get(..record.end())?;
    let mut out = Text::new();
    match Data::read(message, record.kind, record.at)? {
        Data::A(address) => out = dotted(address),
        Data::Aaaa(address) => write!(out, "{}", Ipv6Addr::from(address)).ok()?,
        Data::Name(at) => out = domain::text(message, at)?,
        Data::Mx(preference, host) => {
            write!(out, "{preference} ").ok()?;
            out.push(domain::text(message, host)?.as_bytes());
        }
        Data::Srv([priority, weight, port], target) => {
            write!(out, "{priority} {weight} {port} ").ok()?;
            out.push(domain::text(message, target)?.as_bytes());
        }
        Data::Naptr([order, preference], strings, replacement) => {
            write!(out, "{order} {preference} ").ok()?;
            for string in strings {
                quoted(string, &mut out);
                out.push(b" ");
            }
            out.push(domain::text(message, replacement)?.as_bytes());
        }
        Data::Soa([primary, contact], numbers) => {
            out.push(domain::text(message, primary)?.as_bytes());
            out.push(b" ");
            out.push(domain::text(message, contact)?.as_bytes());
            numbers.iter().try_for_each(|number| write!(out, " {number}")).ok()?;
        }
        Data::Txt(data) => strings(data, &mut out)?,
        Data::Caa(flags, tag, value) => {
            write!(out, "{flags} ").ok()?;
            out.push(tag);
            out.push(b" ");
            quoted(value, &mut out);
        }
        Data::Ds(tag, [algorithm, kind], digest) => {
            write!(out, "{tag} {algorithm} {kind} ").ok()?;
            hex(digest, &mut out);
        }
        Data::Svcb(priority, target, parameters) => {
            write!(out, "{priority} ").ok()?;
            out.push(domain::text(message, target)?.as_bytes());
            for each in wire::parameters(parameters) {
                let (key, value) = each?;
                parameter(key, value, &mut out)?;
            }
        }
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

fn parameter(key: u16, value: &[u8], out: &mut Text) -> Option<()> {
    match key {
        1 => {
            out.push(b" alpn=");
            for (index, protocol) in wire::strings(value).enumerate() {
                if index > 0 {
                    out.push(b",");
                }
                characters(protocol?, out);
            }
        }
        2 => out.push(b" no-default-alpn"),
        3 => write!(out, " port={}", wire::u16_at(value, 0)?).ok()?,
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
    for each in wire::strings(data) {
        if out.len() >= LONGEST {
            break;
        }
        if !out.is_empty() {
            out.push(b" ");
        }
        quoted(each?, out);
    }
    Some(())
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

/// Most bytes of one record's text.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::{super::names, *};

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
