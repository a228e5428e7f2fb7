//! What the engine asks of a source: how much payload is worth copying.

use crate::id::{Direction, FlowId};

/// A wish about one direction of a flow. Sources that cannot follow it ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Directive {
    /// Which flow.
    pub flow: FlowId,
    /// Which way.
    pub direction: Direction,
    /// Copy at most this many bytes of each segment; 0 for lengths only, `u32::MAX` for as much as the source can.
    pub per_segment: u32,
    /// Copy nothing that lies before this offset: the parser will skip it.
    pub skip_to: Option<u64>,
}

impl Directive {
    /// As much payload as the source can give, from here on.
    #[must_use]
    pub const fn everything(flow: FlowId, direction: Direction) -> Self {
        Self { flow, direction, per_segment: u32::MAX, skip_to: None }
    }

    /// Lengths only.
    #[must_use]
    pub const fn nothing(flow: FlowId, direction: Direction) -> Self {
        Self { flow, direction, per_segment: 0, skip_to: None }
    }

    /// At most `bytes` of each segment.
    #[must_use]
    pub const fn per_segment(mut self, bytes: u32) -> Self {
        self.per_segment = bytes;
        self
    }

    /// Nothing before `offset`.
    #[must_use]
    pub const fn skip_to(mut self, offset: u64) -> Self {
        self.skip_to = Some(offset);
        self
    }
}
