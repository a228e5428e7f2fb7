//! The loop that turns buffered bytes into messages.

use kindling_core::{Quality, Timestamp};

use super::{
    Env, Flow, Tap,
    half::{Effect, Holding, Ready},
    waitlist::Waiting,
};
use crate::{
    pairing::Stamp,
    parse::{Needed, Parse, Reject, Span},
    protocol::{Context, Protocol, Sender},
    role::{Opener, Pair, Role},
};

/// What the loop does after a step.
#[derive(PartialEq, Eq)]
enum Step {
    Again,
    Stop,
}

impl<P: Protocol> Flow<P> {
    /// Parse what can be parsed of one side.
    pub(super) fn drain(&mut self, sender: Sender, at: Timestamp, env: &mut Env<'_>, tap: &mut Option<Tap<'_, P>>) {
        while self.handover.is_none() && self.step(sender, at, env, tap) == Step::Again {}
    }

    fn step(&mut self, sender: Sender, at: Timestamp, env: &mut Env<'_>, tap: &mut Option<Tap<'_, P>>) -> Step {
        let half = self.half(sender);
        if half.buffer.skipping() {
            return Step::Stop;
        }
        if half.held.is_some() {
            self.release(sender, at, env);
            return Step::Again;
        }
        let len = half.buffer.bytes().len();
        if len == 0 && half.buffer.cut() {
            // The next message's first bytes were not captured.
            if self.salvage_cut(sender, at, env, tap) {
                return Step::Again;
            }
            let half = self.half(sender);
            half.buffer.give_up(&mut env.ledger.bytes);
            self.truncated(sender, at, env);
            return Step::Stop;
        }
        if len == 0 || (len < half.wanted as usize && !half.overdue && !half.buffer.cut()) {
            return Step::Stop;
        }
        if half.lost && !self.find_place(sender, at, env) {
            return Step::Stop;
        }
        let half = self.half(sender);
        // Lent and given back, because a clone would cost two atomic operations.
        let input = half.buffer.lend();
        let seen = std::mem::take(&mut half.seen) as usize;
        let overdue = std::mem::take(&mut half.overdue);
        half.wanted = 0;
        half.waiting = None;
        let Some(mut cx) = self.context(sender, at, env) else {
            self.half(sender).buffer.restore(input);
            return Step::Stop;
        };
        (cx.seen, cx.overdue) = (seen, overdue);
        let parsed = P::parse(&mut cx, &input);
        let part = part_of(&cx, &parsed);
        env.ledger.scanned += looked_at(&parsed, len - seen.min(len));
        self.half(sender).buffer.restore(input);
        match parsed {
            Parse::Message(message, span) => self.message(sender, message, span, part, env, tap),
            Parse::Progress(span) => self.progress(sender, span, env),
            Parse::Incomplete(needed) => return self.incomplete(sender, needed, at, env, tap),
            Parse::Reject(reject) => self.rejected(sender, reject, at, env),
            Parse::Switch(message, span, next) => {
                match message {
                    Some(message) => self.message(sender, message, span, part, env, tap),
                    None => self.progress(sender, span, env),
                }
                self.handover = Some(next);
                return Step::Stop;
            }
        }
        Step::Again
    }

