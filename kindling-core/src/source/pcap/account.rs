//! What became of the frames of a capture.

/// The account of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames read.
    pub frames: u64,
    /// Frames that carry neither TCP nor UDP.
    pub other: u64,
    /// Frames that could not be read, fragments of packets never completed, and frames the capturing side dropped; also in the stream as `Lost`.
    pub lost: u64,
    /// TCP bytes seen again.
    pub duplicate: u64,
    /// TCP bytes of connections that had ended.
    pub after_close: u64,
    /// TCP bytes too far from their stream to belong to it.
    pub stray: u64,
    /// Flows ended for the limit on flows.
    pub evicted: u64,
}
