//! Two consumers of one stream.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use crate::event::Batch;

/// One of two streams that yield the same batches.
///
/// The faster one waits when it is `limit` batches ahead, so memory is bounded and nothing is dropped; both must be polled, or one dropped, for
/// the other to go on. A batch is shared, not copied: payloads are the same memory.
pub struct Tee<S, E> {
    shared: Arc<Mutex<Shared<S, E>>>,
    side: usize,
}

struct Shared<S, E> {
    inner: Pin<Box<S>>,
    ended: bool,
    limit: usize,
    sides: [Side<E>; 2],
}

struct Side<E> {
    queue: VecDeque<Result<Batch, E>>,
    waker: Option<Waker>,
    gone: bool,
}

impl<S, E> Tee<S, E> {
    pub(super) fn pair(inner: S, limit: usize) -> (Self, Self) {
        let side = || Side { queue: VecDeque::new(), waker: None, gone: false };
        let shared = Shared { inner: Box::pin(inner), ended: false, limit: limit.max(1), sides: [side(), side()] };
        let shared = Arc::new(Mutex::new(shared));
        (Self { shared: shared.clone(), side: 0 }, Self { shared, side: 1 })
    }
}

impl<S: Stream<Item = Result<Batch, E>>, E: Clone> Shared<S, E> {
    fn poll(&mut self, side: usize, cx: &mut Context<'_>) -> Poll<Option<Result<Batch, E>>> {
        let [first, second] = &mut self.sides;
        let (own, other) = if side == 0 { (first, second) } else { (second, first) };
        if let Some(item) = own.queue.pop_front() {
            // The other may have waited for room here.
            other.wake();
            return Poll::Ready(Some(item));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if !other.gone && other.queue.len() >= self.limit {
            own.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        match self.inner.as_mut().poll_next(cx) {
            Poll::Ready(Some(item)) => {
                if !other.gone {
                    other.queue.push_back(item.clone());
                }
                other.wake();
                Poll::Ready(Some(item))
            }
            Poll::Ready(None) => {
                self.ended = true;
                other.wake();
                Poll::Ready(None)
            }
            Poll::Pending => {
                // The stream wakes only who polled it last, and that one wakes the other.
                own.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<E> Side<E> {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<S: Stream<Item = Result<Batch, E>>, E: Clone> Stream for Tee<S, E> {
    type Item = Result<Batch, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).poll(self.side, cx)
    }
}

impl<S, E> Drop for Tee<S, E> {
    fn drop(&mut self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, side) in shared.sides.iter_mut().enumerate() {
            if at == self.side {
                side.gone = true;
                side.queue.clear();
            } else {
                // Perhaps this one was to be woken by the stream: then the other has to ask it again.
                side.wake();
            }
        }
    }
}

impl<S, E> fmt::Debug for Tee<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("side", &self.side).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::{Context, Wake},
    };

    use futures::{FutureExt as _, StreamExt as _, executor::block_on, future::join};

    use super::super::testing::{opened, source};
    use crate::EventStreamExt;

    #[test]
    fn both_get_everything_in_step() {
        let batches = source((0..100).map(|n| vec![opened(n, n)]).collect());
        let expected: Vec<_> = batches.clone().collect();
        let (left, right) = batches.into_stream().tee(3);
        let (left, right): (Vec<_>, Vec<_>) = block_on(join(left.collect(), right.collect()));
        assert_eq!((&left, &right), (&expected, &expected));
    }

    #[test]
    fn the_faster_waits_until_the_slower_is_gone() {
        let batches = source((0..10).map(|n| vec![opened(n, n)]).collect());
        let (mut left, right) = batches.into_stream().tee(3);
        for _ in 0..3 {
            assert!(left.next().now_or_never().is_some());
        }
        assert!(left.next().now_or_never().is_none(), "the buffer is full");
        drop(right);
        assert_eq!(block_on(left.count()), 7);
    }

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn room_wakes_the_faster() {
        let batches = source((0..10).map(|n| vec![opened(n, n)]).collect());
        let (mut left, mut right) = batches.into_stream().tee(1);
        let flag = Arc::new(Flag::default());
        let waker = flag.clone().into();
        let mut cx = Context::from_waker(&waker);
        assert!(left.poll_next_unpin(&mut cx).is_ready());
        assert!(left.poll_next_unpin(&mut cx).is_pending());
        assert!(!flag.0.load(Ordering::Relaxed));
        assert!(right.next().now_or_never().is_some());
        assert!(flag.0.load(Ordering::Relaxed));
    }

    #[expect(clippy::disallowed_methods, reason = "wakers are tested across threads")]
    #[test]
    fn a_pending_stream_wakes_both() {
        let (sender, receiver) = futures::channel::mpsc::unbounded();
        let (left, right) = receiver.tee(1);
        let threads = [left, right].map(|half| std::thread::spawn(move || block_on(half.count())));
        for item in source((0..1000).map(|n| vec![opened(n, n)]).collect()) {
            sender.unbounded_send(item).unwrap();
        }
        drop(sender);
        assert_eq!(threads.map(|thread| thread.join().unwrap()), [1000, 1000]);
    }
}
