//! Datagrams: a flow per pair of endpoints, until it is idle.

use std::time::Duration;

use super::{
    account::Counters,
    key::{FlowIds, Key},
    out::{Out, Sink},
    table::Table,
};
use crate::{
    event::{CloseReason, Closed, Event, Opened, Vantage},
    id::{Direction, FlowId, Offsets, Role, Transport},
    source::cursor::Cursor,
    time::Timestamp,
};

/// A datagram; `data` is the captured part of its `len` bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'a> {
    data: &'a [u8],
    len: usize,
}

impl<'a> Datagram<'a> {
    /// Ports and datagram from the payload of an IP packet (RFC 768).
    pub(super) fn parse(bytes: &'a [u8], len: usize) -> Option<([u16; 2], Self)> {
        let mut cursor = Cursor::new(bytes);
        let ports = [cursor.be16()?, cursor.be16()?];
        let length = usize::from(cursor.be16()?);
        cursor.take(2)?;
        // Jumbograms (RFC 2675) and segmentation offload leave 0.
        let length = if length == 0 { len } else { length.min(len) };
        let len = length.checked_sub(8)?;
        let data = cursor.rest();
        Some((ports, Self { data: data.get(..len).unwrap_or(data), len }))
    }
}

/// All datagram flows of a capture.
#[derive(Debug)]
pub(super) struct Udp {
    flows: Table<Key, Flow>,
    limit: usize,
    idle: Duration,
}

#[derive(Debug)]
struct Flow {
    id: FlowId,
    local: usize,
    sent: [u64; 2],
    last: Timestamp,
}

impl Udp {
    pub(super) fn new(limit: usize, idle: Duration) -> Self {
        Self { flows: Table::new(), limit: limit.max(1), idle }
    }

    /// Take a datagram that the end `side` of `key` sent.
    pub(super) fn handle(
        &mut self,
        key: Key,
        side: usize,
        datagram: Datagram<'_>,
        ids: &mut FlowIds,
        out: &mut Out,
        counters: &mut Counters,
    ) {
        if self.flows.touch(&key).is_none() {
            let flow = Flow { id: ids.take(), local: side, sent: [0; 2], last: out.now };
            flow.announce(key, out);
            self.flows.insert(key, flow);
            if self.flows.len() > self.limit
                && let Some((_, flow)) = self.flows.pop_oldest()
            {
                counters.evicted += 1;
                flow.close(CloseReason::Idle, out);
            }
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.last = out.now;
        let direction = if side == flow.local { Direction::Out } else { Direction::In };
        let Some(sent) = flow.sent.get_mut(side) else { return };
        let len = datagram.len as u64;
        let offset = std::mem::replace(sent, sent.saturating_add(len));
        let data = out.copy(datagram.data);
        Sink { out, flow: flow.id, direction }.segment(offset, data, len);
    }

    pub(super) fn handle_time(&mut self, out: &mut Out) {
        while self.flows.oldest().is_some_and(|(_, flow)| out.now.since(flow.last) >= self.idle) {
            if let Some((_, flow)) = self.flows.pop_oldest() {
                flow.close(CloseReason::Idle, out);
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut Out) {
        while let Some((_, flow)) = self.flows.pop_oldest() {
            flow.close(CloseReason::SourceEnded, out);
        }
    }
}

impl Flow {
    fn announce(&self, key: Key, out: &mut Out) {
        out.push(Event::Opened(Opened {
            at: out.now,
            flow: self.id,
            transport: Transport::Udp,
            offsets: Offsets::Datagram,
            local: key.endpoint(self.local),
            remote: key.endpoint(1 - self.local),
            role: Role::Unknown,
            vantage: Vantage::Wire,
            netns: 0,
            midstream: false,
            first_out: None,
            first_in: None,
            connect: None,
            task: None,
        }));
    }

    fn close(&self, reason: CloseReason, out: &mut Out) {
        out.push(Event::Closed(Closed { at: out.now, flow: self.id, reason, stats: None }));
    }
}
