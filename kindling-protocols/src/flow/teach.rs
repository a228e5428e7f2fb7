//! What the source is told: how much of each call is worth copying.

use kindling_core::Directive;

use super::{Env, Flow};
use crate::protocol::{Protocol, Sender};

impl<P: Protocol> Flow<P> {
    /// The source showed less than a parser needed: it should show more.
    pub(super) fn ask_for_more(&mut self, sender: Sender, env: &mut Env<'_>) {
        let direction = if sender == Sender::Client { self.client } else { self.client.opposite() };
        let half = self.half(sender);
        if (HEADS_SEEN..ALL).contains(&half.heads) {
            (half.longest_head, half.heads) = (0, 0);
            env.directives.push_back(Directive::everything(env.info.flow, direction));
        }
    }

    /// Framing stands between the parts of a body, so heads are not all that is looked at.
    pub(super) fn teach_all(&mut self, sender: Sender, env: &mut Env<'_>) {
        let direction = if sender == Sender::Client { self.client } else { self.client.opposite() };
        let half = self.half(sender);
        if (HEADS_SEEN..ALL).contains(&half.heads) {
            env.directives.push_back(Directive::everything(env.info.flow, direction));
        }
        half.heads = ALL;
    }

    /// What is skipped need not be copied.
    pub(super) fn teach_skip(&mut self, sender: Sender, env: &mut Env<'_>) {
        let direction = if sender == Sender::Client { self.client } else { self.client.opposite() };
        let (flow, buffer) = (env.info.flow, &self.half(sender).buffer);
        if buffer.skipping_to_end() {
            env.directives.push_back(Directive::nothing(flow, direction));
        } else if buffer.skip_end() - buffer.expected().unwrap_or_default() >= WORTH_TEACHING {
            let per_segment = self.per_segment(sender);
            let skip_to = self.half(sender).buffer.skip_end();
            env.directives.push_back(Directive::everything(flow, direction).per_segment(per_segment).skip_to(skip_to));
        }
    }

    /// A protocol of heads need not have more copied than its heads take.
    pub(super) fn teach_heads(&mut self, sender: Sender, head: usize, env: &mut Env<'_>) {
        let direction = if sender == Sender::Client { self.client } else { self.client.opposite() };
        let half = self.half(sender);
        let (longest, seen) = (half.longest_head, half.heads);
        if seen == ALL {
            return;
        }
        let longer = longest.max(u32::try_from(head).unwrap_or(u32::MAX));
        let budget = |head: u32| head.saturating_mul(2).max(LEAST_BUDGET).next_power_of_two();
        if seen < HEADS_SEEN {
            (half.longest_head, half.heads) = (longer, seen + 1);
            if seen + 1 < HEADS_SEEN {
                return;
            }
        } else if budget(longest) == budget(longer) {
            half.longest_head = longer;
            return;
        } else {
            half.longest_head = longer;
        }
        let wish = Directive::everything(env.info.flow, direction).per_segment(budget(longer));
        env.directives.push_back(wish);
    }

    fn per_segment(&mut self, sender: Sender) -> u32 {
        let half = self.half(sender);
        let (longest, seen) = (half.longest_head, half.heads);
        if seen < HEADS_SEEN || seen == ALL {
            u32::MAX
        } else {
            longest.saturating_mul(2).max(LEAST_BUDGET).next_power_of_two()
        }
    }
}

/// Skips shorter than this have passed before the source hears of them.
const WORTH_TEACHING: u64 = 64 << 10;
/// Heads seen in one direction before the source is told how long they are.
const HEADS_SEEN: u8 = 3;
/// The count of heads of a direction in which more than heads is needed.
const ALL: u8 = u8::MAX;
/// Least payload asked for of a segment.
const LEAST_BUDGET: u32 = 512;
