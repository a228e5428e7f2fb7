//! The part a message plays in an exchange.

/// What pairs an answer with its request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pair<K> {
    /// Order: answers come in the order of the requests.
    Order,
    /// Order within a lane, such as a channel.
    Lane(u64),
    /// An id on the wire.
    Id(K),
}

/// Which end sent the message that opened the exchange a later message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// The one that sent this message too.
    Sender,
    /// The other one.
    Peer,
}

/// An exchange that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<K> {
    /// What pairs it.
    pub pair: Pair<K>,
    /// Who opened it.
    pub opener: Opener,
}

/// The part a message plays in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role<K, O> {
    /// Starts an exchange that expects `replies` closing messages.
    Opens {
        /// What pairs it.
        pair: Pair<K>,
        /// What it leaves for its answer.
        open: O,
        /// How many messages with [`Role::Closes`] end it; at least 1.
        replies: u32,
    },
    /// Starts an exchange, or is the request of one that is open, sent again.
    Repeats {
        /// What pairs it.
        pair: Pair<K>,
        /// What it leaves for its answer.
        open: O,
    },
    /// More of a request or of an answer: it moves the end of its side, and ends nothing.
    Continues(Target<K>),
    /// An answer before the answer, such as `100 Continue`: it does not count as the first byte.
    Interim(Target<K>),
    /// Ends the oldest exchange of the target, once its last byte has passed.
    Closes(Target<K>),
    /// Ends the exchange with this id, and all that were opened before it by the same end: they were answered by silence.
    ClosesUpTo(Target<K>),
    /// Withdraws the exchange.
    Cancels(Target<K>),
    /// Withdraws all exchanges of that opener.
    CancelsAll(Opener),
    /// A request that expects no answer.
    OneWay,
    /// Not part of any exchange.
    Ignored,
}

impl<K, O> Role<K, O> {
    /// Starts an exchange that one message ends.
    pub const fn opens(pair: Pair<K>, open: O) -> Self {
        Self::Opens { pair, open, replies: 1 }
    }

    /// Ends the oldest exchange the peer opened under `pair`.
    pub const fn closes(pair: Pair<K>) -> Self {
        Self::Closes(Target { pair, opener: Opener::Peer })
    }

    /// More of the answer to what the peer opened under `pair`.
    pub const fn continues_answer(pair: Pair<K>) -> Self {
        Self::Continues(Target { pair, opener: Opener::Peer })
    }

    /// More of the request this side opened under `pair`.
    pub const fn continues_request(pair: Pair<K>) -> Self {
        Self::Continues(Target { pair, opener: Opener::Sender })
    }

    /// An answer before the answer, to what the peer opened under `pair`.
    pub const fn interim(pair: Pair<K>) -> Self {
        Self::Interim(Target { pair, opener: Opener::Peer })
    }
}
