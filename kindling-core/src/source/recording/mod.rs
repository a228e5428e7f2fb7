//! Recordings: batches of events in a file, to be replayed to the same results.
//!
//! # Format, version 1
//!
//! A file is the 8 bytes of [`MAGIC`] and then blocks. All numbers are little-endian.
//!
//! ```text
//! block   = length u32 · crc u32 · body        length of the body; CRC-32 of length and body
//! body    = kind u8 · ...
//!   1 header   version u16 · content u8 (0 full, 1 heads) · bytes kept of each segment u32
//!   2 origin   index u32 · boot u128 · host text · source text
//!   3 batch    origin index u32 · events
//!   4 end      blocks before it u64
//! event   = tag u16 · length u32 · at u64 · ...
//! text    = length u32 · bytes
//! ```
//!
//! The header comes first, an origin before the first batch that names it, the end last. Every event begins with its time, whatever its tag.
//!
//! Within a version writers only add: blocks of new kinds, events of new tags, fields at the end of an event. Readers pass over what they
//! do not know: a block or an event comes out as [`Lost`](crate::Lost) of class [`Decode`](crate::LostClass::Decode), in its place; further
//! fields are ignored. Readers accept all older versions.
//!
//! # Contents
//! Recordings hold the captured payload: credentials, cookies and personal data of whatever was traced. [`Writer::create`] makes the file
//! readable by its owner only. [`Content::Heads`] keeps the first bytes of each segment; that makes files small and is
//! *no* redaction, as heads are where credentials often are.

mod decode;
mod encode;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use self::{
    reader::{OpenError, ReadError, Reader, Skipped},
    writer::{CreateError, Options, Writer},
};

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

/// Whether `start` is how a recording begins.
pub(super) fn detect(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// Longest body of a block: writers split batches, readers refuse longer ones.
const MAX_BODY: usize = 16 << 20;

mod kind {
    pub(super) const HEADER: u8 = 1;
    pub(super) const ORIGIN: u8 = 2;
    pub(super) const BATCH: u8 = 3;
    pub(super) const END: u8 = 4;
}

mod tag {
    pub(super) const OPENED: u16 = 1;
    pub(super) const SEGMENT: u16 = 2;
    pub(super) const GAP: u16 = 3;
    pub(super) const CLOSED: u16 = 4;
    pub(super) const CONNECT_FAILED: u16 = 5;
    pub(super) const STARTED: u16 = 6;
    pub(super) const RENAMED: u16 = 7;
    pub(super) const EXITED: u16 = 8;
    pub(super) const TICK: u16 = 9;
    pub(super) const CLOCK: u16 = 10;
    pub(super) const CUSTOM: u16 = 11;
    pub(super) const LOST: u16 = 12;
}
