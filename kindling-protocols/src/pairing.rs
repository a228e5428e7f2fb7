//! Which answer belongs to which request: by order, by lane, by id.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use hashbrown::{HashMap, hash_map};
use kindling_core::{Quality, Task, Text, Timestamp};

use crate::{
    protocol::{Protocol, Sender},
    role::Pair,
};

/// A request that waits for its answer.
pub(crate) struct Pending<P: Protocol> {
    /// Counts the requests of the flow.
    pub(crate) serial: u64,
    pub(crate) opener: Sender,
    pub(crate) open: P::Open,
    pub(crate) summary: P::Summary,
    /// The id that pairs it, as users see it.
    pub(crate) key: Option<Text>,
    pub(crate) first: Stamp,
    pub(crate) offset: u64,
    pub(crate) request_end: Timestamp,
    pub(crate) first_byte: Option<Timestamp>,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) replies: u32,
    pub(crate) quality: Quality,
    /// Whether order may pair it: nothing was lost that could have shifted it.
    pub(crate) aligned: bool,
    /// Whether it came out already, and only keeps its place in the order.
    pub(crate) reported: bool,
    pub(crate) deadline: Timestamp,
}

/// When a byte moved, and who moved it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    pub(crate) task: Option<Task>,
}

/// All requests of a flow that wait.
pub(crate) struct Pairs<P: Protocol> {
    /// What the client asked, by order.
    order: Queue<P>,
    /// What most protocols never need.
    other: Option<Box<Other<P>>>,
    serial: u64,
}

type Queue<P> = VecDeque<Box<Pending<P>>>;

struct Other<P: Protocol> {
    /// By opener and lane; what the server asked by order is a lane too.
    lanes: BTreeMap<(usize, u64), Queue<P>>,
    ids: HashMap<(usize, P::Key), Box<Pending<P>>>,
    /// Deadlines of what is in `ids`, in order, some of them stale.
    deadlines: VecDeque<(Timestamp, usize, P::Key, u64)>,
}

impl<P: Protocol> Default for Other<P> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), ids: HashMap::new(), deadlines: VecDeque::new() }
    }
}

impl<P: Protocol> Default for Pairs<P> {
    fn default() -> Self {
        Self { order: VecDeque::new(), other: None, serial: 0 }
    }
}

impl<P: Protocol> fmt::Debug for Pairs<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairs").field("waiting", &self.len()).finish_non_exhaustive()
    }
}

impl<P: Protocol> Pairs<P> {
    /// `answered`: answers by order that are here and not applied yet.
    pub(crate) fn awaiting(&self, opener: Sender, pair: &Pair<P::Key>, mut answered: usize) -> Option<&P::Open> {
        if answered == 0 || *pair != Pair::Order {
            return self.find(opener, pair, End::Oldest).map(|pending| &pending.open);
        }
        let mut waits = |pending: &Pending<P>| match answered.checked_sub(pending.replies as usize) {
            Some(rest) => {
                answered = rest;
                false
            }
            None => true,
        };
        self.queue(opener, pair)?.iter().find(|pending| waits(pending)).map(|pending| &pending.open)
    }

    pub(crate) fn asked(&self, opener: Sender, pair: &Pair<P::Key>) -> Option<&P::Open> {
        self.find(opener, pair, End::Latest).map(|pending| &pending.open)
    }

    /// The number the next request gets.
    pub(crate) const fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Put a request in; returns the one that its id pushed out.
    pub(crate) fn open(&mut self, pair: Pair<P::Key>, pending: Box<Pending<P>>) -> Option<Box<Pending<P>>> {
        let opener = pending.opener;
        if let Pair::Id(key) = pair {
            let other = self.other();
            other.deadlines.push_back((pending.deadline, opener.index(), key.clone(), pending.serial));
            let replaced = other.ids.insert((opener.index(), key), pending);
            other.trim();
            return replaced;
        }
        match lane(opener, &pair) {
            None => self.order.push_back(pending),
            Some(lane) => self.other().lanes.entry(lane).or_default().push_back(pending),
        }
        None
    }

