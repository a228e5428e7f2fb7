//! What the fuzz targets share: scripts of what happens on flows, run through an engine that is held to its promises.
//!
//! A target that fails names the broken promise; its input belongs into a fixture or a test beside the fix.

pub mod heap;
pub mod script;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use kindling_core::{
    Cause, CloseReason, Closed, Direction, Endpoint, Event, FlowId, Gap, Ledger, Offsets, Opened, Origin, Outcome,
    Role, Segment, Timestamp, Transport, Vantage,
};
use kindling_protocols::{Engine, Limits, Registry};

use crate::script::{Act, Shape, Step};

/// Limits small enough that a short script reaches them.
pub fn tight() -> Limits {
    Limits::default().max_flows(3).max_buffered(2 << 10).max_pending(8).probe_bytes(512).flow_ledgers(true)
}

/// Run a script through an engine for these protocols and hold it to what it promises after every event.
pub fn run(script: &[u8], registry: Registry, limits: Limits) {
    let events = events(&script::decode(script));
    let mut engine = Watched::new(registry, limits);
    for event in events {
        engine.handle(&event);
    }
    engine.end();
}

/// An engine, and what came out of it.
pub struct Watched {
    engine: Engine,
    limits: Limits,
    outcomes: BTreeMap<&'static str, u64>,
    /// The latest time any event told.
    latest: Timestamp,
    /// Memory held by others.
    before: usize,
}

impl Watched {
    /// A new one.
    pub fn new(registry: Registry, limits: Limits) -> Self {
        let before = heap::live();
        let mut engine = Engine::new(registry, limits.clone());
        engine.handle_origin(&Arc::new(Origin::new(1, "host", "fuzz")));
        Self { engine, limits, outcomes: BTreeMap::new(), latest: Timestamp::ZERO, before }
    }

    /// One event.
    pub fn handle(&mut self, event: &Event) {
        self.latest = self.latest.max(event.at());
        self.engine.handle_event(event);
        let buffered = self.engine.ledger().bytes.buffered;
        assert!(buffered <= self.limits.max_buffered, "after {event:?}: {buffered} bytes buffered");
        self.check(&format!("after {event:?}"));
        let own = event.flow().and_then(|flow| self.engine.flow_ledger(flow));
        own.map_or(Ok(()), Ledger::check).unwrap_or_else(|e| panic!("flow's own after {event:?}: {e}"));
    }

    /// The end of the source.
    pub fn end(mut self) {
        self.engine.handle_end();
        self.check("at the end");
        let ledger = self.engine.ledger();
        assert_eq!(ledger.exchanges.pending, 0, "the end left requests: {ledger:?}");
        assert_eq!(ledger.bytes.buffered, 0, "the end left bytes: {ledger:?}");
        assert_eq!(self.engine.flows(), 0, "the end left flows");
        assert_eq!(ledger.flows, ledger.flows_closed, "every flow seen has ended: {ledger:?}");
    }

    fn check(&mut self, when: &str) {
        while let Some(exchange) = self.engine.poll_exchange() {
            *self.outcomes.entry(exchange.outcome.name()).or_default() += 1;
            let instants =
                [Some(exchange.request_at), exchange.request_end, exchange.first_byte_at, exchange.response_at];
            let told = instants.iter().flatten().all(|at| *at <= self.latest);
            assert!(told, "{when}: an instant nobody gave: {exchange:?}");
            if exchange.outcome == Outcome::Complete {
                assert!(exchange.response_at.is_some(), "{when}: complete without an answer: {exchange:?}");
            }
        }
        while self.engine.poll_directive().is_some() {}
        let ledger = self.engine.ledger();
        ledger.check().unwrap_or_else(|e| panic!("{when}: {e}"));
        assert!(self.engine.flows() <= self.limits.max_flows, "{when}: {} flows", self.engine.flows());
        let held = heap::live().saturating_sub(self.before);
        assert!(held <= HEAP, "{when}: {held} bytes of memory held: {:?}", ledger.bytes);
        let e = &ledger.exchanges;
        let counts = [
            ("complete", e.complete),
            ("unanswered", e.unanswered),
            ("superseded", e.superseded),
            ("cancelled", e.cancelled),
            ("reset", e.reset),
            ("lost", e.lost),
            ("one_way", e.one_way),
            ("unmatched", e.unmatched),
        ];
        for (outcome, counted) in counts {
            let seen = self.outcomes.get(outcome).copied().unwrap_or_default();
            assert_eq!(seen, counted, "{when}: exchanges that came out as {outcome}, and those the ledger counts");
        }
    }
}

/// The events of a script.
pub fn events(acts: &[Act]) -> Vec<Event> {
    let mut world = World { now: START, late: Duration::ZERO, flows: Default::default() };
    acts.iter().flat_map(|act| world.act(act)).collect()
}

