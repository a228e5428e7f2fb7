//! One flow among many, and what all of them share.

use std::{
    any::Any,
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};

use kindling_core::{
    Cause, Clock, CloseReason, Direction, Directive, Exchange, FlowId, Gap, Ledger, Opened, Origin, Segment, Timestamp,
};

use crate::{
    buffer::MAX_JUMP,
    detect::{Found, Probing, sender_of},
    flow::{AnyFlow, Env, Handover, Info, Start},
    limits::Limits,
    parse::Next,
    protocol::Sender,
    registry::{Entry, Registry},
};

/// A flow of an origin.
pub(crate) type Key = (u32, FlowId);

/// One flow.
pub(crate) struct Slot {
    info: Box<Info>,
    speaker: Speaker,
    pub(crate) last_seen: Timestamp,
    /// The earliest deadline noted for it.
    pub(crate) noted: Timestamp,
    pub(crate) ledger: Option<Box<Ledger>>,
}

enum Speaker {
    Probing(Box<Probing>),
    Flow(usize, Box<dyn AnyFlow>),
    Opaque,
}

/// What all flows of an engine share.
pub(crate) struct Common {
    pub(crate) registry: Registry,
    pub(crate) limits: Limits,
    shared: Vec<Box<dyn Any + Send>>,
    origins: Vec<Place>,
    /// The origin that was heard last. Time and deadlines here are its own: the clocks of two origins have nothing in common.
    origin: usize,
    pub(crate) now: Timestamp,
    pub(crate) deadlines: BinaryHeap<Reverse<(Timestamp, Key)>>,
    pub(crate) ledger: Ledger,
    pub(crate) out: VecDeque<Exchange>,
    pub(crate) directives: VecDeque<Directive>,
}

/// What is known of an origin; `now` and `deadlines` only while another one is heard.
#[derive(Default)]
struct Place {
    origin: Arc<Origin>,
    clock: Clock,
    now: Timestamp,
    deadlines: BinaryHeap<Reverse<(Timestamp, Key)>>,
}

impl Slot {
    pub(crate) fn new(opened: Opened, now: Timestamp, ledger: bool) -> Self {
        let (info, start) = Info::new(opened);
        Self {
            info: Box::new(info),
            speaker: Speaker::Probing(Box::new(Probing::new(start))),
            last_seen: now,
            noted: Timestamp::MAX,
            ledger: ledger.then(Box::default),
        }
    }
}

impl Common {
    pub(crate) fn new(registry: Registry, limits: Limits) -> Self {
        Self {
            shared: registry.entries().iter().map(Entry::shared).collect(),
            registry,
            limits,
            origins: vec![Place::default()],
            origin: 0,
            now: Timestamp::ZERO,
            deadlines: BinaryHeap::new(),
            ledger: Ledger::default(),
            out: VecDeque::new(),
            directives: VecDeque::new(),
        }
    }

    pub(crate) fn handle_origin(&mut self, origin: &Arc<Origin>) {
        if self.origins.get(self.origin).is_some_and(|known| Arc::ptr_eq(&known.origin, origin)) {
            return;
        }
        let place = self.origins.iter().position(|known| known.origin == *origin).unwrap_or_else(|| {
            self.origins.push(Place { origin: origin.clone(), ..Place::default() });
            self.origins.len() - 1
        });
        self.select(place);
    }

    /// Go over to the time and the deadlines of another origin; says which one it was.
    pub(crate) fn select(&mut self, place: usize) -> usize {
        let before = self.origin;
        if place != before
            && let Ok([left, entered]) = self.origins.get_disjoint_mut([before, place])
        {
            left.now = std::mem::replace(&mut self.now, entered.now);
            left.deadlines = std::mem::replace(&mut self.deadlines, std::mem::take(&mut entered.deadlines));
            self.origin = place;
        }
        before
    }

    pub(crate) fn handle_clock(&mut self, clock: Clock) {
        if let Some(known) = self.origins.get_mut(self.origin) {
            known.clock = clock;
        }
    }

    /// The flow of the latest origin with this id.
    pub(crate) const fn key(&self, flow: FlowId) -> Key {
        (self.origin as u32, flow)
    }

    /// The next deadline that has passed.
    pub(crate) fn due(&mut self) -> Option<(Timestamp, Key)> {
        let due = self.deadlines.peek().is_some_and(|Reverse((deadline, _))| *deadline <= self.now);
        if due { self.deadlines.pop().map(|Reverse(note)| note) } else { None }
    }

    pub(crate) fn feed(&mut self, key: Key, slot: &mut Slot, segment: &Segment) {
        slot.last_seen = self.now;
        if segment.len > MAX_SEGMENT || segment.offset > u64::MAX - MAX_JUMP {
            self.ledger.rejects += 1;
            return;
        }
        if matches!(slot.speaker, Speaker::Flow(..)) {
            return self.act(key, slot, |flow, env| flow.handle_segment(segment, env));
        }
        let before = self.ledger.bytes;
        let found = match &mut slot.speaker {
            Speaker::Flow(..) => Found::Nothing,
            Speaker::Opaque => {
                opaque(segment, &mut self.ledger);
                Found::Nothing
            }
            Speaker::Probing(probing) => {
                let account = &mut self.ledger.bytes;
                probing.look(segment, &slot.info, &self.registry, &self.limits, account)
            }
        };
        if let Some(own) = &mut slot.ledger {
            own.bytes.follow(before, self.ledger.bytes);
        }
        self.found(key, slot, segment.direction, found);
    }

