//! One direction of a flow between its buffer and its messages.

use std::collections::VecDeque;

use kindling_core::{Gap, Quality, Segment, Timestamp};

use crate::{
    buffer::Buffer,
    pairing::Stamp,
    protocol::Protocol,
    role::{Pair, Target},
};

/// One direction of a flow.
pub(crate) struct Half<P: Protocol> {
    pub(crate) buffer: Buffer,
    /// The parser is not called before this many bytes are there.
    pub(crate) wanted: u32,
    /// Bytes the parser saw at its last call without finding a delimiter.
    pub(crate) seen: u32,
    /// Until when the parser waits for the other side.
    pub(crate) waiting: Option<Timestamp>,
    /// That wait is over.
    pub(crate) overdue: bool,
    /// The next byte need not start a message.
    pub(crate) lost: bool,
    /// The next message is one whose head was cut.
    pub(crate) salvaged: bool,
    /// First byte of the message in progress.
    pub(crate) begun: Option<Box<(Stamp, u64)>>,
    /// Bytes that count to the next message.
    pub(crate) progress: u64,
    /// A message whose skipped bytes have not all passed.
    pub(crate) held: Option<Box<Held<P>>>,
    /// What came before its turn.
    pub(crate) ahead: Option<Box<Ahead>>,
    /// Longest head seen, to teach the source how much is worth copying.
    pub(crate) longest_head: u32,
    /// Heads seen, up to as many as it takes to teach.
    pub(crate) heads: u8,
}

impl<P: Protocol> Default for Half<P> {
    fn default() -> Self {
        Self {
            buffer: Buffer::default(),
            wanted: 0,
            seen: 0,
            waiting: None,
            overdue: false,
            lost: false,
            salvaged: false,
            begun: None,
            progress: 0,
            held: None,
            ahead: None,
            longest_head: 0,
            heads: 0,
        }
    }
}

impl<P: Protocol> Half<P> {
    /// Forget what was in progress.
    pub(crate) fn reset(&mut self) {
        self.wanted = 0;
        self.seen = 0;
        self.waiting = None;
        self.overdue = false;
        self.begun = None;
        self.progress = 0;
        self.held = None;
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let ahead = self.ahead.as_ref().map(|ahead| ahead.deadline);
        [ahead, self.waiting].into_iter().flatten().min()
    }
}

/// A message whose skipped bytes have not all passed.
pub(crate) struct Held<P: Protocol> {
    pub(crate) what: Holding<P>,
}

/// What to do when the skipped bytes have passed.
pub(crate) enum Holding<P: Protocol> {
    /// The end of a request that is open.
    Request(Pair<P::Key>, u64),
    /// A message to apply.
    Message(Ready<P>),
}

/// A message ready to take effect.
pub(crate) struct Ready<P: Protocol> {
    pub(crate) message: P::Message,
    pub(crate) effect: Effect<P::Key>,
    pub(crate) first: Stamp,
    pub(crate) last: Stamp,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) quality: Quality,
}

/// What a message does, apart from opening.
pub(crate) enum Effect<K> {
    Continues(Target<K>),
    Interim(Target<K>),
    Closes(Target<K>),
    ClosesUpTo(Target<K>),
    Cancels(Target<K>),
    CancelsAll(crate::role::Opener),
    OneWay,
}

impl<K> Effect<K> {
    /// The exchange it needs to be there.
    pub(crate) const fn target(&self) -> Option<&Target<K>> {
        match self {
            Self::Continues(t) | Self::Interim(t) | Self::Closes(t) | Self::ClosesUpTo(t) | Self::Cancels(t) => Some(t),
            Self::CancelsAll(_) | Self::OneWay => None,
        }
    }
}

/// Segments that came before their turn, by offset.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) items: VecDeque<Early>,
    pub(crate) bytes: u64,
    pub(crate) deadline: Timestamp,
}

/// A segment or a gap before its turn.
#[derive(Debug)]
pub(crate) enum Early {
    Segment(Segment),
    Gap(Gap),
}

impl Early {
    pub(crate) const fn offset(&self) -> u64 {
        match self {
            Self::Segment(segment) => segment.offset,
            Self::Gap(gap) => gap.offset,
        }
    }
}
