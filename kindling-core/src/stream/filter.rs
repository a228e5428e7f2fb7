//! Filtering by the event itself.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use pin_project::pin_project;

use super::sift::{self, Sift};
use crate::event::{Batch, Event};

/// Keeps the events that a predicate accepts, and all ticks, clocks and losses.
#[pin_project]
#[derive(Clone, Debug)]
#[must_use = "streams and iterators do nothing unless polled"]
pub struct FilterEvents<S, F> {
    #[pin]
    inner: S,
    keep: Keep<F>,
}

#[derive(Clone, Debug)]
struct Keep<F>(F);

impl<S, F> FilterEvents<S, F> {
    pub(super) const fn new(inner: S, keep: F) -> Self {
        Self { inner, keep: Keep(keep) }
    }
}

impl<F: FnMut(&Event) -> bool> Sift for Keep<F> {
    fn sift(&mut self, mut batch: Batch) -> Batch {
        batch.events.retain(|event| sift::always(event) || (self.0)(event));
        batch
    }
}

impl<S: Stream<Item = Result<Batch, E>>, E, F: FnMut(&Event) -> bool> Stream for FilterEvents<S, F> {
    type Item = Result<Batch, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        sift::poll(this.inner, this.keep, cx)
    }
}

impl<S: Iterator<Item = Result<Batch, E>>, E, F: FnMut(&Event) -> bool> Iterator for FilterEvents<S, F> {
    type Item = Result<Batch, E>;

    fn next(&mut self) -> Option<Self::Item> {
        sift::next(&mut self.inner, &mut self.keep)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{both, opened, segment, source};
    use crate::{Event, EventIteratorExt, EventStreamExt, Timestamp};

    #[test]
    fn time_goes_on_and_empty_batches_do_not() {
        let tick = Event::Tick(Timestamp::from_nanos(9));
        let batches = source(vec![vec![opened(1, 1)], vec![segment(2, 1, 0, b"x", None), tick.clone()]]);
        let results = both(
            EventStreamExt::filter_events(batches.clone().into_stream(), |_| false),
            EventIteratorExt::filter_events(batches, |_| false),
        );
        assert_eq!(results, [vec![tick]]);
    }
}
