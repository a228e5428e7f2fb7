//! What a server sends: values of any depth, taken element by element.

use kindling_core::Text;
use smallvec::SmallVec;

use super::{
    kind::Kind,
    request::Step,
    wire::{self, Group, Head, MALFORMED, Scalar, Stop},
};
use crate::parse::{Needed, Reject, Span};

/// A reply, or something the server says unasked.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub(super) kind: Kind,
    elements: Option<u32>,
    /// What an error says.
    pub(super) error: Box<[u8]>,
    pub(super) word: Word,
    pub(super) push: Option<Box<Push>>,
    pub(super) part: Part,
    pub(super) namespace: Option<u32>,
}

/// What the words of a simple string mean to the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Word {
    #[default]
    Other,
    Ok,
    Queued,
    Reset,
    /// What follows is a replication stream.
    Sync,
    /// A line of `MONITOR`.
    Monitor,
}

/// The part a reply plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    #[default]
    Answer,
    /// One of several answers, not the last.
    More,
    /// Nobody asked.
    Unasked,
}

/// What a message to a subscriber starts with.
#[derive(Clone, Debug, Default)]
pub(super) struct Push {
    /// `message`, `subscribe`, `invalidate`, ...
    pub(super) word: Text,
    /// Only messages about subscriptions have one.
    pub(super) channel: Text,
    named: bool,
    /// How many subscriptions are left.
    pub(super) count: Option<u32>,
}

impl Reply {
    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How many elements it says it has, pairs for a map; `None` for values without elements and for those of unknown length.
    #[must_use]
    pub const fn elements(&self) -> Option<u32> {
        self.elements
    }

    /// The head of a replication stream.
    pub(super) fn snapshot() -> Self {
        Self { kind: Kind::BulkString, ..Self::default() }
    }

    fn whole(&mut self, kind: Kind, text: &[u8]) {
        self.kind = kind;
        match kind {
            Kind::Error | Kind::BulkError => self.error = text.get(..ERROR).unwrap_or(text).into(),
            Kind::SimpleString => self.word = word(text),
            _ => {}
        }
    }

    /// Whether it is an error.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self.kind, Kind::Error | Kind::BulkError)
    }
}

impl Push {
    /// Whether it answers a command to subscribe or to unsubscribe, or could.
    pub(super) fn confirms(&self) -> bool {
        self.count.is_some() && self.word.as_bytes().ends_with(b"subscribe")
    }
}

/// A reply of which not all elements have passed.
#[derive(Debug)]
pub(super) struct Building {
    reply: Reply,
    /// How many values are still to come on each level, or one of the marks below.
    levels: SmallVec<[u64; 6]>,
    /// How many elements of the reply itself have come.
    index: u64,
}

/// The level is open until its end mark.
const UNBOUNDED: u64 = u64::MAX;
/// The level holds the chunks of one string.
const CHUNKS: u64 = u64::MAX - 1;

/// The reply, or the part of one, at the start of `input`.
pub(super) fn step(paused: &mut Option<Box<Building>>, input: &[u8], seen: usize) -> Step<Reply> {
    let Some(mut building) = paused.take() else {
        if let Some(step) = plain(input, seen) {
            return step;
        }
        let mut building = Building::new();
        let step = building.elements(input, seen);
        if matches!(step, Step::Progress(_)) {
            *paused = Some(Box::new(building));
        }
        return step;
    };
    let step = building.elements(input, seen);
    if matches!(step, Step::Progress(_) | Step::Stop(Stop::Incomplete(_))) {
        *paused = Some(building);
    }
    step
}

