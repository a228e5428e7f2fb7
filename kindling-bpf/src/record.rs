//! The records as the programs write them (`bpf/kindling.bpf.h`, `bpf/records.h`): plain old data, nothing interpreted.

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The beginning of every record.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) tag: u16,
    pub(crate) flags: u16,
    pub(crate) len: u32,
    pub(crate) at: u64,
    pub(crate) flow: u64,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) ns_pid: u32,
    pub(crate) ns_tid: u32,
    pub(crate) cgroup: u64,
    pub(crate) comm: [u8; 16],
}

/// Bytes that moved; the payload follows.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Segment {
    pub(crate) seq: u32,
    pub(crate) moved: u32,
    pub(crate) skipped: u32,
    pub(crate) captured: u32,
    pub(crate) before: u32,
    pub(crate) dropped: u32,
    pub(crate) flags: u32,
    pub(crate) pad: u32,
    pub(crate) addresses: Addresses,
}

/// Both ends of an IP flow; IPv4 is mapped into IPv6.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Addresses {
    pub(crate) local: [u8; 16],
    pub(crate) remote: [u8; 16],
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) family: u16,
    pub(crate) role: u16,
    pub(crate) netns: u32,
    pub(crate) pad: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct FlowInet {
    pub(crate) addresses: Addresses,
    pub(crate) connect: u64,
    pub(crate) first_out: u32,
    pub(crate) first_in: u32,
    pub(crate) flags: u32,
    pub(crate) pad: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct UnixName {
    pub(crate) len: u32,
    pub(crate) inode: u32,
    pub(crate) path: [u8; 108],
    pub(crate) pad: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct FlowUnix {
    pub(crate) local: UnixName,
    pub(crate) remote: UnixName,
    pub(crate) netns: u32,
    pub(crate) role: u32,
    pub(crate) flags: u32,
    pub(crate) pad: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Closed {
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) srtt: u32,
    pub(crate) rttvar: u32,
    pub(crate) retransmits: u32,
    pub(crate) reset: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct ConnectFailed {
    pub(crate) addresses: Addresses,
    pub(crate) after: u64,
    pub(crate) error: u32,
    pub(crate) pad: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Started {
    pub(crate) boot_start: u64,
    pub(crate) parent: u32,
    pub(crate) pad: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Renamed {
    pub(crate) comm: [u8; 16],
    pub(crate) exec: u32,
    pub(crate) pad: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Exec {
    pub(crate) path: [u8; 256],
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Exited {
    pub(crate) status: u32,
    pub(crate) pad: u32,
}

/// One row of the process iterator.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Process {
    /// As the programs see it.
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// As the embedding process sees it.
    pub(crate) ns_pid: u32,
    pub(crate) pad: u32,
}

/// Tags of the records.
pub(crate) mod tag {
    pub(crate) const SEGMENT: u16 = 1;
    pub(crate) const DATAGRAM: u16 = 2;
    pub(crate) const FLOW_INET: u16 = 3;
    pub(crate) const FLOW_UNIX: u16 = 4;
    pub(crate) const CLOSED: u16 = 5;
    pub(crate) const CONNECT_FAILED: u16 = 6;
    pub(crate) const STARTED: u16 = 7;
    pub(crate) const RENAMED: u16 = 8;
    pub(crate) const EXEC: u16 = 9;
    pub(crate) const EXITED: u16 = 10;
    /// From here on they are users'.
    pub(crate) const USER: u16 = 0x8000;
}

/// Flags of records.
pub(crate) mod flag {
    pub(crate) const HAS_TASK: u16 = 0x01;
    pub(crate) const HAS_FLOW: u16 = 0x02;
    pub(crate) const HIERARCHY_SHIFT: u16 = 4;

    pub(crate) const SEG_IN: u32 = 0x01;
    pub(crate) const SEG_COUNTED: u32 = 0x02;
    pub(crate) const SEG_NOT_TARGETED: u32 = 0x04;
    pub(crate) const SEG_CONTRADICTS: u32 = 0x08;
    pub(crate) const SEG_ENDED: u32 = 0x10;
    pub(crate) const SEG_UNIX: u32 = 0x20;

    pub(crate) const FLOW_MIDSTREAM: u32 = 0x01;
    pub(crate) const FLOW_COUNTED: u32 = 0x02;
    pub(crate) const FLOW_CONNECT: u32 = 0x04;
}

/// Size of [`Header`].
pub(crate) const HEADER: usize = size_of::<Header>();
