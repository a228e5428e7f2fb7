//! From ring records to events. Pure: no clock, no kernel, no `unsafe`; whatever bytes come in, it counts what it cannot read.

use std::{collections::VecDeque, time::Duration};

use kindling_core::{
    BoundedMap, Cause, Cgroup, CloseReason, Closed, Comm, ConnectFailed, Custom, Event, Exited, FlowId, FlowStats,
    Hierarchy, Opened, Renamed, Segment, Started, Task, Text, Timestamp, Transport,
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::{
    arena::Arena,
    endpoint,
    flow::{Connection, Flow, Moved},
    record::{self, HEADER, Header, flag, tag},
};

/// A user's tag, and whether a body with it can be decoded.
pub(crate) type Check = (u16, fn(&[u8]) -> bool);

/// Turns records into events.
pub(crate) struct Decoder {
    flows: BoundedMap<FlowId, Flow>,
    /// When to look whether a flow without an end of its own went idle.
    idle: VecDeque<(Timestamp, FlowId, u64)>,
    /// Such notes so far, which numbers them.
    notes: u64,
    idle_after: Duration,
    /// Names that a thread had before the exec whose record is on its way.
    execs: BoundedMap<u32, Comm>,
    checks: Vec<Check>,
    rejected: u64,
    evicted: u64,
    /// What bytes that passed the hooks are put down to.
    past_hooks: Cause,
}

impl Decoder {
    /// A decoder that ends datagram and Unix flows after `idle_after` without a byte, and holds user records against `checks`.
    pub(crate) fn new(idle_after: Duration, checks: Vec<Check>) -> Self {
        Self {
            flows: BoundedMap::new(FLOWS),
            idle: VecDeque::new(),
            notes: 0,
            idle_after,
            execs: BoundedMap::new(EXECS),
            checks,
            rejected: 0,
            evicted: 0,
            past_hooks: Cause::Unhooked,
        }
    }

    /// Records that could not be read since the last call.
    pub(crate) const fn take_rejected(&mut self) -> u64 {
        std::mem::replace(&mut self.rejected, 0)
    }

    /// Flows forgotten for want of room since the last call.
    pub(crate) const fn take_evicted(&mut self) -> u64 {
        std::mem::replace(&mut self.evicted, 0)
    }

    /// The kernel skips programs: bytes that no hook saw may have been lost as well.
    pub(crate) const fn doubt_hooks(&mut self) {
        self.past_hooks = Cause::Lost;
    }

    /// Decode one record and append what it tells to `out`.
    pub(crate) fn record(&mut self, bytes: &[u8], arena: &mut Arena, out: &mut Vec<Event>) {
        if self.dispatch(bytes, arena, out).is_none() {
            self.rejected += 1;
        }
    }

    /// End what has been idle for too long at `now`.
    pub(crate) fn expire(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        while let Some(&(due, flow, note)) = self.idle.front()
            && due <= now
        {
            self.idle.pop_front();
            // A flow that was opened anew since has a note of its own.
            let Some(state) = self.flows.get(&flow).filter(|state| state.note == note) else { continue };
            let due = state.last + self.idle_after;
            if due > now {
                self.idle.push_back((due, flow, note));
            } else {
                self.flows.remove(&flow);
                out.push(Event::Closed(Closed { at: now, flow, reason: CloseReason::Idle, stats: None }));
            }
        }
    }

    fn dispatch(&mut self, bytes: &[u8], arena: &mut Arena, out: &mut Vec<Event>) -> Option<()> {
        let (header, _) = Header::read_from_prefix(bytes).ok()?;
        let body = bytes.get(HEADER..usize::try_from(header.len).ok()?)?;
        match header.tag {
            tag::SEGMENT => self.segment(&header, body, arena, out),
            tag::DATAGRAM => self.datagram(&header, body, arena, out),
            tag::FLOW_INET => self.opened_inet(&header, body, out),
            tag::FLOW_UNIX => self.opened_unix(&header, body, out),
            tag::CLOSED => self.closed(&header, body, out),
            tag::CONNECT_FAILED => {
                let failed = connect_failed(&header, body)?;
                // The socket was connected before, and its end will not be told any more.
                self.end(at(&header), FlowId(header.flow), out);
                out.push(failed);
                Some(())
            }
            tag::STARTED => {
                let body: record::Started = read(body)?;
                let at = at(&header);
                let task = task_of(&header);
                out.push(Event::Started(Started { at, task, parent: body.parent, boot_start: body.boot_start }));
                Some(())
            }
            tag::RENAMED => self.renamed(&header, body, out),
            tag::EXEC => self.exec(&header, body, out),
            tag::EXITED => {
                let body: record::Exited = read(body)?;
                let status = i32::from_ne_bytes(body.status.to_ne_bytes());
                out.push(Event::Exited(Exited { at: at(&header), task: task_of(&header), status }));
                Some(())
            }
            tag::USER.. => self.custom(&header, body, arena, out),
            _ => None,
        }
    }

    fn segment(&mut self, header: &Header, body: &[u8], arena: &mut Arena, out: &mut Vec<Event>) -> Option<()> {
        let (segment, rest) = record::Segment::read_from_prefix(body).ok()?;
        let moved = Moved::new(header, &segment, rest)?;
        let flow = FlowId(header.flow);
        let unix = segment.flags & flag::SEG_UNIX != 0;
        let counted = segment.flags & flag::SEG_COUNTED != 0;
        let transport = if unix { Transport::Unix } else { Transport::Tcp };
        if self.flows.get(&flow).is_some_and(|known| counted && !known.counted()) {
            // An upper layer took the socket over: its bytes are no longer those that sequence numbers count.
            self.end(moved.at, flow, out);
        }
        if self.flows.get(&flow).is_none() {
            let opened = Opened { at: moved.at, flow, transport, midstream: true, ..Opened::default() };
            self.open(Flow::new(transport, counted), opened, header, out);
        }
        let state = self.flows.get_mut(&flow)?;
        state.last = moved.at;
        if segment.moved > 0 {
            state.moved(&moved, self.past_hooks, task(header), arena, out);
        }
        if segment.flags & flag::SEG_ENDED != 0 {
            self.end(moved.at, flow, out);
        }
        Some(())
    }

    fn datagram(&mut self, header: &Header, body: &[u8], arena: &mut Arena, out: &mut Vec<Event>) -> Option<()> {
        let (segment, rest) = record::Segment::read_from_prefix(body).ok()?;
        let moved = Moved::new(header, &segment, rest)?;
        let flow = FlowId(header.flow);
        if self.flows.get(&flow).is_none() {
            let (local, remote) = endpoint::inet(&segment.addresses);
            let opened = Opened {
                at: moved.at,
                flow,
                transport: Transport::Udp,
                local,
                remote,
                role: endpoint::role(u32::from(segment.addresses.role)),
                netns: segment.addresses.netns,
                ..Opened::default()
            };
            self.open(Flow::new(Transport::Udp, true), opened, header, out);
        }
        let state = self.flows.get_mut(&flow)?;
        state.last = moved.at;
        let offset = state.count(&moved);
        let data = arena.keep(moved.payload);
        out.push(Event::Segment(Segment {
            at: moved.at,
            flow,
            direction: moved.direction,
            offset,
            data,
            len: u64::from(moved.len),
            task: task(header),
        }));
        Some(())
    }

    fn opened_inet(&mut self, header: &Header, body: &[u8], out: &mut Vec<Event>) -> Option<()> {
        let body: record::FlowInet = read(body)?;
        let (local, remote) = endpoint::inet(&body.addresses);
        let mut flow = Flow::new(Transport::Tcp, body.flags & flag::FLOW_COUNTED != 0);
        let midstream = body.flags & flag::FLOW_MIDSTREAM != 0;
        let (first_out, first_in) = match midstream {
            false => flow.begin(body.first_out, body.first_in),
            true => (None, None),
        };
        let connect = (body.flags & flag::FLOW_CONNECT != 0).then(|| Duration::from_nanos(body.connect));
        let connection = Connection::new(&body.addresses, (!midstream && !flow.counted()).then_some(body.first_out));
        flow.connection = Some(connection);
        let anew = self.flows.get(&FlowId(header.flow)).is_some_and(|known| match &known.connection {
            Some(before) => connection.follows(before),
            None => connect.is_some(),
        });
        if anew {
            // A socket may be connected again, to another peer even, and has the same number still.
            self.end(at(header), FlowId(header.flow), out);
        }
        let opened = Opened {
            at: at(header),
            flow: FlowId(header.flow),
            transport: Transport::Tcp,
            local,
            remote,
            role: endpoint::role(u32::from(body.addresses.role)),
            netns: body.addresses.netns,
            midstream,
            first_out,
            first_in,
            connect,
            ..Opened::default()
        };
        self.open(flow, opened, header, out);
        Some(())
    }

    fn opened_unix(&mut self, header: &Header, body: &[u8], out: &mut Vec<Event>) -> Option<()> {
        let body: record::FlowUnix = read(body)?;
        let opened = Opened {
            at: at(header),
            flow: FlowId(header.flow),
            transport: Transport::Unix,
            local: endpoint::unix(&body.local),
            remote: endpoint::unix(&body.remote),
            role: endpoint::role(body.role),
            netns: body.netns,
            midstream: body.flags & flag::FLOW_MIDSTREAM != 0,
            ..Opened::default()
        };
        self.open(Flow::new(Transport::Unix, true), opened, header, out);
        Some(())
    }

    /// Start following a flow; one that is known already stays as it is.
    fn open(&mut self, mut state: Flow, mut opened: Opened, header: &Header, out: &mut Vec<Event>) {
        let flow = opened.flow;
        if self.flows.get(&flow).is_some() {
            return;
        }
        state.last = opened.at;
        opened.offsets = state.offsets();
        opened.task = task(header);
        if opened.transport != Transport::Tcp {
            self.notes += 1;
            state.note = self.notes;
            self.idle.push_back((opened.at + self.idle_after, flow, state.note));
        }
        out.push(Event::Opened(opened));
        if self.flows.insert(flow, state).is_some() {
            self.evicted += 1;
        }
        if self.idle.len() > 2 * self.flows.len() + 16 {
            let flows = &self.flows;
            self.idle.retain(|(_, flow, note)| flows.get(flow).is_some_and(|state| state.note == *note));
        }
    }

    /// End a flow, if it is known, of which the kernel tells no end.
    fn end(&mut self, at: Timestamp, flow: FlowId, out: &mut Vec<Event>) {
        if self.flows.remove(&flow).is_some() {
            out.push(Event::Closed(Closed { at, flow, reason: CloseReason::Closed, stats: None }));
        }
    }

    fn closed(&mut self, header: &Header, body: &[u8], out: &mut Vec<Event>) -> Option<()> {
        let body: record::Closed = read(body)?;
        let flow = FlowId(header.flow);
        self.flows.remove(&flow);
        let stats = FlowStats {
            rtt: Duration::from_micros(u64::from(body.srtt / 8)),
            rtt_variation: Duration::from_micros(u64::from(body.rttvar / 4)),
            retransmits: body.retransmits,
            bytes_out: body.bytes_out,
            bytes_in: body.bytes_in,
        };
        let reason = if body.reset != 0 { CloseReason::Reset } else { CloseReason::Closed };
        out.push(Event::Closed(Closed { at: at(header), flow, reason, stats: Some(stats) }));
        Some(())
    }

    fn renamed(&mut self, header: &Header, body: &[u8], out: &mut Vec<Event>) -> Option<()> {
        let body: record::Renamed = read(body)?;
        let before = Comm::from_kernel(header.comm);
        if body.exec != 0 {
            self.execs.insert(header.tid, before);
            return Some(());
        }
        let mut task = task_of(header);
        task.comm = Comm::from_kernel(body.comm);
        out.push(Event::Renamed(Renamed { at: at(header), task, before, exec: None }));
        Some(())
    }

    fn exec(&mut self, header: &Header, body: &[u8], out: &mut Vec<Event>) -> Option<()> {
        let body: record::Exec = read(body)?;
        let task = task_of(header);
        let before = self.execs.remove(&header.tid).unwrap_or(task.comm);
        let path = body.path.split(|&b| b == 0).next().map(Text::from);
        out.push(Event::Renamed(Renamed { at: at(header), task, before, exec: path }));
        Some(())
    }

    fn custom(&self, header: &Header, body: &[u8], arena: &mut Arena, out: &mut Vec<Event>) -> Option<()> {
        if self.checks.iter().any(|(tag, check)| *tag == header.tag && !check(body)) {
            return None;
        }
        let flow = (header.flags & flag::HAS_FLOW != 0).then_some(FlowId(header.flow));
        let data = arena.keep(body);
        out.push(Event::Custom(Custom { at: at(header), tag: header.tag, data, flow, task: task(header) }));
        Some(())
    }
}

fn connect_failed(header: &Header, body: &[u8]) -> Option<Event> {
    let body: record::ConnectFailed = read(body)?;
    let (local, remote) = endpoint::inet(&body.addresses);
    let errno = i32::try_from(body.error).ok()?;
    Some(Event::ConnectFailed(ConnectFailed {
        at: at(header),
        flow: (header.flags & flag::HAS_FLOW != 0).then_some(FlowId(header.flow)),
        transport: Transport::Tcp,
        local,
        remote,
        // The kernel has no error of its own when the program closes the socket before the peer answered.
        errno: if errno == 0 { ECANCELED } else { errno },
        after: Duration::from_nanos(body.after),
        task: task(header),
    }))
}

fn read<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Option<T> {
    T::read_from_prefix(bytes).ok().map(|(value, _)| value)
}

const fn at(header: &Header) -> Timestamp {
    Timestamp::from_nanos(header.at)
}

fn task(header: &Header) -> Option<Task> {
    (header.flags & flag::HAS_TASK != 0).then(|| task_of(header))
}

const fn task_of(header: &Header) -> Task {
    let mut task = Task::new(header.pid, header.tid, Comm::from_kernel(header.comm));
    task.ns_pid = header.ns_pid;
    task.ns_tid = header.ns_tid;
    let hierarchy = match (header.flags >> flag::HIERARCHY_SHIFT) & 3 {
        0 => Hierarchy::V2,
        1 => Hierarchy::Cpu,
        2 => Hierarchy::Memory,
        _ => Hierarchy::Pids,
    };
    task.cgroup = Cgroup { id: header.cgroup, hierarchy };
    task
}

/// Flows followed at once; TCP flows leave when they close, so this many must be open.
const FLOWS: usize = 1 << 18;
/// Threads between the two records of their exec.
const EXECS: usize = 1024;
/// `ECANCELED` of Linux.
const ECANCELED: i32 = 125;

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