/// What most replies are: one value without elements.
fn plain(input: &[u8], seen: usize) -> Option<Step<Reply>> {
    let mut reply = Reply::default();
    let span = match wire::head(input, seen) {
        Ok((Head::Line(scalar, line), used)) => {
            reply.whole(Kind::of(scalar), line);
            Span::of(used)
        }
        Ok((Head::Nil, used)) => Span::of(used),
        Ok((Head::Bulk(Scalar::Bulk, length), used)) => {
            reply.kind = Kind::BulkString;
            match usize::try_from(length).ok().and_then(|n| input.get(used..)?.get(n..n.checked_add(2)?)) {
                Some(b"\r\n") => Span::of(used + length as usize + 2),
                Some(_) => return Some(Step::Stop(MALFORMED)),
                None => Span::of(used).skipping(length + 2),
            }
        }
        Ok(_) => return None,
        Err(stop) => return Some(Step::Stop(stop)),
    };
    Some(Step::Done(reply, span))
}

impl Building {
    fn new() -> Self {
        Self { reply: Reply::default(), levels: smallvec::smallvec![1], index: 0 }
    }

    fn elements(&mut self, input: &[u8], mut seen: usize) -> Step<Reply> {
        let mut at = 0;
        while !self.levels.is_empty() {
            let rest = input.get(at..).unwrap_or_default();
            let (used, body) = match self.element(rest, seen) {
                Ok(element) => element,
                // What is wrong is refused when it is all there is, so that how the stream is cut makes no difference.
                Err(_) if at > 0 => return Step::Progress(Span::of(at)),
                Err(stop) => return Step::Stop(stop),
            };
            seen = 0;
            self.settle();
            at += used;
            // A string and its line end.
            let Some(length) = body else { continue };
            let after = usize::try_from(length).ok().and_then(|n| rest.get(used..)?.get(n..n.checked_add(2)?));
            match after {
                Some(b"\r\n") => at += length as usize + 2,
                Some(_) => return Step::Stop(MALFORMED),
                None => return self.pause(Span::of(at).skipping(length + 2)),
            }
        }
        self.pause(Span::of(at))
    }

    fn pause(&mut self, span: Span) -> Step<Reply> {
        if self.levels.is_empty() { Step::Done(std::mem::take(&mut self.reply), span) } else { Step::Progress(span) }
    }

    /// Leave the levels that are complete.
    fn settle(&mut self) {
        while self.levels.last() == Some(&0) {
            self.levels.pop();
        }
    }

    /// Takes the head of one value; returns how long that is, and the length of the string that follows it.
    fn element(&mut self, rest: &[u8], seen: usize) -> Result<(usize, Option<u64>), Stop> {
        let (head, used) = wire::head(rest, seen)?;
        let level = self.levels.last().copied().unwrap_or_default();
        if (level == CHUNKS) != matches!(head, Head::Chunk(_)) {
            return Err(MALFORMED);
        }
        let nests = matches!(head, Head::Many(..) | Head::Unbounded(_) | Head::Chunked);
        if nests && self.levels.len() > MAX_DEPTH {
            return Err(Stop::Reject(Reject::Depth));
        }
        let mut body = None;
        match head {
            Head::Line(scalar, line) => {
                self.value(Kind::of(scalar), None, line);
            }
            Head::Nil => self.value(Kind::Nil, None, b""),
            Head::Bulk(scalar, length) => {
                let need = usize::try_from(length).unwrap_or(usize::MAX).min(self.preview(scalar));
                let have = rest.get(used..).unwrap_or_default();
                let text = have.get(..need).ok_or_else(|| Stop::Incomplete(Needed::until(need, have.len())))?;
                self.value(Kind::of(scalar), None, text);
                body = Some(length);
            }
            Head::Many(Group::Attribute, parts) => self.levels.push(parts),
            Head::Many(group, parts) => {
                self.value(Kind::of_group(group), Some(if group == Group::Map { parts / 2 } else { parts }), b"");
                self.levels.push(parts);
            }
            Head::Unbounded(Group::Attribute) => self.levels.push(UNBOUNDED),
            Head::Unbounded(group) => {
                self.value(Kind::of_group(group), None, b"");
                self.levels.push(UNBOUNDED);
            }
            Head::Chunked => {
                self.value(Kind::BulkString, None, b"");
                self.levels.push(CHUNKS);
            }
            Head::End if level == UNBOUNDED => {
                self.levels.pop();
            }
            Head::End => return Err(MALFORMED),
            Head::Chunk(0) => {
                self.levels.pop();
            }
            Head::Chunk(length) => body = Some(length),
        }
        Ok((used, body))
    }

