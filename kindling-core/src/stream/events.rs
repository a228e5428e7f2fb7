//! Single events.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    vec,
};

use futures_core::Stream;
use pin_project::pin_project;

use crate::{
    event::{Batch, Event},
    id::Origin,
};

/// Yields the events of batches one by one, each with its origin.
#[pin_project]
#[derive(Clone, Debug)]
#[must_use = "streams and iterators do nothing unless polled"]
pub struct Events<S> {
    #[pin]
    inner: S,
    current: Option<(Arc<Origin>, vec::IntoIter<Event>)>,
}

impl<S> Events<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self { inner, current: None }
    }
}

fn take(current: &mut Option<(Arc<Origin>, vec::IntoIter<Event>)>) -> Option<(Arc<Origin>, Event)> {
    let (origin, events) = current.as_mut()?;
    events.next().map(|event| (origin.clone(), event))
}

impl<S: Stream<Item = Result<Batch, E>>, E> Stream for Events<S> {
    type Item = Result<(Arc<Origin>, Event), E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            if let Some(event) = take(this.current) {
                return Poll::Ready(Some(Ok(event)));
            }
            // The batch goes before the next is waited for: it may be the last to hold its arena.
            *this.current = None;
            match ready!(this.inner.as_mut().poll_next(cx)) {
                Some(Ok(batch)) => *this.current = Some((batch.origin, batch.events.into_iter())),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<S: Iterator<Item = Result<Batch, E>>, E> Iterator for Events<S> {
    type Item = Result<(Arc<Origin>, Event), E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = take(&mut self.current) {
                return Some(Ok(event));
            }
            self.current = None;
            match self.inner.next()? {
                Ok(batch) => self.current = Some((batch.origin, batch.events.into_iter())),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, executor::block_on};

    use super::super::testing::{opened, source};
    use crate::{EventIteratorExt, EventStreamExt};

    #[test]
    fn every_event_comes_once_in_order() {
        let batches = source(vec![vec![opened(1, 1), opened(2, 2)], vec![], vec![opened(3, 3)]]);
        let streamed: Vec<_> = block_on(EventStreamExt::events(batches.clone().into_stream()).collect());
        let iterated: Vec<_> = EventIteratorExt::events(batches).collect();
        assert_eq!(streamed, iterated);
        let events: Vec<_> = streamed.into_iter().map(|item| item.unwrap().1).collect();
        assert_eq!(events, [opened(1, 1), opened(2, 2), opened(3, 3)]);
    }
}
