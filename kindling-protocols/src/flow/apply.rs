//! Messages take effect: requests wait, answers end them, exchanges come out.

use kindling_core::{Direction, Outcome, Side, Timestamp};

use super::{
    Env, Flow,
    half::{Effect, Held, Holding, Ready},
    message::Frame,
    report::{View, identity, key_of},
};
use crate::{
    pairing::{End, Pending},
    protocol::{Protocol, Sender},
    role::{Opener, Pair, Target},
};

impl<P: Protocol> Flow<P> {
    /// A request starts to wait.
    #[expect(clippy::too_many_arguments, reason = "one place makes requests, from all that is known of a message")]
    pub(super) fn open(
        &mut self,
        sender: Sender,
        pair: Pair<P::Key>,
        open: P::Open,
        replies: u32,
        message: &P::Message,
        frame: Frame,
        env: &mut Env<'_>,
    ) -> u64 {
        let Frame { first, last, offset, bytes, quality } = frame;
        let ordered = !matches!(pair, Pair::Id(_));
        if ordered {
            self.alignment.asked(self.pairs.ordered(), first.at);
        }
        let serial = self.pairs.next_serial();
        let mut pending = Pending {
            serial,
            opener: sender,
            open,
            summary: P::Summary::default(),
            key: if let Pair::Id(key) = &pair { P::key(key) } else { None },
            first,
            offset,
            request_end: last.at,
            first_byte: None,
            request_bytes: bytes,
            response_bytes: 0,
            replies: replies.max(1),
            quality,
            aligned: !ordered || self.alignment.aligned(),
            reported: false,
            deadline: first.at + P::SPEC.deadline,
        };
        P::fold(&mut pending.summary, sender, message);
        env.ledger.exchanges.opened += 1;
        env.ledger.exchanges.pending += 1;
        if let Some(old) = self.pairs.open(pair.clone(), Box::new(pending)) {
            self.finish(old, Outcome::Superseded, None, env);
        }
        if self.pairs.len() > env.limits.max_pending {
            self.overflow(env);
        }
        serial
    }

    /// A request that may be one sent again.
    pub(super) fn repeat(
        &mut self,
        sender: Sender,
        pair: Pair<P::Key>,
        open: P::Open,
        message: &P::Message,
        frame: Frame,
        env: &mut Env<'_>,
    ) -> Option<u64> {
        if let Some(pending) = self.pairs.find_mut(sender, &pair, End::Oldest) {
            pending.request_bytes += frame.bytes;
            env.ledger.exchanges.repeats += 1;
            return None;
        }
        Some(self.open(sender, pair, open, 1, message, frame, env))
    }

    /// Apply a message, or let it wait for the request it answers.
    pub(super) fn apply_or_wait(&mut self, sender: Sender, ready: Ready<P>, env: &mut Env<'_>) {
        if let Some(target) = ready.effect.target() {
            let answers = target.opener == Opener::Peer;
            let ordered = !matches!(target.pair, Pair::Id(_));
            let absent = self.unready(self.opener(sender, target.opener), &target.pair);
            // Behind an answer that waits, the next one waits too, or order would pair it wrongly.
            let behind = ordered && self.early.iter().any(|early| early.1 == sender);
            let hopeful = !ordered || self.alignment.aligned();
            if answers && hopeful && (absent || behind) && !env.limits.reorder_window.is_zero() {
                if self.early.len() < MAX_EARLY {
                    self.early.push((env.now + env.limits.reorder_window, sender, ready));
                    return;
                }
                self.expire_early(Timestamp::MAX, env);
            }
        }
        self.apply_or_defer(sender, ready, env);
    }

    /// Whether the request that `pair` names is not there, or not all of it.
    fn unready(&self, opener: Sender, pair: &Pair<P::Key>) -> bool {
        let Some(pending) = self.pairs.find(opener, pair, End::Oldest) else { return true };
        let half = &self.halves[opener.index()];
        match half.held.as_deref() {
            Some(Held { what: Holding::Request(_, serial) }) => *serial == pending.serial,
            _ if half.progress == 0 => false,
            _ => self.pairs.find(opener, pair, End::Latest).is_some_and(|latest| latest.serial == pending.serial),
        }
    }

    pub(super) const fn opener(&self, sender: Sender, opener: Opener) -> Sender {
        match opener {
            Opener::Sender => sender,
            Opener::Peer => sender.peer(),
        }
    }