    /// What waits by order; `None` as well for a pair by id.
    fn queue(&self, opener: Sender, pair: &Pair<P::Key>) -> Option<&Queue<P>> {
        match lane(opener, pair) {
            None => Some(&self.order),
            Some(lane) => self.other.as_ref()?.lanes.get(&lane),
        }
    }

    fn queue_mut(&mut self, opener: Sender, pair: &Pair<P::Key>) -> Option<&mut Queue<P>> {
        match lane(opener, pair) {
            None => Some(&mut self.order),
            Some(lane) => self.other.as_mut()?.lanes.get_mut(&lane),
        }
    }

    /// The request that a message of its opener or its answerer is about.
    pub(crate) fn find(&self, opener: Sender, pair: &Pair<P::Key>, end: End) -> Option<&Pending<P>> {
        if let Pair::Id(key) = pair {
            // The clone of an integer key is free; others are small.
            return self.other.as_ref()?.ids.get(&(opener.index(), key.clone())).map(|pending| &**pending);
        }
        let queue = self.queue(opener, pair)?;
        match end {
            End::Oldest => queue.front().map(|pending| &**pending),
            End::Latest => queue.back().map(|pending| &**pending),
        }
    }

    /// The same, to change.
    pub(crate) fn find_mut(&mut self, opener: Sender, pair: &Pair<P::Key>, end: End) -> Option<&mut Pending<P>> {
        if let Pair::Id(key) = pair {
            return self.other.as_mut()?.ids.get_mut(&(opener.index(), key.clone())).map(|pending| &mut **pending);
        }
        let queue = self.queue_mut(opener, pair)?;
        match end {
            End::Oldest => queue.front_mut().map(|pending| &mut **pending),
            End::Latest => queue.back_mut().map(|pending| &mut **pending),
        }
    }

    /// The request with this number, if it still waits.
    pub(crate) fn by_serial(&mut self, opener: Sender, pair: &Pair<P::Key>, serial: u64) -> Option<&mut Pending<P>> {
        if let Pair::Id(_) = pair {
            return self.find_mut(opener, pair, End::Oldest).filter(|pending| pending.serial == serial);
        }
        let queue = self.queue_mut(opener, pair)?;
        queue.iter_mut().rev().find(|pending| pending.serial == serial).map(|pending| &mut **pending)
    }

    /// Take the oldest request of `pair` out.
    pub(crate) fn close(&mut self, opener: Sender, pair: &Pair<P::Key>) -> Option<Box<Pending<P>>> {
        if let Pair::Id(key) = pair {
            let other = self.other.as_mut()?;
            let closed = other.ids.remove(&(opener.index(), key.clone()));
            other.trim();
            return closed;
        }
        let closed = self.queue_mut(opener, pair)?.pop_front();
        if let (Some(lane), Some(other)) = (lane(opener, pair), &mut self.other)
            && other.lanes.get(&lane).is_some_and(VecDeque::is_empty)
        {
            other.lanes.remove(&lane);
        }
        closed
    }

    /// Take out all requests of `opener` opened before number `serial`, oldest first.
    pub(crate) fn close_before(&mut self, opener: Sender, serial: u64) -> Vec<Box<Pending<P>>> {
        self.take(|pending| pending.opener == opener && pending.serial < serial)
    }

    /// Everything that waits past `now` goes to `report`, oldest first. Requests paired by order keep their place, so that a late
    /// answer is still theirs.
    pub(crate) fn expire(&mut self, now: Timestamp, report: &mut dyn FnMut(&mut Pending<P>)) {
        let lanes = self.other.iter_mut().flat_map(|other| other.lanes.values_mut());
        for pending in self.order.iter_mut().chain(lanes.flatten()) {
            if !pending.reported && pending.deadline <= now {
                report(pending);
                pending.reported = true;
            }
        }
        let Some(other) = &mut self.other else { return };
        while other.deadlines.front().is_some_and(|note| note.0 <= now) {
            let Some((_, opener, key, serial)) = other.deadlines.pop_front() else { return };
            if let hash_map::Entry::Occupied(entry) = other.ids.entry((opener, key))
                && entry.get().serial == serial
            {
                report(&mut entry.remove());
            }
        }
        other.trim();
    }

    /// Take out all requests paired by order, oldest first.
    pub(crate) fn drain_ordered(&mut self) -> Vec<Box<Pending<P>>> {
        self.drain_ordered_where(|_| true)
    }

