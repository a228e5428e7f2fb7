//! Answers that came before their requests.

use std::collections::{VecDeque, vec_deque};

use kindling_core::Timestamp;

use super::half::Ready;
use crate::protocol::{Protocol, Sender};

/// An answer whose request may still come, and until when.
pub(super) type Waiting<P> = (Timestamp, Sender, Ready<P>);

/// Answers that came before their requests, in order. Hardly any flow ever has one, so it is small while empty.
#[expect(clippy::box_collection, reason = "a quarter of the size while empty")]
pub(super) struct Waitlist<P: Protocol>(Option<Box<VecDeque<Waiting<P>>>>);

impl<P: Protocol> Default for Waitlist<P> {
    fn default() -> Self {
        Self(None)
    }
}

impl<P: Protocol> Waitlist<P> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.len())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting<P>> {
        self.0.iter().flat_map(|waiting| waiting.iter())
    }

    /// Until when the first of them waits.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.0.as_ref()?.front().map(|first| first.0)
    }

    pub(super) fn push(&mut self, waiting: Waiting<P>) {
        self.0.get_or_insert_default().push_back(waiting);
    }

    /// The first, if it waits no longer than `now`.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Waiting<P>> {
        let waiting = self.0.as_mut()?;
        let due = if waiting.front()?.0 <= now { waiting.pop_front() } else { None };
        if waiting.is_empty() {
            self.0 = None;
        }
        due
    }

    /// All of them.
    pub(super) fn take(&mut self) -> vec_deque::IntoIter<Waiting<P>> {
        self.0.take().map(|waiting| *waiting).unwrap_or_default().into_iter()
    }
}
