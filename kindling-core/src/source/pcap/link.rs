//! From a frame to the IP packet in it.

use crate::source::cursor::Cursor;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried<'a> {
    /// An IP packet and perhaps padding.
    Ip(&'a [u8]),
    /// Something else.
    Other,
    /// Too short to tell.
    Unreadable,
}

/// Whether frames of this link type can be read.
pub(super) const fn known(link: u16) -> bool {
    matches!(link, NULL | ETHERNET | PPP | 12 | 14 | RAW | LOOP | LINUX_SLL | IPV4 | IPV6 | LINUX_SLL2)
}

/// Strip the link layer.
pub(super) fn strip(link: u16, frame: &[u8]) -> Carried<'_> {
    read(link, frame).unwrap_or(Carried::Unreadable)
}

fn read(link: u16, frame: &[u8]) -> Option<Carried<'_>> {
    let mut cursor = Cursor::new(frame);
    match link {
        ETHERNET => {
            cursor.take(12)?;
            let kind = cursor.be16()?;
            if kind < 0x600 { llc(cursor) } else { typed(kind, cursor) }
        }
        LINUX_SLL => {
            cursor.take(14)?;
            let kind = cursor.be16()?;
            typed(kind, cursor)
        }
        LINUX_SLL2 => {
            let kind = cursor.be16()?;
            cursor.take(18)?;
            typed(kind, cursor)
        }
        NULL | LOOP => {
            let family: [u8; 4] = cursor.array()?;
            // The address family is in the byte order of whoever captured; it is always small.
            let family = u32::from_le_bytes(family).min(u32::from_be_bytes(family));
            // AF_INET, and AF_INET6 of Linux, Windows, NetBSD, FreeBSD and macOS.
            Some(if matches!(family, 2 | 10 | 23 | 24 | 28 | 30) { Carried::Ip(cursor.rest()) } else { Carried::Other })
        }
        PPP => {
            // HDLC framing is optional.
            if cursor.rest().starts_with(&[0xff, 0x03]) {
                cursor.take(2)?;
            }
            ppp(cursor)
        }
        12 | 14 | RAW | IPV4 | IPV6 => (!frame.is_empty()).then_some(Carried::Ip(frame)),
        _ => None,
    }
}

/// What an EtherType announces, below any number of tags.
fn typed(mut kind: u16, mut cursor: Cursor<'_>) -> Option<Carried<'_>> {
    loop {
        match kind {
            0x0800 | 0x86dd => return Some(Carried::Ip(cursor.rest())),
            // 802.1Q, 802.1ad and its older guises.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                cursor.take(2)?;
                kind = cursor.be16()?;
            }
            // MPLS, unicast and multicast: below the bottom of the stack only the version nibble tells.
            0x8847 | 0x8848 => {
                while cursor.be32()? & 0x100 == 0 {}
                let version = cursor.rest().first()? >> 4;
                return Some(if matches!(version, 4 | 6) { Carried::Ip(cursor.rest()) } else { Carried::Other });
            }
            // A PPPoE session: version and type, code, session, length.
            0x8864 => {
                cursor.take(6)?;
                return ppp(cursor);
            }
            _ => return Some(Carried::Other),
        }
    }
}

fn ppp(mut cursor: Cursor<'_>) -> Option<Carried<'_>> {
    Some(if matches!(cursor.be16()?, 0x0021 | 0x0057) { Carried::Ip(cursor.rest()) } else { Carried::Other })
}

/// 802.3 with a length in place of the type: SNAP carries an EtherType.
fn llc(mut cursor: Cursor<'_>) -> Option<Carried<'_>> {
    if cursor.array()? != [0xaa, 0xaa, 0x03, 0, 0, 0] {
        return Some(Carried::Other);
    }
    let kind = cursor.be16()?;
    typed(kind, cursor)
}

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const PPP: u16 = 9;
const RAW: u16 = 101;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &[u8] = &[0x45, 1, 2, 3];

    fn frame(head: &[u8]) -> Vec<u8> {
        [head, PACKET].concat()
    }

    #[test]
    fn every_link_type_leads_to_the_packet() {
        let mac = [0; 12];
        let heads: [(u16, Vec<u8>); 12] = [
            (ETHERNET, [&mac[..], &[8, 0]].concat()),
            (ETHERNET, [&mac[..], &[0x81, 0, 0, 5, 8, 0]].concat()),
            (ETHERNET, [&mac[..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0]].concat()),
            (ETHERNET, [&mac[..], &[0x88, 0x47, 0, 0, 0, 9, 0, 0, 1, 9]].concat()),
            (ETHERNET, [&mac[..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 6, 0, 0x21]].concat()),
            (ETHERNET, [&mac[..], &[0, 12, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat()),
            (LINUX_SLL, [&[0; 14][..], &[8, 0]].concat()),
            (LINUX_SLL2, [&[8, 0][..], &[0; 18]].concat()),
            (NULL, vec![2, 0, 0, 0]),
            (NULL, vec![0, 0, 0, 30]),
            (LOOP, vec![0, 0, 0, 2]),
            (PPP, vec![0xff, 3, 0, 0x21]),
        ];
        for (link, head) in heads {
            assert!(known(link));
            let frame = frame(&head);
            assert_eq!(strip(link, &frame), Carried::Ip(PACKET), "link type {link}, {head:x?}");
            for cut in 0..head.len() {
                assert_ne!(strip(link, &frame[..cut]), Carried::Ip(PACKET));
            }
        }
        for link in [12, 14, 101, 228, 229] {
            assert_eq!(strip(link, PACKET), Carried::Ip(PACKET));
        }
    }

    #[test]
    fn what_is_not_ip_is_told_from_what_is_too_short() {
        assert_eq!(strip(ETHERNET, &[&[0; 12][..], &[8, 6], &[0; 28]].concat()), Carried::Other);
        assert_eq!(strip(ETHERNET, &[0; 13]), Carried::Unreadable);
        assert!(!known(105));
    }
}
