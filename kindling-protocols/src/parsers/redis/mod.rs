//! Redis and what speaks like it (Valkey, KeyDB, Dragonfly, Sentinel): RESP2 and RESP3.
//!
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>, <https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md>
//!
//! Answers pair with commands by order. An exchange's operation is the command in upper case, with its subcommand (`CONFIG GET`); a name that
//! is not known, of a renamed command or of somebody's module, is `_OTHER`, as it may be anything that was typed, and an unknown subcommand is left out. The
//! resource is the shape of the first key or of the channel, with [`Content::Raw`] that itself. The status is `OK` or the first word of
//! the error. Nil is no error; for commands that read one value, the attribute `redis.hit` is then false.
//!
//! Attributes: `db.system.name`, `db.operation.name`, `db.operation.batch.size` (of `EXEC`), `db.namespace` (the database's number),
//! `db.response.status_code` (of errors), `redis.reply.type`, `redis.reply.elements` (pairs, for maps), `redis.hit`.
//!
//! What the server sends unasked (messages to subscribers, invalidations, lines of `MONITOR`) is one-way, named after its first word.
//! A subscription to several channels is one exchange, complete with the last confirmation. Commands that
//! get no answer (`CLIENT REPLY OFF` and `SKIP`) are one-way as well. After the answer to `PSYNC` or `SYNC`, and where a replica
//! acknowledges (`REPLCONF ACK`), the flow is a replication link and is handed over as opaque.
//!
//! Of values nothing is kept but the first key (128 bytes), a channel's name (128 bytes) and an error (256 bytes). Passwords never leave the parser:
//! arguments of `AUTH`, `HELLO`, `CONFIG SET`, `ACL SETUSER`, `MIGRATE .. AUTH` and of unknown commands are not looked at, and errors of
//! commands that may hold some are cut to their first word, as servers quote arguments in them.
//!
//! # Limits
//!
//! * The deadline is that of ordinary commands, 60 s. A blocking command (`BLPOP key 0`) that waits longer is reported unanswered then, and
//!   its late answer as unmatched.
//! * The selected database (`db.namespace`) is known from the first `SELECT` that was seen on; it is left out before, not taken to be 0.
//! * `UNSUBSCRIBE` without arguments is answered once for each subscription. Where it is not known how many are of its sort, since the
//!   connection is older than the observation, the first answer ends the exchange and the others are one-way.
//! * A command of which a part was lost is not reported; its answer belongs to nothing.
//! * `CLIENT REPLY` inside of `MULTI` is taken for an ordinary command.
//! * Nesting deeper than 128, strings over 4 GiB and groups of more than 2^31 elements are rejected.
//! * Of a nested reply longer than the source captures, elements after the cut may come out as unmatched answers until the flow is silent;
//!   none is given to a request.
//! * The cluster bus and replication streams are not read.

#![warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

mod command;
mod detect;
mod kind;
mod reply;
#[cfg(test)]
mod reply_tests;
mod request;
#[cfg(test)]
mod request_tests;
mod state;
mod summary;
mod wire;

use bytes::Bytes;
use kindling_core::{Details, Visit};

use self::{
    command::Act,
    reply::Part,
    request::{Answers, Step},
    state::After,
    wire::Stop,
};
pub use self::{
    kind::Kind,
    reply::Reply,
    request::Command,
    state::{Open, State},
    summary::Summary,
};
use crate::{
    parse::{Needed, Next, Parse, Probe, Span, Verdict},
    protocol::{Content, Context, Protocol, Sender, Spec},
    role::{Pair, Role},
};

/// Redis.
#[derive(Debug)]
pub enum Redis {}

/// A command or a reply.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Message {
    /// What the client sends.
    Command(Command),
    /// What the server sends, asked or not.
    Reply(Reply),
}

impl Protocol for Redis {
    type Config = ();
    type State = State;
    type Shared = ();
    type Message = Message;
    type Key = ();
    type Open = Open;
    type Summary = Summary;

    const SPEC: &'static Spec = &Spec::new("redis").ports(&[6379, 6380, 26379]).max_head(65 << 10).alternations(0, 3);

