//! What an engine may hold, and how it looks at things.

use std::time::Duration;

use crate::protocol::Content;

/// Limits and modes of an [`Engine`](crate::Engine). All of them are hard: what does not fit is given up and counted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Flows followed at once; beyond, the one silent for longest goes.
    pub max_flows: usize,
    /// Bytes buffered over all flows; beyond, a flow that needs more loses its partial message. Segments that came before their turn are
    /// apart from it: at most 1 MiB a flow, for the reorder window.
    pub max_buffered: u64,
    /// Requests waiting on one flow; beyond, they count as lost.
    pub max_pending: usize,
    /// Bytes of one flow looked at before it counts as opaque.
    pub probe_bytes: usize,
    /// How long events of one flow may be out of order, in stream time.
    pub reorder_window: Duration,
    /// How much of what was said users see.
    pub content: Content,
    /// Whether exchanges carry attributes.
    pub attributes: bool,
    /// Whether each flow keeps a ledger of its own, 0.3 KiB each.
    pub flow_ledgers: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_flows: 200_000,
            max_buffered: 64 << 20,
            max_pending: 16_384,
            probe_bytes: 64 << 10,
            reorder_window: Duration::from_millis(10),
            content: Content::Safe,
            attributes: true,
            flow_ledgers: false,
        }
    }
}

impl Limits {
    /// Flows followed at once.
    #[must_use]
    pub const fn max_flows(mut self, flows: usize) -> Self {
        self.max_flows = flows;
        self
    }

    /// Bytes buffered over all flows.
    #[must_use]
    pub const fn max_buffered(mut self, bytes: u64) -> Self {
        self.max_buffered = bytes;
        self
    }

    /// Requests waiting on one flow.
    #[must_use]
    pub const fn max_pending(mut self, requests: usize) -> Self {
        self.max_pending = requests;
        self
    }

    /// Bytes of one flow looked at by detection.
    #[must_use]
    pub const fn probe_bytes(mut self, bytes: usize) -> Self {
        self.probe_bytes = bytes;
        self
    }

    /// How long events of one flow may be out of order; zero where the source keeps order.
    #[must_use]
    pub const fn reorder_window(mut self, window: Duration) -> Self {
        self.reorder_window = window;
        self
    }

    /// How much of what was said users see.
    #[must_use]
    pub const fn content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// Whether exchanges carry attributes.
    #[must_use]
    pub const fn attributes(mut self, attributes: bool) -> Self {
        self.attributes = attributes;
        self
    }

    /// Whether each flow keeps a ledger of its own.
    #[must_use]
    pub const fn flow_ledgers(mut self, ledgers: bool) -> Self {
        self.flow_ledgers = ledgers;
        self
    }
}
