//! The one trait a protocol implements, and what it is given.

use std::{hash::Hash, time::Duration};

use bytes::Bytes;
use kindling_core::{Details, Timestamp, Transport, Visit};

use crate::{
    pairing::Pairs,
    parse::{Parse, Probe, Verdict},
    role::{Pair, Role},
};

/// What a parser of one application protocol supplies.
///
/// All functions are pure: same arguments, same result. Buffering, gaps, resync points, pairing, deadlines and limits belong to the
/// engine, which does them once for all protocols; a protocol cannot do them.
pub trait Protocol: Sized + Send + 'static {
    /// Modes and limits of this protocol.
    type Config: Clone + Default + Send + Sync + 'static;
    /// Memory of one flow: decompression tables, prepared statements, the mode a connection is in.
    type State: Default + Send;
    /// Memory of one engine, bounded by the protocol itself: what is learned on one connection and needed on another.
    type Shared: Default + Send + 'static;
    /// One framed message. It may slice the input it was parsed from; it does not outlive the call that made it.
    type Message: Send;
    /// The id on the wire that pairs an answer with its request; `()` where order does.
    type Key: Clone + Eq + Hash + Send;
    /// What a request leaves for whoever parses its answer: that it was a `HEAD`, which version it asked for.
    type Open: Send;
    /// What is kept of an exchange, folded from its messages on both sides. Owns its bytes.
    type Summary: Default + Send;
    /// Constant facts.
    const SPEC: &'static Spec;

    /// Whether these are the first bytes of a message of this protocol, and who sent them.
    fn detect(probe: &Probe<'_>) -> Verdict;

    /// Frame and parse the message that starts at `input[0]`. `input` is never empty.
    fn parse(cx: &mut Context<'_, Self>, input: &Bytes) -> Parse<Self::Message>;

    /// The part a message plays in an exchange.
    fn role(cx: &Context<'_, Self>, message: &Self::Message) -> Role<Self::Key, Self::Open>;

    /// Take what is worth keeping of a message.
    fn fold(summary: &mut Self::Summary, sender: Sender, message: &Self::Message);

    /// The facts users see of every exchange. With [`Content::Safe`] they identify the operation and hold no content.
    fn details(summary: &Self::Summary, content: Content) -> Details;

    /// Further facts, asked for only where the exchange is kept.
    fn attributes(_summary: &Self::Summary, _content: Content, _visit: &mut dyn Visit) {}

    /// How the key that paired an exchange is shown to users.
    fn key(_key: &Self::Key) -> Option<kindling_core::Text> {
        None
    }

    /// What `sender` said next was lost. Forget what its direction's framing rested on; the other direction goes on, so a protocol whose
    /// state holds both must keep that half.
    fn lose(state: &mut Self::State, _sender: Sender) {
        *state = Self::State::default();
    }

    /// What can still be told of a message of which `input` is the beginning, and of whose head the rest will never come: it was not captured,
    /// or lost, or the flow ended. `hidden` bytes follow that moved with `input` and were not captured; with a message they are taken to be its
    /// rest. The exchange is marked [`TRUNCATED`](kindling_core::Quality::TRUNCATED). `input` may be empty if `hidden` is not zero.
    fn salvage(_cx: &mut Context<'_, Self>, _input: &Bytes, _hidden: u64) -> Option<Self::Message> {
        None
    }

    /// Where the next plausible message starts after a loss. `None` drops all of `input` and waits for more.
    fn resync(_cx: &mut Context<'_, Self>, _input: &[u8]) -> Option<usize> {
        None
    }

    /// Whether this message proves that no earlier request of the flow is still unanswered.
    fn fence(_cx: &Context<'_, Self>, _message: &Self::Message) -> bool {
        false
    }

    /// Start from what the protocol that handed the flow over left for this one.
    fn adopt(_state: &mut Self::State, _note: &[u8]) {}
}

/// Constant facts about a protocol.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Spec {
    /// Lower-case name, as in exchanges and metrics.
    pub name: &'static str,
    /// Usual server ports. They order the candidates of detection and never decide.
    pub ports: &'static [u16],
    /// What may carry it.
    pub transports: &'static [Transport],
    /// Most bytes of one message's head (all that is not skipped) that are buffered before the stream counts as out of step.
    pub max_head: usize,
    /// How long an answer may take.
    pub deadline: Duration,
    /// Rounds of strict alternation (request, its answer, next request) that prove the streams aligned after a loss or a late
    /// start, seen from the client or the wire, and from the server. Zero: alternation proves nothing.
    pub alternations: (u8, u8),
    /// Whether message bodies are never looked at, so that the kernel need only copy the heads.
    pub heads_only: bool,
}

impl Spec {
    /// A protocol over TCP and Unix streams with usual limits: 64 KiB heads, 60 s deadline, no proof by alternation.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            ports: &[],
            transports: &[Transport::Tcp, Transport::Unix],
            max_head: 64 << 10,
            deadline: Duration::from_secs(60),
            alternations: (0, 0),
            heads_only: false,
        }
    }

    /// Usual server ports.
    #[must_use]
    pub const fn ports(mut self, ports: &'static [u16]) -> Self {
        self.ports = ports;
        self
    }

    /// What may carry it.
    #[must_use]
    pub const fn transports(mut self, transports: &'static [Transport]) -> Self {
        self.transports = transports;
        self
    }

    /// Most bytes of a head.
    #[must_use]
    pub const fn max_head(mut self, bytes: usize) -> Self {
        self.max_head = bytes;
        self
    }

    /// How long an answer may take.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Rounds of alternation that prove alignment, seen from the client or the wire, and from the server.
    #[must_use]
    pub const fn alternations(mut self, client: u8, server: u8) -> Self {
        self.alternations = (client, server);
        self
    }

    /// Bodies are never looked at.
    #[must_use]
    pub const fn heads_only(mut self) -> Self {
        self.heads_only = true;
        self
    }
}

