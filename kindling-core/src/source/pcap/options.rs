//! How to read a capture.

use std::time::Duration;

use crate::id::Origin;

/// How to read a capture.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where the events come from; by default `pcap` and a digest of the first packet.
    pub origin: Option<Origin>,
    /// TCP connections tracked at once; the longest idle one goes first. 65 536.
    pub max_connections: usize,
    /// Datagram flows tracked at once. 65 536.
    pub max_datagram_flows: usize,
    /// Bytes that may wait for a hole in all; 64 MiB.
    pub max_held: usize,
    /// Bytes that may wait for a hole in one direction of a connection; 4 MiB.
    pub max_held_each: usize,
    /// How long, in capture time, a hole is waited for; 3 s.
    pub hole_timeout: Duration,
    /// How long, in capture time, a datagram flow may be idle; 60 s.
    pub datagram_idle: Duration,
    /// Events a batch holds before it is handed out; 1024. A pipe that should be seen packet by packet wants 1.
    pub batch_events: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            origin: None,
            max_connections: 1 << 16,
            max_datagram_flows: 1 << 16,
            max_held: 64 << 20,
            max_held_each: 4 << 20,
            hole_timeout: Duration::from_secs(3),
            datagram_idle: Duration::from_secs(60),
            batch_events: 1024,
        }
    }
}

impl Options {
    /// Where the events come from.
    #[must_use]
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// TCP connections tracked at once.
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Datagram flows tracked at once.
    #[must_use]
    pub const fn max_datagram_flows(mut self, flows: usize) -> Self {
        self.max_datagram_flows = flows;
        self
    }

    /// Bytes that may wait for holes: in all, and in one direction of a connection.
    #[must_use]
    pub const fn max_held(mut self, all: usize, each: usize) -> Self {
        self.max_held = all;
        self.max_held_each = each;
        self
    }

    /// How long a hole is waited for.
    #[must_use]
    pub const fn hole_timeout(mut self, timeout: Duration) -> Self {
        self.hole_timeout = timeout;
        self
    }

    /// How long a datagram flow may be idle.
    #[must_use]
    pub const fn datagram_idle(mut self, idle: Duration) -> Self {
        self.datagram_idle = idle;
        self
    }

    /// Events a batch holds before it is handed out.
    #[must_use]
    pub const fn batch_events(mut self, events: usize) -> Self {
        self.batch_events = events;
        self
    }
}
