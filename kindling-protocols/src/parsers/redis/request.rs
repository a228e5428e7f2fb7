//! What a client sends: arrays of strings, or lines typed by hand.

use kindling_core::Text;

use super::{
    command::{self, Act, KeyAt, Known},
    wire::{self, Group, Head, MALFORMED, Stop},
};
use crate::parse::{Needed, Span};

/// A command: its name and what tells it apart, none of its values.
#[derive(Clone, Debug, Default)]
pub struct Command {
    pub(super) name: Name,
    key: Text,
    args: u64,
    number: Option<u32>,
    mode: Mode,
    pub(super) answers: Answers,
}

/// The name of an operation. What few have is kept apart, so that commands are small to move.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    pub(super) known: Option<&'static Known>,
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default)]
struct More {
    /// A name that is not in the table, in upper case.
    other: Text,
    sub: Text,
}

impl Name {
    /// One that is not in the table, in upper case.
    pub(super) fn other(name: &[u8]) -> Self {
        Self { known: None, more: Some(Box::new(More { other: upper(name), sub: Text::new() })) }
    }

    pub(super) fn text(&self) -> Text {
        let mut name = self.known.map_or_else(Text::new, |known| Text::from(known.name));
        if let Some(more) = &self.more {
            name.push(more.other.as_bytes());
            if !more.sub.is_empty() {
                name.push(b" ");
                name.push(more.sub.as_bytes());
            }
        }
        name
    }

    pub(super) fn act(&self) -> Act {
        self.known.map_or(Act::Plain, |known| known.act)
    }

    fn sub(&self) -> &[u8] {
        self.more.as_ref().map_or(b"", |more| more.sub.as_bytes())
    }

    /// Arguments may hold credentials, and so may an error that quotes them.
    pub(super) fn quotes_secrets(&self) -> bool {
        self.known.is_none_or(|known| matches!(known.act, Act::Auth | Act::Container) || known.name == "MIGRATE")
    }
}

/// How many answers a command gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Answers {
    /// None ever.
    None,
    #[default]
    One,
    /// One for each name it gives.
    Names(u32),
    /// One for each subscription there is, at least one.
    All,
}

/// The argument of `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Unsaid,
    On,
    Off,
    Skip,
}

impl Command {
    /// The name in upper case, with its subcommand if it has one; `_OTHER` for what is not the name of a known command.
    #[must_use]
    pub fn name(&self) -> Text {
        self.name.text()
    }

    /// The first key, or the channel, cut to 128 bytes; empty if there is none.
    #[must_use]
    pub const fn key(&self) -> &Text {
        &self.key
    }

    /// How many arguments follow the name.
    #[must_use]
    pub const fn args(&self) -> u64 {
        self.args
    }

    pub(super) fn act(&self) -> Act {
        self.name.act()
    }

    pub(super) fn is(&self, sub: &str) -> bool {
        self.name.sub() == sub.as_bytes()
    }

    pub(super) const fn number(&self) -> Option<u32> {
        self.number
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    fn named(&mut self, name: &[u8]) {
        self.name = match command::lookup(name) {
            Some(known) => Name { known: Some(known), more: None },
            // It may be a password typed where a command belongs.
            None => Name::other(b"_OTHER"),
        };
    }

    fn want(&self, index: u64, key_at: u64) -> Want {
        if let Some(Known { key: KeyAt::Arg(1), act: Act::Plain | Act::Read, .. }) = self.name.known {
            return if index == 1 { Want::Key } else { Want::Nothing };
        }
        self.want_of_special(index, key_at)
    }

    fn want_of_special(&self, index: u64, key_at: u64) -> Want {
        let act = self.act();
        let place = self.name.known.map_or(KeyAt::None, |known| known.key);
        match (index, place) {
            (0, _) => Want::Name,
            (1, _) if matches!(act, Act::Container | Act::Client | Act::Replconf) => Want::Sub,
            (2.., _) if act == Act::Replconf => Want::Whole,
            (1, _) if act == Act::Select => Want::Number,
            (2, _) if act == Act::Client && self.is("REPLY") => Want::Mode,
            (at, KeyAt::Arg(n)) if at == u64::from(n) => Want::Key,
            (at, KeyAt::Counted(n)) if at == u64::from(n) => Want::Count,
            (at, KeyAt::Streams(n)) if at >= u64::from(n) && key_at == 0 => Want::Streams,
            (at, _) if at == key_at => Want::Key,
            _ => Want::Nothing,
        }
    }
}

/// What an argument is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Nothing,
    Name,
    Sub,
    Key,
    /// Of a database.
    Number,
    /// Of keys.
    Count,
    /// Whether it is the word `STREAMS`.
    Streams,
    Mode,
    /// Nothing, but the message must not end before it does, as what follows may be something else.
    Whole,
}