/// Who sent bytes, in terms of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The end that connected.
    Client,
    /// The end that accepted.
    Server,
}

impl Sender {
    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// How much of what was said users may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// What identifies an operation: templates, shapes, names of commands and tables. No values.
    #[default]
    Safe,
    /// Targets, keys and statements as they were on the wire. Credentials stay masked.
    Raw,
}

/// What a protocol is given beside the bytes.
#[derive(Debug)]
pub struct Context<'a, P: Protocol> {
    /// Who sent the bytes.
    pub sender: Sender,
    /// When the last of them moved.
    pub now: Timestamp,
    /// What carries the flow.
    pub transport: Transport,
    /// The protocol's settings.
    pub config: &'a P::Config,
    /// The flow's memory.
    pub state: &'a mut P::State,
    /// The engine's memory for this protocol.
    pub shared: &'a mut P::Shared,
    /// How many bytes of `input` were there at the last call, which ended with [`Needed::Unknown`](crate::Needed::Unknown): a search for
    /// a delimiter goes on from there, so that it costs each byte once.
    pub seen: usize,
    /// Whether the wait for the other side, asked for with [`Needed::Partner`](crate::Needed::Partner), is over without it.
    pub overdue: bool,
    /// Answers of this side, paired by order, that have not taken effect yet.
    pub(crate) answered: usize,
    pub(crate) pairs: &'a Pairs<P>,
}

impl<P: Protocol> Context<'_, P> {
    /// What the oldest request of the other side under `pair` left for its answer.
    #[must_use]
    pub fn awaiting(&self, pair: &Pair<P::Key>) -> Option<&P::Open> {
        self.pairs.awaiting(self.sender.peer(), pair, self.answered)
    }

    /// What the latest request of this side under `pair`, not yet answered, left for its answer.
    #[must_use]
    pub fn asked(&self, pair: &Pair<P::Key>) -> Option<&P::Open> {
        self.pairs.asked(self.sender, pair)
    }
}
