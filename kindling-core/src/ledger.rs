//! The running account of what was seen, used, skipped and lost.
//!
//! Three sums must hold at every moment, for each flow and in all ([`Ledger::check`]); tests assert them after every step:
//!
//! ```text
//! advanced = framed + skipped + uncaptured + opaque + rejected + lost + not_targeted + evicted + buffered
//! captured = fresh + duplicate
//! opened   = complete + unanswered + superseded + cancelled + reset + lost + pending
//! ```

use std::{collections::BTreeMap, ops::AddAssign};

use crate::event::LostClass;

/// Bytes, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Positions the streams moved forward, in both directions.
    pub advanced: u64,
    /// Read as part of a message.
    pub framed: u64,
    /// Belonged to a message and did not need to be seen.
    pub skipped: u64,
    /// Length known, content not captured, and it was needed.
    pub uncaptured: u64,
    /// Of flows that no protocol claimed, or after a hand-over to none.
    pub opaque: u64,
    /// Passed over because they were not what the protocol allows.
    pub rejected: u64,
    /// Missing, for no known reason.
    pub lost: u64,
    /// Moved by processes that are not targets.
    pub not_targeted: u64,
    /// Given up for a limit, or because their flow ended in mid-message.
    pub evicted: u64,
    /// Waiting for the rest of their message.
    pub buffered: u64,
    /// Delivered by the source.
    pub captured: u64,
    /// Delivered for the first time.
    pub fresh: u64,
    /// Delivered again.
    pub duplicate: u64,
}

/// Exchanges, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanges {
    /// Requests that expect an answer.
    pub opened: u64,
    /// Answered in full.
    pub complete: u64,
    /// Not answered before the deadline or the end of the flow.
    pub unanswered: u64,
    /// Their key was used again.
    pub superseded: u64,
    /// Withdrawn by a side.
    pub cancelled: u64,
    /// Their flow was reset.
    pub reset: u64,
    /// Their answer cannot be told from others after a loss, or was lost.
    pub lost: u64,
    /// Still waiting.
    pub pending: u64,
    /// Requests that expect no answer (not in `opened`).
    pub one_way: u64,
    /// Answers whose request was not seen (not in `opened`).
    pub unmatched: u64,
    /// Requests sent again under the same key (not in `opened`).
    pub repeats: u64,
}

/// The running account of bytes, exchanges and events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ledger {
    /// Bytes.
    pub bytes: Bytes,
    /// Exchanges.
    pub exchanges: Exchanges,
    /// Messages framed.
    pub messages: u64,
    /// Bytes parsers looked at, those they had to look at again included.
    pub scanned: u64,
    /// Times a parser met something it does not allow.
    pub rejects: u64,
    /// Times a stream lost its place.
    pub resyncs: u64,
    /// Segments seen.
    pub segments: u64,
    /// Flows seen.
    pub flows: u64,
    /// Flows ended.
    pub flows_closed: u64,
    /// Flows dropped for the limit on flows.
    pub flows_evicted: u64,
    /// Connection attempts that failed.
    pub connects_failed: u64,
    /// Events the source reported as lost, by class.
    pub events_lost: BTreeMap<LostClass, u64>,
}

/// A sum of the ledger that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ledger: {name}: {left} on the left, {right} on the right")]
pub struct Imbalance {
    /// Which sum.
    pub name: &'static str,
    /// Its left side.
    pub left: u64,
    /// Its right side.
    pub right: u64,
}

impl Ledger {
    /// Whether the three sums hold.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), Imbalance> {
        let (b, e) = (&self.bytes, &self.exchanges);
        let passed = b.framed + b.skipped + b.uncaptured + b.opaque + b.rejected + b.lost;
        let ended = e.complete + e.unanswered + e.superseded + e.cancelled + e.reset + e.lost;
        let sums = [
            ("bytes advanced", b.advanced, passed + b.not_targeted + b.evicted + b.buffered),
            ("bytes captured", b.captured, b.fresh + b.duplicate),
            ("exchanges opened", e.opened, ended + e.pending),
        ];
        for (name, left, right) in sums {
            if left != right {
                return Err(Imbalance { name, left, right });
            }
        }
        Ok(())
    }
}

/// Arithmetic over all fields, from one list of them that the compiler checks to be complete.
macro_rules! sums {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl AddAssign for $type {
            fn add_assign(&mut self, other: Self) {
                let Self { $($field),* } = other;
                $(self.$field += $field;)*
            }
        }

        impl $type {
            /// Change by what changed between two readings of an account that this one is a part of.
            pub const fn follow(&mut self, before: Self, after: Self) {
                $(self.$field = self.$field.wrapping_add(after.$field).wrapping_sub(before.$field);)*
            }
        }
    };
}

sums!(Bytes {
    advanced,
    framed,
    skipped,
    uncaptured,
    opaque,
    rejected,
    lost,
    not_targeted,
    evicted,
    buffered,
    captured,
    fresh,
    duplicate,
});
sums!(Exchanges {
    opened,
    complete,
    unanswered,
    superseded,
    cancelled,
    reset,
    lost,
    pending,
    one_way,
    unmatched,
    repeats,
});

impl AddAssign<&Self> for Ledger {
    fn add_assign(&mut self, other: &Self) {
        let Self {
            bytes,
            exchanges,
            messages,
            scanned,
            rejects,
            resyncs,
            segments,
            flows,
            flows_closed,
            flows_evicted,
            connects_failed,
            events_lost,
        } = other;
        self.bytes += *bytes;
        self.exchanges += *exchanges;
        self.messages += messages;
        self.scanned += scanned;
        self.rejects += rejects;
        self.resyncs += resyncs;
        self.segments += segments;
        self.flows += flows;
        self.flows_closed += flows_closed;
        self.flows_evicted += flows_evicted;
        self.connects_failed += connects_failed;
        for (class, count) in events_lost {
            *self.events_lost.entry(*class).or_default() += count;
        }
    }
}