impl Want {
    /// How many of an argument's `length` bytes have to be seen.
    fn bytes(self, length: u64) -> usize {
        let most = match self {
            Self::Nothing => 0,
            Self::Key => KEY,
            Self::Name | Self::Sub => command::LONGEST + 1,
            Self::Number | Self::Count | Self::Streams | Self::Mode => 10,
            Self::Whole => return usize::try_from(length).unwrap_or(usize::MAX).min(64) + 2,
        };
        usize::try_from(length).unwrap_or(usize::MAX).min(most)
    }
}

/// A command of which not all arguments have passed.
#[derive(Debug, Default)]
pub(super) struct Building {
    command: Command,
    left: u64,
    index: u64,
    /// The argument found to be the key; 0 while none is.
    key_at: u64,
}

/// What one step over the input comes to.
#[derive(Debug)]
pub(super) enum Step<T> {
    Done(T, Span),
    Progress(Span),
    Stop(Stop),
}

/// The command, or the part of one, at the start of `input`.
pub(super) fn step(paused: &mut Option<Box<Building>>, input: &[u8], seen: usize) -> Step<Command> {
    if let Some(mut building) = paused.take() {
        let step = building.arguments(input, 0);
        if matches!(step, Step::Progress(_) | Step::Stop(Stop::Incomplete(_))) {
            *paused = Some(building);
        }
        return step;
    }
    if input.first() != Some(&b'*') {
        return inline(input, seen).unwrap_or_else(Step::Stop);
    }
    match wire::head(input, 0) {
        // The server passes over empty commands.
        Ok((Head::Many(Group::Array, 0) | Head::Nil, used)) => Step::Progress(Span::of(used)),
        Ok((Head::Many(Group::Array, left), used)) => {
            let command = Command { args: left - 1, ..Command::default() };
            let mut building = Building { command, left, ..Building::default() };
            let step = building.arguments(input, used);
            if matches!(step, Step::Progress(_)) {
                *paused = Some(Box::new(building));
            }
            step
        }
        Ok(_) => Step::Stop(MALFORMED),
        Err(stop) => Step::Stop(stop),
    }
}

impl Building {
    fn arguments(&mut self, input: &[u8], mut at: usize) -> Step<Command> {
        while self.left > 0 {
            let rest = input.get(at..).unwrap_or_default();
            let (length, used) = match self.argument(rest) {
                Ok(argument) => argument,
                // What is wrong is refused when it is all there is, so that how the stream is cut makes no difference.
                Err(_) if at > 0 => return Step::Progress(Span::of(at)),
                Err(stop) => return Step::Stop(stop),
            };
            self.index += 1;
            self.left -= 1;
            let after = usize::try_from(length).ok().and_then(|n| rest.get(used..)?.get(n..n.checked_add(2)?));
            match after {
                Some(b"\r\n") => at += used + length as usize + 2,
                Some(_) => return Step::Stop(MALFORMED),
                None => return self.pause(Span::of(at + used).skipping(length + 2)),
            }
        }
        self.pause(Span::of(at))
    }

    fn pause(&mut self, span: Span) -> Step<Command> {
        if self.left > 0 { Step::Progress(span) } else { Step::Done(std::mem::take(&mut self.command), span) }
    }

