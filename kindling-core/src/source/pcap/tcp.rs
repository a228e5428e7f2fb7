//! TCP connections: which packets belong together, when a connection begins and how it ends.

use std::{collections::VecDeque, time::Duration};

use super::{
    account::Counters,
    connection::{Connection, Early, Ended, Opening, Packet, Verdict},
    key::{FlowIds, Key},
    options::Options,
    out::Out,
    table::Table,
};
use crate::{
    event::{CloseReason, Closed, Event},
    id::{FlowId, Role},
    time::Timestamp,
};

/// All connections of a capture, by how far they are.
#[derive(Debug)]
pub(super) struct Tcp {
    opening: Table<Key, Opening>,
    open: Table<Key, Connection>,
    /// Connections that ended, so that their last packets start nothing new.
    closed: Table<Key, Ended>,
    /// Holes in the order in which they will be given up.
    holes: VecDeque<Hole>,
    held: usize,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: usize,
    held: usize,
    held_each: usize,
    hole: Duration,
}

#[derive(Debug)]
struct Hole {
    due: Timestamp,
    key: Key,
    flow: FlowId,
    side: usize,
}

impl Tcp {
    pub(super) fn new(options: &Options) -> Self {
        let limits = Limits {
            connections: options.max_connections.max(1),
            held: options.max_held,
            held_each: options.max_held_each,
            hole: options.hole_timeout,
        };
        let (opening, open, closed) = (Table::new(), Table::new(), Table::new());
        Self { opening, open, closed, holes: VecDeque::new(), held: 0, limits }
    }

    /// Take a packet that the end `side` of `key` sent.
    pub(super) fn handle(
        &mut self,
        key: Key,
        side: usize,
        packet: &Packet<'_>,
        ids: &mut FlowIds,
        out: &mut Out,
        counters: &mut Counters,
    ) {
        if let Some(connection) = self.open.touch(&key) {
            let before = connection.held();
            let verdict = connection.handle(side, packet, ids, out, counters);
            let after = connection.held();
            self.held = self.held + after - before;
            match verdict {
                Verdict::Goes => self.watch(key, side, out),
                Verdict::Ends(reason) => self.end(key, reason, out),
                Verdict::Stale => {
                    self.end(key, CloseReason::Idle, out);
                    self.closed.remove(&key);
                    self.first(key, side, packet, ids, out, counters);
                }
                Verdict::Replaced(opening) => {
                    self.end(key, CloseReason::Closed, out);
                    self.closed.remove(&key);
                    self.establish(key, opening, side, packet, out, counters);
                }
            }
        } else if self.opening.get_mut(&key).is_some() {
            self.opening(key, side, packet, ids, out, counters);
        } else {
            if let Some(ended) = self.closed.get_mut(&key) {
                if !ended.gives_way(side, packet, out.now) {
                    counters.after_close += u64::from(packet.len);
                    return;
                }
                self.closed.remove(&key);
            }
            self.first(key, side, packet, ids, out, counters);
        }
    }

    /// Give up what waited too long.
    pub(super) fn handle_time(&mut self, out: &mut Out) {
        while self.holes.front().is_some_and(|hole| hole.due <= out.now) {
            self.give_up_oldest(out);
        }
        while let Some((key, opening)) = self.opening.oldest()
            && out.now.since(opening.since) >= CONNECT_TIMEOUT
        {
            let key = *key;
            self.fail(key, out);
        }
        while self.closed.oldest().is_some_and(|(_, ended)| out.now.since(ended.at) >= LINGER) {
            self.closed.pop_oldest();
        }
    }

    /// The capture ends: everything that waits comes out.
    pub(super) fn finish(&mut self, out: &mut Out) {
        while let Some((key, _)) = self.opening.oldest() {
            let key = *key;
            self.fail(key, out);
        }
        while let Some((key, _)) = self.open.oldest() {
            let key = *key;
            self.end(key, CloseReason::SourceEnded, out);
        }
    }

