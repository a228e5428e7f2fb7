//! Filtering by flow.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use pin_project::pin_project;

use super::sift::{self, Origins, Sift};
use crate::{
    bounded::BoundedMap,
    event::{Batch, ConnectFailed, Event, Opened},
    id::{FlowId, Role},
};

/// Keeps the flows that a predicate accepts when they are opened.
///
/// A failed connection attempt is asked about as if it had been opened by its client. Segments of a flow whose opening was not seen are
/// dropped, as nothing is known of it. What concerns no flow is kept: ticks, clocks, losses, process events.
#[pin_project]
#[derive(Clone, Debug)]
#[must_use = "streams and iterators do nothing unless polled"]
pub struct FilterFlows<S, F> {
    #[pin]
    inner: S,
    flows: Flows<F>,
}

#[derive(Clone, Debug)]
struct Flows<F> {
    keep: F,
    origins: Origins,
    kept: BoundedMap<(usize, FlowId), ()>,
}

impl<S, F> FilterFlows<S, F> {
    pub(super) fn new(inner: S, keep: F) -> Self {
        Self { inner, flows: Flows { keep, origins: Origins::default(), kept: BoundedMap::new(sift::MAX_FLOWS) } }
    }
}

impl<F: FnMut(&Opened) -> bool> Sift for Flows<F> {
    fn sift(&mut self, mut batch: Batch) -> Batch {
        let Self { keep, origins, kept } = self;
        let origin = origins.index(&batch.origin);
        batch.events.retain(|event| match event {
            Event::Opened(opened) => {
                let key = (origin, opened.flow);
                kept.remove(&key);
                let wanted = keep(opened);
                if wanted {
                    kept.insert(key, ());
                }
                wanted
            }
            Event::ConnectFailed(failed) => keep(&attempted(failed)),
            Event::Closed(closed) => kept.remove(&(origin, closed.flow)).is_some(),
            _ => event.flow().is_none_or(|flow| kept.get(&(origin, flow)).is_some()),
        });
        batch
    }
}

fn attempted(failed: &ConnectFailed) -> Opened {
    Opened {
        at: failed.at,
        flow: failed.flow.unwrap_or_default(),
        transport: failed.transport,
        local: failed.local.clone(),
        remote: failed.remote.clone(),
        role: Role::Client,
        task: failed.task,
        ..Opened::default()
    }
}

impl<S: Stream<Item = Result<Batch, E>>, E, F: FnMut(&Opened) -> bool> Stream for FilterFlows<S, F> {
    type Item = Result<Batch, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        sift::poll(this.inner, this.flows, cx)
    }
}

impl<S: Iterator<Item = Result<Batch, E>>, E, F: FnMut(&Opened) -> bool> Iterator for FilterFlows<S, F> {
    type Item = Result<Batch, E>;

    fn next(&mut self) -> Option<Self::Item> {
        sift::next(&mut self.inner, &mut self.flows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{both, closed, opened, segment, source};
    use crate::{EventIteratorExt, EventStreamExt, FlowId, Opened};

    #[test]
    fn a_flow_is_kept_from_open_to_close() {
        let batches = source(vec![
            vec![segment(0, 3, 0, b"unknown", None), opened(1, 1), opened(1, 2)],
            vec![segment(2, 1, 0, b"x", None), segment(2, 2, 0, b"y", None), closed(3, 1), closed(3, 2)],
            vec![segment(4, 1, 1, b"late", None)],
        ]);
        let keep = |opened: &Opened| opened.flow == FlowId(1);
        let results = both(
            EventStreamExt::filter_flows(batches.clone().into_stream(), keep),
            EventIteratorExt::filter_flows(batches, keep),
        );
        assert_eq!(results, [vec![opened(1, 1)], vec![segment(2, 1, 0, b"x", None), closed(3, 1)]]);
    }
}
