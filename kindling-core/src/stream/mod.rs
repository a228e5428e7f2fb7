//! Adaptors over streams and iterators of batches.
//!
//! [`EventStreamExt`] is for `Stream<Item = Result<Batch, E>>`, [`EventIteratorExt`] for iterators of the same; an adaptor is the
//! same type in both and gives the same results. Sources that cannot fail use [`Infallible`](std::convert::Infallible) for `E`.
//!
//! Filters keep [ticks](crate::Event::Tick), [clocks](crate::Event::Clock) and [losses](crate::Event::Lost): without them time would stand still
//! downstream, and the account would not add up.

mod events;
mod filter;
mod flows;
mod merge;
mod record;
mod sift;
mod tasks;
mod tee;

use std::io::Write;

use futures_core::Stream;

pub use self::{
    events::Events,
    filter::FilterEvents,
    flows::FilterFlows,
    merge::{Merge, merge, merge_iter},
    record::{Record, RecordError},
    tasks::FilterTasks,
    tee::Tee,
};
use crate::{
    event::{Batch, Event, Opened},
    id::Task,
    source::recording::Writer,
};

/// Adaptors for streams of batches.
pub trait EventStreamExt<E>: Stream<Item = Result<Batch, E>> + Sized {
    /// Keep the events for which `keep` says so; ticks, clocks and losses always.
    fn filter_events<F: FnMut(&Event) -> bool>(self, keep: F) -> FilterEvents<Self, F> {
        FilterEvents::new(self, keep)
    }

    /// Keep what the tasks did for which `keep` says so; see [`FilterTasks`].
    fn filter_tasks<F: FnMut(&Task) -> bool>(self, keep: F) -> FilterTasks<Self, F> {
        FilterTasks::new(self, keep)
    }

    /// Keep the flows for which `keep` says so when they are opened; see [`FilterFlows`].
    fn filter_flows<F: FnMut(&Opened) -> bool>(self, keep: F) -> FilterFlows<Self, F> {
        FilterFlows::new(self, keep)
    }

    /// Write every batch to `writer` as it passes; see [`Record`].
    fn record<W: Write>(self, writer: Writer<W>) -> Record<Self, W> {
        Record::new(self, writer)
    }

    /// Two streams that yield the same, at most `limit` batches apart; see [`Tee`].
    fn tee(self, limit: usize) -> (Tee<Self, E>, Tee<Self, E>)
    where
        E: Clone,
    {
        Tee::pair(self, limit)
    }

    /// Single events, each with its origin.
    fn events(self) -> Events<Self> {
        Events::new(self)
    }
}

impl<S: Stream<Item = Result<Batch, E>>, E> EventStreamExt<E> for S {}

/// Adaptors for iterators of batches.
///
/// There is no `tee`: one of its halves would have to hold everything while the other runs. Use [`Iterator::inspect`], or
/// [`record`](Self::record).
pub trait EventIteratorExt<E>: Iterator<Item = Result<Batch, E>> + Sized {
    /// Keep the events for which `keep` says so; ticks, clocks and losses always.
    fn filter_events<F: FnMut(&Event) -> bool>(self, keep: F) -> FilterEvents<Self, F> {
        FilterEvents::new(self, keep)
    }

    /// Keep what the tasks did for which `keep` says so; see [`FilterTasks`].
    fn filter_tasks<F: FnMut(&Task) -> bool>(self, keep: F) -> FilterTasks<Self, F> {
        FilterTasks::new(self, keep)
    }

    /// Keep the flows for which `keep` says so when they are opened; see [`FilterFlows`].
    fn filter_flows<F: FnMut(&Opened) -> bool>(self, keep: F) -> FilterFlows<Self, F> {
        FilterFlows::new(self, keep)
    }

    /// Write every batch to `writer` as it passes; see [`Record`].
    fn record<W: Write>(self, writer: Writer<W>) -> Record<Self, W> {
        Record::new(self, writer)
    }

    /// Single events, each with its origin.
    fn events(self) -> Events<Self> {
        Events::new(self)
    }
}

impl<I: Iterator<Item = Result<Batch, E>>, E> EventIteratorExt<E> for I {}

#[cfg(test)]
mod testing;
