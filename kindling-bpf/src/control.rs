//! The handle that changes a running probe.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use kindling_core::Directive;

use crate::{Path, Target, error::StartError, reader::Counters, shared::Shared};

/// Changes a running probe; cheap to clone and to send. It does not keep the probe alive.
#[derive(Clone)]
pub struct Control {
    shared: Weak<Shared>,
    counters: Arc<Counters>,
    path: Path,
    interval: Duration,
}

impl Control {
    pub(crate) fn new(shared: &Arc<Shared>, counters: Arc<Counters>, path: Path, interval: Duration) -> Self {
        Self { shared: Arc::downgrade(shared), counters, path, interval }
    }

    /// Follow the wish about a flow's payload, by plain stores: it takes no system call and no privilege, and is a hint all the
    /// same. Flows of the other sources, and of a probe that has ended, are ignored.
    pub fn apply(&self, directive: &Directive) {
        if let Some(shared) = self.shared.upgrade() {
            shared.budget(directive);
        }
    }

    /// Trace `target` too. A process that is named alone and in a tree is traced with its descendants, whichever came first.
    ///
    /// # Errors
    /// If there is no such thing, the table of targets is full, or the probe has ended.
    pub fn add_target(&self, target: &Target) -> Result<(), StartError> {
        self.shared.upgrade().ok_or(StartError::Ended)?.add(target)
    }

    /// Trace `target` no longer; what else names the same processes still does. A tree goes with the descendants it has now.
    ///
    /// # Errors
    /// If there is no such process or cgroup, or the probe has ended.
    pub fn remove_target(&self, target: &Target) -> Result<(), StartError> {
        self.shared.upgrade().ok_or(StartError::Ended)?.remove(target)
    }

    /// What the probe has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            path: self.path,
            poll_interval: self.interval,
            records: read(&self.counters.records),
            bytes: read(&self.counters.bytes),
            events: read(&self.counters.events),
            lost: read(&self.counters.lost),
        }
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What a probe has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The capture path in use.
    pub path: Path,
    /// The longest an event waits before it is read.
    pub poll_interval: Duration,
    /// Records read from the ring.
    pub records: u64,
    /// Bytes they took in it.
    pub bytes: u64,
    /// Events made of them, ticks, clocks and losses included.
    pub events: u64,
    /// Events lost, by all classes together.
    pub lost: u64,
}
