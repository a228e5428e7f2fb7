//! What sources report: one type for the kernel, recordings and captures.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    id::{Direction, Endpoint, FlowId, Offsets, Origin, Role, Task, Transport},
    text::{Comm, Text},
    time::{Clock, Timestamp},
};

/// Events of one origin, in the order the source saw them.
///
/// Payloads of a batch share one arena: whoever keeps a slice of it keeps the whole batch in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Where they come from.
    pub origin: Arc<Origin>,
    /// What happened.
    pub events: Vec<Event>,
}

impl Batch {
    /// A batch by its parts.
    #[must_use]
    pub const fn new(origin: Arc<Origin>, events: Vec<Event>) -> Self {
        Self { origin, events }
    }
}

/// One thing a source reports.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A flow was opened, or seen for the first time.
    Opened(Opened),
    /// Bytes moved.
    Segment(Segment),
    /// Bytes moved that the source knows it cannot show.
    Gap(Gap),
    /// A flow ended.
    Closed(Closed),
    /// A connection attempt failed.
    ConnectFailed(ConnectFailed),
    /// A process or thread started.
    Started(Started),
    /// A thread changed its name, by `exec` or by itself.
    Renamed(Renamed),
    /// A process or thread ended.
    Exited(Exited),
    /// Time goes on although nothing happens.
    Tick(Timestamp),
    /// A reading of the clocks.
    Clock(Clock),
    /// A record of a user's own probe.
    Custom(Custom),
    /// Something was lost here.
    Lost(Lost),
}

impl Event {
    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Opened(e) => e.at,
            Self::Segment(e) => e.at,
            Self::Gap(e) => e.at,
            Self::Closed(e) => e.at,
            Self::ConnectFailed(e) => e.at,
            Self::Started(e) => e.at,
            Self::Renamed(e) => e.at,
            Self::Exited(e) => e.at,
            Self::Tick(at) => *at,
            Self::Clock(clock) => clock.mono,
            Self::Custom(e) => e.at,
            Self::Lost(e) => e.until,
        }
    }

    /// The flow it is about.
    #[must_use]
    pub const fn flow(&self) -> Option<FlowId> {
        match self {
            Self::Opened(e) => Some(e.flow),
            Self::Segment(e) => Some(e.flow),
            Self::Gap(e) => Some(e.flow),
            Self::Closed(e) => Some(e.flow),
            Self::ConnectFailed(e) => e.flow,
            Self::Custom(e) => e.flow,
            Self::Started(_) | Self::Renamed(_) | Self::Exited(_) | Self::Tick(_) | Self::Clock(_) | Self::Lost(_) => {
                None
            }
        }
    }

    /// The task that acted.
    #[must_use]
    pub const fn task(&self) -> Option<&Task> {
        match self {
            Self::Opened(e) => e.task.as_ref(),
            Self::Segment(e) => e.task.as_ref(),
            Self::ConnectFailed(e) => e.task.as_ref(),
            Self::Custom(e) => e.task.as_ref(),
            Self::Started(e) => Some(&e.task),
            Self::Renamed(e) => Some(&e.task),
            Self::Exited(e) => Some(&e.task),
            Self::Gap(_) | Self::Closed(_) | Self::Tick(_) | Self::Clock(_) | Self::Lost(_) => None,
        }
    }
}

/// A flow was opened, or seen for the first time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opened {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub flow: FlowId,
    /// What carries it.
    pub transport: Transport,
    /// What its offsets are.
    pub offsets: Offsets,
    /// The observed socket's own address; of a capture, the end that spoke first.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// The part the local end plays.
    pub role: Role,
    /// Where it was seen.
    pub vantage: Vantage,
    /// Inode number of the network namespace; 0 if unknown.
    pub netns: u32,
    /// Whether the flow is older than the observation, so that its beginning was not seen.
    pub midstream: bool,
    /// Offset of the first byte that [`Direction::Out`] ever carries, where the beginning was seen.
    pub first_out: Option<u64>,
    /// Offset of the first byte that [`Direction::In`] ever carries, where the beginning was seen.
    pub first_in: Option<u64>,
    /// How long the connection took to be established, where that was seen.
    pub connect: Option<Duration>,
    /// The task that opened it or first used it.
    pub task: Option<Task>,
}

/// From where a flow is observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Vantage {
    /// At the local end's socket.
    #[default]
    Socket,
    /// On the wire between the two.
    Wire,
}