struct World {
    now: Timestamp,
    late: Duration,
    flows: [Ends; 4],
}

/// Where the bytes of each side of a flow stand: client, server.
#[derive(Clone, Copy, Default)]
struct Ends {
    opened: bool,
    serving: bool,
    offsets: [u64; 2],
}

impl World {
    fn act(&mut self, act: &Act) -> Vec<Event> {
        self.now = self.now + Duration::from_micros(50);
        let at = self.now - std::mem::take(&mut self.late);
        let flow = FlowId(u64::from(act.flow) + 1);
        let mut events = Vec::new();
        if let Step::Open(shape) = &act.step {
            events.push(self.open(act, *shape, at));
            return events;
        }
        let side = usize::from(act.server);
        let moves = matches!(act.step, Step::Say { .. } | Step::Miss(_) | Step::Gap { .. } | Step::Again { .. });
        if moves && !self.flows[usize::from(act.flow)].opened {
            events.push(self.open(act, Shape::default(), at));
        }
        let ends = &mut self.flows[usize::from(act.flow)];
        let direction = if act.server == ends.serving { Direction::Out } else { Direction::In };
        match &act.step {
            Step::Say { bytes, hidden } => {
                let offset = ends.offsets[side];
                let len = bytes.len() as u64 + u64::from(*hidden);
                ends.offsets[side] += len;
                let data = Bytes::copy_from_slice(bytes);
                events.push(Event::Segment(Segment { at, flow, direction, offset, data, len, task: None }));
            }
            Step::Miss(len) => ends.offsets[side] += u64::from(*len),
            Step::Gap { len, cause } => {
                let offset = ends.offsets[side];
                ends.offsets[side] += u64::from(*len);
                let cause = [Cause::NotTargeted, Cause::Unhooked, Cause::Lost][usize::from(cause % 3)];
                events.push(Event::Gap(Gap { at, flow, direction, offset, len: u64::from(*len), cause }));
            }
            Step::Again { back, bytes } => {
                let offset = ends.offsets[side].saturating_sub(u64::from(*back));
                let (data, len) = (Bytes::copy_from_slice(bytes), bytes.len() as u64);
                ends.offsets[side] = ends.offsets[side].max(offset + len);
                events.push(Event::Segment(Segment { at, flow, direction, offset, data, len, task: None }));
            }
            Step::Wait(time) => {
                self.now = self.now + TENTH * u32::from(*time);
                events.push(Event::Tick(self.now));
            }
            Step::End(reason) => {
                let reasons = [CloseReason::Closed, CloseReason::Reset, CloseReason::Idle];
                ends.opened = false;
                let reason = reasons[usize::from(reason % 3)];
                events.push(Event::Closed(Closed { at, flow, reason, stats: None }));
            }
            Step::Late(time) => self.late = TENTH * u32::from(*time),
            Step::Open(_) => {}
        }
        events
    }

    fn open(&mut self, act: &Act, shape: Shape, at: Timestamp) -> Event {
        let transport = [Transport::Tcp, Transport::Udp, Transport::Unix, Transport::Tcp][usize::from(shape.bits & 3)];
        let midstream = shape.bits & 4 != 0;
        let role = [Role::Client, Role::Server, Role::Unknown, Role::Client][usize::from(shape.bits >> 3 & 3)];
        let known = !midstream && shape.bits & 0x40 == 0;
        // Close to a wrap-around of 32 bits.
        let start = if transport == Transport::Tcp { [u64::from(u32::MAX) - 20, 7_000] } else { [0, 0] };
        let serving = role == Role::Server;
        self.flows[usize::from(act.flow)] = Ends { opened: true, serving, offsets: start };
        let address = |host: u8, port: u16| Endpoint::from(SocketAddr::from(([10, 0, 0, host], port)));
        let (client, server) = (address(1, 40_000 + u16::from(act.flow)), address(2, shape.port));
        let (local, remote) = if serving { (server, client) } else { (client, server) };
        let [out, into] = if serving { [start[1], start[0]] } else { start };
        Event::Opened(Opened {
            at,
            flow: FlowId(u64::from(act.flow) + 1),
            transport,
            offsets: match transport {
                Transport::Tcp => Offsets::Tcp,
                Transport::Udp => Offsets::Datagram,
                _ => Offsets::Counted,
            },
            local,
            remote,
            role,
            vantage: if shape.bits & 0x20 == 0 { Vantage::Socket } else { Vantage::Wire },
            midstream,
            first_out: known.then_some(out),
            first_in: known.then_some(into),
            ..Opened::default()
        })
    }
}

/// When scripts begin.
const START: Timestamp = Timestamp::from_nanos(1_000_000_000_000);
/// A tenth of a millisecond.
const TENTH: Duration = Duration::from_micros(100);
/// More memory than [`tight`] limits and the few KiB of a script can explain.
const HEAP: usize = 256 << 10;
