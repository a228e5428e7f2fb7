//! Several origins in the order of time.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::{
    event::{Batch, Event},
    id::Origin,
    time::Clock,
};

/// Merge streams by wall time; see [`Merge`].
pub fn merge<S: Stream>(streams: impl IntoIterator<Item = S>) -> Merge<Pin<Box<S>>> {
    Merge::new(streams.into_iter().map(Box::pin))
}

/// Merge iterators by wall time; see [`Merge`].
pub fn merge_iter<I: Iterator>(iterators: impl IntoIterator<Item = I>) -> Merge<I> {
    Merge::new(iterators)
}

/// Yields the events of several sources in the order of wall time, in batches of one origin each.
///
/// Clocks of different origins have nothing in common but wall time, so events are compared by the latest [`Clock`] event before them. Before
/// its first one an origin's events have no place in the order and pass at once. Within a source the order stays as it is: an event that steps
/// back in time follows the one before it.
///
/// An event comes out when every source that has not ended has shown a later one, so a source that is silent holds the others back: live sources
/// send ticks. One batch of each source is held, no more. An error of a source comes out at once; the source goes on if it can.
#[derive(Debug)]
#[must_use = "streams and iterators do nothing unless polled"]
pub struct Merge<S> {
    sources: Vec<Option<S>>,
    order: Order,
    /// Where the next round of polling begins.
    turn: usize,
}

/// The heads of all sources.
#[derive(Debug, Default)]
struct Order(Vec<Lane>);

#[derive(Debug, Default)]
struct Lane {
    origin: Arc<Origin>,
    events: VecDeque<Event>,
    /// Wall time of its first event, once that is known to be the next of this lane.
    head: Option<u64>,
    clocks: Vec<(Arc<Origin>, Clock)>,
    /// Wall time of the latest event that came out.
    reached: u64,
    ended: bool,
}

impl<S> Merge<S> {
    fn new(sources: impl IntoIterator<Item = S>) -> Self {
        let sources: Vec<_> = sources.into_iter().map(Some).collect();
        let order = Order(sources.iter().map(|_| Lane::default()).collect());
        Self { sources, order, turn: 0 }
    }

    /// Take what source `at` gave; an error is for the caller.
    fn accept<E>(&mut self, at: usize, item: Option<Result<Batch, E>>) -> Option<E> {
        match item {
            Some(Ok(batch)) => self.order.push(at, batch),
            Some(Err(error)) => return Some(error),
            None => {
                self.order.end(at);
                if let Some(source) = self.sources.get_mut(at) {
                    *source = None;
                }
            }
        }
        None
    }
}

impl Order {
    /// Whether the next event of source `at` is not known.
    fn wants(&self, at: usize) -> bool {
        self.0.get(at).is_some_and(|lane| lane.events.is_empty() && !lane.ended)
    }

    fn push(&mut self, at: usize, batch: Batch) {
        if let Some(lane) = self.0.get_mut(at) {
            lane.origin = batch.origin;
            lane.events = batch.events.into();
            lane.look();
        }
    }

    fn end(&mut self, at: usize) {
        if let Some(lane) = self.0.get_mut(at) {
            lane.ended = true;
        }
    }

    /// The longest run that no other source has anything to say before.
    fn pop(&mut self) -> Option<Batch> {
        let heads = || self.0.iter().enumerate().filter_map(|(at, lane)| lane.head.map(|head| (head, at)));
        let (_, first) = heads().min()?;
        let limit = heads().filter(|(_, at)| *at != first).min();
        let lane = self.0.get_mut(first)?;
        let mut events = Vec::new();
        while let Some(head) = lane.head
            && limit.is_none_or(|limit| (head, first) < limit)
            && let Some(event) = lane.take(head)
        {
            events.push(event);
        }
        Some(Batch::new(lane.origin.clone(), events))
    }
}

impl Lane {
    /// Find the place of the first event.
    fn look(&mut self) {
        self.head = self.events.front().map(|event| {
            let known = self.clocks.iter().find(|(origin, _)| *origin == self.origin).map(|(_, clock)| clock);
            let wall = match event {
                Event::Clock(clock) => Some(clock.wall),
                event => known.map(|clock| clock.wall_at(event.at())),
            };
            wall.unwrap_or(0).max(self.reached)
        });
    }

    fn take(&mut self, head: u64) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.reached = head;
        if let Event::Clock(clock) = &event {
            match self.clocks.iter_mut().find(|(origin, _)| *origin == self.origin) {
                Some((_, latest)) => *latest = *clock,
                None => self.clocks.push((self.origin.clone(), *clock)),
            }
        }
        self.look();
        Some(event)
    }
}

