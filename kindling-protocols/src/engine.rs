//! Many flows: routing, detection, deadlines, limits. No IO and no clock.

use std::{
    any::Any,
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    fmt,
    sync::Arc,
};

use hashbrown::HashMap;
use kindling_core::{
    Batch, Cause, Clock, CloseReason, Closed, Direction, Directive, Event, Exchange, FlowId, Gap, Ledger, Opened,
    Origin, Segment, Timestamp,
};

use crate::{
    detect::{Found, Probing, sender_of},
    flow::{AnyFlow, Env, Handover, Info},
    limits::Limits,
    parse::Next,
    protocol::Sender,
    registry::Registry,
};

/// Turns the events of many flows into exchanges.
///
/// Put events in with [`handle_event`](Self::handle_event) or [`handle_batch`](Self::handle_batch), take results out with
/// [`poll_exchange`](Self::poll_exchange) and [`poll_directive`](Self::poll_directive) until they return `None`. Time is that of the events:
/// [`Event::Tick`]s keep it going while nothing else happens, and [`handle_time`](Self::handle_time) does for sources without ticks.
/// [`handle_end`](Self::handle_end) drains everything.
///
/// ```
/// use kindling_protocols::{Engine, Limits, Registry};
/// let mut engine = Engine::new(Registry::builtin(), Limits::default());
/// # let batches: Vec<kindling_core::Batch> = Vec::new();
/// for batch in batches {
///     engine.handle_batch(&batch);
///     while let Some(exchange) = engine.poll_exchange() {
///         println!("{} {}", exchange.details.operation, exchange.details.resource);
///     }
/// }
/// engine.handle_end();
/// assert!(engine.ledger().check().is_ok());
/// ```
pub struct Engine {
    registry: Registry,
    limits: Limits,
    shared: Vec<Box<dyn Any + Send>>,
    flows: HashMap<Key, Slot>,
    /// Flows by age, some of them gone, to find the one silent for longest.
    ages: VecDeque<(Timestamp, Key)>,
    deadlines: BinaryHeap<Reverse<(Timestamp, Key)>>,
    origins: Vec<(Arc<Origin>, Clock)>,
    origin: usize,
    now: Timestamp,
    ledger: Ledger,
    out: VecDeque<Exchange>,
    directives: VecDeque<Directive>,
}

/// A flow of an origin.
type Key = (u32, FlowId);

struct Slot {
    info: Box<Info>,
    speaker: Speaker,
    last_seen: Timestamp,
    /// The earliest deadline noted for it.
    noted: Timestamp,
    ledger: Option<Box<Ledger>>,
}

enum Speaker {
    Probing(Box<Probing>),
    Flow(usize, Box<dyn AnyFlow>),
    Opaque,
}

impl Engine {
    /// An engine that knows the protocols of `registry`.
    #[must_use]
    pub fn new(registry: Registry, limits: Limits) -> Self {
        Self {
            shared: registry.entries().iter().map(crate::registry::Entry::shared).collect(),
            registry,
            limits,
            flows: HashMap::new(),
            ages: VecDeque::new(),
            deadlines: BinaryHeap::new(),
            origins: vec![(Arc::default(), Clock::default())],
            origin: 0,
            now: Timestamp::ZERO,
            ledger: Ledger::default(),
            out: VecDeque::new(),
            directives: VecDeque::new(),
        }
    }

    /// Take in the events of a batch.
    pub fn handle_batch(&mut self, batch: &Batch) {
        self.handle_origin(&batch.origin);
        for event in &batch.events {
            self.handle_event(event);
        }
    }

    /// The events that follow come from `origin`.
    pub fn handle_origin(&mut self, origin: &Arc<Origin>) {
        if Arc::ptr_eq(&self.origins[self.origin].0, origin) {
            return;
        }
        self.origin = self.origins.iter().position(|known| known.0 == *origin).unwrap_or_else(|| {
            self.origins.push((origin.clone(), Clock::default()));
            self.origins.len() - 1
        });
    }

    /// Take in one event.
    pub fn handle_event(&mut self, event: &Event) {
        self.handle_time(event.at());
        match event {
            Event::Opened(opened) => self.opened(opened),
            Event::Segment(segment) => self.segment(segment),
            Event::Gap(gap) => self.gap(gap),
            Event::Closed(closed) => self.closed(closed),
            Event::ConnectFailed(_) => self.ledger.connects_failed += 1,
            Event::Clock(clock) => self.origins[self.origin].1 = *clock,
            Event::Lost(lost) => *self.ledger.events_lost.entry(lost.class).or_default() += lost.count,
            _ => {}
        }
    }

