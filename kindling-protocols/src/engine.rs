//! Many flows: routing, detection, deadlines, limits. No IO and no clock.

use std::{cmp::Reverse, collections::VecDeque, fmt, sync::Arc};

use hashbrown::HashMap;
use kindling_core::{
    Batch, CloseReason, Directive, Event, Exchange, FlowId, Ledger, Opened, Origin, Segment, Timestamp,
};

use crate::{
    limits::Limits,
    registry::Registry,
    slot::{Common, Key, Slot},
};

/// Turns the events of many flows into exchanges.
///
/// Put events in with [`handle_event`](Self::handle_event) or [`handle_batch`](Self::handle_batch), take results out with
/// [`poll_exchange`](Self::poll_exchange) and [`poll_directive`](Self::poll_directive) until they return `None`. Time is that of the events:
/// [`Event::Tick`]s keep it going while nothing else happens, and [`handle_time`](Self::handle_time) does for sources without ticks.
/// [`handle_end`](Self::handle_end) drains everything. Each origin has a time of its own.
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
    flows: HashMap<Key, Slot>,
    /// Flows by age, some of them gone, to find the one silent for longest.
    ages: VecDeque<(Timestamp, Key)>,
    common: Common,
}

impl Engine {
    /// An engine that knows the protocols of `registry`.
    #[must_use]
    pub fn new(registry: Registry, limits: Limits) -> Self {
        Self { flows: HashMap::new(), ages: VecDeque::new(), common: Common::new(registry, limits) }
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
        self.common.handle_origin(origin);
    }

    /// Take in one event.
    pub fn handle_event(&mut self, event: &Event) {
        self.handle_time(event.at());
        match event {
            Event::Opened(opened) => self.opened(opened),
            Event::Segment(segment) => self.segment(segment),
            Event::Gap(gap) => {
                let key = self.common.key(gap.flow);
                if let Some(slot) = self.flows.get_mut(&key) {
                    self.common.gap(key, slot, gap);
                }
            }
            Event::Closed(closed) => self.end(self.common.key(closed.flow), closed.reason),
            Event::ConnectFailed(_) => self.common.ledger.connects_failed += 1,
            Event::Clock(clock) => self.common.handle_clock(*clock),
            Event::Lost(lost) => *self.common.ledger.events_lost.entry(lost.class).or_default() += lost.count,
            _ => {}
        }
    }

    /// Time of the origin heard last is `now`: what has waited long enough ends.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.common.now = self.common.now.max(now);
        while let Some((deadline, key)) = self.common.due() {
            if let Some(slot) = self.flows.get_mut(&key)
                && slot.noted == deadline
            {
                slot.noted = Timestamp::MAX;
                self.common.act(key, slot, |flow, env| flow.handle_time(env));
            }
        }
    }

    /// The source has ended: everything that waits comes out.
    pub fn handle_end(&mut self) {
        let mut keys: Vec<_> = self.flows.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            let heard = self.common.select(key.0 as usize);
            self.end(key, CloseReason::SourceEnded);
            self.common.select(heard);
        }
        self.ages.clear();
        self.common.deadlines.clear();
    }

    /// The next exchange that ended.
    pub fn poll_exchange(&mut self) -> Option<Exchange> {
        self.common.out.pop_front()
    }

    /// The next wish for the source.
    pub fn poll_directive(&mut self) -> Option<Directive> {
        self.common.directives.pop_front()
    }

    /// When [`handle_time`](Self::handle_time) has something to do, in the time of the origin heard last.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        self.common.deadlines.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// The account of everything so far.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.common.ledger
    }

    /// The account of one flow of the latest origin, with [`Limits::flow_ledgers`], while the flow lasts.
    #[must_use]
    pub fn flow_ledger(&self, flow: FlowId) -> Option<&Ledger> {
        self.flows.get(&self.common.key(flow))?.ledger.as_deref()
    }

    /// Flows followed now.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    fn opened(&mut self, opened: &Opened) {
        let key = self.common.key(opened.flow);
        if self.flows.contains_key(&key) {
            self.end(key, CloseReason::Closed);
        }
        self.insert(key, opened.clone());
    }

    fn insert(&mut self, key: Key, mut opened: Opened) {
        opened.task = None; // of each segment, not of the flow
        if self.flows.len() >= self.common.limits.max_flows {
            self.evict();
        }
        let now = self.common.now;
        self.common.ledger.flows += 1;
        self.flows.insert(key, Slot::new(opened, now, self.common.limits.flow_ledgers));
        self.ages.push_back((now, key));
        let flows = &self.flows;
        if self.ages.len() > 2 * flows.len() + 64 {
            self.ages.retain(|(_, key)| flows.contains_key(key));
        }
        if self.common.deadlines.len() > 2 * flows.len() + 1024 {
            // A flow that has ended costs nothing: its notes go as well.
            let noted = |(at, key): (Timestamp, Key)| flows.get(&key).is_some_and(|slot| slot.noted == at);
            self.common.deadlines.retain(|Reverse(note)| noted(*note));
        }
    }

    fn segment(&mut self, segment: &Segment) {
        self.common.ledger.segments += 1;
        let key = self.common.key(segment.flow);
        if let Some(slot) = self.flows.get_mut(&key) {
            return self.common.feed(key, slot, segment);
        }
        // Its opening was lost, or the source does not tell.
        self.insert(key, Opened { at: segment.at, flow: segment.flow, midstream: true, ..Opened::default() });
        if let Some(slot) = self.flows.get_mut(&key) {
            self.common.feed(key, slot, segment);
        }
    }

    fn end(&mut self, key: Key, reason: CloseReason) {
        let Some(mut slot) = self.flows.remove(&key) else { return };
        self.common.end(key, &mut slot, reason);
    }

    /// Drop the flow that has been silent for longest.
    fn evict(&mut self) {
        while let Some((seen, key)) = self.ages.pop_front() {
            let Some(slot) = self.flows.get(&key) else { continue };
            if slot.last_seen > seen {
                self.ages.push_back((slot.last_seen, key));
                continue;
            }
            let heard = self.common.select(key.0 as usize);
            self.end(key, CloseReason::Idle);
            self.common.select(heard);
            self.common.ledger.flows_evicted += 1;
            return;
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (registry, flows) = (&self.common.registry, self.flows.len());
        f.debug_struct("Engine").field("registry", registry).field("flows", &flows).finish_non_exhaustive()
    }
}
