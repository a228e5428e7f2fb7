//! DNS over UDP and TCP, multicast DNS and LLMNR.
//!
//! RFC 1035 and 2181 (messages), 6891 (EDNS), 1995 and 5936 (zone transfers), 1996 (NOTIFY), 2136 (UPDATE), 6762 (multicast), 4795 (LLMNR),
//! 4343 (names in any case).
//!
//! An answer belongs to the question with its id and the same first question, whatever the case of the name; one without a question to
//! the only question with its id that waits. A query sent again is the same exchange and keeps its first time. The operation is the type of the first question (`AAAA`), or
//! what is done if that is not a query (`NOTIFY`); the resource is the name, in lower case, without the last dot, `.` for the root; the status is
//! the response code, `NXDOMAIN`. That a name does not exist is an answer and, unless [`Config::nxdomain_is_error`] says otherwise, no error; every other
//! code but `NOERROR` is one.
//!
//! Attributes: `dns.question.name`, `.type`, `.class` (unless `IN`) and `.count` (unless 1), `dns.id`, `dns.opcode` (unless `QUERY`),
//! `dns.response_code`, `dns.flags`, `dns.answer.count`, `dns.authority.count` and `dns.additional.count` (unless 0), `dns.answer.ttl_min`,
//! `dns.edns.udp_size` and `.dnssec_ok`, `dns.message.count` (of transfers), `dns.malformed`; `dns.answers` lists the data of the answers as text,
//! addresses as they are usually written, and `dns.answer.types` their types.
//!
//! # Limits
//!
//! * Of answers 4096 bytes and 64 records are shown, of one record 256 bytes; all are counted.
//! * A message whose records do not parse, or end elsewhere, is still paired by its header and question, and marked `dns.malformed`.
//! * An answer without a question is paired only if it is among the last 64 questions of its flow.
//! * A datagram question with id 0 and no flags is taken for multicast DNS, which expects any number of answers from anywhere: it is one-way, as are
//!   answers with id 0 that nobody asked for.
//! * Answers to LLMNR come from another address than the question went to, so from another flow: both are reported, the question as unanswered.
//! * A zone transfer that takes longer than the deadline of 10 s is reported unanswered.
//! * An incremental transfer that starts with a message of one record is taken to say that nothing changed.
//! * DNS stateful operations (RFC 8490) are named and not read; DNS over TLS, HTTPS and QUIC is encrypted.

#![warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

mod detect;
mod domain;
mod names;
mod rdata;
mod state;
mod summary;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use kindling_core::{Details, Text, Transport, Visit};

use self::wire::{Header, Question, Sections};
pub use self::{
    state::{Key, State},
    summary::Summary,
};
use crate::{
    parse::{Needed, Parse, Probe, Reject, Span, Verdict},
    protocol::{Content, Context, Protocol, Sender, Spec},
    role::{Pair, Role},
};

/// DNS.
#[derive(Debug)]
pub enum Dns {}

/// Settings.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// Whether `NXDOMAIN` counts as an error.
    pub nxdomain_is_error: bool,
}

impl Config {
    /// Whether `NXDOMAIN` counts as an error.
    #[must_use]
    pub const fn nxdomain_is_error(mut self, is: bool) -> Self {
        self.nxdomain_is_error = is;
        self
    }
}

/// A question or an answer.
#[derive(Clone, Debug)]
pub struct Message {
    /// All of it, without the length that precedes it over TCP.
    wire: Bytes,
    header: Header,
    question: Option<Question>,
    records_at: usize,
    sections: Sections,
    key: Key,
    part: Part,
    error: bool,
}

/// The part a message plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Question,
    Answer,
    /// An answer that others follow.
    Some,
    /// To everybody.
    News,
}

impl Message {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.header.id
    }

    /// Whether it is an answer.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.header.is_response()
    }

    /// The response code, with the part that EDNS adds.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        self.header.rcode() | self.sections.edns.map_or(0, |edns| u16::from(edns.rcode) << 4)
    }

    /// Whether it was cut to fit a datagram.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.header.truncated()
    }

    /// The name of the first question, if there is one.
    #[must_use]
    pub fn name(&self) -> Option<Text> {
        self.question?;
        domain::text(&self.wire, Header::LEN)
    }

    /// The number of the type asked for.
    #[must_use]
    pub fn kind(&self) -> Option<u16> {
        self.question.map(|question| question.kind)
    }

    /// Whether it says that something went wrong.
    fn judge(&mut self, config: &Config) -> bool {
        let rcode = self.rcode();
        self.error = rcode != 0 && (rcode != names::NXDOMAIN || config.nxdomain_is_error);
        rcode != 0
    }

    fn read(wire: Bytes) -> Result<Self, Reject> {
        let header = Header::read(&wire).ok_or(Reject::Truncated)?;
        let [questions, ..] = header.counts;
        let question = if questions == 0 { None } else { Some(wire::question(&wire).ok_or(Reject::Malformed)?) };
        let records_at = wire::after_questions(&wire, questions, question);
        let sections = records_at.map_or_else(Sections::default, |at| wire::sections(&wire, header, at));
        let key = Key::new(header.id, question);
        let records_at = records_at.unwrap_or(wire.len());
        Ok(Self { wire, header, question, records_at, sections, key, part: Part::Question, error: false })
    }
}