    /// Time is `now`: what has waited long enough ends.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while let Some(&Reverse((deadline, key))) = self.deadlines.peek() {
            if deadline > self.now {
                return;
            }
            self.deadlines.pop();
            let Some(slot) = self.flows.get_mut(&key) else { continue };
            if slot.noted != deadline {
                continue;
            }
            slot.noted = Timestamp::MAX;
            self.with(key, |flow, env| flow.handle_time(env));
        }
    }

    /// The source has ended: everything that waits comes out.
    pub fn handle_end(&mut self) {
        let mut keys: Vec<_> = self.flows.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            self.end(key, CloseReason::SourceEnded);
        }
        self.ages.clear();
        self.deadlines.clear();
    }

    /// The next exchange that ended.
    pub fn poll_exchange(&mut self) -> Option<Exchange> {
        self.out.pop_front()
    }

    /// The next wish for the source.
    pub fn poll_directive(&mut self) -> Option<Directive> {
        self.directives.pop_front()
    }

    /// When [`handle_time`](Self::handle_time) has something to do.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        self.deadlines.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// The account of everything so far.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The account of one flow of the latest origin, with [`Limits::flow_ledgers`], while the flow lasts.
    #[must_use]
    pub fn flow_ledger(&self, flow: FlowId) -> Option<&Ledger> {
        self.flows.get(&(self.origin as u32, flow))?.ledger.as_deref()
    }

    /// Flows followed now.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    fn opened(&mut self, opened: &Opened) {
        let key = (self.origin as u32, opened.flow);
        if self.flows.contains_key(&key) {
            self.end(key, CloseReason::Closed);
        }
        self.insert(key, opened.clone());
    }

    fn insert(&mut self, key: Key, mut opened: Opened) {
        opened.task = None; // of each segment, not of the flow
        if self.flows.len() >= self.limits.max_flows {
            self.evict();
        }
        self.ledger.flows += 1;
        let slot = Slot {
            info: Box::new(Info { opened, role_inferred: false, client: Direction::Out }),
            speaker: Speaker::Probing(Box::default()),
            last_seen: self.now,
            noted: Timestamp::MAX,
            ledger: self.limits.flow_ledgers.then(Box::default),
        };
        self.flows.insert(key, slot);
        self.ages.push_back((self.now, key));
        if self.ages.len() > 2 * self.flows.len() + 64 {
            let flows = &self.flows;
            self.ages.retain(|(_, key)| flows.contains_key(key));
        }
    }

    fn segment(&mut self, segment: &Segment) {
        self.ledger.segments += 1;
        let key = (self.origin as u32, segment.flow);
        if !self.flows.contains_key(&key) {
            // Its opening was lost, or the source does not tell.
            let opened = Opened { at: segment.at, flow: segment.flow, midstream: true, ..Opened::default() };
            self.insert(key, opened);
        }
        self.feed(key, segment);
    }

    fn feed(&mut self, key: Key, segment: &Segment) {
        let Some(slot) = self.flows.get_mut(&key) else { return };
        slot.last_seen = self.now;
        match &mut slot.speaker {
            Speaker::Flow(..) => self.with(key, |flow, env| flow.handle_segment(segment, env)),
            Speaker::Opaque => {
                let before = self.ledger.bytes;
                opaque(segment, &mut self.ledger);
                if let Some(own) = &mut slot.ledger {
                    own.bytes.follow(before, self.ledger.bytes);
                }
            }
            Speaker::Probing(probing) => {
                let before = self.ledger.bytes;
                let account = &mut self.ledger.bytes;
                let found = probing.look(segment, &slot.info.opened, &self.registry, &self.limits, account);
                if let Some(own) = &mut slot.ledger {
                    own.bytes.follow(before, self.ledger.bytes);
                }
                self.found(key, segment.direction, found);
            }
        }
    }

    fn found(&mut self, key: Key, direction: Direction, found: Found) {
        let Some(slot) = self.flows.get_mut(&key) else { return };
        match found {
            Found::Nothing => {}
            Found::Opaque => {
                slot.speaker = Speaker::Opaque;
                self.hush(key.1);
            }
            Found::Protocol { entry, client, midstream, held } => {
                let sender = if client == direction { Sender::Client } else { Sender::Server };
                slot.info.role_inferred = sender_of(direction, slot.info.opened.role) != Some(sender);
                slot.info.client = client;
                let at = held.first().map_or(self.now, |first| first.at.min(slot.info.opened.at));
                let opened = self.registry.entries()[entry].open(client, &slot.info, midstream, at);
                let Some(flow) = opened else { return };
                slot.speaker = Speaker::Flow(entry, flow);
                for segment in &held {
                    self.feed(key, segment);
                }
            }
        }
    }

    fn gap(&mut self, gap: &Gap) {
        let key = (self.origin as u32, gap.flow);
        let Some(slot) = self.flows.get_mut(&key) else { return };
        slot.last_seen = self.now;
        match &mut slot.speaker {
            Speaker::Flow(..) => self.with(key, |flow, env| {
                flow.handle_gap(gap, env);
                None
            }),
            speaker => {
                let before = self.ledger.bytes;
                if let Speaker::Probing(probing) = speaker {
                    probing.pass_over(Some(gap.direction), &mut self.ledger.bytes);
                }
                self.ledger.bytes.advanced += gap.len;
                *match gap.cause {
                    Cause::NotTargeted => &mut self.ledger.bytes.not_targeted,
                    Cause::Unhooked => &mut self.ledger.bytes.uncaptured,
                    _ => &mut self.ledger.bytes.lost,
                } += gap.len;
                if let Some(own) = &mut slot.ledger {
                    own.bytes.follow(before, self.ledger.bytes);
                }
            }
        }
    }

    fn closed(&mut self, closed: &Closed) {
        self.end((self.origin as u32, closed.flow), closed.reason);
    }

    fn end(&mut self, key: Key, reason: CloseReason) {
        self.with(key, |flow, env| {
            flow.handle_end(reason, env);
            None
        });
        let Some(mut slot) = self.flows.remove(&key) else { return };
        self.ledger.flows_closed += 1;
        if let Speaker::Probing(probing) = &mut slot.speaker {
            probing.pass_over(None, &mut self.ledger.bytes);
        }
    }

    /// Drop the flow that has been silent for longest.
    fn evict(&mut self) {
        while let Some((seen, key)) = self.ages.pop_front() {
            let Some(slot) = self.flows.get(&key) else { continue };
            if slot.last_seen > seen {
                self.ages.push_back((slot.last_seen, key));
                continue;
            }
            self.end(key, CloseReason::Idle);
            self.ledger.flows_evicted += 1;
            return;
        }
    }

    /// Let a parsed flow do something, and see to its deadline and to a hand-over.
    fn with(&mut self, key: Key, act: impl FnOnce(&mut dyn AnyFlow, &mut Env<'_>) -> Option<Handover>) {
        let Some(slot) = self.flows.get_mut(&key) else { return };
        let Speaker::Flow(entry, flow) = &mut slot.speaker else { return };
        let before = (self.ledger.bytes, self.ledger.exchanges);
        let (origin, clock) = &self.origins[key.0 as usize];
        let mut env = Env {
            info: &slot.info,
            origin,
            clock: *clock,
            now: self.now,
            limits: &self.limits,
            shared: &mut *self.shared[*entry],
            ledger: &mut self.ledger,
            out: &mut self.out,
            directives: &mut self.directives,
        };
        let handover = act(&mut **flow, &mut env);
        if let Some(own) = &mut slot.ledger {
            own.bytes.follow(before.0, self.ledger.bytes);
            own.exchanges.follow(before.1, self.ledger.exchanges);
        }
        if let Some(deadline) = flow.next_deadline()
            && deadline < slot.noted
        {
            slot.noted = deadline;
            self.deadlines.push(Reverse((deadline, key)));
            if self.deadlines.len() > 2 * self.flows.len() + 1024 {
                // A flow that has ended costs nothing: its notes go as well.
                let flows = &self.flows;
                self.deadlines.retain(|Reverse((at, key))| flows.get(key).is_some_and(|slot| slot.noted == *at));
            }
        }
        if let Some(handover) = handover {
            self.hand_over(key, handover);
        }
    }

    fn hand_over(&mut self, key: Key, handover: Handover) {
        let Some(slot) = self.flows.get_mut(&key) else { return };
        slot.noted = Timestamp::MAX;
        // The bytes before the switch are not the next protocol's, so it counts its own from here.
        slot.info.opened.first_out = None;
        slot.info.opened.first_in = None;
        let named = |name| self.registry.entries().iter().position(|entry| entry.spec.name == name);
        let next = match handover.next {
            Next::Opaque => None,
            Next::Detect => Some(Speaker::Probing(Box::default())),
            Next::Protocol(name, note) => named(name).and_then(|index| {
                let client = slot.info.client;
                let mut flow = self.registry.entries()[index].open(client, &slot.info, false, self.now)?;
                flow.adopt(&note);
                Some(Speaker::Flow(index, flow))
            }),
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
            self.feed(key, segment);
        }
    }

    /// Nobody reads what this flow says.
    fn hush(&mut self, flow: FlowId) {
        for direction in [Direction::Out, Direction::In] {
            self.directives.push_back(Directive::nothing(flow, direction));
        }
    }
}

/// Bytes of a flow that nobody reads.
const fn opaque(segment: &Segment, ledger: &mut Ledger) {
    let bytes = &mut ledger.bytes;
    bytes.advanced += segment.len;
    bytes.opaque += segment.len;
    bytes.captured += segment.data.len() as u64;
    bytes.fresh += segment.data.len() as u64;
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("registry", &self.registry)
            .field("flows", &self.flows.len())
            .finish_non_exhaustive()
    }
}