    /// Entries of each table.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 4] {
        [self.opening.len(), self.open.len(), self.closed.len(), self.holes.len()]
    }

    /// The first packet of a tuple.
    fn first(
        &mut self,
        key: Key,
        side: usize,
        packet: &Packet<'_>,
        ids: &mut FlowIds,
        out: &mut Out,
        counters: &mut Counters,
    ) {
        if packet.rst {
            return;
        }
        if packet.syn && packet.ack.is_none() {
            let opening = Opening::new(ids.take(), side, packet, out.now);
            self.opening.insert(key, opening);
            if self.opening.len() > self.limits.connections
                && let Some((key, _)) = self.opening.oldest()
            {
                let key = *key;
                self.fail(key, out);
            }
            return;
        }
        // Without data a packet does not tell which end speaks first; the next one will.
        if !packet.syn && packet.len == 0 {
            return;
        }
        let mut connection = Connection::new(ids.take(), if packet.syn { 1 - side } else { side });
        if packet.syn {
            connection.syn_ack(side, packet);
            connection.announce(key, Role::Client, None, out);
        } else {
            connection.announce(key, Role::Unknown, None, out);
        }
        self.insert(key, connection, side, packet, ids, out, counters);
    }

    /// A packet of a tuple whose SYN was not answered so far.
    fn opening(
        &mut self,
        key: Key,
        side: usize,
        packet: &Packet<'_>,
        ids: &mut FlowIds,
        out: &mut Out,
        counters: &mut Counters,
    ) {
        let Some(opening) = self.opening.get_mut(&key) else { return };
        let own = opening.side == side;
        if packet.rst {
            if !own && packet.ack.is_some() && !packet.answers(&opening.syn) {
                return;
            }
            let Some(opening) = self.opening.remove(&key) else { return };
            if !own {
                opening.failed(key, CONNECTION_REFUSED, out);
            }
            self.bury(key, out.now, opening.syns());
        } else if packet.syn && packet.ack.is_none() {
            if !own {
                return;
            }
            if packet.seq == opening.syn.seq {
                opening.repeated = true;
                return;
            }
            self.fail(key, out);
            self.closed.remove(&key);
            self.first(key, side, packet, ids, out, counters);
        } else if own || packet.answers(&opening.syn) || packet.len > 0 {
            let Some(opening) = self.opening.remove(&key) else { return };
            self.establish(key, opening, side, packet, out, counters);
        }
    }

    /// `packet` shows that the SYN of `opening` was answered.
    fn establish(
        &mut self,
        key: Key,
        opening: Opening,
        side: usize,
        packet: &Packet<'_>,
        out: &mut Out,
        counters: &mut Counters,
    ) {
        let mut connection = Connection::new(opening.flow, opening.side);
        let first = opening.syn.seq.wrapping_add(1);
        connection.syns = opening.syns();
        if let Some(half) = connection.halves.get_mut(opening.side) {
            half.start(first);
        }
        let answer = side != opening.side && packet.syn;
        if answer {
            connection.syn_ack(side, packet);
        }
        connection.announce(key, Role::Client, answer.then(|| out.now.since(opening.since)), out);
        let Early { data, len } = opening.syn.early;
        // Early data the server did not take is sent again after the handshake.
        if answer && len > 0 && packet.ack == Some(first.wrapping_add(len)) {
            let (half, mut sink) = connection.half(opening.side, out);
            half.handle(first, &data, len, false, &mut sink);
        }
        let mut unused = FlowIds::default();
        self.insert(key, connection, side, packet, &mut unused, out, counters);
    }

    /// Track `connection` and hand it the packet that showed it.
    #[expect(clippy::too_many_arguments, reason = "one packet and the four places where its effects go")]
    fn insert(
        &mut self,
        key: Key,
        mut connection: Connection,
        side: usize,
        packet: &Packet<'_>,
        ids: &mut FlowIds,
        out: &mut Out,
        counters: &mut Counters,
    ) {
        let verdict = connection.handle(side, packet, ids, out, counters);
        self.held += connection.held();
        self.open.insert(key, connection);
        match verdict {
            Verdict::Ends(reason) => self.end(key, reason, out),
            Verdict::Goes | Verdict::Stale | Verdict::Replaced(_) => self.watch(key, side, out),
        }
        if self.open.len() > self.limits.connections
            && let Some((key, _)) = self.open.oldest()
        {
            let key = *key;
            counters.evicted += 1;
            self.end(key, CloseReason::Idle, out);
        }
    }

    /// Start the clock for a new hole, and keep the limits on what waits.
    fn watch(&mut self, key: Key, side: usize, out: &mut Out) {
        let limits = self.limits;
        let Some(connection) = self.open.get_mut(&key) else { return };
        let flow = connection.flow;
        let before = connection.held();
        let (half, mut sink) = connection.half(side, out);
        while half.held() > limits.held_each && half.give_up(&mut sink) {}
        if half.has_hole() && !half.timed {
            half.timed = true;
            self.holes.push_back(Hole { due: out.now + limits.hole, key, flow, side });
        }
        self.held = self.held + connection.held() - before;
        if connection.finished() {
            self.end(key, CloseReason::Closed, out);
        }
        // A connection that ended leaves its holes in the queue; where time stands still they would pile up.
        if self.holes.len() > 4 * self.open.len() + 64 {
            let open = &mut self.open;
            self.holes.retain(|hole| open.get_mut(&hole.key).is_some_and(|connection| connection.flow == hole.flow));
        }
        while self.held > limits.held && self.give_up_oldest(out) {}
    }

    /// Give up the hole that has waited longest; says whether there was an entry.
    fn give_up_oldest(&mut self, out: &mut Out) -> bool {
        let Some(Hole { key, flow, side, .. }) = self.holes.pop_front() else { return false };
        let Some(connection) = self.open.get_mut(&key).filter(|connection| connection.flow == flow) else {
            return true;
        };
        let before = connection.held();
        let (half, mut sink) = connection.half(side, out);
        half.timed = false;
        half.give_up(&mut sink);
        if half.has_hole() {
            half.timed = true;
            self.holes.push_back(Hole { due: out.now + self.limits.hole, key, flow, side });
        }
        self.held = self.held + connection.held() - before;
        if connection.finished() {
            self.end(key, CloseReason::Closed, out);
        }
        true
    }

    fn end(&mut self, key: Key, reason: CloseReason, out: &mut Out) {
        let Some(mut connection) = self.open.remove(&key) else { return };
        self.held -= connection.held();
        for side in [connection.local, 1 - connection.local] {
            let (half, mut sink) = connection.half(side, out);
            while half.give_up(&mut sink) {}
        }
        out.push(Event::Closed(Closed { at: out.now, flow: connection.flow, reason, stats: None }));
        self.bury(key, out.now, connection.syns);
    }

    /// Nobody answered.
    fn fail(&mut self, key: Key, out: &mut Out) {
        let Some(opening) = self.opening.remove(&key) else { return };
        // Younger than a retransmission timeout (RFC 6298) an attempt may still have succeeded.
        if opening.repeated || out.now.since(opening.since) >= FIRST_RETRANSMISSION {
            opening.failed(key, TIMED_OUT, out);
        }
        self.bury(key, out.now, opening.syns());
    }

    fn bury(&mut self, key: Key, at: Timestamp, syns: [Option<u32>; 2]) {
        self.closed.remove(&key);
        self.closed.insert(key, Ended { at, syns });
        if self.closed.len() > self.limits.connections {
            self.closed.pop_oldest();
        }
    }
}

const CONNECTION_REFUSED: i32 = 111;
const TIMED_OUT: i32 = 110;
/// Linux tries for this long (`tcp_syn_retries` = 6).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);
const FIRST_RETRANSMISSION: Duration = Duration::from_secs(1);
/// How long an ended connection is remembered; twice the segment lifetime that Linux assumes.
const LINGER: Duration = Duration::from_secs(60);