    /// What a protocol is given; `None` would be a registry that gave this flow another protocol's memory.
    pub(super) fn context<'c>(
        &'c mut self,
        sender: Sender,
        now: Timestamp,
        env: &'c mut Env<'_>,
    ) -> Option<Context<'c, P>> {
        let closes = |ready: &Ready<P>| match &ready.effect {
            Effect::Closes(target) => target.opener == Opener::Peer && target.pair == Pair::Order,
            _ => false,
        };
        let early = |early: &&Waiting<P>| early.1 == sender && closes(&early.2);
        let answered = if self.early.is_empty() { 0 } else { self.early.iter().filter(early).count() };
        Some(Context {
            sender,
            now,
            transport: env.info.transport,
            config: &self.config,
            state: &mut self.state,
            shared: env.shared.downcast_mut::<P::Shared>()?,
            seen: 0,
            overdue: false,
            answered,
            pairs: &self.pairs,
        })
    }

    /// All bytes of the held message have passed.
    fn release(&mut self, sender: Sender, at: Timestamp, env: &mut Env<'_>) {
        let half = self.half(sender);
        let passed = half.buffer.passed();
        let Some(held) = half.held.take() else { return };
        let last = Stamp { at, task: half.buffer.newest().task };
        match held.what {
            Holding::Request(pair, serial) => {
                if let Some(pending) = self.pairs.by_serial(sender, &pair, serial) {
                    pending.request_end = at;
                    pending.request_bytes += passed;
                }
                if !self.early.is_empty() {
                    self.retry_early(env);
                }
            }
            Holding::Message(mut ready) => {
                ready.bytes += passed;
                ready.last = last;
                self.apply_or_wait(sender, ready, env);
            }
        }
    }

    fn progress(&mut self, sender: Sender, span: Span, env: &mut Env<'_>) {
        let half = self.half(sender);
        let start = half.buffer.start();
        if half.begun.is_none() && (span.consumed > 0 || span.skip > 0) {
            half.begun = Some(Box::new((half.buffer.stamp(start), start)));
        }
        // A parser that takes nothing would be called for ever.
        let consumed = if span.consumed == 0 && span.skip == 0 { half.buffer.bytes().len() } else { span.consumed };
        half.progress += consumed as u64 + if span.skip == Span::TO_END { 0 } else { span.skip };
        half.buffer.consume(Span { consumed, skip: span.skip }, &mut env.ledger.bytes);
        let skipping = half.buffer.skipping();
        if P::SPEC.heads_only && span.skip > 0 {
            self.teach_all(sender, env);
        }
        if skipping {
            self.teach_skip(sender, env);
        }
    }

    fn incomplete(
        &mut self,
        sender: Sender,
        needed: Needed,
        at: Timestamp,
        env: &mut Env<'_>,
        tap: &mut Option<Tap<'_, P>>,
    ) -> Step {
        let window = env.limits.reorder_window;
        let half = self.half(sender);
        let len = half.buffer.bytes().len();
        if half.buffer.cut() && needed != Needed::Partner {
            if self.salvage_cut(sender, at, env, tap) {
                self.ask_for_more(sender, env);
                return Step::Again;
            }
            let half = self.half(sender);
            half.buffer.give_up(&mut env.ledger.bytes);
            self.truncated(sender, at, env);
            return Step::Stop;
        }
        if len >= P::SPEC.max_head {
            half.buffer.give_up(&mut env.ledger.bytes);
            env.ledger.rejects += 1;
            self.lose(sender, at, env);
            return Step::Stop;
        }
        match needed {
            Needed::AtLeast(more) => half.wanted = short(len.saturating_add(more.get()).min(P::SPEC.max_head)),
            Needed::Unknown => {
                half.wanted = short(len + 1);
                half.seen = short(len);
            }
            Needed::Partner => half.waiting = Some(at + window),
        }
        Step::Stop
    }

    /// The source showed less of a message than its parser needs: it should show more of the next.
    fn truncated(&mut self, sender: Sender, at: Timestamp, env: &mut Env<'_>) {
        self.ask_for_more(sender, env);
        self.alignment.quality.insert(Quality::TRUNCATED);
        self.lose(sender, at, env);
    }

    fn rejected(&mut self, sender: Sender, _why: Reject, at: Timestamp, env: &mut Env<'_>) {
        env.ledger.rejects += 1;
        // Step over the byte that was refused, so that the search makes progress.
        self.half(sender).buffer.reject(1, &mut env.ledger.bytes);
        self.lose(sender, at, env);
    }

    /// Look for the next message after a loss.
    fn find_place(&mut self, sender: Sender, at: Timestamp, env: &mut Env<'_>) -> bool {
        let input = self.half(sender).buffer.bytes().clone();
        let Some(mut cx) = self.context(sender, at, env) else { return false };
        let found = P::resync(&mut cx, &input);
        let half = self.half(sender);
        half.buffer.reject(found.unwrap_or(input.len()), &mut env.ledger.bytes);
        half.lost = found.is_none();
        let going_on = found.is_some() && !half.buffer.bytes().is_empty();
        if found != Some(0) {
            // What was passed over may have held answers to what waits.
            self.decide(false, env);
            self.misalign(sender, env);
        }
        going_on
    }

    /// A datagram: one message, or nothing.
    pub(super) fn datagram(
        &mut self,
        sender: Sender,
        segment: &kindling_core::Segment,
        env: &mut Env<'_>,
        mut tap: Option<Tap<'_, P>>,
    ) {
        self.alignment.heard(sender, segment.at);
        let half = self.half(sender);
        half.buffer.restart(segment.offset);
        half.buffer.push(segment, &mut env.ledger.bytes);
        if segment.data.is_empty() {
            half.buffer.give_up(&mut env.ledger.bytes);
            return;
        }
        let input = half.buffer.lend();
        let (parsed, part) = match self.context(sender, segment.at, env) {
            Some(mut cx) => {
                let parsed = P::parse(&mut cx, &input);
                let part = part_of(&cx, &parsed);
                (parsed, part)
            }
            None => (Parse::Reject(Reject::Malformed), None),
        };
        self.half(sender).buffer.restore(input);
        match parsed {
            Parse::Message(message, mut span) => {
                // What of the datagram was not captured is still part of its message.
                let hidden = segment.len.saturating_sub(segment.data.len() as u64);
                span.skip = span.skip.max(hidden);
                self.message(sender, message, span, part, env, &mut tap);
            }
            Parse::Progress(span) => self.progress(sender, span, env),
            Parse::Incomplete(_) | Parse::Reject(_) if self.half(sender).buffer.cut() => {
                if !self.salvage_cut(sender, segment.at, env, &mut tap) {
                    env.ledger.rejects += 1;
                }
            }
            Parse::Incomplete(_) | Parse::Reject(_) | Parse::Switch(..) => env.ledger.rejects += 1,
        }
        let half = self.half(sender);
        half.buffer.reject(half.buffer.bytes().len(), &mut env.ledger.bytes);
        half.buffer.give_up(&mut env.ledger.bytes);
        half.reset();
    }
}

/// Heads are limited to far less than 4 GiB.
fn short(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The part a message plays.
pub(super) struct Part<P: Protocol> {
    pub(super) role: Role<P::Key, P::Open>,
    pub(super) fence: bool,
}

fn part_of<P: Protocol>(cx: &Context<'_, P>, parsed: &Parse<P::Message>) -> Option<Part<P>> {
    match parsed {
        Parse::Message(message, _) | Parse::Switch(Some(message), ..) => {
            Some(Part { role: P::role(cx, message), fence: P::fence(cx, message) })
        }
        _ => None,
    }
}

/// How many bytes a step of a parser looked at.
const fn looked_at<M>(parsed: &Parse<M>, fresh: usize) -> u64 {
    match parsed {
        Parse::Message(_, span) | Parse::Progress(span) | Parse::Switch(_, span, _) => span.consumed as u64,
        Parse::Incomplete(_) | Parse::Reject(_) => fresh as u64,
    }
}