    pub(super) fn apply(&mut self, sender: Sender, ready: &Ready<P>, env: &mut Env<'_>) {
        match &ready.effect {
            Effect::Continues(target) => {
                self.extend(sender, target, ready, true);
                if target.opener == Opener::Sender && !self.early.is_empty() {
                    self.retry_early(env);
                }
            }
            Effect::Interim(target) => self.extend(sender, target, ready, false),
            Effect::Closes(_) => self.close(sender, ready, env),
            Effect::ClosesUpTo(target) => {
                let opener = self.opener(sender, target.opener);
                let serial = self.pairs.find(opener, &target.pair, End::Oldest).map(|pending| pending.serial);
                for silent in self.pairs.close_before(opener, serial.unwrap_or_default()) {
                    self.finish(silent, Outcome::Complete, Some(ready), env);
                }
                self.close(sender, ready, env);
            }
            Effect::Cancels(target) => {
                let opener = self.opener(sender, target.opener);
                if let Some(mut pending) = self.pairs.close(opener, &target.pair) {
                    P::fold(&mut pending.summary, sender, &ready.message);
                    self.finish(pending, Outcome::Cancelled, Some(ready), env);
                }
            }
            Effect::CancelsAll(opener) => {
                let opener = self.opener(sender, *opener);
                for pending in self.pairs.close_before(opener, u64::MAX) {
                    self.finish(pending, Outcome::Cancelled, None, env);
                }
            }
            Effect::OneWay => self.alone(sender, ready, Outcome::OneWay, env),
        }
    }

    /// More of a request or an answer.
    pub(super) fn extend(&mut self, sender: Sender, target: &Target<P::Key>, ready: &Ready<P>, counts: bool) {
        let (opener, end) = match target.opener {
            Opener::Sender => (sender, End::Latest),
            Opener::Peer => (sender.peer(), End::Oldest),
        };
        // Gone is possible: the answer may come before the request's last byte.
        let Some(pending) = self.pairs.find_mut(opener, &target.pair, end) else { return };
        P::fold(&mut pending.summary, sender, &ready.message);
        pending.quality.insert(ready.quality);
        if opener == sender {
            pending.request_end = ready.last.at;
            pending.request_bytes += ready.bytes;
            return;
        }
        pending.response_bytes += ready.bytes;
        if counts {
            pending.first_byte.get_or_insert(ready.first.at);
        }
    }

    fn close(&mut self, sender: Sender, ready: &Ready<P>, env: &mut Env<'_>) {
        let Some(target) = ready.effect.target() else { return };
        let opener = self.opener(sender, target.opener);
        let ordered = !matches!(target.pair, Pair::Id(_));
        self.alignment.answer_seen(ready.first.at);
        let view = self.view(env);
        let Some(pending) = self.pairs.find_mut(opener, &target.pair, End::Oldest) else {
            if ordered {
                // More answers than requests: those kept were not in step.
                self.decide(false, env);
                self.alignment.stray();
                self.alignment.lose_quietly(ready.first.at);
            }
            return self.alone(sender, ready, Outcome::Unmatched, env);
        };
        if pending.reported {
            // Its deadline passed; it kept its place so that order stays right.
            self.pairs.close(opener, &target.pair);
            return self.alone(sender, ready, Outcome::Unmatched, env);
        }
        if ordered && !pending.aligned {
            let after = ready.first.at > pending.first.at;
            let pair = target.pair.clone();
            return self.close_unaligned(sender, opener, &pair, after, ready, env);
        }
        P::fold(&mut pending.summary, sender, &ready.message);
        pending.quality.insert(ready.quality);
        pending.response_bytes += ready.bytes;
        pending.first_byte.get_or_insert(ready.first.at);
        pending.replies -= 1;
        if pending.replies > 0 {
            return;
        }
        let asking = &self.halves[opener.index()];
        if let Some(Held { what: Holding::Request(_, serial) }) = asking.held.as_deref()
            && *serial == pending.serial
        {
            // Answered before all of it was sent: what has moved so far counts.
            pending.request_bytes += asking.buffer.passed();
        }
        self.alignment.answered(ready.last.at.since(pending.first.at));
        view.report::<P>(pending, Outcome::Complete, Some(ready), env);
        pending.reported = true;
        drop(self.pairs.close(opener, &target.pair));
    }

    /// An answer on a flow whose order proves nothing yet.
    fn close_unaligned(
        &mut self,
        sender: Sender,
        opener: Sender,
        pair: &Pair<P::Key>,
        after: bool,
        ready: &Ready<P>,
        env: &mut Env<'_>,
    ) {
        let alone = self.pairs.ordered() == 1 && after;
        let single = self.pairs.find(opener, pair, End::Oldest).is_some_and(|pending| pending.replies == 1);
        if alone && single {
            let proof = self.proves(opener, env);
            self.alignment.alternated();
            if proof {
                self.decide(true, env);
                self.alignment.regain();
                if let Some(pending) = self.pairs.find_mut(opener, pair, End::Oldest) {
                    pending.aligned = true;
                }
                return self.close(sender, ready, env);
            }
        }
        if !alone {
            self.alignment.stray();
        }
        // Which of the two it is that has no partner cannot be told, so neither has one.
        if let Some(pending) = self.pairs.close(opener, pair) {
            self.finish(pending, Outcome::Lost, None, env);
        }
        self.alone(sender, ready, Outcome::Unmatched, env);
    }

