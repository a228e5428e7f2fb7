//! What a connection remembers: whether commands are answered, who listens to what, which database is selected.

use super::{
    command::Act,
    kind::Kind,
    reply::{self, Part, Reply, Word},
    request::{self, Answers, Command, Mode},
};
use crate::{parse::Span, protocol::Sender};

/// Memory of one connection.
#[derive(Debug, Default)]
pub struct State {
    pub(super) command: Option<Box<request::Building>>,
    pub(super) reply: Option<Box<reply::Building>>,
    /// `CLIENT REPLY OFF` and `SKIP`.
    silent: bool,
    skip: bool,
    multi: bool,
    serial: u32,
    /// A reply that waits for its command, and how long it is.
    held: Option<Box<(Reply, Span)>>,
    /// Waiting for commands is of no use: some were lost, or are not seen.
    impatient: bool,
    /// Messages come as arrays, which RESP2 does between the first subscription and the last.
    listening: bool,
    /// Channels and patterns subscribed to, if they are known apart.
    subscriptions: Option<(u32, u32)>,
    /// The number of a command and how many of its answers have come.
    confirmed: (u32, u32),
    /// The database in use when the next answer was made, if it is known.
    database: Option<u32>,
}

/// What a command leaves for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    pub(super) act: Act,
    answers: Answers,
    number: Option<u32>,
    serial: u32,
}

/// What the bytes after a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Redis,
    Replication,
}

impl State {
    /// A command has been sent.
    pub(super) fn asked(&mut self, command: &mut Command) -> After {
        self.serial = self.serial.wrapping_add(1).max(1);
        let quiet = self.silent || std::mem::take(&mut self.skip);
        command.answers = if quiet { Answers::None } else { Answers::One };
        match command.act() {
            Act::Client if !self.multi => self.reply_mode(command),
            // Acknowledged on replication links only, and not answered.
            Act::Replconf if command.is("ACK") => return After::Replication,
            Act::Multi => self.multi = true,
            Act::Exec => self.multi = false,
            Act::Reset => (self.silent, self.skip, self.multi) = (false, false, false),
            Act::Select if quiet => self.database = None,
            Act::Subscribe | Act::Unsubscribe if !quiet && !self.multi => {
                let names = u32::try_from(command.args()).unwrap_or(u32::MAX);
                command.answers = match names {
                    // An error.
                    0 if command.act() == Act::Subscribe => Answers::One,
                    0 => Answers::All,
                    _ => Answers::Names(names),
                };
            }
            _ => {}
        }
        After::Redis
    }

    fn reply_mode(&mut self, command: &mut Command) {
        match command.mode() {
            Mode::Unsaid => {}
            Mode::On => {
                (self.silent, self.skip) = (false, false);
                command.answers = Answers::One;
            }
            Mode::Off => {
                self.silent = true;
                command.answers = Answers::None;
            }
            Mode::Skip => {
                self.skip = !self.silent;
                command.answers = Answers::None;
            }
        }
    }

    /// What the command asked for last leaves.
    pub(super) fn open(&self, command: &Command) -> Open {
        Open { act: command.act(), answers: command.answers, number: command.number(), serial: self.serial }
    }

    /// The reply that was held back, and whether its wait is over.
    pub(super) fn held(&mut self, overdue: bool) -> Option<(Reply, Span)> {
        self.impatient |= overdue;
        self.held.take().map(|held| *held)
    }

    /// Keeps a reply back whose meaning cannot be told without its command, while that may still come.
    pub(super) fn hold(&mut self, reply: Reply, span: Span, input: &[u8]) -> Option<(Reply, Span)> {
        let confirms = reply.push.as_ref().is_some_and(|push| push.confirms());
        let unclear = match reply.kind {
            Kind::SimpleString => !matches!(reply.word, Word::Other | Word::Monitor),
            Kind::Array => confirms || (reply.push.is_some() && !self.listening),
            Kind::Push => confirms,
            _ => false,
        };
        if self.impatient || !unclear || input.len() >= WORTH_WAITING {
            return Some((reply, span));
        }
        self.held = Some(Box::new((reply, span)));
        None
    }

    pub(super) const fn patient(&self) -> bool {
        !self.impatient
    }

