//! Events on their way out, with their payload in one arena.

use bytes::{Bytes, BytesMut};

use crate::{
    event::{Cause, Event, Gap, Segment},
    id::{Direction, FlowId},
    time::Timestamp,
};

/// Collects the events of a batch.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) now: Timestamp,
    pub(super) events: Vec<Event>,
    arena: BytesMut,
    payload: usize,
}

impl Out {
    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Copy `data` into the arena.
    pub(super) fn copy(&mut self, data: &[u8]) -> Bytes {
        if data.is_empty() {
            return Bytes::new();
        }
        if self.arena.capacity() < data.len() {
            self.arena.reserve(data.len().max(ARENA));
        }
        self.arena.extend_from_slice(data);
        self.arena.split().freeze()
    }

    /// Payload collected since the last [`take`](Self::take).
    pub(super) const fn payload(&self) -> usize {
        self.payload
    }

    pub(super) fn take(&mut self) -> Vec<Event> {
        self.payload = 0;
        let room = self.events.len();
        std::mem::replace(&mut self.events, Vec::with_capacity(room))
    }
}

/// Where the bytes of one direction of a flow go.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    pub(super) out: &'a mut Out,
    pub(super) flow: FlowId,
    pub(super) direction: Direction,
}

impl Sink<'_> {
    pub(super) fn segment(&mut self, offset: u64, data: Bytes, len: u64) {
        self.out.payload += data.len();
        let (at, flow, direction) = (self.out.now, self.flow, self.direction);
        self.out.push(Event::Segment(Segment { at, flow, direction, offset, data, len, task: None }));
    }

    pub(super) fn gap(&mut self, offset: u64, len: u64) {
        let (at, flow, direction) = (self.out.now, self.flow, self.direction);
        self.out.push(Event::Gap(Gap { at, flow, direction, offset, len, cause: Cause::Lost }));
    }
}

const ARENA: usize = 256 << 10;
