//! Putting fragmented IP packets together again, within limits.

use std::time::Duration;

use super::{
    ip::{Fragment, Packet},
    table::Table,
};
use crate::time::Timestamp;

/// Fragments waiting for the rest of their packet.
///
/// Fragments that overlap are an attack or a damaged capture: the whole packet is given up (RFC 5722 demands it for IPv6), unless one
/// repeats another exactly.
#[derive(Debug)]
pub(super) struct Fragments {
    packets: Table<Key, Partial>,
    bytes: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    addresses: [u128; 2],
    protocol: u8,
    id: u32,
}

#[derive(Debug)]
struct Partial {
    since: Timestamp,
    /// Sorted by offset, never overlapping.
    pieces: Vec<Piece>,
    /// Bytes of the packet that the pieces make up.
    covered: usize,
    /// Memory the pieces take.
    cost: usize,
    /// Known once the last fragment was seen.
    total: Option<usize>,
    /// Given up; kept for a while so that later fragments start nothing new.
    rejected: bool,
}

#[derive(Debug)]
struct Piece {
    offset: usize,
    len: usize,
    data: Box<[u8]>,
}

impl Piece {
    const fn end(&self) -> usize {
        self.offset + self.len
    }
}

/// A packet put together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// The captured bytes from its beginning.
    pub(super) data: Vec<u8>,
    /// Its true length.
    pub(super) len: usize,
}

impl Fragments {
    /// At most `limit` bytes of waiting fragments.
    pub(super) fn new(limit: usize) -> Self {
        Self { packets: Table::new(), bytes: 0, limit }
    }

    /// Take a fragment: the packet if that was its last, and how many frames were lost with what had to go.
    pub(super) fn handle(&mut self, now: Timestamp, packet: &Packet<'_>, fragment: Fragment) -> (Option<Whole>, u64) {
        let mut lost = self.expire(now);
        let key = Key { addresses: packet.addresses, protocol: packet.protocol, id: fragment.id };
        let rejected = {
            let partial = match self.packets.get_mut(&key) {
                Some(partial) => partial,
                None => {
                    let new = Partial::new(now);
                    self.packets.insert(key, new);
                    match self.packets.get_mut(&key) {
                        Some(partial) => partial,
                        None => return (None, lost),
                    }
                }
            };
            if partial.rejected {
                return (None, lost + 1);
            }
            let before = partial.cost;
            let rejected = partial.add(packet, fragment).is_none();
            if rejected {
                lost += partial.pieces.len() as u64 + 1;
                *partial = Partial { rejected, ..Partial::new(partial.since) };
            }
            self.bytes = self.bytes + partial.cost - before;
            rejected
        };
        if !rejected && let Some(whole) = self.packets.get_mut(&key).and_then(|partial| partial.whole()) {
            self.remove(&key);
            return (Some(whole), lost);
        }
        while self.bytes + self.packets.len() * 128 > self.limit {
            let Some((_, partial)) = self.packets.pop_oldest() else { break };
            self.bytes -= partial.cost;
            lost += partial.pieces.len() as u64;
        }
        (None, lost)
    }

    /// Give up everything.
    pub(super) fn drain(&mut self) -> u64 {
        let mut lost = 0;
        while let Some((_, partial)) = self.packets.pop_oldest() {
            lost += partial.pieces.len() as u64;
        }
        self.bytes = 0;
        lost
    }

    fn expire(&mut self, now: Timestamp) -> u64 {
        let mut lost = 0;
        while let Some((key, partial)) = self.packets.oldest()
            && now.since(partial.since) > TIMEOUT
        {
            let key = *key;
            lost += partial.pieces.len() as u64;
            self.remove(&key);
        }
        lost
    }

    fn remove(&mut self, key: &Key) {
        if let Some(partial) = self.packets.remove(key) {
            self.bytes -= partial.cost;
        }
    }
}

impl Partial {
    const fn new(since: Timestamp) -> Self {
        Self { since, pieces: Vec::new(), covered: 0, cost: 0, total: None, rejected: false }
    }