    /// Bytes of `sender` were lost.
    pub(super) fn lose(&mut self, sender: Sender) {
        self.impatient = true;
        match sender {
            Sender::Client => {
                self.command = None;
                (self.silent, self.skip, self.multi) = (false, false, false);
            }
            Sender::Server => {
                self.reply = None;
                self.held = None;
                self.subscriptions = None;
                self.confirmed = (0, 0);
            }
        }
        self.database = None;
    }

    /// Something came from the server while `open` was the oldest command without an answer.
    pub(super) fn answered(&mut self, open: Option<Open>, reply: &mut Reply) -> After {
        reply.part = self.part(open, reply);
        if reply.part == Part::Unasked {
            return After::Redis;
        }
        let act = open.map(|open| open.act);
        match (reply.word, act) {
            (Word::Sync, None | Some(Act::Psync)) => return After::Replication,
            (Word::Ok, Some(Act::Select)) => self.database = open.and_then(|open| open.number),
            // It takes effect some time later.
            (Word::Queued, Some(Act::Select)) => self.database = None,
            (Word::Reset, Some(Act::Reset)) => {
                self.listening = false;
                (self.subscriptions, self.database) = (Some((0, 0)), Some(0));
            }
            // It may be the answer to `SELECT`.
            (Word::Ok | Word::Queued, None) => self.database = None,
            _ => {}
        }
        reply.namespace = self.database;
        After::Redis
    }

    fn part(&mut self, open: Option<Open>, reply: &Reply) -> Part {
        if reply.word == Word::Monitor {
            return Part::Unasked;
        }
        let Some(push) = &reply.push else {
            return if reply.kind == Kind::Push { Part::Unasked } else { Part::Answer };
        };
        // An array like this is an ordinary answer where nobody listens and the command may be answered by it.
        let array = reply.kind == Kind::Array;
        let ordinary = array && !self.listening && open.is_some_and(|open| may_answer_with_array(open.act));
        if ordinary {
            return Part::Answer;
        }
        let (Some(prefix), Some(count)) = (push.word.as_bytes().strip_suffix(b"subscribe"), push.count) else {
            self.listening |= array;
            return Part::Unasked;
        };
        let before = self.listening;
        if array {
            // Subscriptions to shards are counted apart.
            self.listening = count > 0 || (before && prefix.starts_with(b"s"));
        }
        let last = self.count(prefix, count);
        match open {
            Some(open) => self.confirmation(open, prefix, last),
            None if before || !array => Part::Unasked,
            None => Part::Answer,
        }
    }

    /// Brings the subscriptions up to date; says whether none of this sort is left. Where the sorts cannot be told apart, it is taken
    /// to be the last one.
    fn count(&mut self, prefix: &[u8], total: u32) -> bool {
        let known = self.subscriptions;
        let (after, left) = match (prefix, known) {
            (b"s" | b"sun", _) => return total == 0,
            (b"" | b"un", Some((_, patterns))) => {
                (total.checked_sub(patterns).map(|n| (n, patterns)), total.saturating_sub(patterns))
            }
            (b"p" | b"pun", Some((channels, _))) => {
                (total.checked_sub(channels).map(|n| (channels, n)), total.saturating_sub(channels))
            }
            (b"", None) if total == 1 => (Some((1, 0)), 1),
            (b"p", None) if total == 1 => (Some((0, 1)), 1),
            (_, None) if total == 0 => (Some((0, 0)), 0),
            _ => (None, 0),
        };
        self.subscriptions = after;
        left == 0
    }

    fn confirmation(&mut self, open: Open, prefix: &[u8], last: bool) -> Part {
        let sort = if prefix.ends_with(b"un") { Act::Unsubscribe } else { Act::Subscribe };
        if open.act != sort {
            // The server took a subscription away.
            return Part::Unasked;
        }
        if self.confirmed.0 != open.serial {
            self.confirmed = (open.serial, 0);
        }
        self.confirmed.1 = self.confirmed.1.saturating_add(1);
        match open.answers {
            Answers::Names(names) if self.confirmed.1 < names => Part::More,
            Answers::All if !last => Part::More,
            _ => Part::Answer,
        }
    }
}

/// Replies longer than this are not kept waiting.
const WORTH_WAITING: usize = 32 << 10;

/// While a client listens over RESP2, only these are allowed, and none is answered by an array that could be taken for a message.
const fn may_answer_with_array(act: Act) -> bool {
    !matches!(act, Act::Subscribe | Act::Unsubscribe | Act::Ping | Act::Reset)
}
