//! Which protocol a flow speaks, told from its first bytes.

use bytes::{Bytes, BytesMut};
use kindling_core::{Direction, Role, Segment, Transport, ledger};

use crate::{
    flow::{Info, Start},
    limits::Limits,
    parse::{Probe, Verdict},
    protocol::Sender,
    registry::Registry,
};

/// A flow of which it is not yet known what it speaks.
#[derive(Debug)]
pub(crate) struct Probing {
    start: Start,
    /// What may still belong to a protocol's first message, in order of arrival.
    held: Vec<Segment>,
    segments: u32,
    /// How often the other end began to speak.
    turns: u32,
    latest: Option<Direction>,
    /// Whether the flow began before what is seen of it.
    late: bool,
    /// Whether bytes were passed over, so that what follows is not the flow's beginning.
    passed_over: bool,
}

/// What detection found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Not enough yet.
    Nothing,
    /// An entry of the registry.
    Protocol {
        entry: usize,
        start: Start,
        /// What was held back, to be parsed now.
        held: Vec<Segment>,
    },
    /// No protocol will claim it.
    Opaque,
}

impl Probing {
    pub(crate) const fn new(start: Start) -> Self {
        Self { start, held: Vec::new(), segments: 0, turns: 0, latest: None, late: false, passed_over: false }
    }

    /// Look at one more segment.
    pub(crate) fn look(
        &mut self,
        segment: &Segment,
        info: &Info,
        registry: &Registry,
        limits: &Limits,
        account: &mut ledger::Bytes,
    ) -> Found {
        count(segment, account);
        let direction = segment.direction;
        self.segments += 1;
        self.turns += u32::from(self.latest != Some(direction));
        self.latest = Some(direction);
        if self.comes_early(segment, limits) {
            self.hold(segment);
            if account.buffered > limits.max_buffered {
                self.pass_over(None, account);
            }
            return Found::Nothing;
        }
        self.late |= info.midstream;
        let sender = sender_of(direction, info.role);
        // A datagram is whole in itself: the next one is another chance.
        let alone = info.transport == Transport::Udp || !self.held.iter().any(|held| held.direction == direction);
        let head = if alone { segment.data.clone() } else { self.joined(segment) };
        let probe = Probe::new(&head)
            .sender(sender)
            .port(server_port(info))
            .transport(info.transport)
            .midstream(info.midstream || self.passed_over);
        let (best, maybe) = ask(registry, info, &probe);
        if let Some((entry, sender)) = best {
            self.hold(segment);
            let held = self.release(account);
            self.start.client = if sender == Sender::Client { direction } else { direction.opposite() };
            self.start.midstream |= self.passed_over;
            self.start.at = held.first().map_or(self.start.at, |first| first.at.min(self.start.at));
            return Found::Protocol { entry, start: self.start, held };
        }
        // The middle of a large body says nothing: a flow joined there is given time until someone starts a message.
        let (segments, turns) = if self.late { (MAX_SEGMENTS_LATE, MAX_TURNS_LATE) } else { (MAX_SEGMENTS, MAX_TURNS) };
        let bytes = self.held.iter().map(|held| held.data.len()).sum::<usize>() + segment.data.len();
        let spent = bytes > limits.probe_bytes || self.segments > segments || self.turns > turns;
        if spent || registry.entries().is_empty() {
            self.hold(segment);
            self.pass_over(None, account);
            return Found::Opaque;
        }
        self.hold(segment);
        // Nothing can be joined to what was cut short.
        let whole = segment.data.len() as u64 == segment.len;
        if account.buffered > limits.max_buffered {
            self.pass_over(None, account);
        } else if !maybe || head.is_empty() || !whole || info.transport == Transport::Udp {
            self.pass_over(Some(direction), account);
        }
        Found::Nothing
    }

    /// Whether the direction's first bytes are still to come, by a matter of order: then it is too early to say what they are.
    fn comes_early(&mut self, segment: &Segment, limits: &Limits) -> bool {
        let [out, into] = self.start.first;
        let first = if segment.direction == Direction::Out { out } else { into };
        let mut same = self.held.iter().filter(|held| held.direction == segment.direction).peekable();
        let oldest = same.peek().map_or(segment.at, |held| held.at);
        let lowest = same.map(|held| held.offset).min().unwrap_or(u64::MAX).min(segment.offset);
        let missing = !self.passed_over && first.is_some_and(|first| lowest > first);
        if missing && segment.at.since(oldest) < limits.reorder_window {
            return true;
        }
        // The flow's beginning is not here: lost.
        self.late |= missing;
        false
    }

