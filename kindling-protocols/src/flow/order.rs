//! Segments that come before their turn, and bytes that never come.

use std::collections::VecDeque;

use bytes::Bytes;
use kindling_core::{Cause, Gap, Timestamp};

use super::{
    Flow,
    half::{Ahead, Early},
    info::Env,
};
use crate::{
    buffer::Pushed,
    protocol::{Protocol, Sender},
};

impl<P: Protocol> Flow<P> {
    /// Keep what came before its turn for the length of the reorder window. Says whether to go on with it at once instead.
    pub(super) fn hold(&mut self, sender: Sender, early: Early, env: &Env<'_>) -> bool {
        let window = env.limits.reorder_window;
        let half = self.half(sender);
        let ahead = half
            .ahead
            .get_or_insert_with(|| Box::new(Ahead { items: VecDeque::new(), bytes: 0, deadline: env.now + window }));
        if window.is_zero() || ahead.items.len() >= AHEAD_ITEMS || ahead.bytes >= AHEAD_BYTES {
            // Too much to be a matter of order: the oldest gap is one.
            ahead.deadline = Timestamp::ZERO;
        }
        // What outlives the batch must not pin it.
        let early = match early {
            Early::Segment(mut segment) => {
                segment.data = Bytes::copy_from_slice(&segment.data);
                ahead.bytes += segment.data.len() as u64;
                Early::Segment(segment)
            }
            gap @ Early::Gap(_) => gap,
        };
        let place = ahead.items.partition_point(|other| other.offset() <= early.offset());
        ahead.items.insert(place, early);
        if ahead.deadline <= env.now {
            // The gap is real. Everything goes on from the first segment after it.
            self.overdue_ahead(sender);
            return true;
        }
        false
    }

    pub(super) const fn overdue_ahead(&mut self, sender: Sender) {
        if let Some(ahead) = &mut self.half(sender).ahead {
            ahead.deadline = Timestamp::ZERO;
        }
    }

    /// Push the next of what came early, if its turn has come or, with `force`, whatever is missing before it.
    pub(super) fn next_ahead(&mut self, sender: Sender, env: &mut Env<'_>, force: bool) -> bool {
        let half = self.half(sender);
        let Some(ahead) = &mut half.ahead else { return false };
        let due = force || ahead.deadline == Timestamp::ZERO;
        let turn = ahead.items.front().is_some_and(|first| due || !half.buffer.misses(first.offset()));
        if !turn {
            return false;
        }
        let Some(early) = ahead.items.pop_front() else { return false };
        if let Early::Segment(segment) = &early {
            ahead.bytes -= segment.data.len() as u64;
        }
        if ahead.items.is_empty() {
            half.ahead = None;
        } else if due {
            // One gap was given up; the others have their own time.
            ahead.deadline = env.now + env.limits.reorder_window;
        }
        match early {
            Early::Segment(segment) => self.push(sender, &segment, env),
            Early::Gap(gap) => self.gap(sender, &gap, env),
        }
        true
    }

    pub(super) fn gap(&mut self, sender: Sender, gap: &Gap, env: &mut Env<'_>) {
        if self.half(sender).buffer.misses(gap.offset.saturating_add(gap.len)) {
            self.salvage_broken(sender, gap.at, env);
        }
        let half = self.half(sender);
        half.buffer.begin(gap.offset);
        if half.buffer.misses(gap.offset)
            && half.buffer.push_gap(gap.offset, Cause::Lost, &mut env.ledger.bytes) == Pushed::Broken
        {
            self.lose(sender, gap.at, env);
        }
        let until = gap.offset.saturating_add(gap.len);
        if self.half(sender).buffer.push_gap(until, gap.cause, &mut env.ledger.bytes) == Pushed::Broken {
            self.lose(sender, gap.at, env);
        }
    }
}

/// Segments of one direction kept for the reorder window.
const AHEAD_ITEMS: usize = 256;
/// Bytes of one direction kept for the reorder window.
const AHEAD_BYTES: u64 = 1 << 20;
