//! Reading the counters of what the kernel lost.

use std::os::fd::{AsFd as _, OwnedFd};

use aya::maps::{MapData, PerCpuArray};
use kindling_core::{Event, Lost, LostClass, Timestamp};

use crate::sys;

/// The counters as they were read last.
pub(crate) struct Losses {
    counters: PerCpuArray<MapData, u64>,
    /// By class and processor.
    known: Vec<Vec<u64>>,
    recursion: u64,
    since: Timestamp,
}

impl Losses {
    pub(crate) fn new(counters: PerCpuArray<MapData, u64>, since: Timestamp) -> Self {
        Self { counters, known: vec![Vec::new(); CLASSES.len()], recursion: 0, since }
    }

    /// Append what the kernel lost since the last look. Says whether it skipped programs.
    pub(crate) fn kernel(&mut self, until: Timestamp, programs: &[OwnedFd], out: &mut Vec<Event>) -> bool {
        let since = self.since;
        for ((class, known), index) in CLASSES.into_iter().zip(&mut self.known).zip(0..) {
            // A failing read says nothing about losses; the counters are cumulative, so the next one catches up.
            let Ok(values) = self.counters.get(&index, 0) else { continue };
            known.resize(values.len(), 0);
            for ((value, known), cpu) in values.iter().zip(known).zip(0..) {
                let count = value.saturating_sub(*known);
                *known = *value;
                push(Lost { class, count, cpu: Some(cpu), since, until }, out);
            }
        }
        let misses: u64 = programs.iter().filter_map(|p| sys::recursion_misses(p.as_fd()).ok()).sum();
        let skipped = misses.saturating_sub(self.recursion);
        self.recursion = misses;
        push(Lost { class: LostClass::Recursion, count: skipped, cpu: None, since, until }, out);
        self.since = until;
        skipped > 0
    }

    /// Append what the reader itself had to drop.
    pub(crate) fn reader(&self, until: Timestamp, rejected: u64, evicted: u64, out: &mut Vec<Event>) {
        let since = self.since;
        push(Lost { class: LostClass::Decode, count: rejected, cpu: None, since, until }, out);
        push(Lost { class: LostClass::Table, count: evicted, cpu: None, since, until }, out);
    }
}

fn push(lost: Lost, out: &mut Vec<Event>) {
    if lost.count > 0 {
        out.push(Event::Lost(lost));
    }
}

/// In the order of `enum kindling_loss`.
const CLASSES: [LostClass; 5] =
    [LostClass::RingSegment, LostClass::RingFlow, LostClass::RingProcess, LostClass::RingCustom, LostClass::Table];
