//! One direction of a TCP connection: bytes in the order of their sequence numbers, each once.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::out::Sink;

/// Reassembles one direction.
///
/// The first copy of a byte wins. What arrives ahead of a hole waits until the hole is filled, or until it is known that it will not be:
/// the other end acknowledged bytes beyond it (so the capture missed them), or [`give_up`](Self::give_up) is called.
///
/// Positions are sequence numbers extended to 64 bits: the low 32 bits are the wire's. They are signed here because a
/// retransmission may lie before the first byte that was seen.
#[derive(Debug, Default)]
pub(super) struct Half {
    next: Option<i64>,
    waiting: BTreeMap<i64, Piece>,
    /// Bytes held in `waiting`, its own overhead included.
    held: usize,
    /// Everything before was acknowledged by the other end.
    acknowledged: Option<u32>,
    fin: Option<i64>,
    /// Whether a deadline is running for the first hole.
    pub(super) timed: bool,
}

#[derive(Debug)]
struct Piece {
    data: Bytes,
    len: i64,
}

impl Half {
    /// The first byte will be `seq`.
    pub(super) fn start(&mut self, seq: u32) {
        if self.next.is_none() {
            self.next = Some(seq.into());
        }
    }

    /// Whether bytes were seen, or their start is known.
    pub(super) const fn started(&self) -> bool {
        self.next.is_some()
    }

    /// The position of the next byte, if that is known.
    pub(super) fn reached(&self) -> Option<u64> {
        self.next.map(i64::cast_unsigned)
    }

    /// Whether the end was seen and nothing before it is missing.
    pub(super) fn finished(&self) -> bool {
        self.fin.is_some() && self.fin == self.next
    }

    /// Whether something waits for bytes before it.
    pub(super) fn has_hole(&self) -> bool {
        !self.waiting.is_empty() || (self.fin.is_some() && self.fin != self.next)
    }

    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Whether `seq` can belong to this stream: windows reach 2^30 bytes (RFC 7323, section 2.3), so what is further away is of another.
    pub(super) fn plausible(&self, seq: u32) -> bool {
        self.next.is_none_or(|next| (extend(seq, next) - next).unsigned_abs() <= 1 << 30)
    }

    /// Take a segment: `data` is the captured part of its `len` bytes. Returns how many were not new.
    pub(super) fn handle(&mut self, seq: u32, data: &[u8], len: u32, fin: bool, sink: &mut Sink<'_>) -> u64 {
        if self.next.is_none() {
            // A keep-alive probe repeats the last byte that was acknowledged.
            let probe = len == 1 && self.acknowledged == Some(seq.wrapping_add(1));
            self.next = Some(i64::from(seq) + i64::from(probe));
        }
        let next = self.next.unwrap_or_default();
        let start = extend(seq, next);
        let mut end = start + i64::from(len);
        if fin && end >= next {
            self.fin.get_or_insert(end);
        }
        if let Some(fin) = self.fin {
            end = end.min(fin);
        }
        let fresh = self.place(start, end, data, next, sink);
        self.settle(sink);
        u64::from(len) - fresh
    }

    /// The other end has everything before `ack`.
    pub(super) fn acknowledge(&mut self, ack: u32, sink: &mut Sink<'_>) {
        let newer = self.acknowledged.is_none_or(|before| ack.wrapping_sub(before).cast_signed() > 0);
        if newer {
            self.acknowledged = Some(ack);
            self.settle(sink);
        }
    }

    /// The first hole will not be filled; says whether there was one.
    pub(super) fn give_up(&mut self, sink: &mut Sink<'_>) -> bool {
        let Some(next) = self.next else { return false };
        let Some(end) = self.waiting.keys().next().copied().or(self.fin) else { return false };
        if end <= next {
            return false;
        }
        sink.gap(next.cast_unsigned(), (end - next).cast_unsigned());
        self.next = Some(end);
        self.drain(sink);
        true
    }

    /// Store or pass on what is new in `start..end`; returns how many bytes that was.
    fn place(&mut self, start: i64, end: i64, data: &[u8], next: i64, sink: &mut Sink<'_>) -> u64 {
        let mut at = start.max(next);
        if at >= end {
            return 0;
        }
        let cut = |from: i64, to: i64| slice(data, from - start, to - start);
        if at == next && self.waiting.is_empty() {
            let bytes = sink.out.copy(cut(at, end));
            sink.segment(at.cast_unsigned(), bytes, (end - at).cast_unsigned());
            self.next = Some(end);
            return (end - at).cast_unsigned();
        }
        let mut fresh = 0;
        while at < end {
            if let Some((from, piece)) = self.waiting.range(..=at).next_back()
                && from + piece.len > at
            {
                at = from + piece.len;
                continue;
            }
            let stop = self.waiting.range(at..).next().map_or(end, |(from, _)| end.min(*from));
            let piece = Piece { data: Bytes::copy_from_slice(cut(at, stop)), len: stop - at };
            self.held += piece.cost();
            self.waiting.insert(at, piece);
            fresh += (stop - at).cast_unsigned();
            at = stop;
        }
        fresh
    }

    /// Pass on what is in order, and what lies behind holes that were acknowledged.
    fn settle(&mut self, sink: &mut Sink<'_>) {
        self.drain(sink);
        while let (Some(next), Some(ack)) = (self.next, self.acknowledged) {
            let Some(end) = self.waiting.keys().next().copied().or(self.fin) else { return };
            if end <= next || extend(ack, next) < end {
                return;
            }
            self.give_up(sink);
        }
    }

    fn drain(&mut self, sink: &mut Sink<'_>) {
        while let (Some(next), Some(entry)) = (self.next, self.waiting.first_entry())
            && *entry.key() == next
        {
            let piece = entry.remove();
            self.held -= piece.cost();
            sink.segment(next.cast_unsigned(), piece.data, piece.len.cast_unsigned());
            self.next = Some(next + piece.len);
        }
    }
}

impl Piece {
    const fn cost(&self) -> usize {
        self.data.len() + OVERHEAD
    }
}

/// The position nearest to `near` whose low 32 bits are `seq`.
fn extend(seq: u32, near: i64) -> i64 {
    let low = u32::try_from(near & 0xffff_ffff).unwrap_or_default();
    near + i64::from(seq.wrapping_sub(low).cast_signed())
}

/// The part of `data` between two positions, as far as it was captured.
fn slice(data: &[u8], from: i64, to: i64) -> &[u8] {
    let index = |position: i64| usize::try_from(position).unwrap_or(0).min(data.len());
    data.get(index(from)..index(to)).unwrap_or_default()
}

/// What a waiting piece costs besides its bytes.
const OVERHEAD: usize = 96;
