//! A request and what answered it.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    id::{Endpoint, FlowId, Origin, Task, Transport},
    text::Text,
    time::{Clock, Timestamp},
};

/// A request and what answered it, seen from one side.
///
/// The instants are those of the segments (calls, packets) that carried the byte, and a segment's time is when its call
/// completed. So a server's latency runs from the completion of the read that took the request's first byte to the completion of the
/// write that sent the answer's last.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Exchange {
    /// Derived from flow and first byte: the same for the same input, however many engines shared the work.
    pub id: u64,
    /// Where it was seen.
    pub origin: Arc<Origin>,
    /// The flow that carried it.
    pub flow: FlowId,
    /// From where it was seen.
    pub side: Side,
    /// Which protocol, by name.
    pub protocol: &'static str,
    /// What carried it.
    pub transport: Transport,
    /// The end that sent the request.
    pub client: Endpoint,
    /// The end that answers.
    pub server: Endpoint,
    /// What it was.
    pub details: Details,
    /// How it ended.
    pub outcome: Outcome,
    /// What is known to be imperfect about it.
    pub quality: Quality,
    /// The id that paired it, as the wire has it; `None` where order did.
    pub key: Option<Text>,
    /// First byte of the request; of the answer where the request was not seen.
    pub request_at: Timestamp,
    /// Last byte of the request.
    pub request_end: Option<Timestamp>,
    /// First byte of the answer (interim ones do not count).
    pub first_byte_at: Option<Timestamp>,
    /// Last byte of the answer.
    pub response_at: Option<Timestamp>,
    /// Stream position of the request's first byte; see [`Offsets`](crate::Offsets).
    pub offset: u64,
    /// Bytes of the request, heads and framing included.
    pub request_bytes: u64,
    /// Bytes of the answer, interim ones included.
    pub response_bytes: u64,
    /// The task that moved the request's first byte; of the answer's where the request was not seen.
    pub task: Option<Task>,
    /// The task that moved the answer's last byte.
    pub response_task: Option<Task>,
    /// Everything else the protocol has to say, if that was asked for.
    pub attributes: Vec<Attribute>,
    /// The latest reading of the origin's clocks, to turn instants into wall time.
    pub clock: Clock,
}

impl Exchange {
    /// An exchange of which nothing is known yet but where it was seen.
    #[must_use]
    pub const fn new(origin: Arc<Origin>, flow: FlowId, protocol: &'static str) -> Self {
        Self {
            id: 0,
            origin,
            flow,
            side: Side::Observer,
            protocol,
            transport: Transport::Tcp,
            client: Endpoint::Unknown,
            server: Endpoint::Unknown,
            details: Details { operation: Text::new(), resource: Text::new(), status: None, error: None },
            outcome: Outcome::Lost,
            quality: Quality::GOOD,
            key: None,
            request_at: Timestamp::ZERO,
            request_end: None,
            first_byte_at: None,
            response_at: None,
            offset: 0,
            request_bytes: 0,
            response_bytes: 0,
            task: None,
            response_task: None,
            attributes: Vec::new(),
            clock: Clock { mono: Timestamp::ZERO, wall: 0, boot: 0 },
        }
    }

    /// From the request's first byte to the answer's last; zero where events arrived out of order.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        (self.outcome == Outcome::Complete).then(|| self.response_at.map(|end| end.since(self.request_at)))?
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn wall(&self, at: Timestamp) -> u64 {
        self.clock.wall_at(at)
    }

    /// Whether it failed: by its protocol, or because no answer came.
    #[must_use]
    pub const fn failed(&self) -> bool {
        self.details.error.is_some() || matches!(self.outcome, Outcome::Unanswered | Outcome::Reset)
    }
}

/// Facts every protocol supplies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// What was asked: `GET`, `SELECT`, `A`.
    pub operation: Text,
    /// Of what: a path, a key's shape, a name.
    pub resource: Text,
    /// The protocol's status, if it was answered.
    pub status: Option<Text>,
    /// What went wrong, if the protocol says that something did.
    pub error: Option<Text>,
}

/// One further fact, named as OpenTelemetry's semantic conventions do where they have a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A byte string.
    Text(Text),
    /// A signed number.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// Several byte strings.
    List(Vec<Text>),
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Text(bytes.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// Saturates at [`i64::MAX`].
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Takes attributes one by one.
pub trait Visit {
    /// One more.
    fn attribute(&mut self, name: &'static str, value: Value);
}

impl Visit for Vec<Attribute> {
    fn attribute(&mut self, name: &'static str, value: Value) {
        self.push(Attribute { name, value });
    }
}

/// From where an exchange was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// At the socket of the end that asked.
    Client,
    /// At the socket of the end that answers.
    Server,
    /// On the wire between them.
    Observer,
}

impl Side {
    /// `client`, `server` or `observer`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Observer => "observer",
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Answered in full.
    Complete,
    /// Expects no answer.
    OneWay,
    /// Not answered before the protocol's deadline or the end of the flow.
    Unanswered,
    /// An answer whose request was not seen.
    Unmatched,
    /// Its key was used again.
    Superseded,
    /// Withdrawn by a side.
    Cancelled,
    /// Its flow was reset.
    Reset,
    /// Its partner cannot be told after a loss.
    Lost,
}

impl Outcome {
    /// The name the JSON form uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::OneWay => "one_way",
            Self::Unanswered => "unanswered",
            Self::Unmatched => "unmatched",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::Reset => "reset",
            Self::Lost => "lost",
        }
    }
}

/// What is known to be imperfect about an exchange: a set of marks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Quality(u16);

impl Quality {
    /// Nothing is.
    pub const GOOD: Self = Self(0);
    /// Bytes that mattered were not captured.
    pub const TRUNCATED: Self = Self(1);
    /// Bytes were lost on this flow before or inside it.
    pub const GAP_BEFORE: Self = Self(1 << 1);
    /// The flow is older than the observation.
    pub const MID_STREAM: Self = Self(1 << 2);
    /// Who is client and who is server was told from the bytes, not from the socket.
    pub const ROLE_INFERRED: Self = Self(1 << 3);
    /// Events arrived out of order; a negative latency was set to zero.
    pub const REORDERED: Self = Self(1 << 4);
    /// The flow lost its place for good and reports counts only.
    pub const COUNTS_ONLY: Self = Self(1 << 5);
    /// Part of what was decoded was cut to the limits.
    pub const CLIPPED: Self = Self(1 << 6);
    /// The observation ended before the answer came.
    pub const CUT: Self = Self(1 << 7);
    const NAMES: [(Self, &'static str); 8] = [
        (Self::TRUNCATED, "truncated"),
        (Self::GAP_BEFORE, "gap_before"),
        (Self::MID_STREAM, "mid_stream"),
        (Self::ROLE_INFERRED, "role_inferred"),
        (Self::REORDERED, "reordered"),
        (Self::COUNTS_ONLY, "counts_only"),
        (Self::CLIPPED, "clipped"),
        (Self::CUT, "cut"),
    ];

    /// Whether all marks of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Set the marks of `other`.
    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names of the marks set, as the JSON form has them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(mark, _)| self.contains(*mark)).map(|(_, name)| name)
    }
}

impl fmt::Debug for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
