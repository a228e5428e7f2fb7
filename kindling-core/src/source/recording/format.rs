//! What writers and readers agree on; the format itself is described in the module above.

/// How a recording begins. The first byte is no text, the line ends show whether something translated them.
pub const MAGIC: [u8; 8] = *b"\x8bKNDL\r\n\n";

/// The version that is written.
pub const VERSION: u16 = 1;

/// How much of each segment's payload a recording holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// All that was captured.
    #[default]
    Full,
    /// The first bytes of each segment; lengths stay true, so what is missing shows as not captured. Records of users' own probes are kept whole.
    Heads(u32),
}

impl Content {
    /// Heads of 256 bytes: enough for the request line, command or header by which protocols are told apart.
    pub const HEADS: Self = Self::Heads(256);
}

/// Longest body of a block: writers split batches, readers refuse longer ones.
pub(super) const MAX_BODY: usize = 16 << 20;

pub(super) mod kind {
    pub(in crate::source::recording) const HEADER: u8 = 1;
    pub(in crate::source::recording) const ORIGIN: u8 = 2;
    pub(in crate::source::recording) const BATCH: u8 = 3;
    pub(in crate::source::recording) const END: u8 = 4;
}

pub(super) mod tag {
    pub(in crate::source::recording) const OPENED: u16 = 1;
    pub(in crate::source::recording) const SEGMENT: u16 = 2;
    pub(in crate::source::recording) const GAP: u16 = 3;
    pub(in crate::source::recording) const CLOSED: u16 = 4;
    pub(in crate::source::recording) const CONNECT_FAILED: u16 = 5;
    pub(in crate::source::recording) const STARTED: u16 = 6;
    pub(in crate::source::recording) const RENAMED: u16 = 7;
    pub(in crate::source::recording) const EXITED: u16 = 8;
    pub(in crate::source::recording) const TICK: u16 = 9;
    pub(in crate::source::recording) const CLOCK: u16 = 10;
    pub(in crate::source::recording) const CUSTOM: u16 = 11;
    pub(in crate::source::recording) const LOST: u16 = 12;
}

/// CRC-32 of a block's length and body.
pub(super) fn checksum(length: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(body);
    hasher.finalize()
}
