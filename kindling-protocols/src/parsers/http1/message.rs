//! Typed messages.

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::parsers::http1::{
    name::Name,
    wire::{Fields, Range, RequestLine, StatusLine},
};

/// One step of the conversation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Message {
    /// The head of a request.
    Request(Request),
    /// The head of an answer, final or interim.
    Response(Response),
    /// The end of a chunked body.
    End(End),
    /// Empty lines between messages (RFC 9112 section 2.2), which belong to none: some clients send them after a body, seconds before
    /// the next request.
    Blank,
}

/// How a body ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// With its last chunk; [`Message::End`] follows.
    Chunked,
    /// With the connection.
    ToEnd,
    /// The head was not seen to its end.
    Unknown,
}

/// The head of a request.
#[derive(Clone)]
pub struct Request {
    head: Head,
    line: RequestLine,
    body: Body,
    upgrade: bool,
}

/// The head of an answer.
#[derive(Clone)]
pub struct Response {
    head: Head,
    line: StatusLine,
    body: Body,
}

/// The end of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// Bytes of data in all chunks.
    pub size: u64,
    /// Status of the answer it belongs to; `None` in a request.
    pub status: Option<u16>,
}

#[derive(Clone)]
struct Head {
    bytes: Bytes,
    kept: SmallVec<[(Name, Range); 8]>,
    folded: bool,
}

impl Head {
    fn new(bytes: Bytes, fields: Fields) -> Self {
        Self { bytes, kept: fields.kept, folded: fields.folded }
    }

    fn values(&self) -> impl Iterator<Item = (Name, &[u8])> {
        self.kept.iter().map(|(name, range)| (*name, range.of(&self.bytes)))
    }
}

impl Request {
    pub(super) fn new(bytes: Bytes, line: RequestLine, fields: Fields, body: Body) -> Self {
        let upgrade = fields.upgrade && fields.kept.iter().any(|(name, _)| *name == Name::Upgrade);
        Self { head: Head::new(bytes, fields), line, body, upgrade }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.line.method.of(&self.head.bytes)
    }

    /// The target as it was sent, credentials included.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.line.target.of(&self.head.bytes)
    }

    /// The minor version: 0 or 1.
    #[must_use]
    pub const fn minor(&self) -> u8 {
        self.line.minor
    }

    /// How its body ends.
    #[must_use]
    pub const fn body(&self) -> Body {
        self.body
    }

    /// Whether it offers to speak another protocol (RFC 9110 section 7.8).
    #[must_use]
    pub const fn offers_upgrade(&self) -> bool {
        self.upgrade
    }

    /// The first value of a field that is looked at.
    #[must_use]
    pub fn field(&self, name: Name) -> Option<&[u8]> {
        self.head.values().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// All fields that are looked at, in order. A folded value has its line ends in it.
    pub fn fields(&self) -> impl Iterator<Item = (Name, &[u8])> {
        self.head.values()
    }

    pub(super) const fn is_folded(&self) -> bool {
        self.head.folded
    }

    /// Bytes of request line and header section.
    #[must_use]
    pub fn head_size(&self) -> usize {
        self.head.bytes.len()
    }
}

impl Response {
    pub(super) fn new(bytes: Bytes, line: StatusLine, fields: Fields, body: Body) -> Self {
        Self { head: Head::new(bytes, fields), line, body }
    }

    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.line.status
    }

    /// Whether another answer follows (RFC 9110 section 15.2). After 101 none does: the connection changes hands.
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        matches!(self.line.status, 100..=199) && self.line.status != 101
    }

    /// The minor version: 0 or 1.
    #[must_use]
    pub const fn minor(&self) -> u8 {
        self.line.minor
    }

    /// How its body ends.
    #[must_use]
    pub const fn body(&self) -> Body {
        self.body
    }

    /// The first value of a field that is looked at.
    #[must_use]
    pub fn field(&self, name: Name) -> Option<&[u8]> {
        self.head.values().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// All fields that are looked at, in order. A folded value has its line ends in it.
    pub fn fields(&self) -> impl Iterator<Item = (Name, &[u8])> {
        self.head.values()
    }

    pub(super) const fn is_folded(&self) -> bool {
        self.head.folded
    }

    /// Bytes of status line and header section.
    #[must_use]
    pub fn head_size(&self) -> usize {
        self.head.bytes.len()
    }
}

/// No field and no target: they may hold credentials, and debug output ends up in logs.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = String::from_utf8_lossy(self.method());
        f.debug_struct("Request").field("method", &method).field("body", &self.body).finish_non_exhaustive()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.line.status).field("body", &self.body).finish_non_exhaustive()
    }
}
