//! One TCP connection, from its SYN to what is remembered of it.

use std::time::Duration;

use super::{
    account::Counters,
    half::Half,
    key::{FlowIds, Key},
    out::{Out, Sink},
};
use crate::{
    event::{CloseReason, ConnectFailed, Event, Opened, Vantage},
    id::{Direction, FlowId, Offsets, Role, Transport},
    source::cursor::Cursor,
    time::Timestamp,
};

/// A TCP segment; `data` is the captured part of its `len` bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) data: &'a [u8],
    pub(super) len: u32,
}

impl<'a> Packet<'a> {
    /// Ports and segment from the payload of an IP packet (RFC 9293, section 3.1).
    pub(super) fn parse(bytes: &'a [u8], len: usize) -> Option<([u16; 2], Self)> {
        let mut cursor = Cursor::new(bytes);
        let ports = [cursor.be16()?, cursor.be16()?];
        let (seq, ack) = (cursor.be32()?, cursor.be32()?);
        let (header, flags) = (usize::from(cursor.u8()? >> 4) * 4, cursor.u8()?);
        if header < 20 || header > len {
            return None;
        }
        let data = bytes.get(header..).unwrap_or_default();
        let packet = Self {
            seq,
            ack: (flags & 0x10 != 0).then_some(ack),
            syn: flags & 0x02 != 0,
            fin: flags & 0x01 != 0,
            rst: flags & 0x04 != 0,
            data,
            len: u32::try_from(len - header).ok()?,
        };
        Some((ports, packet))
    }

    /// Whether it completes a handshake that began with `syn`.
    pub(super) fn answers(&self, syn: &Syn) -> bool {
        let window = syn.early.len;
        self.ack.is_some_and(|ack| ack.wrapping_sub(syn.seq.wrapping_add(1)) <= window)
    }
}

/// A first SYN that nobody answered yet.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) flow: FlowId,
    pub(super) side: usize,
    pub(super) syn: Syn,
    pub(super) since: Timestamp,
    pub(super) repeated: bool,
}

#[derive(Debug)]
pub(super) struct Syn {
    pub(super) seq: u32,
    pub(super) early: Early,
}

/// Data in a SYN (RFC 7413): it counts only once it was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Early {
    pub(super) data: Vec<u8>,
    pub(super) len: u32,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) flow: FlowId,
    /// Which end of the key is the local one.
    pub(super) local: usize,
    /// By the end of the key that sends.
    pub(super) halves: [Half; 2],
    /// The sequence number of each end's SYN.
    pub(super) syns: [Option<u32>; 2],
    /// A SYN that does not belong to this connection, until an answer shows that it was the start of the next.
    pub(super) next: Option<Opening>,
    pub(super) last: Timestamp,
}

#[derive(Debug)]
pub(super) struct Ended {
    pub(super) at: Timestamp,
    pub(super) syns: [Option<u32>; 2],
}

/// What handling a packet means for its connection.
pub(super) enum Verdict {
    Goes,
    Ends(CloseReason),
    /// The tuple was used again, without a SYN that was captured.
    Stale,
    /// The tuple was used again: the packet belongs to the connection that this SYN began.
    Replaced(Opening),
}

impl Opening {
    pub(super) fn new(flow: FlowId, side: usize, packet: &Packet<'_>, since: Timestamp) -> Self {
        let data = packet.data.get(..EARLY).unwrap_or(packet.data).to_vec();
        let early = Early { data, len: packet.len };
        Self { flow, side, syn: Syn { seq: packet.seq, early }, since, repeated: false }
    }

    pub(super) fn syns(&self) -> [Option<u32>; 2] {
        let mut syns = [None; 2];
        if let Some(syn) = syns.get_mut(self.side) {
            *syn = Some(self.syn.seq);
        }
        syns
    }

    pub(super) fn failed(&self, key: Key, errno: i32, out: &mut Out) {
        let (at, after) = (out.now, out.now.since(self.since));
        out.push(Event::ConnectFailed(ConnectFailed {
            at,
            flow: Some(self.flow),
            transport: Transport::Tcp,
            local: key.endpoint(self.side),
            remote: key.endpoint(1 - self.side),
            errno,
            after,
            task: None,
        }));
    }
}

impl Ended {
    /// Whether `packet` cannot belong to the connection that ended.
    pub(super) fn gives_way(&self, side: usize, packet: &Packet<'_>, now: Timestamp) -> bool {
        if packet.syn {
            let known = self.syns.get(side).copied().flatten();
            return known != Some(packet.seq);
        }
        packet.len > 0 && now.since(self.at) >= QUIET
    }
}

