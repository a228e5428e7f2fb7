//! What a capture file yields, whatever its format.

/// What a file says about a frame besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Nanoseconds since the Unix epoch.
    pub(super) at: u64,
    /// Link type; `None` if the file does not tell.
    pub(super) link: Option<u16>,
    /// Bytes of the frame that were not captured.
    pub(super) missing: usize,
}

/// One step through a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Frame(Frame),
    /// The capturing side says that it dropped frames.
    Dropped(u64),
    End,
}

/// No interface has frames near this long; a longer record is a damaged length.
pub(super) const MAX_RECORD: usize = 16 << 20;
