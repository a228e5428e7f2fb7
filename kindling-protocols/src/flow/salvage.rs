//! Heads of which the rest will never come: what is there may still say what the message was.

use kindling_core::{Quality, Timestamp};

use super::{
    Env, Flow, Tap,
    drain::Part,
    half::{Effect, Ready},
    message::Frame,
};
use crate::{
    pairing::End,
    parse::Span,
    protocol::{Protocol, Sender},
    role::{Opener, Role, Target},
};

impl<P: Protocol> Flow<P> {
    /// The rest of the segment that carries the head was not captured. The message is taken to end with that segment. Says whether there was one.
    pub(super) fn salvage_cut(
        &mut self,
        sender: Sender,
        at: Timestamp,
        env: &mut Env<'_>,
        tap: &mut Option<Tap<'_, P>>,
    ) -> bool {
        let Some((message, part)) = self.salvage(sender, at, env) else { return false };
        let half = self.half(sender);
        half.salvaged = true;
        let span = Span::of(half.buffer.bytes().len()).skipping(half.buffer.hidden());
        self.message(sender, message, span, Some(part), env, tap);
        true
    }

    /// What follows the head is missing, or the flow is over. A request waits for its answer all the same; an answer is told of and ends nothing.
    pub(super) fn salvage_broken(&mut self, sender: Sender, at: Timestamp, env: &mut Env<'_>) {
        let half = self.half(sender);
        let whole = half.buffer.bytes().is_empty() || half.buffer.skipping() || half.held.is_some();
        if whole || half.lost || half.waiting.is_some() {
            return;
        }
        let Some((message, Part { role, .. })) = self.salvage(sender, at, env) else { return };
        env.ledger.messages += 1;
        let half = self.half(sender);
        let start = half.buffer.start();
        let (first, offset) = half.begun.as_deref().copied().unwrap_or_else(|| (half.buffer.stamp(start), start));
        let last = half.buffer.newest();
        let bytes = half.progress + half.buffer.bytes().len() as u64;
        match role {
            Role::Opens { pair, open, replies } => {
                let frame = Frame { first, last, offset, bytes, quality: Quality::TRUNCATED };
                self.open(sender, pair, open, replies, &message, frame, env);
            }
            Role::Closes(target) | Role::Continues(target) if target.opener == Opener::Peer => {
                let aligned = self.pairs.find(sender.peer(), &target.pair, End::Oldest).is_some_and(|p| p.aligned);
                if aligned {
                    let effect = Effect::Continues(target.clone());
                    let ready = Ready { message, effect, first, last, offset, bytes, quality: Quality::TRUNCATED };
                    self.extend(sender, &Target { pair: target.pair, opener: Opener::Peer }, &ready, true);
                }
            }
            _ => {}
        }
    }

    fn salvage(&mut self, sender: Sender, at: Timestamp, env: &mut Env<'_>) -> Option<(P::Message, Part<P>)> {
        let hidden = self.half(sender).buffer.hidden();
        let input = self.half(sender).buffer.lend();
        let found = self.context(sender, at, env).and_then(|mut cx| {
            let message = P::salvage(&mut cx, &input, hidden)?;
            let part = Part { role: P::role(&cx, &message), fence: false };
            Some((message, part))
        });
        self.half(sender).buffer.restore(input);
        found
    }
}