impl Protocol for Dns {
    type Config = Config;
    type State = State;
    type Shared = ();
    type Message = Message;
    type Key = Key;
    type Open = ();
    type Summary = Summary;

    const SPEC: &'static Spec = &Spec::new("dns")
        .ports(&[53, 5353, 5355])
        .transports(&[Transport::Udp, Transport::Tcp])
        .max_head(2 + (64 << 10))
        .deadline(Duration::from_secs(10));

    fn detect(probe: &Probe<'_>) -> Verdict {
        detect::detect(probe, Self::SPEC.ports)
    }

    fn parse(cx: &mut Context<'_, Self>, input: &Bytes) -> Parse<Message> {
        let (wire, consumed) = if cx.transport == Transport::Udp {
            (input.clone(), input.len())
        } else {
            let Some(length) = wire::u16_at(input, 0).map(usize::from) else {
                return Parse::Incomplete(Needed::until(2, input.len()));
            };
            if length < Header::LEN {
                return Parse::Reject(Reject::Length);
            }
            // What cannot be a header is not waited for: its length would be anything.
            match Header::read(input.get(2..).unwrap_or_default()) {
                Some(header) if !detect::plausible(header, length) => return Parse::Reject(Reject::Malformed),
                Some(_) => {}
                None => return Parse::Incomplete(Needed::until(2 + Header::LEN, input.len())),
            }
            if input.len() < 2 + length {
                return Parse::Incomplete(Needed::until(2 + length, input.len()));
            }
            (input.slice(2..2 + length), 2 + length)
        };
        match Message::read(wire) {
            Ok(mut message) => match place(cx, &mut message) {
                Placed::Ready => Parse::Message(message, Span::of(consumed)),
                Placed::Early => Parse::Incomplete(Needed::Partner),
            },
            Err(reject) => Parse::Reject(reject),
        }
    }

    fn role(_: &Context<'_, Self>, message: &Message) -> Role<Key, ()> {
        let pair = Pair::Id(message.key);
        match message.part {
            Part::Question => Role::Repeats { pair, open: () },
            Part::Answer => Role::closes(pair),
            Part::Some => Role::continues_answer(pair),
            Part::News => Role::OneWay,
        }
    }

    fn fold(summary: &mut Summary, _: Sender, message: &Message) {
        summary.take(message);
    }

    fn details(summary: &Summary, _: Content) -> Details {
        summary.details()
    }

    fn attributes(summary: &Summary, _: Content, visit: &mut dyn Visit) {
        summary.attributes(visit);
    }

    fn key(key: &Key) -> Option<Text> {
        let mut text = Text::new();
        names::decimal(key.id, &mut text);
        Some(text)
    }

    /// Header and question tell all that pairs.
    fn salvage(cx: &mut Context<'_, Self>, input: &Bytes, hidden: u64) -> Option<Message> {
        let there = input.len() as u64 + hidden;
        if hidden > 0 && 2 + u64::from(wire::u16_at(input, 0)?) > there {
            // More of it comes with what follows, which would be taken for the next message.
            return None;
        }
        let mut message = Message::read(input.get(2..).map(|wire| input.slice_ref(wire))?).ok()?;
        message.question?;
        if message.is_response() {
            message.judge(cx.config);
            let more = matches!(message.key.kind, names::AXFR | names::IXFR);
            message.part = if more { Part::Some } else { Part::Answer };
        }
        Some(message)
    }

    /// Ids pair whatever was lost.
    fn lose(_: &mut State, _: Sender) {}

    fn resync(_: &mut Context<'_, Self>, input: &[u8]) -> Option<usize> {
        detect::resync(input)
    }
}

/// Whether a message can take effect.
enum Placed {
    Ready,
    /// It starts a transfer that has not been asked for yet.
    Early,
}

/// Finds the part of a message and what it belongs to.
fn place(cx: &mut Context<'_, Dns>, message: &mut Message) -> Placed {
    let Header { id, flags, counts: [_, answers, ..] } = message.header;
    let datagram = cx.transport == Transport::Udp;
    if !message.is_response() {
        // RFC 6762 section 18: no id, no flags but that more is to come.
        let multicast = datagram && id == 0 && flags & !0x0200 == 0;
        message.part = if multicast { Part::News } else { Part::Question };
        if message.part == Part::Question {
            cx.state.asked(message.key);
        }
        return Placed::Ready;
    }
    let failed = message.judge(cx.config);
    message.part = Part::Answer;
    if message.question.is_none() {
        let waits = |key| cx.awaiting(&Pair::Id(key)).is_some();
        match cx.state.transferred(id).or_else(|| cx.state.only(id, waits)) {
            Some(key) => message.key = key,
            None if id == 0 && datagram && message.header.authoritative() => message.part = Part::News,
            None => {}
        }
    }
    if datagram || !matches!(message.key.kind, names::AXFR | names::IXFR) {
        cx.state.answered(message.key);
        return Placed::Ready;
    }
    if cx.awaiting(&Pair::Id(message.key)).is_none() && !cx.overdue {
        return Placed::Early;
    }
    if cx.state.transfer(message.key, &message.wire, message.records_at, answers, failed) {
        cx.state.answered(message.key);
    } else {
        message.part = Part::Some;
    }
    Placed::Ready
}
