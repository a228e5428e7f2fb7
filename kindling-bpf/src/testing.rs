//! The decoder of ring records without a kernel, for fuzzing and for tests on recorded ring bytes.

use std::time::Duration;

use kindling_core::{Event, Timestamp};

use crate::{arena::Arena, decode::Decoder};

/// Decodes records as the reader of a probe does.
pub struct Records {
    decoder: Decoder,
    arena: Arena,
}

impl Records {
    /// A decoder that has seen nothing, and ends flows without an end of their own after `idle_after` without a byte.
    #[must_use]
    pub fn new(idle_after: Duration) -> Self {
        Self { decoder: Decoder::new(idle_after, Vec::new()), arena: Arena::default() }
    }

    /// Decode one record and append what it tells to `out`.
    pub fn record(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        self.decoder.record(bytes, &mut self.arena, out);
        if self.arena.is_full() {
            self.arena.next_batch();
        }
    }

    /// End what has been idle for too long at `now`.
    pub fn expire(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        self.decoder.expire(now, out);
    }

    /// Records that could not be read since the last call.
    pub const fn take_rejected(&mut self) -> u64 {
        self.decoder.take_rejected()
    }
}
