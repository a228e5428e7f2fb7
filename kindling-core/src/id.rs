//! Who and where: origins, tasks, endpoints, flows.

use std::{fmt, net::SocketAddr};

use crate::text::{Comm, Text};

/// Where a stream of events comes from. It scopes every id, so that recordings and nodes can be merged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Origin {
    /// The kernel's boot id, or for a capture file a digest of its first packets.
    pub boot: u128,
    /// Host name; empty if unknown.
    pub host: Text,
    /// What read it: `kernel`, `pcap`, or a name of the user's own.
    pub source: Text,
}

impl Origin {
    /// An origin by its parts.
    #[must_use]
    pub fn new(boot: u128, host: impl Into<Text>, source: impl Into<Text>) -> Self {
        Self { boot, host: host.into(), source: source.into() }
    }
}

/// One flow: a socket's cookie where the source has one (`ss -e` shows the same number), unique within its [`Origin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The thread that acted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Task {
    /// Process id in the root pid namespace of the origin.
    pub pid: u32,
    /// Thread id in the root pid namespace of the origin.
    pub tid: u32,
    /// Process id in the task's own pid namespace; equal to `pid` where that is the root.
    pub ns_pid: u32,
    /// Thread id in the task's own pid namespace.
    pub ns_tid: u32,
    /// Command name of the thread.
    pub comm: Comm,
    /// Its cgroup.
    pub cgroup: Cgroup,
}

impl Task {
    /// A task of the root pid namespace whose cgroup is not known.
    #[must_use]
    pub const fn new(pid: u32, tid: u32, comm: Comm) -> Self {
        Self { pid, tid, ns_pid: pid, ns_tid: tid, comm, cgroup: Cgroup { id: 0, hierarchy: Hierarchy::V2 } }
    }
}

/// A cgroup id and the hierarchy it belongs to; id 0 is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cgroup {
    /// The inode number of the cgroup's directory.
    pub id: u64,
    /// Where that directory is.
    pub hierarchy: Hierarchy,
}

/// The cgroup hierarchy an id was read from. On hybrid hosts the unified one may group nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hierarchy {
    /// The unified hierarchy, cgroup v2.
    #[default]
    V2,
    /// The v1 hierarchy of the cpu controller.
    Cpu,
    /// The v1 hierarchy of the memory controller.
    Memory,
    /// The v1 hierarchy of the pids controller.
    Pids,
}

/// One end of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Not known.
    #[default]
    Unknown,
    /// IP address and port. IPv4-mapped IPv6 addresses are given as IPv4.
    Inet(SocketAddr),
    /// A Unix socket bound to a path, or to an abstract name that starts with a zero byte.
    Unix(Text),
    /// A Unix socket without a name, by inode number.
    Unnamed(u64),
}

impl Endpoint {
    /// The port, if it has one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(address) => Some(address.port()),
            _ => None,
        }
    }
}

/// IPv4-mapped IPv6 addresses become IPv4, so that both ends of a dual-stack connection agree.
impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("?"),
            Self::Inet(address) => address.fmt(f),
            Self::Unix(name) => match name.as_bytes().split_first() {
                Some((0, rest)) => write!(f, "unix:@{}", crate::text::escape(rest)),
                _ => write!(f, "unix:{name}"),
            },
            Self::Unnamed(inode) => write!(f, "unix:[{inode}]"),
        }
    }
}

/// What carries a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// UDP: every segment is a datagram.
    Udp,
    /// A Unix stream socket.
    Unix,
}

impl Transport {
    /// `tcp`, `udp` or `unix`, the values of OpenTelemetry's `network.transport`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Unix => "unix",
        }
    }
}

/// What the offsets of a flow's segments are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Offsets {
    /// TCP sequence numbers, extended to 64 bits: the low 32 bits are what was on the wire, so both ends agree.
    Tcp,
    /// Counted from 0 by whoever observes.
    #[default]
    Counted,
    /// Each segment is a datagram; offsets are counted from 0 and tell only order.
    Datagram,
}

/// Which way bytes moved, seen from the local end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the local end to the remote.
    Out,
    /// From the remote end to the local.
    In,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
        }
    }
}

/// The part the local end of a flow plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Not known (yet).
    #[default]
    Unknown,
    /// It connected.
    Client,
    /// It accepted, or listens.
    Server,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_print_as_the_contract_says() {
        let of = |s: &str| Endpoint::from(s.parse::<SocketAddr>().unwrap()).to_string();
        assert_eq!(of("127.0.0.1:80"), "127.0.0.1:80");
        assert_eq!(of("[::1]:80"), "[::1]:80");
        assert_eq!(of("[::ffff:10.0.0.1]:80"), "10.0.0.1:80");
        assert_eq!(Endpoint::Unix(Text::from(&b"\0app"[..])).to_string(), "unix:@app");
        assert_eq!(Endpoint::Unnamed(7).to_string(), "unix:[7]");
    }
}