    fn found(&mut self, key: Key, slot: &mut Slot, direction: Direction, found: Found) {
        match found {
            Found::Nothing => {}
            Found::Opaque => {
                slot.speaker = Speaker::Opaque;
                self.hush(key.1);
            }
            Found::Protocol { entry, start, held } => {
                let sender = if start.client == direction { Sender::Client } else { Sender::Server };
                slot.info.role_inferred = sender_of(direction, slot.info.role) != Some(sender);
                slot.info.client = start.client;
                let known = self.registry.entries().get(entry);
                let Some(flow) = known.and_then(|known| known.open(&start)) else { return };
                slot.speaker = Speaker::Flow(entry, flow);
                for segment in &held {
                    self.feed(key, slot, segment);
                }
            }
        }
    }

    pub(crate) fn gap(&mut self, key: Key, slot: &mut Slot, gap: &Gap) {
        slot.last_seen = self.now;
        let before = self.ledger.bytes;
        match &mut slot.speaker {
            Speaker::Flow(..) => {
                return self.act(key, slot, |flow, env| {
                    flow.handle_gap(gap, env);
                    None
                });
            }
            Speaker::Probing(probing) => probing.pass_over(Some(gap.direction), &mut self.ledger.bytes),
            Speaker::Opaque => {}
        }
        let len = gap.len.min(MAX_JUMP);
        self.ledger.bytes.advanced += len;
        *match gap.cause {
            Cause::NotTargeted => &mut self.ledger.bytes.not_targeted,
            Cause::Unhooked => &mut self.ledger.bytes.uncaptured,
            _ => &mut self.ledger.bytes.lost,
        } += len;
        if let Some(own) = &mut slot.ledger {
            own.bytes.follow(before, self.ledger.bytes);
        }
    }

    pub(crate) fn end(&mut self, key: Key, slot: &mut Slot, reason: CloseReason) {
        self.act(key, slot, |flow, env| {
            flow.handle_end(reason, env);
            None
        });
        self.ledger.flows_closed += 1;
        if let Speaker::Probing(probing) = &mut slot.speaker {
            probing.pass_over(None, &mut self.ledger.bytes);
        }
    }

    /// Let a parsed flow do something, and see to its deadline and to a hand-over.
    pub(crate) fn act(
        &mut self,
        key: Key,
        slot: &mut Slot,
        act: impl FnOnce(&mut dyn AnyFlow, &mut Env<'_>) -> Option<Handover>,
    ) {
        let Speaker::Flow(entry, flow) = &mut slot.speaker else { return };
        let known = (self.origins.get(key.0 as usize), self.shared.get_mut(*entry));
        let (Some(place), Some(shared)) = known else { return };
        let before = slot.ledger.is_some().then_some((self.ledger.bytes, self.ledger.exchanges));
        let mut env = Env {
            info: &slot.info,
            origin: &place.origin,
            clock: place.clock,
            now: self.now,
            limits: &self.limits,
            shared: &mut **shared,
            ledger: &mut self.ledger,
            out: &mut self.out,
            directives: &mut self.directives,
        };
        let handover = act(&mut **flow, &mut env);
        if let (Some(before), Some(own)) = (before, &mut slot.ledger) {
            own.bytes.follow(before.0, self.ledger.bytes);
            own.exchanges.follow(before.1, self.ledger.exchanges);
        }
        if let Some(deadline) = flow.next_deadline(slot.noted)
            && deadline < slot.noted
        {
            slot.noted = deadline;
            self.deadlines.push(Reverse((deadline, key)));
        }
        if let Some(handover) = handover {
            self.hand_over(key, slot, handover);
        }
    }

    fn hand_over(&mut self, key: Key, slot: &mut Slot, handover: Handover) {
        slot.noted = Timestamp::MAX;
        // The bytes before the switch are not the next protocol's, so it counts its own from here.
        let start = Start::anew(self.now, slot.info.client);
        let next = match handover.next {
            Next::Opaque => None,
            Next::Detect => Some(Speaker::Probing(Box::new(Probing::new(start)))),
            Next::Protocol(name, note) => {
                let mut entries = self.registry.entries().iter().enumerate();
                entries.find(|(_, entry)| entry.spec.name == name).and_then(|(index, entry)| {
                    let mut flow = entry.open(&start)?;
                    flow.adopt(&note);
                    Some(Speaker::Flow(index, flow))
                })
            }
        };
        match next {
            Some(speaker) => {
                slot.speaker = speaker;
                for direction in [Direction::Out, Direction::In] {
                    self.directives.push_back(Directive::everything(key.1, direction));
                }
            }
            None => {
                slot.speaker = Speaker::Opaque;
                self.hush(key.1);
            }
        }
        for segment in &handover.left {
            self.feed(key, slot, segment);
        }
    }

    /// Nobody reads what this flow says.
    fn hush(&mut self, flow: FlowId) {
        for direction in [Direction::Out, Direction::In] {
            self.directives.push_back(Directive::nothing(flow, direction));
        }
    }
}

/// Most bytes one call can move, and more: Linux moves less than 2 GiB.
const MAX_SEGMENT: u64 = 1 << 32;

/// Bytes of a flow that nobody reads.
const fn opaque(segment: &Segment, ledger: &mut Ledger) {
    let bytes = &mut ledger.bytes;
    bytes.advanced += segment.len;
    bytes.opaque += segment.len;
    bytes.captured += segment.data.len() as u64;
    bytes.fresh += segment.data.len() as u64;
}