    fn detect(probe: &Probe<'_>) -> Verdict {
        detect::detect(probe)
    }

    fn parse(cx: &mut Context<'_, Self>, input: &Bytes) -> Parse<Message> {
        match cx.sender {
            Sender::Client => match request::step(&mut cx.state.command, input, cx.seen) {
                Step::Done(mut command, span) => match cx.state.asked(&mut command) {
                    After::Redis => Parse::Message(Message::Command(command), span),
                    After::Replication if cx.asked(&Pair::Order).is_some_and(|open| open.act == Act::Psync) => {
                        Parse::Progress(span)
                    }
                    After::Replication => Parse::Switch(None, span, Next::Opaque),
                },
                step => unfinished(&step),
            },
            Sender::Server => server(cx, input),
        }
    }

    fn role(cx: &Context<'_, Self>, message: &Message) -> Role<(), Open> {
        match message {
            Message::Command(command) if command.answers == Answers::None => Role::OneWay,
            Message::Command(command) => Role::opens(Pair::Order, cx.state.open(command)),
            Message::Reply(reply) => match reply.part {
                Part::Answer => Role::closes(Pair::Order),
                Part::More => Role::continues_answer(Pair::Order),
                Part::Unasked => Role::OneWay,
            },
        }
    }

    fn fold(summary: &mut Summary, _: Sender, message: &Message) {
        match message {
            Message::Command(command) => summary.asked(command),
            Message::Reply(reply) => summary.answered(reply),
        }
    }

    fn details(summary: &Summary, content: Content) -> Details {
        summary.details(content)
    }

    fn attributes(summary: &Summary, _: Content, visit: &mut dyn Visit) {
        summary.attributes(visit);
    }

    fn lose(state: &mut State, sender: Sender) {
        state.lose(sender);
    }

    fn resync(cx: &mut Context<'_, Self>, input: &[u8]) -> Option<usize> {
        detect::resync(cx.sender, input)
    }
}

fn unfinished<T>(step: &Step<T>) -> Parse<Message> {
    match *step {
        Step::Progress(span) => Parse::Progress(span),
        Step::Stop(Stop::Incomplete(needed)) => Parse::Incomplete(needed),
        Step::Stop(Stop::Reject(reject)) => Parse::Reject(reject),
        Step::Done(..) => Parse::Reject(crate::parse::Reject::Malformed),
    }
}

fn server(cx: &mut Context<'_, Redis>, input: &Bytes) -> Parse<Message> {
    let open = cx.awaiting(&Pair::Order).copied();
    let act = open.map(|open| open.act);
    let (mut reply, span) = match cx.state.held(cx.overdue) {
        Some(held) => held,
        None if act == Some(Act::Sync) && input.first() == Some(&b'$') => return snapshot(input),
        None if matches!(act, Some(Act::Sync | Act::Psync)) && input.first() == Some(&b'\n') => {
            return Parse::Progress(Span::of(1));
        }
        // Line feeds come only while a snapshot is being made.
        None if act.is_none() && input.first() == Some(&b'\n') && cx.state.patient() => {
            return Parse::Incomplete(Needed::Partner);
        }
        None => match reply::step(&mut cx.state.reply, input, cx.seen) {
            Step::Done(reply, span) => (reply, span),
            step => return unfinished(&step),
        },
    };
    if open.is_none() {
        match cx.state.hold(reply, span, input) {
            Some(ready) => (reply, _) = ready,
            None => return Parse::Incomplete(Needed::Partner),
        }
    }
    match cx.state.answered(open, &mut reply) {
        After::Redis => Parse::Message(Message::Reply(reply), span),
        After::Replication => Parse::Switch(Some(Message::Reply(reply)), span, Next::Opaque),
    }
}

/// The answer to `SYNC` is a snapshot, `$<length>` or `$EOF:<mark>`.
fn snapshot(input: &[u8]) -> Parse<Message> {
    match wire::line(input, 0) {
        Ok((_, used)) => Parse::Switch(Some(Message::Reply(Reply::snapshot())), Span::of(used), Next::Opaque),
        Err(stop) => unfinished(&Step::<()>::Stop(stop)),
    }
}