    /// Whether an answer now, to the one request that waits, makes enough rounds of alternation.
    pub(super) fn proves(&self, opener: Sender, env: &Env<'_>) -> bool {
        let (apart, served) = P::SPEC.alternations;
        let needed = if self.view(env).side(opener, env) == Side::Server { served } else { apart };
        self.pairs.ordered() == 1 && self.alignment.proved_by_next(needed)
    }

    /// An exchange of one message.
    pub(super) fn alone(&mut self, sender: Sender, ready: &Ready<P>, outcome: Outcome, env: &mut Env<'_>) {
        let mut summary = P::Summary::default();
        P::fold(&mut summary, sender, &ready.message);
        let answer = outcome == Outcome::Unmatched;
        match outcome {
            Outcome::OneWay => env.ledger.exchanges.one_way += 1,
            _ => env.ledger.exchanges.unmatched += 1,
        }
        let opener = if answer { sender.peer() } else { sender };
        let exchange = self.view(env).exchange::<P>(opener, &summary, outcome, env);
        exchange.id = identity(exchange, sender, ready.offset);
        exchange.offset = ready.offset;
        exchange.quality.insert(ready.quality);
        exchange.request_at = ready.first.at;
        exchange.task = ready.first.task;
        if answer {
            exchange.first_byte_at = Some(ready.first.at);
            exchange.response_at = Some(ready.last.at);
            exchange.response_bytes = ready.bytes;
            exchange.response_task = ready.last.task;
        } else {
            exchange.request_end = Some(ready.last.at);
            exchange.request_bytes = ready.bytes;
        }
        exchange.key = key_of(ready);
    }

    /// A request ends: answered by `answer`, or without it.
    pub(super) fn finish(
        &mut self,
        mut pending: Box<Pending<P>>,
        outcome: Outcome,
        answer: Option<&Ready<P>>,
        env: &mut Env<'_>,
    ) {
        if !pending.reported {
            self.view(env).report::<P>(&mut pending, outcome, answer, env);
        }
    }

    fn view(&self, env: &Env<'_>) -> View {
        View { local: self.sender(Direction::Out), quality: self.quality(env) }
    }

    /// Something proved that nothing is in flight: what still waits was lost.
    pub(super) fn fenced(&mut self, env: &mut Env<'_>) {
        if !self.alignment.aligned() {
            self.decide(false, env);
            for pending in self.pairs.drain_ordered() {
                self.finish(pending, Outcome::Lost, None, env);
            }
            self.alignment.regain();
        }
    }

    /// `sender`'s stream broke. Requests sent before a break on their own side are still in step with an answering side that is whole;
    /// after a break of the answers nothing is.
    pub(super) fn misalign(&mut self, sender: Sender, env: &mut Env<'_>) {
        let answering = |pending: &Pending<P>| pending.opener != sender;
        for pending in self.pairs.drain_ordered_where(answering) {
            self.finish(pending, Outcome::Lost, None, env);
        }
    }

    /// Too many wait: the oldest half is given up.
    fn overflow(&mut self, env: &mut Env<'_>) {
        for pending in self.pairs.drain() {
            self.finish(pending, Outcome::Lost, None, env);
        }
        self.alignment.lose(env.now);
    }

    /// A request came: answers that waited may be its.
    pub(super) fn retry_early(&mut self, env: &mut Env<'_>) {
        for (deadline, sender, ready) in self.early.take() {
            let target = ready.effect.target();
            let found = target.is_none_or(|target| !self.unready(self.opener(sender, target.opener), &target.pair));
            let ordered = ready.effect.target().is_some_and(|target| !matches!(target.pair, Pair::Id(_)));
            let behind = ordered && self.early.iter().any(|early| early.1 == sender);
            if found && !behind {
                self.apply_or_defer(sender, ready, env);
            } else {
                self.early.push((deadline, sender, ready));
            }
        }
    }

    /// After a loss, the request that an answer by order waits for may be what was lost; the next one is not it.
    pub(super) fn give_up_early(&mut self, env: &mut Env<'_>) {
        for (deadline, sender, ready) in self.early.take() {
            match ready.effect.target() {
                Some(Target { pair: Pair::Id(_), .. }) => self.early.push((deadline, sender, ready)),
                _ => self.apply(sender, &ready, env),
            }
        }
    }

    /// Answers whose request did not come in time.
    pub(super) fn expire_early(&mut self, now: Timestamp, env: &mut Env<'_>) {
        while let Some((_, sender, ready)) = self.early.pop_due(now) {
            self.apply_or_defer(sender, ready, env);
        }
    }

    pub(super) fn expire_pending(&mut self, now: Timestamp, env: &mut Env<'_>) {
        if self.pairs.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let view = self.view(env);
        self.pairs.expire(now, &mut |pending| view.report::<P>(pending, Outcome::Unanswered, None, env));
    }
}

/// Answers of one flow that wait for their request.
const MAX_EARLY: usize = 256;
