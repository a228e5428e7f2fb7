//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, down to the transport.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::source::cursor::Cursor;

/// The payload of an IP packet and what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// Sender and receiver; IPv4 addresses as IPv4-mapped.
    pub(super) addresses: [u128; 2],
    pub(super) protocol: u8,
    /// The captured part of the payload.
    pub(super) data: &'a [u8],
    /// The payload's true length.
    pub(super) len: usize,
    pub(super) fragment: Option<Fragment>,
}

/// A piece of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) id: u32,
    pub(super) offset: usize,
    pub(super) more: bool,
}

/// Read an IP packet of which `missing` bytes at the end were not captured; `None` if it is not one.
///
/// What follows the length its header tells is padding of the link. A length of 0 is what segmentation offload leaves: the packet
/// is as long as the frame.
pub(super) fn parse(bytes: &[u8], missing: usize) -> Option<Packet<'_>> {
    match bytes.first()? >> 4 {
        4 => v4(bytes, missing),
        6 => v6(bytes, missing),
        _ => None,
    }
}

fn v4(bytes: &[u8], missing: usize) -> Option<Packet<'_>> {
    let mut cursor = Cursor::new(bytes);
    let header = usize::from(cursor.u8()? & 0xf) * 4;
    cursor.take(1)?;
    let total = usize::from(cursor.be16()?);
    let id = cursor.be16()?;
    let fragment = cursor.be16()?;
    cursor.take(1)?;
    let protocol = cursor.u8()?;
    cursor.take(2)?;
    let addresses = [cursor.be32()?, cursor.be32()?].map(|bits| Ipv4Addr::from(bits).to_ipv6_mapped().to_bits());
    if header < 20 {
        return None;
    }
    let total = if total == 0 { bytes.len() + missing } else { total };
    let len = total.checked_sub(header)?;
    let data = bytes.get(header..bytes.len().min(total)).unwrap_or_default();
    let (offset, more) = (usize::from(fragment & 0x1fff) * 8, fragment & 0x2000 != 0);
    let fragment = (offset > 0 || more).then_some(Fragment { id: id.into(), offset, more });
    Some(Packet { addresses, protocol, data, len, fragment })
}

fn v6(bytes: &[u8], missing: usize) -> Option<Packet<'_>> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(4)?;
    let length = usize::from(cursor.be16()?);
    let mut protocol = cursor.u8()?;
    cursor.take(1)?;
    let addresses =
        [Ipv6Addr::from(cursor.array::<16>()?), Ipv6Addr::from(cursor.array::<16>()?)].map(Ipv6Addr::to_bits);
    let mut len = if length == 0 { cursor.rest().len() + missing } else { length };
    let rest = cursor.rest();
    let mut cursor = Cursor::new(rest.get(..len).unwrap_or(rest));
    let mut fragment = None;
    loop {
        let mut header = cursor;
        let size = match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HIP | SHIM6 => {
                let next = header.u8()?;
                let size = (usize::from(header.u8()?) + 1) * 8;
                protocol = next;
                size
            }
            AUTHENTICATION => {
                let next = header.u8()?;
                let size = (usize::from(header.u8()?) + 2) * 4;
                protocol = next;
                size
            }
            FRAGMENT => {
                protocol = header.u8()?;
                header.take(1)?;
                let bits = header.be16()?;
                let (offset, more) = (usize::from(bits & !7), bits & 1 != 0);
                let id = header.be32()?;
                // An atomic fragment (RFC 6946) is a whole packet.
                fragment = (offset > 0 || more).then_some(Fragment { id, offset, more });
                8
            }
            _ => return Some(Packet { addresses, protocol, data: cursor.rest(), len, fragment }),
        };
        cursor.take(size)?;
        len -= size.min(len);
        // What follows the fragment header is the fragmentable part, which may itself begin with extension headers.
        if fragment.is_some() {
            return Some(Packet { addresses, protocol, data: cursor.rest(), len, fragment });
        }
    }
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;
