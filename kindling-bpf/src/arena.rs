//! The memory that the payloads of a batch share.

use bytes::{Bytes, BytesMut};

/// Most payload bytes of one batch.
pub(crate) const ARENA: usize = 256 * 1024;

/// Collects the payloads of a batch in one allocation.
#[derive(Default)]
pub(crate) struct Arena {
    memory: BytesMut,
    used: usize,
}

impl Arena {
    /// Copy `bytes` in.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        if self.memory.capacity() < bytes.len() {
            self.memory = BytesMut::with_capacity(ARENA.max(bytes.len()));
        }
        self.used += bytes.len();
        self.memory.extend_from_slice(bytes);
        self.memory.split().freeze()
    }

    /// Whether the batch should end before another record of the usual size comes.
    pub(crate) const fn is_full(&self) -> bool {
        self.used >= ARENA - 16 * 1024
    }

    /// Start anew for the next batch, in memory of its own once this is mostly used.
    pub(crate) fn next_batch(&mut self) {
        self.used = 0;
        if self.memory.capacity() < ARENA / 2 {
            self.memory = BytesMut::new();
        }
    }
}
