//! What all filters share: a batch goes in, what is left of it comes out, and empty ones are passed over.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use crate::{
    event::{Batch, Event},
    id::Origin,
};

/// The logic of a filter, without the stream or iterator around it.
pub(super) trait Sift {
    fn sift(&mut self, batch: Batch) -> Batch;
}

pub(super) fn poll<S, E>(
    mut inner: Pin<&mut S>,
    logic: &mut impl Sift,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Batch, E>>>
where
    S: Stream<Item = Result<Batch, E>>,
{
    loop {
        match ready!(inner.as_mut().poll_next(cx)) {
            Some(Ok(batch)) => {
                let batch = logic.sift(batch);
                if !batch.events.is_empty() {
                    return Poll::Ready(Some(Ok(batch)));
                }
            }
            other => return Poll::Ready(other),
        }
    }
}

pub(super) fn next<E>(
    inner: &mut impl Iterator<Item = Result<Batch, E>>,
    logic: &mut impl Sift,
) -> Option<Result<Batch, E>> {
    loop {
        match inner.next()? {
            Ok(batch) => {
                let batch = logic.sift(batch);
                if !batch.events.is_empty() {
                    return Some(Ok(batch));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Whether every filter keeps it.
pub(super) const fn always(event: &Event) -> bool {
    matches!(event, Event::Tick(_) | Event::Clock(_) | Event::Lost(_))
}

/// Numbers origins, so that flows of different ones can be told apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(Vec<Arc<Origin>>);

impl Origins {
    pub(super) fn index(&mut self, origin: &Arc<Origin>) -> usize {
        let found = self.0.iter().position(|known| Arc::ptr_eq(known, origin) || known == origin);
        found.unwrap_or_else(|| {
            self.0.push(origin.clone());
            self.0.len() - 1
        })
    }
}

/// Flows a filter remembers; of more than these the longest unused are forgotten.
pub(super) const MAX_FLOWS: usize = 1 << 18;
