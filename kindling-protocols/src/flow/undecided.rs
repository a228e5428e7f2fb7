//! Answers on a flow whose order proves nothing yet, kept until a silence shows whether they were in step.
//!
//! Answers come in the order of the requests. So if a silence begins when exactly as many answers as requests have been seen, none was in
//! flight from before, and each answer was that of the request in its place: had there been one, its answer would have come too.

use std::collections::VecDeque;

use kindling_core::{CloseReason, Outcome, Timestamp};

use super::{
    Env, Flow,
    half::{Effect, Ready},
};
use crate::{
    pairing::{End, Pending},
    protocol::{Protocol, Sender},
    role::{Opener, Pair},
};

/// A request, and the answer that is its own if the flow was in step.
pub(super) type Kept<P> = (Box<Pending<P>>, Sender, Ready<P>);

/// Pairs that wait for the decision. Hardly any flow ever has one, so it is small while empty.
#[expect(clippy::box_collection, reason = "eight bytes a flow instead of thirty-two")]
pub(super) struct Undecided<P: Protocol>(pub(super) Option<Box<VecDeque<Kept<P>>>>);

impl<P: Protocol> Default for Undecided<P> {
    fn default() -> Self {
        Self(None)
    }
}

impl<P: Protocol> Flow<P> {
    /// Apply a message, or keep it with the request it would answer until it is known whether it does.
    pub(super) fn apply_or_defer(&mut self, sender: Sender, ready: Ready<P>, env: &mut Env<'_>) {
        if !self.defers(sender, &ready, env) {
            return self.apply(sender, &ready, env);
        }
        self.alignment.answer_seen(ready.first.at);
        if self.pairs.ordered() == 1 {
            self.alignment.alternated();
        }
        let Some(pending) = self.pairs.close(sender.peer(), &Pair::Order) else { return };
        let undecided = self.undecided.0.get_or_insert_default();
        undecided.push_back((pending, sender, ready));
        if undecided.len() >= MAX_UNDECIDED || self.alignment.hopeless(env.now) {
            self.decide(false, env);
        }
    }

    fn defers(&self, sender: Sender, ready: &Ready<P>, env: &Env<'_>) -> bool {
        // After a loss, requests and answers may both be missing, and equal numbers prove nothing.
        if !self.alignment.only_joined_late() || self.alignment.hopeless(env.now) || !self.in_place() {
            return false;
        }
        let answers = matches!(&ready.effect, Effect::Closes(t) if t.opener == Opener::Peer && t.pair == Pair::Order);
        let Some(pending) = self.pairs.find(sender.peer(), &Pair::Order, End::Oldest).filter(|_| answers) else {
            return false;
        };
        let plain = !pending.aligned && !pending.reported && pending.replies == 1;
        plain && ready.first.at > pending.first.at && !self.proves(sender.peer(), env)
    }

    /// What was kept was in step, or cannot be told to have been.
    pub(super) fn decide(&mut self, right: bool, env: &mut Env<'_>) {
        let Some(undecided) = self.undecided.0.take() else { return };
        if right {
            // First, so that what comes out is not marked as given up.
            self.alignment.regain();
        }
        for (mut pending, sender, ready) in *undecided {
            if right {
                P::fold(&mut pending.summary, sender, &ready.message);
                pending.quality.insert(ready.quality);
                pending.response_bytes += ready.bytes;
                pending.first_byte.get_or_insert(ready.first.at);
                self.alignment.answered(ready.last.at.since(pending.first.at));
                self.finish(pending, Outcome::Complete, Some(&ready), env);
            } else {
                self.finish(pending, Outcome::Lost, None, env);
                self.alone(sender, &ready, Outcome::Unmatched, env);
            }
        }
    }

    /// Whether both streams are read message by message, so that what is counted is all there was.
    pub(super) fn in_place(&self) -> bool {
        self.halves.iter().all(|half| !half.lost)
    }

    /// When the silence will be long enough, if anything waits for it.
    pub(super) fn decision_due(&self) -> Option<Timestamp> {
        let waits = self.undecided.0.is_some() && self.pairs.ordered() == 0 && self.in_place();
        if waits { Some(self.alignment.silence_ends()) } else { None }
    }

    /// The silence was long enough.
    pub(super) fn decide_by_silence(&mut self, env: &mut Env<'_>) {
        if self.decision_due().is_some_and(|due| due <= env.now) {
            self.decide(true, env);
            self.alignment.regain();
        }
    }

    /// The flow ended: in order, with every request answered, or not.
    pub(super) fn decide_at_end(&mut self, reason: CloseReason, env: &mut Env<'_>) {
        self.decide_by_silence(env);
        let right = reason == CloseReason::Closed && self.pairs.ordered() == 0 && self.in_place();
        self.decide(right, env);
    }
}

/// Most pairs of a flow that wait for a decision: what they hold may pin the batches it came in.
const MAX_UNDECIDED: usize = 32;
