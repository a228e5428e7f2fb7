//! A message is taken out of the buffer and set to work.

use kindling_core::Quality;

use super::{
    Env, Flow, Tap,
    drain::Part,
    half::{Effect, Held, Holding, Ready},
};
use crate::{
    pairing::Stamp,
    parse::Span,
    protocol::{Protocol, Sender},
    role::Role,
};

/// Where a message stood, and who moved it when.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) first: Stamp,
    pub(super) last: Stamp,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) quality: Quality,
}

impl<P: Protocol> Flow<P> {
    /// A message stands at the start of what is buffered.
    pub(super) fn message(
        &mut self,
        sender: Sender,
        message: P::Message,
        span: Span,
        part: Option<Part<P>>,
        env: &mut Env<'_>,
        tap: &mut Option<Tap<'_, P>>,
    ) {
        let Some(Part { role, fence }) = part else { return };
        env.ledger.messages += 1;
        let frame = self.take(sender, span, env);
        if let Some(tap) = tap {
            tap(sender, &message, frame.last.at);
        }
        // A request proves what was before it, an answer what is after it.
        let asks = matches!(role, Role::Opens { .. } | Role::Repeats { .. });
        if fence && asks {
            self.fenced(env);
        }
        if let Some(what) = self.part(sender, message, role, frame, env) {
            if self.half(sender).buffer.skipping() {
                self.half(sender).held = Some(Box::new(Held { what }));
            } else if let Holding::Message(ready) = what {
                self.apply_or_wait(sender, ready, env);
            } else if !self.early.is_empty() {
                self.retry_early(env);
            }
        }
        if fence && !asks {
            self.fenced(env);
        }
    }

    /// Take the bytes of a message out of the buffer.
    fn take(&mut self, sender: Sender, span: Span, env: &mut Env<'_>) -> Frame {
        let half = self.half(sender);
        let start = half.buffer.start();
        let (first, offset) = half.begun.take().map_or_else(|| (half.buffer.stamp(start), start), |begun| *begun);
        let taken = span.consumed.min(half.buffer.bytes().len());
        let mut last = half.buffer.stamp(start + (taken as u64).saturating_sub(1));
        let mut bytes = std::mem::take(&mut half.progress) + taken as u64;
        let newest = half.buffer.newest();
        half.buffer.consume(span, &mut env.ledger.bytes);
        let (skipping, passed) = (half.buffer.skipping(), half.buffer.passed());
        if span.skip > 0 && !skipping {
            bytes += passed;
            if passed > 0 {
                // What the skip covers of this very segment has passed at its time.
                last = newest;
            }
        }
        let cut = std::mem::take(&mut half.salvaged);
        if skipping {
            self.teach_skip(sender, env);
        }
        if P::SPEC.heads_only {
            self.teach_heads(sender, taken, env);
        }
        let quality = if cut { Quality::TRUNCATED } else { Quality::GOOD };
        Frame { first, last, offset, bytes, quality }
    }

    /// Open what a message opens; what else it does is left to be done when all of it has passed.
    fn part(
        &mut self,
        sender: Sender,
        message: P::Message,
        role: Role<P::Key, P::Open>,
        frame: Frame,
        env: &mut Env<'_>,
    ) -> Option<Holding<P>> {
        let effect = match role {
            Role::Ignored => return None,
            Role::Opens { pair, open, replies } => {
                let serial = self.open(sender, pair.clone(), open, replies, &message, frame, env);
                return Some(Holding::Request(pair, serial));
            }
            Role::Repeats { pair, open } => {
                let serial = self.repeat(sender, pair.clone(), open, &message, frame, env)?;
                return Some(Holding::Request(pair, serial));
            }
            Role::Continues(target) => Effect::Continues(target),
            Role::Interim(target) => Effect::Interim(target),
            Role::Closes(target) => Effect::Closes(target),
            Role::ClosesUpTo(target) => Effect::ClosesUpTo(target),
            Role::Cancels(target) => Effect::Cancels(target),
            Role::CancelsAll(opener) => Effect::CancelsAll(opener),
            Role::OneWay => Effect::OneWay,
        };
        let Frame { first, last, offset, bytes, quality } = frame;
        Some(Holding::Message(Ready { message, effect, first, last, offset, bytes, quality }))
    }
}