impl Connection {
    pub(super) fn new(flow: FlowId, local: usize) -> Self {
        Self {
            flow,
            local,
            halves: [Half::default(), Half::default()],
            syns: [None; 2],
            next: None,
            last: Timestamp::ZERO,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.halves.iter().map(Half::held).sum()
    }

    pub(super) fn finished(&self) -> bool {
        self.halves.iter().all(Half::finished)
    }

    /// The direction that `side` sends, and where its bytes go.
    pub(super) fn half<'a>(&'a mut self, side: usize, out: &'a mut Out) -> (&'a mut Half, Sink<'a>) {
        let direction = if side == self.local { Direction::Out } else { Direction::In };
        let [first, second] = &mut self.halves;
        (if side == 0 { first } else { second }, Sink { out, flow: self.flow, direction })
    }

    pub(super) fn announce(&self, key: Key, role: Role, connect: Option<Duration>, out: &mut Out) {
        out.push(Event::Opened(Opened {
            at: out.now,
            flow: self.flow,
            transport: Transport::Tcp,
            offsets: Offsets::Tcp,
            local: key.endpoint(self.local),
            remote: key.endpoint(1 - self.local),
            role,
            vantage: Vantage::Wire,
            netns: 0,
            midstream: role == Role::Unknown,
            first_out: self.halves.get(self.local).and_then(Half::reached),
            first_in: self.halves.get(1 - self.local).and_then(Half::reached),
            connect,
            task: None,
        }));
    }

    /// `side` answers a SYN: both sequence numbers are known.
    pub(super) fn syn_ack(&mut self, side: usize, packet: &Packet<'_>) {
        for (end, (half, syn)) in self.halves.iter_mut().zip(&mut self.syns).enumerate() {
            let seq = if end == side { Some(packet.seq) } else { packet.ack.map(|ack| ack.wrapping_sub(1)) };
            if let Some(seq) = seq
                && !half.started()
            {
                half.start(seq.wrapping_add(1));
                syn.get_or_insert(seq);
            }
        }
    }

    pub(super) fn handle(
        &mut self,
        side: usize,
        packet: &Packet<'_>,
        ids: &mut FlowIds,
        out: &mut Out,
        counters: &mut Counters,
    ) -> Verdict {
        let own = self.syns.get(side).copied().flatten();
        if packet.syn && own != Some(packet.seq) {
            return self.foreign_syn(side, packet, ids, out);
        }
        // The first packet after a SYN that does not fit this connection proves the next, even if its answer was not captured.
        if let Some(next) = self.next.take_if(|next| next.side == side && packet.seq == next.syn.seq.wrapping_add(1)) {
            return Verdict::Replaced(next);
        }
        if packet.rst {
            return Verdict::Ends(CloseReason::Reset);
        }
        let idle = out.now.since(std::mem::replace(&mut self.last, out.now));
        if packet.len > 0 && !self.halves.get(side).is_some_and(|half| half.plausible(packet.seq)) {
            if idle >= IDLE {
                return Verdict::Stale;
            }
            counters.stray += u64::from(packet.len);
            return Verdict::Goes;
        }
        if let Some(ack) = packet.ack {
            let (half, mut sink) = self.half(1 - side, out);
            half.acknowledge(ack, &mut sink);
        }
        if packet.len > 0 || packet.fin {
            let (half, mut sink) = self.half(side, out);
            let seq = packet.seq.wrapping_add(u32::from(packet.syn));
            counters.duplicate += half.handle(seq, packet.data, packet.len, packet.fin, &mut sink);
        }
        if self.finished() { Verdict::Ends(CloseReason::Closed) } else { Verdict::Goes }
    }

    /// A SYN with another sequence number than this connection's.
    pub(super) fn foreign_syn(&mut self, side: usize, packet: &Packet<'_>, ids: &mut FlowIds, out: &Out) -> Verdict {
        if packet.ack.is_none() {
            let same = self.next.as_ref().is_some_and(|next| next.side == side && next.syn.seq == packet.seq);
            if !same {
                self.next = Some(Opening::new(ids.take(), side, packet, out.now));
            }
            return Verdict::Goes;
        }
        if let Some(next) = self.next.take_if(|next| next.side != side && packet.answers(&next.syn)) {
            return Verdict::Replaced(next);
        }
        // Its own SYN was not captured, or came in the wrong order.
        self.syn_ack(side, packet);
        Verdict::Goes
    }
}

/// Bytes kept of a SYN's data, for there may be as many SYNs as a flood sends.
const EARLY: usize = 1500;
/// Bytes this long after the end cannot have been on their way.
const QUIET: Duration = Duration::from_secs(5);
/// A tuple quiet for this long may be another connection.
const IDLE: Duration = Duration::from_secs(60);
