//! Filtering by task.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use pin_project::pin_project;

use super::sift::{self, Origins, Sift};
use crate::{
    bounded::BoundedMap,
    event::{Batch, Cause, Event, Gap, Opened, Segment},
    id::{Direction, FlowId, Offsets, Task},
    time::Timestamp,
};

/// Keeps what the tasks did that a predicate accepts.
///
/// A flow is shared by whoever holds its socket, so the filter works by segment. A flow appears with the first segment that an accepted
/// task moved (or opened), and its opening is given then, whoever opened it. Stream bytes that others moved on it become a
/// [`Gap`] with the cause [`NotTargeted`](Cause::NotTargeted); their datagrams go. Ends of flows follow their flow. What was done by
/// nobody known (a capture file tells no tasks) is dropped; ticks, clocks and losses are kept.
#[pin_project]
#[derive(Clone, Debug)]
#[must_use = "streams and iterators do nothing unless polled"]
pub struct FilterTasks<S, F> {
    #[pin]
    inner: S,
    tasks: Tasks<F>,
}

#[derive(Clone, Debug)]
struct Tasks<F> {
    keep: F,
    origins: Origins,
    flows: BoundedMap<(usize, FlowId), Flow>,
}

#[derive(Clone, Debug)]
enum Flow {
    /// No accepted task had to do with it so far.
    Waiting(Box<Waiting>),
    Kept(Offsets),
}

#[derive(Clone, Debug)]
struct Waiting {
    opened: Opened,
    /// Bytes that others moved, out and in: from and to.
    passed: [Option<(u64, u64)>; 2],
}

impl<S, F> FilterTasks<S, F> {
    pub(super) fn new(inner: S, keep: F) -> Self {
        Self { inner, tasks: Tasks { keep, origins: Origins::default(), flows: BoundedMap::new(sift::MAX_FLOWS) } }
    }
}

impl<F: FnMut(&Task) -> bool> Sift for Tasks<F> {
    fn sift(&mut self, batch: Batch) -> Batch {
        let origin = self.origins.index(&batch.origin);
        let mut events = Vec::with_capacity(batch.events.len());
        for event in batch.events {
            self.event(origin, event, &mut events);
        }
        Batch::new(batch.origin, events)
    }
}

impl<F: FnMut(&Task) -> bool> Tasks<F> {
    fn event(&mut self, origin: usize, event: Event, out: &mut Vec<Event>) {
        let wanted = event.task().is_some_and(&mut self.keep);
        let key = event.flow().map(|flow| (origin, flow));
        match (event, key) {
            (event, _) if sift::always(&event) => out.push(event),
            (Event::Opened(opened), Some(key)) => {
                self.flows.remove(&key);
                let flow = if wanted {
                    let offsets = opened.offsets;
                    out.push(Event::Opened(opened));
                    Flow::Kept(offsets)
                } else {
                    Flow::Waiting(Box::new(Waiting { opened, passed: [None; 2] }))
                };
                self.flows.insert(key, flow);
            }
            (Event::Segment(segment), Some(key)) if wanted => {
                self.reveal(key, segment.at, out);
                out.push(Event::Segment(segment));
            }
            (Event::Segment(segment), Some(key)) => self.pass_over(key, &segment, out),
            (Event::Gap(gap), Some(key)) => {
                if let Some(Flow::Kept(_)) = self.flows.get(&key) {
                    out.push(Event::Gap(gap));
                }
            }
            (Event::Closed(closed), Some(key)) => {
                if let Some(Flow::Kept(_)) = self.flows.remove(&key) {
                    out.push(Event::Closed(closed));
                }
            }
            (event, _) if wanted => out.push(event),
            _ => {}
        }
    }

    /// An accepted task uses the flow: what was held back of it comes out.
    fn reveal(&mut self, key: (usize, FlowId), at: Timestamp, out: &mut Vec<Event>) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        let Flow::Waiting(waiting) = flow else { return };
        let Waiting { opened, passed } = &**waiting;
        let offsets = opened.offsets;
        out.push(Event::Opened(opened.clone()));
        for (direction, passed) in [Direction::Out, Direction::In].into_iter().zip(passed) {
            if let Some((from, to)) = *passed {
                out.push(not_targeted(at, key.1, direction, from, to.saturating_sub(from)));
            }
        }
        *flow = Flow::Kept(offsets);
    }

    /// Somebody else moved these bytes.
    fn pass_over(&mut self, key: (usize, FlowId), segment: &Segment, out: &mut Vec<Event>) {
        let end = segment.offset.saturating_add(segment.len);
        match self.flows.get_mut(&key) {
            Some(Flow::Kept(offsets)) if *offsets != Offsets::Datagram => {
                out.push(not_targeted(segment.at, segment.flow, segment.direction, segment.offset, segment.len));
            }
            Some(Flow::Waiting(waiting)) if waiting.opened.offsets != Offsets::Datagram => {
                let [sent, received] = &mut waiting.passed;
                let passed = if segment.direction == Direction::Out { sent } else { received };
                let (from, to) = passed.unwrap_or((segment.offset, end));
                *passed = Some((from.min(segment.offset), to.max(end)));
            }
            _ => {}
        }
    }
}

const fn not_targeted(at: Timestamp, flow: FlowId, direction: Direction, offset: u64, len: u64) -> Event {
    Event::Gap(Gap { at, flow, direction, offset, len, cause: Cause::NotTargeted })
}

impl<S: Stream<Item = Result<Batch, E>>, E, F: FnMut(&Task) -> bool> Stream for FilterTasks<S, F> {
    type Item = Result<Batch, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        sift::poll(this.inner, this.tasks, cx)
    }
}

impl<S: Iterator<Item = Result<Batch, E>>, E, F: FnMut(&Task) -> bool> Iterator for FilterTasks<S, F> {
    type Item = Result<Batch, E>;

    fn next(&mut self) -> Option<Self::Item> {
        sift::next(&mut self.inner, &mut self.tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{both, closed, opened, segment, source, task};
    use super::*;
    use crate::{EventIteratorExt, EventStreamExt};

    #[test]
    fn a_shared_socket_shows_the_part_of_the_accepted() {
        let (ours, theirs) = (task(1), task(2));
        let batches = source(vec![
            vec![opened(1, 1), segment(2, 1, 0, b"theirs", Some(theirs)), segment(3, 1, 6, b"ours", Some(ours))],
            vec![segment(4, 1, 10, b"theirs", Some(theirs)), segment(5, 2, 0, b"other flow", Some(theirs))],
            vec![closed(6, 1), closed(6, 2)],
        ]);
        let keep = |task: &Task| task.pid == 1;
        let results = both(
            EventStreamExt::filter_tasks(batches.clone().into_stream(), keep),
            EventIteratorExt::filter_tasks(batches, keep),
        );
        let gap = |at, offset| not_targeted(Timestamp::from_nanos(at), FlowId(1), Direction::Out, offset, 6);
        let first = vec![opened(1, 1), gap(3, 0), segment(3, 1, 6, b"ours", Some(ours))];
        assert_eq!(results, [first, vec![gap(4, 10)], vec![closed(6, 1)]]);
    }
}
