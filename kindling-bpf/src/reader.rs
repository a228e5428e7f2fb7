//! The thread that drains the ring.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use kindling_core::{Batch, Cause, Clock, Event, Origin, Timestamp};

use crate::{
    arena::Arena,
    decode::Decoder,
    handover::{End, HandOver},
    losses::Losses,
    shared::Shared,
    sys::{self, Epoll, EventFd},
};

/// What the reader has seen, for the probe's handle.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) lost: AtomicU64,
}

/// Everything the thread owns.
pub(crate) struct Reader {
    pub(crate) ring: RingBuf<MapData>,
    /// Bytes that the ring holds at most.
    pub(crate) capacity: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) losses: Losses,
    pub(crate) decoder: Decoder,
    pub(crate) handover: Arc<HandOver>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: Arc<EventFd>,
    pub(crate) stopping: Arc<std::sync::atomic::AtomicBool>,
    pub(crate) origin: Arc<Origin>,
    pub(crate) interval: Duration,
    pub(crate) programs: Vec<OwnedFd>,
}

impl Reader {
    /// Read until the probe is stopped.
    pub(crate) fn run(mut self) {
        let handover = Arc::clone(&self.handover);
        // Whatever ends this thread, whoever waits for batches must hear of it.
        let _end = OnDrop(move || handover.end(End::Failed));
        let watched = [self.ring.as_fd(), self.stop.fd()];
        let epoll = match Epoll::new(&watched) {
            Ok(epoll) => epoll,
            Err(error) => {
                tracing::error!(%error, "cannot wait for the ring");
                return;
            }
        };
        let mut pass = Pass { arena: Arena::default(), events: vec![Event::Clock(clock())] };
        let mut next_tick = now();
        let mut next_clock = next_tick + CLOCK_EVERY;
        let mut next_account = next_tick;
        loop {
            self.shared.arm();
            epoll.wait(next_tick.since(now()));
            let seen = now();
            let last = self.stopping.load(Ordering::Acquire);
            // What is in the ring when the probe is stopped is at most a full ring, however fast more comes.
            let budget = if last { self.capacity } else { self.capacity.min(DRAIN_BYTES) };
            if !self.drain(budget, &mut pass) {
                return;
            }
            if seen >= next_tick || last {
                next_tick = seen + self.interval;
                if seen >= next_account || last {
                    next_account = seen + ACCOUNT_EVERY;
                    self.account(seen, &mut pass);
                }
                if seen >= next_clock {
                    next_clock = seen + CLOCK_EVERY;
                    pass.events.push(Event::Clock(clock()));
                }
                pass.events.push(Event::Tick(seen));
            }
            if !self.flush(&mut pass) {
                return;
            }
            if last {
                return self.handover.end(End::Stopped);
            }
        }
    }

    /// Read until the ring is empty or `budget` bytes of it were read. `false` if nobody wants it any more.
    fn drain(&mut self, mut budget: usize, pass: &mut Pass) -> bool {
        loop {
            let mut records = 0;
            let mut bytes = 0;
            let mut room = 0;
            while let Some(record) = self.ring.next() {
                self.decoder.record(&record, &mut pass.arena, &mut pass.events);
                records += 1;
                bytes += record.len();
                room += (record.len() + RECORD_HEADER).next_multiple_of(RECORD_STEP);
                if pass.arena.is_full() || pass.events.len() >= BATCH_EVENTS {
                    break;
                }
            }
            self.counters.records.fetch_add(records, Ordering::Relaxed);
            self.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            if !(pass.arena.is_full() || pass.events.len() >= BATCH_EVENTS) {
                return true;
            }
            if !self.flush(pass) {
                return false;
            }
            budget = budget.saturating_sub(room);
            if budget == 0 {
                return true;
            }
        }
    }

    /// Tell what was lost and what went idle up to `seen`.
    fn account(&mut self, seen: Timestamp, pass: &mut Pass) {
        let from = pass.events.len();
        if self.losses.kernel(seen, &self.programs, &mut pass.events) {
            // A hook that was skipped leaves the same hole as bytes that no hook sees.
            self.decoder.doubt_hooks();
            for event in &mut pass.events {
                if let Event::Gap(gap) = event
                    && gap.cause == Cause::Unhooked
                {
                    gap.cause = Cause::Lost;
                }
            }
        }
        self.losses.reader(seen, self.decoder.take_rejected(), self.decoder.take_evicted(), &mut pass.events);
        for event in pass.events.iter().skip(from) {
            if let Event::Lost(lost) = event {
                self.counters.lost.fetch_add(lost.count, Ordering::Relaxed);
            }
        }
        self.decoder.expire(seen, &mut pass.events);
    }

    fn flush(&self, pass: &mut Pass) -> bool {
        if pass.events.is_empty() {
            return true;
        }
        self.counters.events.fetch_add(pass.events.len() as u64, Ordering::Relaxed);
        let events = std::mem::take(&mut pass.events);
        pass.arena.next_batch();
        self.handover.give(Batch::new(Arc::clone(&self.origin), events))
    }
}

struct Pass {
    arena: Arena,
    events: Vec<Event>,
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanos(sys::clock(libc::CLOCK_MONOTONIC))
}

fn clock() -> Clock {
    Clock { mono: now(), wall: sys::clock(libc::CLOCK_REALTIME), boot: sys::clock(libc::CLOCK_BOOTTIME) }
}

/// The kernel's counters take a system call each.
const ACCOUNT_EVERY: Duration = Duration::from_millis(100);
const CLOCK_EVERY: Duration = Duration::from_secs(10);
const BATCH_EVENTS: usize = 4096;
/// What is read at once while the probe runs: a busy kernel must not keep ticks and losses from being told.
const DRAIN_BYTES: usize = 16 << 20;
/// What a record takes in the ring beside itself, and in what steps.
const RECORD_HEADER: usize = 8;
const RECORD_STEP: usize = 8;
