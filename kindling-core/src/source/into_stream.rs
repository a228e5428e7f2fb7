//! Iterators as streams.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

/// An iterator as a stream that is always ready.
///
/// Polling it does the iterator's work, blocking reads included.
#[derive(Clone, Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct IntoStream<I>(I);

impl<I> IntoStream<I> {
    /// Make a stream of an iterator.
    pub const fn new(iterator: I) -> Self {
        Self(iterator)
    }

    /// The iterator.
    pub const fn inner(&self) -> &I {
        &self.0
    }
}

impl<I: Iterator + Unpin> Stream for IntoStream<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