/// Bytes that moved in one direction of a flow by one call; a datagram is one segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// When the call *completed*, in both directions.
    pub at: Timestamp,
    /// Which flow.
    pub flow: FlowId,
    /// Which way.
    pub direction: Direction,
    /// Position of the first byte; see [`Offsets`].
    pub offset: u64,
    /// The captured bytes: a prefix of those that moved.
    pub data: Bytes,
    /// How many bytes moved; at least `data.len()`.
    pub len: u64,
    /// The task that moved them.
    pub task: Option<Task>,
}

/// Bytes that moved in one direction of a flow without being shown, and why.
///
/// Gaps nobody announces are found by comparing offsets, and count as lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// When the source noticed.
    pub at: Timestamp,
    /// Which flow.
    pub flow: FlowId,
    /// Which way.
    pub direction: Direction,
    /// Position of the first byte that is not shown.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// Why.
    pub cause: Cause,
}

/// Why bytes are not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Moved by a process that is not a target.
    NotTargeted,
    /// Moved inside the kernel (`splice`, `sendfile` where it leaves no length), past every hook.
    Unhooked,
    /// Lost between the kernel and here.
    Lost,
}

/// A flow ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// Which flow.
    pub flow: FlowId,
    /// How.
    pub reason: CloseReason,
    /// What the transport counted, where it did.
    pub stats: Option<FlowStats>,
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides closed it, or the local end did.
    Closed,
    /// It was reset.
    Reset,
    /// Nothing was heard of it for long (datagrams have no other end).
    Idle,
    /// The source ended.
    SourceEnded,
}

/// What the transport counted over a flow's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Its variation.
    pub rtt_variation: Duration,
    /// Segments sent again.
    pub retransmits: u32,
    /// Bytes sent and acknowledged.
    pub bytes_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
}

/// A connection attempt failed.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectFailed {
    /// When it was known.
    pub at: Timestamp,
    /// The socket.
    pub flow: Option<FlowId>,
    /// What carries it.
    pub transport: Transport,
    /// The end that tried.
    pub local: Endpoint,
    /// The end it tried to reach.
    pub remote: Endpoint,
    /// The kernel's error number (`ECONNREFUSED` is 111).
    pub errno: i32,
    /// How long it took to fail.
    pub after: Duration,
    /// The task that tried.
    pub task: Option<Task>,
}

/// A process or thread started.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// When.
    pub at: Timestamp,
    /// The new task.
    pub task: Task,
    /// Process id of its parent.
    pub parent: u32,
    /// When it started after boot (`/proc/PID/stat` field 22), in nanoseconds of the boot clock; tells a reused pid.
    pub boot_start: u64,
}

/// A thread changed its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Renamed {
    /// When.
    pub at: Timestamp,
    /// The task, with its new name.
    pub task: Task,
    /// The name it had.
    pub before: Comm,
    /// The program it runs now, if it was an `exec`.
    pub exec: Option<Text>,
}

/// A process or thread ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Exited {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub task: Task,
    /// The wait status: exit code in bits 8 to 15, signal in bits 0 to 6.
    pub status: i32,
}

/// A record of a user's own probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Custom {
    /// When, by the record's header.
    pub at: Timestamp,
    /// The user's tag, from 0x8000.
    pub tag: u16,
    /// The record's body.
    pub data: Bytes,
    /// The flow it concerns, if the probe said.
    pub flow: Option<FlowId>,
    /// The task that was running, if the probe said.
    pub task: Option<Task>,
}

/// Something was lost: how much, where, and between which times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Which class.
    pub class: LostClass,
    /// How many.
    pub count: u64,
    /// On which processor, if that is known.
    pub cpu: Option<u32>,
    /// Not before.
    pub since: Timestamp,
    /// Not after.
    pub until: Timestamp,
}

/// Where things get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LostClass {
    /// The ring was full: a segment.
    RingSegment,
    /// The ring was full: a flow's opening or end.
    RingFlow,
    /// The ring was full: a process event.
    RingProcess,
    /// The ring was full: a record of a user's own probe.
    RingCustom,
    /// The kernel skipped a program because it was running already on that processor (7.x kernels do).
    Recursion,
    /// A record could not be decoded.
    Decode,
    /// The embedding program took batches too slowly: events.
    HandOver,
    /// A table in the kernel was full: flows or targets not tracked.
    Table,
    /// Frames of a capture that could not be read.
    Frame,
}

impl LostClass {
    /// A stable lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingSegment => "ring_segment",
            Self::RingFlow => "ring_flow",
            Self::RingProcess => "ring_process",
            Self::RingCustom => "ring_custom",
            Self::Recursion => "recursion",
            Self::Decode => "decode",
            Self::HandOver => "hand_over",
            Self::Table => "table",
            Self::Frame => "frame",
        }
    }
}