    /// Give up what is held, of one direction or of both.
    pub(crate) fn pass_over(&mut self, direction: Option<Direction>, account: &mut ledger::Bytes) {
        self.held.retain(|held| {
            let goes = direction.is_none_or(|direction| held.direction == direction);
            if goes {
                account.buffered -= held.len;
                account.opaque += held.len;
            }
            !goes
        });
        self.passed_over = true;
    }

    fn hold(&mut self, segment: &Segment) {
        let mut own = segment.clone();
        own.data = Bytes::copy_from_slice(&segment.data);
        self.held.push(own);
    }

    fn joined(&self, segment: &Segment) -> Bytes {
        let same = self.held.iter().filter(|held| held.direction == segment.direction);
        let mut parts: Vec<_> = same.chain([segment]).collect();
        parts.sort_by_key(|part| part.offset);
        let mut all = BytesMut::new();
        parts.iter().for_each(|part| all.extend_from_slice(&part.data));
        all.freeze()
    }

    fn release(&mut self, account: &mut ledger::Bytes) -> Vec<Segment> {
        let held = std::mem::take(&mut self.held);
        held.iter().for_each(|segment| uncount(segment, account));
        held
    }
}

/// The first protocol that claims the bytes, and whether another may yet.
fn ask(registry: &Registry, info: &Info, probe: &Probe<'_>) -> (Option<(usize, Sender)>, bool) {
    let mut maybe = false;
    for (index, entry) in candidates(registry, info) {
        match (entry.detect)(probe) {
            Verdict::Match(sender) => return (Some((index, sender)), maybe),
            Verdict::Maybe => maybe = true,
            Verdict::No => {}
        }
    }
    (None, maybe)
}

fn count(segment: &Segment, account: &mut ledger::Bytes) {
    account.advanced += segment.len;
    account.buffered += segment.len;
    account.captured += segment.data.len() as u64;
    account.fresh += segment.data.len() as u64;
}

fn uncount(segment: &Segment, account: &mut ledger::Bytes) {
    account.advanced -= segment.len;
    account.buffered -= segment.len;
    account.captured -= segment.data.len() as u64;
    account.fresh -= segment.data.len() as u64;
}

/// Entries whose usual ports fit come first; ports never decide.
fn candidates<'r>(registry: &'r Registry, info: &'r Info) -> impl Iterator<Item = (usize, &'r crate::registry::Entry)> {
    let known = server_port(info);
    let ports = [known.or_else(|| info.local.port()), known.or_else(|| info.remote.port())];
    let usual =
        move |entry: &crate::registry::Entry| ports.iter().flatten().any(|port| entry.spec.ports.contains(port));
    let carried =
        registry.entries().iter().enumerate().filter(|(_, entry)| entry.spec.transports.contains(&info.transport));
    let first = carried.clone().filter(move |(_, entry)| usual(entry));
    first.chain(carried.filter(move |(_, entry)| !usual(entry)))
}

fn server_port(info: &Info) -> Option<u16> {
    match info.role {
        Role::Client => info.remote.port(),
        Role::Server => info.local.port(),
        Role::Unknown => None,
    }
}

pub(crate) const fn sender_of(direction: Direction, role: Role) -> Option<Sender> {
    match (role, direction) {
        (Role::Unknown, _) => None,
        (Role::Client, Direction::Out) | (Role::Server, Direction::In) => Some(Sender::Client),
        (Role::Client, Direction::In) | (Role::Server, Direction::Out) => Some(Sender::Server),
    }
}

/// Segments looked at before a flow counts as opaque.
const MAX_SEGMENTS: u32 = 64;
/// Turns after which a protocol would have shown itself.
const MAX_TURNS: u32 = 6;
/// The same for a flow joined late: a body of 64 MiB in segments of 16 KiB.
const MAX_SEGMENTS_LATE: u32 = 4096;
const MAX_TURNS_LATE: u32 = 32;
