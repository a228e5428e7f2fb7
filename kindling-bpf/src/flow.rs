//! One flow: from sequence numbers of 32 bits, or none, to offsets.

use bytes::Bytes;
use kindling_core::{Cause, Direction, Event, FlowId, Gap, Offsets, Segment, Task, Timestamp, Transport};

use crate::{
    arena::Arena,
    record::{self, Header, flag},
};

/// What is known of a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    transport: Transport,
    counted: bool,
    /// Offset of the next byte, by direction.
    next: [Option<u64>; 2],
    /// The connection it is, if its opening told.
    pub(crate) connection: Option<Connection>,
    /// Number of the note to look whether it went idle.
    pub(crate) note: u64,
    /// When bytes moved last.
    pub(crate) last: Timestamp,
}

/// What tells a socket's connection from its next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    local: ([u8; 16], u16),
    remote: ([u8; 16], u16),
    /// Where its sequence numbers began, if that was seen.
    first_out: Option<u32>,
}

impl Connection {
    pub(crate) const fn new(a: &record::Addresses, first_out: Option<u32>) -> Self {
        Self { local: (a.local, a.local_port), remote: (a.remote, a.remote_port), first_out }
    }

    /// Whether `self` cannot be the connection `before`.
    pub(crate) fn follows(&self, before: &Self) -> bool {
        let other_start = self.first_out.zip(before.first_out).is_some_and(|(new, old)| new != old);
        (self.local, self.remote) != (before.local, before.remote) || other_start
    }
}

/// A segment record, checked.
pub(crate) struct Moved<'a> {
    pub(crate) at: Timestamp,
    pub(crate) flow: FlowId,
    pub(crate) direction: Direction,
    pub(crate) len: u32,
    pub(crate) payload: &'a [u8],
    seq: u32,
    skipped: u32,
    before: u32,
    dropped: u32,
    flags: u32,
}

impl<'a> Moved<'a> {
    /// `None` if the record contradicts itself.
    pub(crate) fn new(header: &Header, segment: &record::Segment, rest: &'a [u8]) -> Option<Self> {
        let payload = rest.get(..usize::try_from(segment.captured).ok()?)?;
        if segment.skipped.checked_add(segment.captured)? > segment.moved {
            return None;
        }
        Some(Self {
            at: Timestamp::from_nanos(header.at),
            flow: FlowId(header.flow),
            direction: if segment.flags & flag::SEG_IN != 0 { Direction::In } else { Direction::Out },
            len: segment.moved,
            payload,
            seq: segment.seq,
            skipped: segment.skipped,
            before: segment.before,
            dropped: segment.dropped,
            flags: segment.flags,
        })
    }

    const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

impl Flow {
    /// A flow of which nothing moved yet. `counted`: its offsets are, not sequence numbers.
    pub(crate) const fn new(transport: Transport, counted: bool) -> Self {
        Self { transport, counted, next: [None; 2], connection: None, note: 0, last: Timestamp::ZERO }
    }

    /// Whether its offsets are counted here.
    pub(crate) const fn counted(&self) -> bool {
        self.counted
    }

    /// What its offsets are.
    pub(crate) const fn offsets(&self) -> Offsets {
        match (self.transport, self.counted) {
            (Transport::Udp, _) => Offsets::Datagram,
            (_, true) => Offsets::Counted,
            _ => Offsets::Tcp,
        }
    }

    /// Both directions begin here; gives the offsets of their first bytes.
    pub(crate) fn begin(&mut self, out: u32, incoming: u32) -> (Option<u64>, Option<u64>) {
        let first = |seq| if self.counted { 0 } else { FIRST_LAP | u64::from(seq) };
        self.next = [Some(first(out)), Some(first(incoming))];
        (self.next[0], self.next[1])
    }

    /// The offset of bytes that are counted, and count them.
    pub(crate) fn count(&mut self, moved: &Moved<'_>) -> u64 {
        let [out, incoming] = &mut self.next;
        let next = if moved.direction == Direction::Out { out } else { incoming };
        let offset = next.unwrap_or(0).saturating_add(u64::from(moved.dropped));
        *next = Some(offset.saturating_add(u64::from(moved.len)));
        offset
    }

    /// Bytes of a stream moved: append the segment, and the gap before it.
    pub(crate) fn moved(
        &mut self,
        moved: &Moved<'_>,
        past_hooks: Cause,
        task: Option<Task>,
        arena: &mut Arena,
        out: &mut Vec<Event>,
    ) {
        if self.counted {
            let offset = self.count(moved);
            return shown(moved, offset, task, arena, out);
        }
        let [first, second] = &mut self.next;
        let next = if moved.direction == Direction::Out { first } else { second };
        let offset = extend(*next, moved.seq);
        let end = offset.saturating_add(u64::from(moved.len));
        let expected = next.unwrap_or(offset);
        *next = Some(end.max(expected));
        if moved.has(flag::SEG_CONTRADICTS) {
            // Two threads moved bytes at once and nobody can tell whose are where: only what is new is said to have moved.
            let from = if moved.before > 0 { offset.saturating_sub(u64::from(moved.before)) } else { expected };
            return gap(moved, from, end.saturating_sub(from), Cause::Lost, out);
        }
        let before = u64::from(moved.before);
        gap(moved, offset.saturating_sub(before), before, past_hooks, out);
        shown(moved, offset, task, arena, out);
    }
}

/// The segment itself, at `offset`.
fn shown(moved: &Moved<'_>, offset: u64, task: Option<Task>, arena: &mut Arena, out: &mut Vec<Event>) {
    if moved.has(flag::SEG_NOT_TARGETED) {
        return gap(moved, offset, u64::from(moved.len), Cause::NotTargeted, out);
    }
    let (at, flow, direction) = (moved.at, moved.flow, moved.direction);
    let skipped = u64::from(moved.skipped);
    if skipped > 0 {
        out.push(Event::Segment(Segment { at, flow, direction, offset, data: Bytes::new(), len: skipped, task }));
    }
    let (offset, len) = (offset.saturating_add(skipped), u64::from(moved.len) - skipped);
    if len > 0 {
        let data = arena.keep(moved.payload);
        out.push(Event::Segment(Segment { at, flow, direction, offset, data, len, task }));
    }
}

fn gap(moved: &Moved<'_>, offset: u64, len: u64, cause: Cause, out: &mut Vec<Event>) {
    if len > 0 {
        out.push(Event::Gap(Gap { at: moved.at, flow: moved.flow, direction: moved.direction, offset, len, cause }));
    }
}

/// The offset nearest to `near` whose low 32 bits are `seq`.
fn extend(near: Option<u64>, seq: u32) -> u64 {
    let Some(near) = near else { return FIRST_LAP | u64::from(seq) };
    let low = u32::try_from(near & u64::from(u32::MAX)).unwrap_or_default();
    let ahead = i32::from_ne_bytes(seq.wrapping_sub(low).to_ne_bytes());
    near.saturating_add_signed(i64::from(ahead))
}

/// Offsets start one lap in, so that a step back from the first one seen does not fall below 0.
const FIRST_LAP: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap() {
        let before = FIRST_LAP | 0xffff_fff0;
        assert_eq!(extend(Some(before), 0x10), 2 * FIRST_LAP + 0x10);
        assert_eq!(extend(Some(2 * FIRST_LAP + 0x10), 0xffff_fff0), before);
        assert_eq!(extend(None, 7), FIRST_LAP + 7);
    }
}