    /// Take out those of the requests paired by order, oldest first.
    pub(crate) fn drain_ordered_where(&mut self, mut which: impl FnMut(&Pending<P>) -> bool) -> Vec<Box<Pending<P>>> {
        let mut out = Vec::new();
        let lanes = self.other.iter_mut().flat_map(|other| other.lanes.values_mut());
        std::iter::once(&mut self.order).chain(lanes).for_each(|queue| take_from(queue, &mut which, &mut out));
        if let Some(other) = &mut self.other {
            other.lanes.retain(|_, queue| !queue.is_empty());
        }
        out.sort_unstable_by_key(|pending| pending.serial);
        out
    }

    /// Take out everything, oldest first.
    pub(crate) fn drain(&mut self) -> Vec<Box<Pending<P>>> {
        let mut out = self.drain_ordered();
        if let Some(other) = self.other.take() {
            out.extend(other.ids.into_values());
            out.sort_unstable_by_key(|pending| pending.serial);
        }
        out
    }

    /// Whether any request paired by order waits that a loss may have shifted.
    pub(crate) fn ordered(&self) -> usize {
        let lanes = self.other.as_ref().map_or(0, |other| other.lanes.values().map(VecDeque::len).sum());
        self.order.len() + lanes
    }

    pub(crate) fn len(&self) -> usize {
        self.ordered() + self.other.as_ref().map_or(0, |other| other.ids.len())
    }

    /// When the first of them is overdue.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let waiting = |queue: &Queue<P>| match queue.front() {
            Some(first) if !first.reported => Some(first.deadline),
            _ => queue.iter().find(|pending| !pending.reported).map(|pending| pending.deadline),
        };
        let ordered = waiting(&self.order);
        let Some(other) = &self.other else { return ordered };
        let lanes = other.lanes.values().filter_map(waiting);
        lanes.chain(other.deadlines.front().map(|note| note.0)).chain(ordered).min()
    }

    fn other(&mut self) -> &mut Other<P> {
        self.other.get_or_insert_default()
    }

    fn take(&mut self, mut which: impl FnMut(&Pending<P>) -> bool) -> Vec<Box<Pending<P>>> {
        let mut out = Vec::new();
        take_from(&mut self.order, &mut which, &mut out);
        if let Some(other) = &mut self.other {
            other.lanes.values_mut().for_each(|queue| take_from(queue, &mut which, &mut out));
            other.lanes.retain(|_, queue| !queue.is_empty());
            out.extend(other.ids.extract_if(|_, pending| which(pending)).map(|(_, pending)| pending));
            other.trim();
        }
        out.sort_unstable_by_key(|pending| pending.serial);
        out
    }
}

/// The lane of what is not in the client's own queue; meaningless for a pair by id.
const fn lane<K>(opener: Sender, pair: &Pair<K>) -> Option<(usize, u64)> {
    match (opener, pair) {
        (Sender::Client, Pair::Order) => None,
        (_, Pair::Lane(lane)) => Some((opener.index(), *lane)),
        (_, _) => Some((opener.index(), u64::MAX)),
    }
}

fn take_from<P: Protocol>(
    queue: &mut Queue<P>,
    which: &mut impl FnMut(&Pending<P>) -> bool,
    out: &mut Vec<Box<Pending<P>>>,
) {
    for _ in 0..queue.len() {
        let Some(pending) = queue.pop_front() else { return };
        if which(&pending) { out.push(pending) } else { queue.push_back(pending) }
    }
}

impl<P: Protocol> Other<P> {
    /// Keep the first note of a deadline true, and the stale ones few.
    fn trim(&mut self) {
        let ids = &self.ids;
        let live = |note: &(Timestamp, usize, P::Key, u64)| {
            ids.get(&(note.1, note.2.clone())).is_some_and(|pending| pending.serial == note.3)
        };
        while self.deadlines.front().is_some_and(|note| !live(note)) {
            self.deadlines.pop_front();
        }
        if self.deadlines.len() > 2 * ids.len() + 16 {
            self.deadlines.retain(live);
        }
    }
}

/// Which of several requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Oldest,
    Latest,
}
