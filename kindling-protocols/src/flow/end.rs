//! The end of a flow: what is whole, what was cut short, and what nobody answered.

use kindling_core::{CloseReason, Outcome, Quality};

use super::{
    Env, Flow,
    half::{Effect, Holding, Ready},
};
use crate::{
    pairing::End,
    protocol::{Protocol, Sender},
};

impl<P: Protocol> Flow<P> {
    /// The flow ends: messages that last until then are whole, everything else is not.
    pub(super) fn finish_all(&mut self, reason: CloseReason, env: &mut Env<'_>) {
        for sender in [Sender::Server, Sender::Client] {
            let half = self.half(sender);
            let (to_end, passed) = (half.buffer.skipping_to_end(), half.buffer.passed());
            let newest = half.buffer.newest();
            let Some(held) = half.held.take() else { continue };
            match held.what {
                Holding::Request(pair, serial) => {
                    if let Some(pending) = self.pairs.by_serial(sender, &pair, serial) {
                        pending.request_bytes += passed;
                    }
                }
                Holding::Message(mut ready) => {
                    ready.bytes += passed;
                    ready.last = newest;
                    if to_end && reason != CloseReason::Reset {
                        self.apply(sender, &ready, env);
                    } else {
                        self.cut_short(sender, &ready, reason, env);
                    }
                }
            }
        }
        let (outcome, cut) = match reason {
            CloseReason::Reset => (Outcome::Reset, false),
            CloseReason::SourceEnded => (Outcome::Unanswered, true),
            _ => (Outcome::Unanswered, false),
        };
        for mut pending in self.pairs.drain() {
            if cut {
                pending.quality.insert(Quality::CUT);
            }
            // An answer that began and did not become whole.
            let begun = outcome == Outcome::Unanswered && pending.first_byte.is_some();
            self.finish(pending, if begun { Outcome::Cancelled } else { outcome }, None, env);
        }
    }

    /// The flow ended inside an answer: its head tells what it was, but it never became whole.
    fn cut_short(&mut self, sender: Sender, ready: &Ready<P>, reason: CloseReason, env: &mut Env<'_>) {
        let Effect::Closes(target) = &ready.effect else { return };
        let opener = self.opener(sender, target.opener);
        let Some(pending) = self.pairs.find(opener, &target.pair, End::Oldest) else { return };
        if !pending.aligned || pending.reported {
            return;
        }
        let Some(mut pending) = self.pairs.close(opener, &target.pair) else { return };
        P::fold(&mut pending.summary, sender, &ready.message);
        pending.response_bytes += ready.bytes;
        pending.first_byte.get_or_insert(ready.first.at);
        let outcome = match reason {
            CloseReason::Reset => Outcome::Reset,
            CloseReason::SourceEnded => {
                pending.quality.insert(Quality::CUT);
                Outcome::Cancelled
            }
            _ => Outcome::Cancelled,
        };
        self.finish(pending, outcome, Some(ready), env);
    }
}
