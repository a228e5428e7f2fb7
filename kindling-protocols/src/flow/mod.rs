//! One flow of one protocol: buffers, place in the stream, pairing. Generic inside, erased at its boundary.

mod align;
mod apply;
mod drain;
mod end;
mod half;
mod info;
mod message;
mod order;
mod report;
mod salvage;
mod teach;
mod undecided;
mod waitlist;

use std::{fmt, sync::Arc};

use kindling_core::{CloseReason, Direction, Gap, Quality, Segment, Timestamp};

pub(crate) use self::info::{Env, Handover, Info, Start};
use self::{
    align::Alignment,
    half::{Early, Half},
    undecided::Undecided,
    waitlist::Waitlist,
};
use crate::{
    buffer::Pushed,
    pairing::Pairs,
    parse::Next,
    protocol::{Protocol, Sender},
};

/// A flow whose protocol has been erased: one virtual call a segment.
pub(crate) trait AnyFlow: Send {
    fn handle_segment(&mut self, segment: &Segment, env: &mut Env<'_>) -> Option<Handover>;
    fn handle_gap(&mut self, gap: &Gap, env: &mut Env<'_>);
    fn handle_time(&mut self, env: &mut Env<'_>) -> Option<Handover>;
    fn handle_end(&mut self, reason: CloseReason, env: &mut Env<'_>);
    /// When there is something to do, if that is before `noted`, of which the engine knows already.
    fn next_deadline(&self, noted: Timestamp) -> Option<Timestamp>;
    fn adopt(&mut self, note: &[u8]);
}

/// Sees every message before it is folded away.
pub(crate) type Tap<'t, P> = &'t mut dyn FnMut(Sender, &<P as Protocol>::Message, Timestamp);

/// One flow of protocol `P`.
pub(crate) struct Flow<P: Protocol> {
    config: Arc<P::Config>,
    state: P::State,
    halves: [Half<P>; 2],
    pairs: Pairs<P>,
    alignment: Alignment,
    /// Answers whose request may still come, with the time until which they wait.
    early: Waitlist<P>,
    /// Answers that may be wrong ones.
    undecided: Undecided<P>,
    /// The direction that carries the client's bytes.
    client: Direction,
    handover: Option<Next>,
}

impl<P: Protocol> Flow<P> {
    pub(crate) fn new(config: Arc<P::Config>, start: &Start) -> Self {
        let mut flow = Self {
            config,
            state: P::State::default(),
            halves: [Half::default(), Half::default()],
            pairs: Pairs::default(),
            alignment: Alignment::new(start.midstream, start.at),
            early: Waitlist::default(),
            undecided: Undecided::default(),
            client: start.client,
            handover: None,
        };
        for (direction, first) in [Direction::Out, Direction::In].into_iter().zip(start.first) {
            if let Some(offset) = first.filter(|_| !start.midstream) {
                flow.half(flow.sender(direction)).buffer.begin(offset);
            }
        }
        flow
    }

    fn sender(&self, direction: Direction) -> Sender {
        if direction == self.client { Sender::Client } else { Sender::Server }
    }

    const fn half(&mut self, sender: Sender) -> &mut Half<P> {
        let [client, server] = &mut self.halves;
        match sender {
            Sender::Client => client,
            Sender::Server => server,
        }
    }

    /// Bytes moved; `tap` sees the messages they complete.
    pub(crate) fn segment(
        &mut self,
        segment: &Segment,
        env: &mut Env<'_>,
        tap: Option<Tap<'_, P>>,
    ) -> Option<Handover> {
        let sender = self.sender(segment.direction);
        if env.info.datagrams {
            self.datagram(sender, segment, env, tap);
            return None;
        }
        let quiet = self.alignment.heard(sender, segment.at);
        let captured = segment.data.len() as u64;
        if self.half(sender).buffer.pass_whole(segment, captured, &mut env.ledger.bytes) {
            return None;
        }
        if self.half(sender).buffer.misses(segment.offset) {
            if !self.hold(sender, Early::Segment(segment.clone()), env) {
                return None;
            }
        } else {
            if quiet && !self.alignment.aligned() {
                self.realign(segment, env);
            }
            self.push(sender, segment, env);
        }
        self.run(sender, segment.at, env, tap)
    }

    /// Push bytes and, after them, what waited for them.
    fn push(&mut self, sender: Sender, segment: &Segment, env: &mut Env<'_>) {
        if self.half(sender).buffer.misses(segment.offset) {
            self.salvage_broken(sender, segment.at, env);
        }
        let half = self.half(sender);
        if half.buffer.push(segment, &mut env.ledger.bytes) == Pushed::Broken {
            self.lose(sender, segment.at, env);
        }
    }

    /// Parse what can be parsed on both sides, and bring in what waited.
    fn run(
        &mut self,
        sender: Sender,
        at: Timestamp,
        env: &mut Env<'_>,
        mut tap: Option<Tap<'_, P>>,
    ) -> Option<Handover> {
        let before = (env.ledger.messages, env.ledger.exchanges.pending);
        // What waits for the other side is not asked again for every segment of its own, as long as there is room.
        let half = self.half(sender);
        if half.waiting.is_none() || half.buffer.bytes().len() >= P::SPEC.max_head {
            self.drain(sender, at, env, &mut tap);
        }
        while self.next_ahead(sender, env, false) {
            self.drain(sender, at, env, &mut tap);
        }
        // A message of one side may be what the other side's parser waits for.
        let waits = self.halves.iter().any(|half| half.waiting.is_some());
        for waiting in [sender.peer(), sender] {
            if !waits {
                break;
            }
            let moved = (env.ledger.messages, env.ledger.exchanges.pending) != before;
            if moved && self.half(waiting).waiting.is_some() {
                self.drain(waiting, at, env, &mut tap);
            }
        }
        self.keep_within_limits(sender, at, env);
        // Only this side's buffer was given anything of the batch.
        self.half(sender).buffer.settle();
        if self.handover.is_some() { self.hand_over(env) } else { None }
    }

    /// Where too much is buffered over all flows, what `sender` said last is what goes, so that the sum stays below the limit.
    fn keep_within_limits(&mut self, sender: Sender, at: Timestamp, env: &mut Env<'_>) {
        let half = self.half(sender);
        if env.ledger.bytes.buffered > env.limits.max_buffered && (half.buffer.cut() || !half.buffer.bytes().is_empty())
        {
            half.buffer.give_up(&mut env.ledger.bytes);
            self.lose(sender, at, env);
        }
    }

    /// A stream lost its place: what is in progress goes, and order proves nothing any more.
    fn lose(&mut self, sender: Sender, at: Timestamp, env: &mut Env<'_>) {
        env.ledger.resyncs += 1;
        P::lose(&mut self.state, sender);
        let half = self.half(sender);
        half.reset();
        half.lost = true;
        self.alignment.lose(at);
        self.decide(false, env);
        self.give_up_early(env);
        self.misalign(sender, env);
        // What the other side's parser waits for may be what was lost; the next request is not it.
        let peer = self.half(sender.peer());
        if peer.waiting.take().is_some() {
            peer.overdue = true;
            self.drain(sender.peer(), at, env, &mut None);
        }
    }

    /// Both sides were quiet, so the bytes of `segment` start a request that nothing else waits before.
    fn realign(&mut self, segment: &Segment, env: &mut Env<'_>) {
        let clean = |half: &Half<P>| {
            half.held.is_none() && half.begun.is_none() && half.buffer.at_boundary() && half.ahead.is_none()
        };
        let [client, server] = &self.halves;
        let follows = client.buffer.expected().is_none_or(|expected| expected == segment.offset);
        if !follows || !clean(client) || !(clean(server) || server.lost) {
            return;
        }
        let right = self.pairs.ordered() == 0 && self.in_place();
        self.decide(right, env);
        for pending in self.pairs.drain_ordered() {
            self.finish(pending, kindling_core::Outcome::Lost, None, env);
        }
        for half in &mut self.halves {
            half.buffer.give_up(&mut env.ledger.bytes);
            half.reset();
            half.lost = false;
        }
        self.alignment.regain();
    }

    /// Give what is left to the next protocol, if there was a switch.
    fn hand_over(&mut self, env: &mut Env<'_>) -> Option<Handover> {
        let next = self.handover.take()?;
        self.expire_early(Timestamp::MAX, env);
        self.decide(false, env);
        self.finish_all(CloseReason::Closed, env);
        let mut left = Vec::new();
        for sender in [Sender::Client, Sender::Server] {
            let direction = if sender == Sender::Client { self.client } else { self.client.opposite() };
            let flow = env.info.flow;
            let half = self.half(sender);
            let (offset, data, tail, stamp) = half.buffer.take(&mut env.ledger.bytes);
            let len = data.len() as u64 + tail;
            if len > 0 {
                left.push(Segment { at: stamp.at, flow, direction, offset, data, len, task: stamp.task });
            }
            for early in half.ahead.take().map(|ahead| ahead.items).unwrap_or_default() {
                if let Early::Segment(segment) = early {
                    left.push(segment);
                }
            }
        }
        left.sort_by_key(|segment| segment.at);
        Some(Handover { next, left })
    }

    fn quality(&self, env: &Env<'_>) -> Quality {
        let mut quality = self.alignment.quality;
        if env.info.role_inferred {
            quality.insert(Quality::ROLE_INFERRED);
        }
        if self.alignment.hopeless(env.now) {
            quality.insert(Quality::COUNTS_ONLY);
        }
        quality
    }

    /// Time went on.
    fn time(&mut self, env: &mut Env<'_>) -> Option<Handover> {
        let now = env.now;
        for sender in [Sender::Client, Sender::Server] {
            if self.half(sender).ahead.as_ref().is_some_and(|ahead| ahead.deadline <= now) {
                self.overdue_ahead(sender);
                while self.next_ahead(sender, env, false) {
                    self.drain(sender, now, env, &mut None);
                }
            }
            let half = self.half(sender);
            if half.waiting.is_some_and(|until| until <= now) {
                half.waiting = None;
                half.overdue = true;
                self.drain(sender, now, env, &mut None);
            }
        }
        self.expire_early(now, env);
        self.decide_by_silence(env);
        self.expire_pending(now, env);
        self.halves.iter_mut().for_each(|half| half.buffer.settle());
        self.hand_over(env)
    }

    fn end(&mut self, reason: CloseReason, env: &mut Env<'_>) {
        let now = env.now;
        for sender in [Sender::Client, Sender::Server] {
            while self.next_ahead(sender, env, true) {
                self.drain(sender, now, env, &mut None);
            }
            let half = self.half(sender);
            if half.waiting.take().is_some() {
                half.overdue = true;
                self.drain(sender, now, env, &mut None);
            }
            self.salvage_broken(sender, now, env);
        }
        self.expire_early(Timestamp::MAX, env);
        self.decide_at_end(reason, env);
        self.finish_all(reason, env);
        for half in &mut self.halves {
            half.buffer.give_up(&mut env.ledger.bytes);
        }
    }
}

impl<P: Protocol> AnyFlow for Flow<P> {
    fn handle_segment(&mut self, segment: &Segment, env: &mut Env<'_>) -> Option<Handover> {
        self.segment(segment, env, None)
    }

    fn handle_gap(&mut self, gap: &Gap, env: &mut Env<'_>) {
        let sender = self.sender(gap.direction);
        if self.half(sender).buffer.misses(gap.offset) {
            if self.hold(sender, Early::Gap(gap.clone()), env) {
                while self.next_ahead(sender, env, false) {}
            }
            return;
        }
        self.gap(sender, gap, env);
        self.drain(sender, gap.at, env, &mut None);
        self.halves.iter_mut().for_each(|half| half.buffer.settle());
    }

    fn handle_time(&mut self, env: &mut Env<'_>) -> Option<Handover> {
        self.time(env)
    }

    fn handle_end(&mut self, reason: CloseReason, env: &mut Env<'_>) {
        self.end(reason, env);
    }

    fn next_deadline(&self, noted: Timestamp) -> Option<Timestamp> {
        // A request's deadline is never before that of an earlier one, which has been noted.
        let mut next = if noted == Timestamp::MAX { self.pairs.next_deadline() } else { None };
        for half in &self.halves {
            if half.ahead.is_some() || half.waiting.is_some() {
                next = sooner(next, half.next_deadline());
            }
        }
        if !self.early.is_empty() || self.undecided.0.is_some() {
            next = sooner(sooner(next, self.early.deadline()), self.decision_due());
        }
        next
    }

    fn adopt(&mut self, note: &[u8]) {
        P::adopt(&mut self.state, note);
    }
}

impl fmt::Debug for dyn AnyFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flow")
    }
}

/// The earlier of two that may not be.
pub(crate) fn sooner(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}
