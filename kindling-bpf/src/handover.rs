//! From the reader thread to whoever takes the batches: bounded, and awaitable in every way.
//!
//! A full queue stops the reader: then the ring fills and the kernel counts what it drops, by class and flow. So nothing is ever
//! thrown away here.

use std::{
    collections::VecDeque,
    io,
    os::fd::BorrowedFd,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use kindling_core::Batch;
use parking_lot::{Condvar, Mutex};

use crate::{error::ReaderEnded, sys::EventFd};

/// Both ends of the queue.
pub(crate) struct HandOver {
    state: Mutex<State>,
    taken: Condvar,
    given: Condvar,
    /// Readable while a batch waits, or the reader has ended.
    ready: EventFd,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    waker: Option<Waker>,
    end: Option<End>,
    closed: bool,
}

/// Why no more batches come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The probe was stopped.
    Stopped,
    /// The reader ended without being asked to.
    Failed,
}

/// What was there to take.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    Batch(Batch),
    /// Nothing yet.
    Nothing,
    /// Nothing, and no more will come.
    Over,
}

impl HandOver {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            state: Mutex::default(),
            taken: Condvar::new(),
            given: Condvar::new(),
            ready: EventFd::new()?,
        }))
    }

    /// Give a batch; waits for room. `false` if nobody will take it.
    pub(crate) fn give(&self, batch: Batch) -> bool {
        let mut state = self.state.lock();
        while state.batches.len() >= WAITING && !state.closed {
            self.taken.wait(&mut state);
        }
        if state.closed {
            return false;
        }
        if state.batches.is_empty() {
            self.ready.set();
        }
        state.batches.push_back(batch);
        self.announce(&mut state);
        true
    }

    /// No more batches will come. The first reason counts.
    pub(crate) fn end(&self, why: End) {
        let mut state = self.state.lock();
        state.end.get_or_insert(why);
        self.ready.set();
        self.announce(&mut state);
        // Whoever else waits will get nothing either.
        self.given.notify_all();
    }

    /// Whether no more batches will come, and all were taken.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.end.is_some() && state.batches.is_empty()
    }

    /// Nobody will take batches any more.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.batches.clear();
        self.taken.notify_all();
    }

    /// Take a batch, waiting for one.
    pub(crate) fn take(&self, timeout: Duration) -> Result<Taken, ReaderEnded> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state.lock();
        loop {
            let taken = self.pop(&mut state)?;
            if taken != Taken::Nothing {
                return Ok(taken);
            }
            let timed_out = match deadline {
                Some(deadline) => self.given.wait_until(&mut state, deadline).timed_out(),
                None => {
                    self.given.wait(&mut state);
                    false
                }
            };
            if timed_out {
                return self.pop(&mut state);
            }
        }
    }

    /// Take a batch, or be woken when one comes.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<Batch, ReaderEnded>>> {
        let mut state = self.state.lock();
        match self.pop(&mut state) {
            Ok(Taken::Batch(batch)) => Poll::Ready(Some(Ok(batch))),
            Ok(Taken::Over) => Poll::Ready(None),
            Ok(Taken::Nothing) => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(ended) => Poll::Ready(Some(Err(ended))),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.ready.fd()
    }

    fn pop(&self, state: &mut State) -> Result<Taken, ReaderEnded> {
        let Some(batch) = state.batches.pop_front() else {
            return match state.end {
                None => Ok(Taken::Nothing),
                Some(End::Stopped) => Ok(Taken::Over),
                Some(End::Failed) => Err(ReaderEnded),
            };
        };
        if state.batches.is_empty() && state.end.is_none() {
            self.ready.clear();
        }
        self.taken.notify_one();
        Ok(Taken::Batch(batch))
    }

    fn announce(&self, state: &mut State) {
        self.given.notify_one();
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

/// Batches that wait at most; each holds up to 256 KiB of payload.
const WAITING: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_stops_the_giver_until_room_is_made() {
        let queue = HandOver::new().unwrap();
        for _ in 0..WAITING {
            assert!(queue.give(Batch::default()));
        }
        let giver = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.give(Batch::default())
        });
        std::thread::sleep(Duration::from_millis(20));
        assert!(!giver.is_finished());
        assert!(matches!(queue.take(Duration::ZERO), Ok(Taken::Batch(_))));
        assert!(giver.join().unwrap());
    }

    #[test]
    fn the_end_comes_after_the_last_batch() {
        for (why, end) in [(End::Stopped, Ok(Taken::Over)), (End::Failed, Err(ReaderEnded))] {
            let queue = HandOver::new().unwrap();
            assert_eq!(queue.take(Duration::ZERO), Ok(Taken::Nothing));
            queue.give(Batch::default());
            queue.end(why);
            // What the thread's end adds changes nothing.
            queue.end(End::Failed);
            assert!(!queue.is_over());
            assert!(matches!(queue.take(Duration::ZERO), Ok(Taken::Batch(_))));
            assert!(queue.is_over());
            assert_eq!(queue.take(Duration::from_secs(1)), end);
        }
    }

    #[test]
    fn closing_frees_a_waiting_giver() {
        let queue = HandOver::new().unwrap();
        for _ in 0..WAITING {
            queue.give(Batch::default());
        }
        let giver = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.give(Batch::default())
        });
        queue.close();
        assert!(!giver.join().unwrap());
    }
}