    /// How many bytes of the string that comes now have to be seen.
    fn preview(&self, scalar: Scalar) -> usize {
        match (self.levels.len(), self.index) {
            (1, _) if scalar == Scalar::BulkError => ERROR,
            (2, 1) if self.may_push() => WORD,
            (2, 2) if self.reply.push.as_ref().is_some_and(|push| push.named) => CHANNEL,
            _ => 0,
        }
    }

    /// Whether its first element may be the kind of a message to a subscriber.
    fn may_push(&self) -> bool {
        match self.reply.kind {
            Kind::Push => true,
            Kind::Array => matches!(self.reply.elements, Some(3 | 4)),
            _ => false,
        }
    }

    /// Counts a value on its level and keeps what is worth it.
    fn value(&mut self, kind: Kind, elements: Option<u64>, text: &[u8]) {
        let depth = self.levels.len();
        if let Some(left) = self.levels.last_mut().filter(|left| **left < CHUNKS) {
            *left -= 1;
        }
        match (depth, self.index) {
            // An attribute before the reply has levels of its own, which the reply has not.
            (1, _) => {
                self.reply.elements = elements.and_then(|n| u32::try_from(n).ok());
                self.index = 1;
                self.reply.whole(kind, text);
                return;
            }
            (2, 1) if self.may_push() => self.word(text),
            (2, 2) => {
                if let Some(push) = self.reply.push.as_mut().filter(|push| push.named) {
                    push.channel = text.into();
                }
            }
            (2, 3) => {
                if let Some(push) = &mut self.reply.push {
                    push.count = wire::decimal(text);
                }
            }
            _ => {}
        }
        if depth == 2 {
            self.index = self.index.saturating_add(1);
        }
    }

    fn word(&mut self, text: &[u8]) {
        let known = WORDS.iter().any(|word| word.as_bytes() == text);
        let named = text.len() < WORD && !text.is_empty() && text.iter().all(|b| b.is_ascii_alphabetic() || *b == b'-');
        if known || (self.reply.kind == Kind::Push && named) {
            self.reply.push = Some(Box::new(Push { word: text.into(), named: known, ..Push::default() }));
        }
    }
}

fn word(text: &[u8]) -> Word {
    match text {
        b"OK" => Word::Ok,
        b"QUEUED" => Word::Queued,
        b"RESET" => Word::Reset,
        b"CONTINUE" => Word::Sync,
        _ if text.starts_with(b"FULLRESYNC ") || text.starts_with(b"CONTINUE ") => Word::Sync,
        _ if is_monitor(text) => Word::Monitor,
        _ => Word::Other,
    }
}

/// `1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`
fn is_monitor(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = line.get(digits..).unwrap_or_default();
    (1..=11).contains(&digits)
        && rest.first() == Some(&b'.')
        && rest.get(1..7).is_some_and(|micros| micros.iter().all(u8::is_ascii_digit))
        && rest.get(7..9) == Some(b" [")
}

/// What the first element of messages to subscribers says, apart from those that only RESP3 has.
const WORDS: &[&str] = &[
    "message",
    "pmessage",
    "smessage",
    "subscribe",
    "unsubscribe",
    "psubscribe",
    "punsubscribe",
    "ssubscribe",
    "sunsubscribe",
];

/// Deepest nesting followed.
const MAX_DEPTH: usize = 128;
/// Most bytes kept of an error, of a channel's name, and of a message's kind.
const ERROR: usize = 256;
const CHANNEL: usize = 128;
const WORD: usize = 25;
