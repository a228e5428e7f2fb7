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
    ended: bool,
    closed: bool,
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

    /// No more batches will come.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        self.ready.set();
        self.announce(&mut state);
    }

    /// Nobody will take batches any more.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.batches.clear();
        self.taken.notify_all();
    }

    /// Take a batch, waiting for one.
    pub(crate) fn take(&self, timeout: Duration) -> Result<Option<Batch>, ReaderEnded> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state.lock();
        loop {
            if let Some(batch) = self.pop(&mut state)? {
                return Ok(Some(batch));
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
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<Batch, ReaderEnded>> {
        let mut state = self.state.lock();
        match self.pop(&mut state) {
            Ok(Some(batch)) => Poll::Ready(Ok(batch)),
            Ok(None) => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(ended) => Poll::Ready(Err(ended)),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.ready.fd()
    }

    fn pop(&self, state: &mut State) -> Result<Option<Batch>, ReaderEnded> {
        let batch = state.batches.pop_front();
        match &batch {
            Some(_) => {
                if state.batches.is_empty() && !state.ended {
                    self.ready.clear();
                }
                self.taken.notify_one();
            }
            None if state.ended => return Err(ReaderEnded),
            None => {}
        }
        Ok(batch)
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
        assert!(queue.take(Duration::ZERO).unwrap().is_some());
        assert!(giver.join().unwrap());
    }

    #[test]
    fn the_end_comes_after_the_last_batch() {
        let queue = HandOver::new().unwrap();
        assert_eq!(queue.take(Duration::ZERO), Ok(None));
        queue.give(Batch::default());
        queue.end();
        assert!(queue.take(Duration::ZERO).unwrap().is_some());
        assert_eq!(queue.take(Duration::from_secs(1)), Err(ReaderEnded));
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