    /// Takes what is worth keeping of the argument at the start of `rest`; returns its length, and that of its head.
    fn argument(&mut self, rest: &[u8]) -> Result<(u64, usize), Stop> {
        let (length, used) = wire::string(rest)?;
        let want = self.command.want(self.index, self.key_at);
        if want != Want::Nothing {
            let need = want.bytes(length);
            let have = rest.get(used..).unwrap_or_default();
            let value = have.get(..need).ok_or_else(|| Stop::Incomplete(Needed::until(need, have.len())))?;
            self.take(want, value);
        }
        Ok((length, used))
    }

    fn take(&mut self, want: Want, value: &[u8]) {
        let command = &mut self.command;
        match want {
            Want::Nothing | Want::Whole => {}
            Want::Name => command.named(value),
            Want::Sub => {
                if let Some(sub) = command.name.known.and_then(|known| command::subcommand(known.name, value)) {
                    command.name.more.get_or_insert_default().sub = sub.into();
                }
            }
            Want::Key => command.key = value.into(),
            Want::Number => command.number = wire::decimal(value),
            Want::Count if wire::decimal(value).is_some_and(|n| n > 0) => self.key_at = self.index + 1,
            Want::Count => {}
            Want::Streams if value.eq_ignore_ascii_case(b"STREAMS") => self.key_at = self.index + 1,
            Want::Streams => {}
            Want::Mode if value.eq_ignore_ascii_case(b"ON") => command.mode = Mode::On,
            Want::Mode if value.eq_ignore_ascii_case(b"OFF") => command.mode = Mode::Off,
            Want::Mode if value.eq_ignore_ascii_case(b"SKIP") => command.mode = Mode::Skip,
            Want::Mode => {}
        }
    }
}

/// A command typed as a line, its words parted by blanks.
fn inline(input: &[u8], seen: usize) -> Result<Step<Command>, Stop> {
    let word = input.iter().take_while(|&&b| command::is_word(b)).count();
    match input.get(word) {
        _ if word > command::LONGEST => return Err(MALFORMED),
        Some(b' ' | b'\t' | b'\r' | b'\n') | None => {}
        Some(_) => return Err(MALFORMED),
    }
    let end = match wire::line(input, seen) {
        Ok((_, used)) => used,
        // The server takes a bare line feed as well.
        Err(Stop::Reject(_)) => memchr::memchr(b'\n', input).map_or(input.len(), |at| at + 1),
        Err(stop) => return Err(stop),
    };
    let mut building = Building::default();
    for argument in words(input.get(..end).unwrap_or_default()) {
        let want = building.command.want(building.index, building.key_at);
        let need = want.bytes(argument.len() as u64);
        building.take(want, argument.get(..need).unwrap_or_default());
        building.index += 1;
    }
    building.command.args = building.index.saturating_sub(1);
    // An empty line is passed over.
    let span = Span::of(end);
    Ok(if building.index == 0 { Step::Progress(span) } else { Step::Done(building.command, span) })
}

/// The words of a line; what stands in quotes is one, its escapes as they were typed.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = line.trim_ascii();
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        let (word, after) = match first {
            b'"' | b'\'' => {
                let mut escaped = false;
                let end = tail.iter().position(|&b| {
                    let ends = b == first && !escaped;
                    escaped = b == b'\\' && !escaped;
                    ends
                });
                tail.split_at(end.unwrap_or(tail.len()))
            }
            _ => rest.split_at(rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len())),
        };
        rest =
            after.strip_prefix(&[first]).filter(|_| matches!(first, b'"' | b'\'')).unwrap_or(after).trim_ascii_start();
        Some(word)
    })
}

fn upper(name: &[u8]) -> Text {
    let mut out = Text::new();
    for b in name {
        out.push(&[b.to_ascii_uppercase()]);
    }
    out
}

/// Most bytes kept of a key.
const KEY: usize = 128;
