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
mod format;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use self::{
    format::{Content, MAGIC, VERSION},
    reader::{OpenError, ReadError, Reader, Skipped},
    writer::{CreateError, Options, Writer},
};

/// Whether `start` is how a recording begins.
pub(super) fn detect(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}