    /// `None` if the fragment contradicts the others.
    fn add(&mut self, packet: &Packet<'_>, fragment: Fragment) -> Option<()> {
        let (start, end) = (fragment.offset, fragment.offset + packet.len);
        if end > MAX_PACKET || (packet.len == 0 && fragment.more) {
            return None;
        }
        if !fragment.more {
            if self.total.is_some_and(|total| total != end) {
                return None;
            }
            self.total = Some(end);
        }
        if self.total.is_some_and(|total| end.max(self.pieces.last().map_or(0, Piece::end)) > total) {
            return None;
        }
        let at = self.pieces.partition_point(|piece| piece.offset < start);
        if let Some(next) = self.pieces.get(at) {
            if next.offset == start && next.len == packet.len {
                let both = next.data.len().min(packet.data.len());
                return (next.data.get(..both) == packet.data.get(..both)).then_some(());
            }
            if next.offset < end {
                return None;
            }
        }
        if at.checked_sub(1).and_then(|at| self.pieces.get(at)).is_some_and(|piece| piece.end() > start) {
            return None;
        }
        self.covered += packet.len;
        self.cost += packet.data.len() + size_of::<Piece>();
        self.pieces.insert(at, Piece { offset: start, len: packet.len, data: packet.data.into() });
        Some(())
    }

    fn whole(&self) -> Option<Whole> {
        let total = self.total?;
        // Pieces never overlap or lie beyond the end, so their sum tells.
        if self.covered != total {
            return None;
        }
        let mut data = Vec::with_capacity(total);
        for piece in &self.pieces {
            data.extend_from_slice(&piece.data);
            if piece.data.len() < piece.len {
                break;
            }
        }
        Some(Whole { data, len: total })
    }
}

/// What Linux grants (`net.ipv4.ipfrag_time`).
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_PACKET: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(offset: usize, data: &[u8], more: bool) -> (Packet<'_>, Fragment) {
        let fragment = Fragment { id: 7, offset, more };
        (Packet { addresses: [1, 2], protocol: 17, data, len: data.len(), fragment: Some(fragment) }, fragment)
    }

    fn feed(fragments: &mut Fragments, at: u64, piece: &(Packet<'_>, Fragment)) -> (Option<Vec<u8>>, u64) {
        let (whole, lost) = fragments.handle(Timestamp::from_nanos(at), &piece.0, piece.1);
        (whole.map(|whole| whole.data), lost)
    }

    #[test]
    fn any_order_and_repeats_give_the_packet() {
        let pieces = [piece(0, b"01234567", true), piece(8, b"89abcdef", true), piece(16, b"gh", false)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut fragments = Fragments::new(1 << 20);
            assert_eq!(feed(&mut fragments, 0, &pieces[order[0]]), (None, 0));
            assert_eq!(feed(&mut fragments, 1, &pieces[order[0]]), (None, 0));
            assert_eq!(feed(&mut fragments, 2, &pieces[order[1]]), (None, 0));
            assert_eq!(feed(&mut fragments, 3, &pieces[order[2]]), (Some(b"0123456789abcdefgh".to_vec()), 0));
            assert_eq!((fragments.bytes, fragments.packets.len()), (0, 0));
        }
    }

    #[test]
    fn an_overlap_gives_the_packet_up() {
        let mut fragments = Fragments::new(1 << 20);
        assert_eq!(feed(&mut fragments, 0, &piece(0, b"0123456789abcdef", true)), (None, 0));
        assert_eq!(feed(&mut fragments, 0, &piece(8, b"XXXXXXXX", true)), (None, 2));
        assert_eq!(feed(&mut fragments, 0, &piece(16, b"gh", false)), (None, 1));
        assert_eq!(fragments.bytes, 0);
    }

    #[test]
    fn time_and_memory_are_bounded_and_counted() {
        let mut fragments = Fragments::new(1000);
        assert_eq!(feed(&mut fragments, 0, &piece(0, b"01234567", true)), (None, 0));
        let late = TIMEOUT.as_nanos() as u64 + 1;
        assert_eq!(feed(&mut fragments, late, &piece(8, b"gh", false)), (None, 1));
        assert_eq!(feed(&mut fragments, late, &piece(16, &[0; 2000], true)), (None, 2));
        assert_eq!(fragments.bytes, 0);
    }
}
