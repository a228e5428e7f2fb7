//! What can go wrong with a capture.

use std::{io, sync::Arc};

/// Why a capture cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is something else.
    #[error("not a capture file: neither pcap nor pcapng")]
    NotCapture,
    /// It ends in its first header.
    #[error("the capture is cut off in its first header: nothing of it can be read")]
    Torn,
    /// Its frames are of a kind that cannot be read.
    #[error("link type {0} is not supported: capture on Ethernet, Linux cooked, raw IP, loopback or PPP")]
    LinkType(u16),
    /// It cannot be read.
    #[error("cannot read the capture")]
    Io(#[source] io::Error),
}

/// Why a capture cannot be read to its end. Everything before it was delivered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// It ends in the middle of a record, as it does when its writer was stopped.
    #[error("the capture is cut off in the record at byte {offset}; everything before it was read")]
    Torn {
        /// Where that record starts.
        offset: u64,
    },
    /// A record contradicts the format.
    #[error("the capture is damaged at byte {offset}; everything before it was read")]
    Corrupt {
        /// Where that record starts.
        offset: u64,
    },
    /// Reading failed.
    #[error("cannot read the capture at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: Arc<io::Error>,
    },
}
