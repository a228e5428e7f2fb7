//! Addresses and roles as core knows them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use kindling_core::{Endpoint, Role, Text};

use crate::record::{Addresses, UnixName};

/// Local and remote end of an IP flow.
pub(crate) fn inet(a: &Addresses) -> (Endpoint, Endpoint) {
    let end = |address: [u8; 16], port| Endpoint::from(SocketAddr::new(IpAddr::from(Ipv6Addr::from(address)), port));
    let remote = if a.family == 0 { Endpoint::Unknown } else { end(a.remote, a.remote_port) };
    (end(a.local, a.local_port), remote)
}

/// One end of a Unix flow.
pub(crate) fn unix(name: &UnixName) -> Endpoint {
    let len = usize::try_from(name.len).unwrap_or(0);
    match name.path.get(..len) {
        // A path is terminated, an abstract name starts with the zero byte and is as long as it says.
        Some([0, rest @ ..]) if !rest.is_empty() => {
            Endpoint::Unix(Text::from(name.path.get(..len).unwrap_or_default()))
        }
        Some(path) if !path.is_empty() => {
            Endpoint::Unix(Text::from(path.split(|&b| b == 0).next().unwrap_or_default()))
        }
        _ if name.inode != 0 => Endpoint::Unnamed(u64::from(name.inode)),
        _ => Endpoint::Unknown,
    }
}

/// The role by its number in records.
pub(crate) const fn role(role: u32) -> Role {
    match role {
        1 => Role::Client,
        2 => Role::Server,
        _ => Role::Unknown,
    }
}