impl<S: Stream<Item = Result<Batch, E>> + Unpin, E> Stream for Merge<S> {
    type Item = Result<Batch, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut pending = false;
        let count = this.sources.len();
        // Every source that is wanting is asked, so that each of them wakes us.
        for at in (this.turn..count).chain(0..this.turn) {
            while this.order.wants(at)
                && let Some(Some(source)) = this.sources.get_mut(at)
            {
                let Poll::Ready(item) = Pin::new(source).poll_next(cx) else {
                    pending = true;
                    break;
                };
                if let Some(error) = this.accept(at, item) {
                    // The others come first the next time.
                    this.turn = (at + 1) % count;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(this.order.pop().map(Ok)) }
    }
}

impl<S: Iterator<Item = Result<Batch, E>>, E> Iterator for Merge<S> {
    type Item = Result<Batch, E>;

    fn next(&mut self) -> Option<Self::Item> {
        for at in 0..self.sources.len() {
            while self.order.wants(at)
                && let Some(Some(source)) = self.sources.get_mut(at)
            {
                let item = source.next();
                if let Some(error) = self.accept(at, item) {
                    return Some(Err(error));
                }
            }
        }
        self.order.pop().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _, stream};

    use super::super::testing::{Never, both, opened, origin, source_of};
    use super::*;
    use crate::Timestamp;

    fn clock(mono: u64, wall: u64) -> Event {
        Event::Clock(Clock { mono: Timestamp::from_nanos(mono), wall, boot: mono })
    }

    #[test]
    fn wall_time_decides_and_equal_times_keep_the_order_of_sources() {
        // Origin 1 booted 1000 ns of wall time before origin 2.
        let one = source_of(1, vec![vec![clock(1000, 2000), opened(1010, 1)], vec![opened(1030, 2), opened(1040, 3)]]);
        let two = source_of(2, vec![vec![clock(0, 2000), opened(5, 4), opened(30, 5)], vec![opened(50, 6)]]);
        let batches = || [one.clone(), two.clone()];
        let results = both(merge(batches().map(|source| source.into_stream())), merge_iter(batches()));
        let flows: Vec<_> = results.iter().flatten().filter_map(|event| event.flow().map(|flow| flow.0)).collect();
        assert_eq!(flows, [4, 1, 2, 5, 3, 6]);
        assert!(merge_iter(batches()).all(|batch| [origin(1), origin(2)].contains(&batch.unwrap().origin)));
    }

    #[test]
    fn a_silent_source_is_waited_for_and_an_ended_one_is_not() {
        let one = || source_of(1, vec![vec![clock(0, 0), opened(1, 1)]]).into_stream().boxed();
        let mut waiting = merge([one(), stream::pending::<Result<Batch, Never>>().boxed()]);
        assert!(waiting.next().now_or_never().is_none());
        let ended = merge([one(), stream::empty::<Result<Batch, Never>>().boxed()]);
        assert_eq!(ended.map(|batch| batch.unwrap().events.len()).collect::<Vec<_>>().now_or_never(), Some(vec![2]));
    }

    #[test]
    fn an_error_comes_out_and_its_source_goes_on() {
        let ok = |at| Ok(Batch::new(origin(1), vec![opened(at, at)]));
        let merged = |items: Vec<Result<Batch, &'static str>>| merge_iter([items.into_iter(), vec![ok(2)].into_iter()]);
        let items: Vec<_> =
            merged(vec![ok(1), Err("torn"), ok(3)]).map(|item| item.map(|batch| batch.events)).collect();
        let expected = [Ok(vec![opened(1, 1)]), Err("torn"), Ok(vec![opened(3, 3)]), Ok(vec![opened(2, 2)])];
        assert_eq!(items, expected, "without clocks sources pass in their own order");
    }

    #[test]
    fn steps_back_within_a_source_keep_their_place() {
        let one = source_of(1, vec![vec![clock(0, 0), opened(20, 1), opened(10, 2)]]);
        let two = source_of(2, vec![vec![clock(0, 0), opened(15, 3), opened(25, 4)]]);
        let events: Vec<_> = merge_iter([one, two]).flat_map(|batch| batch.unwrap().events).collect();
        let flows: Vec<_> = events.iter().filter_map(|event| event.flow().map(|flow| flow.0)).collect();
        assert_eq!(flows, [3, 1, 2, 4]);
    }
}
