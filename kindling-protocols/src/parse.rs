//! What detection and parsing answer.

use std::num::NonZeroUsize;

use kindling_core::Transport;

use crate::protocol::Sender;

/// What [`Protocol::detect`](crate::Protocol::detect) sees: what one direction carried first, and what is known beside.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Probe<'a> {
    /// Bytes of one direction from a segment's start on; of a datagram, all of it.
    pub head: &'a [u8],
    /// Who sent them, if the socket tells.
    pub sender: Option<Sender>,
    /// The server's port, if it is known.
    pub port: Option<u16>,
    /// What carries the flow.
    pub transport: Transport,
    /// Whether these may come from the middle of a connection.
    pub midstream: bool,
}

impl<'a> Probe<'a> {
    /// Bytes of a TCP connection about which nothing else is known.
    #[must_use]
    pub const fn new(head: &'a [u8]) -> Self {
        Self { head, sender: None, port: None, transport: Transport::Tcp, midstream: false }
    }

    /// Sent by `sender`.
    #[must_use]
    pub const fn sender(mut self, sender: Option<Sender>) -> Self {
        self.sender = sender;
        self
    }

    /// To or from the server's `port`.
    #[must_use]
    pub const fn port(mut self, port: Option<u16>) -> Self {
        self.port = port;
        self
    }

    /// Carried by `transport`.
    #[must_use]
    pub const fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Perhaps from the middle of a connection.
    #[must_use]
    pub const fn midstream(mut self, midstream: bool) -> Self {
        self.midstream = midstream;
        self
    }

    /// Whether `sender` may have sent them.
    #[must_use]
    pub fn may_be_from(&self, sender: Sender) -> bool {
        self.sender.is_none_or(|known| known == sender)
    }
}

/// What detection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A message of this protocol, sent by this end.
    Match(Sender),
    /// Too few bytes to tell.
    Maybe,
    /// Not this protocol.
    No,
}

/// Bytes taken by one step of a parser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Bytes of `input` taken.
    pub consumed: usize,
    /// Bytes that follow, belong to the message and need not be seen; they may be lost. [`Span::TO_END`]: all until the flow ends.
    pub skip: u64,
}

impl Span {
    /// The value of `skip` for a body that ends with the flow.
    pub const TO_END: u64 = u64::MAX;

    /// `consumed` bytes and none skipped.
    #[must_use]
    pub const fn of(consumed: usize) -> Self {
        Self { consumed, skip: 0 }
    }

    /// And `skip` bytes after them.
    #[must_use]
    pub const fn skipping(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }
}

/// What one step of a parser says.
#[derive(Debug)]
pub enum Parse<M> {
    /// A message.
    Message(M, Span),
    /// Bytes passed that are no message by themselves: a preface, a chunk's header, an element of a nested value. They count to the message
    /// that follows.
    Progress(Span),
    /// More is needed first. Nothing was taken.
    Incomplete(Needed),
    /// `input[0]` does not start a message.
    Reject(Reject),
    /// After this message, if there is one, both directions speak something else.
    Switch(Option<M>, Span, Next),
}

/// What a parser waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// At least this many more bytes; it is not called before they are there.
    AtLeast(NonZeroUsize),
    /// More bytes, nobody knows how many: a delimiter has not come. [`Context::seen`](crate::Context::seen) says where to go on.
    Unknown,
    /// A message of the other side. It is called again when one came, or with [`Context::overdue`](crate::Context::overdue) set when the reorder
    /// window has passed.
    Partner,
}

impl Needed {
    /// `missing` more bytes, at least one.
    #[must_use]
    pub const fn more(missing: usize) -> Self {
        match NonZeroUsize::new(missing) {
            Some(n) => Self::AtLeast(n),
            None => Self::AtLeast(NonZeroUsize::MIN),
        }
    }

    /// Until there are `whole` bytes, of which `have` are there.
    #[must_use]
    pub const fn until(whole: usize, have: usize) -> Self {
        Self::more(whole.saturating_sub(have))
    }
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// A length or count is outside of what the protocol or a limit allows.
    #[error("length out of range")]
    Length,
    /// A byte or word is not allowed here.
    #[error("malformed")]
    Malformed,
    /// A datagram ends inside its message.
    #[error("truncated")]
    Truncated,
    /// Nested too deeply.
    #[error("nested too deeply")]
    Depth,
}

/// What a flow speaks after a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Nothing that could be read: encrypted, or of no interest.
    Opaque,
    /// Anything; detection starts anew.
    Detect,
    /// A protocol by name, with a note for its [`adopt`](crate::Protocol::adopt). Opaque if the registry has none of that name.
    Protocol(&'static str, Vec<u8>),
}

impl<M> Parse<M> {
    /// A message of `consumed` bytes.
    pub const fn message(message: M, consumed: usize) -> Self {
        Self::Message(message, Span::of(consumed))
    }
}
