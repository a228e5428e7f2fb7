//! Events and sources for the tests of the adaptors.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, executor::block_on};
use futures_core::Stream;

use crate::{
    Batch, CloseReason, Closed, Comm, Direction, Event, FlowId, Opened, Origin, Segment, Task, Timestamp,
    source::IntoStream,
};

pub(super) type Never = std::convert::Infallible;

/// A source of batches that can be used as either.
#[derive(Clone)]
pub(super) struct Batches(std::vec::IntoIter<Result<Batch, Never>>);

impl Batches {
    pub(super) fn into_stream(self) -> IntoStream<Self> {
        IntoStream::new(self)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, Never>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

pub(super) fn source(batches: Vec<Vec<Event>>) -> Batches {
    source_of(1, batches)
}

pub(super) fn source_of(boot: u128, batches: Vec<Vec<Event>>) -> Batches {
    let batches = batches.into_iter().map(|events| Ok(Batch::new(origin(boot), events)));
    Batches(batches.collect::<Vec<_>>().into_iter())
}

pub(super) fn origin(boot: u128) -> Arc<Origin> {
    Arc::new(Origin::new(boot, "host", "test"))
}

/// The events of each batch, after asserting that stream and iterator give the same.
pub(super) fn both(
    stream: impl Stream<Item = Result<Batch, Never>>,
    iterator: impl Iterator<Item = Result<Batch, Never>>,
) -> Vec<Vec<Event>> {
    let streamed: Vec<_> = block_on(stream.map(Result::unwrap).collect());
    let iterated: Vec<_> = iterator.map(Result::unwrap).collect();
    assert_eq!(streamed, iterated);
    streamed.into_iter().map(|batch| batch.events).collect()
}

pub(super) fn task(pid: u32) -> Task {
    Task::new(pid, pid, Comm::default())
}

pub(super) fn opened(at: u64, flow: u64) -> Event {
    Event::Opened(Opened { at: Timestamp::from_nanos(at), flow: FlowId(flow), ..Opened::default() })
}

pub(super) fn closed(at: u64, flow: u64) -> Event {
    let (at, flow) = (Timestamp::from_nanos(at), FlowId(flow));
    Event::Closed(Closed { at, flow, reason: CloseReason::Closed, stats: None })
}

pub(super) fn segment(at: u64, flow: u64, offset: u64, data: &'static [u8], task: Option<Task>) -> Event {
    Event::Segment(Segment {
        at: Timestamp::from_nanos(at),
        flow: FlowId(flow),
        direction: Direction::Out,
        offset,
        data: Bytes::from_static(data),
        len: data.len() as u64,
        task,
    })
}
