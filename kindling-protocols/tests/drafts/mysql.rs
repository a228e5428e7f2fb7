//! MySQL prepared statements, as far as they ask something of the trait: answers of several packets whose shape the command decides, a statement
//! id that the server chooses and later commands name, a command that is never answered, and a fence in every request.

use std::collections::HashMap;

use bytes::Bytes;
use kindling_core::{Details, Text};
use kindling_protocols::{
    Content, Context, Needed, Pair, Parse, Probe, Protocol, Reject, Role, Sender, Span, Spec, Verdict,
};

pub(crate) enum Mysql {}

#[derive(Default)]
pub(crate) struct State {
    statements: HashMap<u32, Text>,
    /// Packets of the answer in progress that are still to come.
    left: Option<u32>,
}

#[derive(Clone)]
pub(crate) struct Command {
    name: &'static str,
    sql: Text,
}

pub(crate) enum Message {
    Command(Command),
    Answer { error: bool, rows: u32 },
}

#[derive(Default)]
pub(crate) struct Summary {
    command: Option<Command>,
    rows: u32,
    error: bool,
}

impl Protocol for Mysql {
    type Config = ();
    type State = State;
    type Shared = ();
    type Message = Message;
    type Key = ();
    type Open = Command;
    type Summary = Summary;
    const SPEC: &'static Spec = &Spec::new("mysql").ports(&[3306]).max_head(1 << 20);

    fn detect(probe: &Probe<'_>) -> Verdict {
        match probe.head {
            [_, _, _, 0, 0x16 | 0x17 | 0x19, ..] => Verdict::Match(Sender::Client),
            [_, _, _, 1, ..] => Verdict::Match(Sender::Server),
            head if head.len() < 5 => Verdict::Maybe,
            _ => Verdict::No,
        }
    }

    fn parse(cx: &mut Context<'_, Self>, input: &Bytes) -> Parse<Message> {
        let Some((body, size)) = packet(input) else { return Parse::Incomplete(Needed::more(1)) };
        if cx.sender == Sender::Client {
            return match command(cx.state, body) {
                // The answer that names the statement may be on its way.
                Some(command) if command.name != "PREPARE" && command.sql.is_empty() && !cx.overdue => {
                    Parse::Incomplete(Needed::Partner)
                }
                Some(command) => Parse::message(Message::Command(command), size),
                None => Parse::Reject(Reject::Malformed),
            };
        }
        // What an answer looks like depends on what was asked: without the request it cannot be framed.
        let Some(asked) = cx.awaiting(&Pair::Order).cloned() else {
            return if cx.overdue { Parse::Reject(Reject::Malformed) } else { Parse::Incomplete(Needed::Partner) };
        };
        match (cx.state.left, body) {
            (None, [0xff, ..]) => Parse::message(Message::Answer { error: true, rows: 0 }, size),
            (None, [0, a, b, c, d, ..]) if asked.name == "PREPARE" => {
                cx.state.statements.insert(u32::from_le_bytes([*a, *b, *c, *d]), asked.sql);
                Parse::message(Message::Answer { error: false, rows: 0 }, size)
            }
            (None, [rows]) => {
                cx.state.left = Some(u32::from(*rows));
                Parse::Progress(Span::of(size))
            }
            (Some(left), _) if left > 1 => {
                cx.state.left = Some(left - 1);
                Parse::Progress(Span::of(size))
            }
            (Some(_), _) => {
                cx.state.left = None;
                Parse::message(Message::Answer { error: false, rows: 1 }, size)
            }
            _ => Parse::Reject(Reject::Malformed),
        }
    }

    fn role(_: &Context<'_, Self>, message: &Message) -> Role<(), Command> {
        match message {
            Message::Command(command) if command.name == "CLOSE" => Role::OneWay,
            Message::Command(command) => Role::opens(Pair::Order, command.clone()),
            Message::Answer { .. } => Role::closes(Pair::Order),
        }
    }

    /// A client that sends sequence number 0 waits for nothing.
    fn fence(_: &Context<'_, Self>, message: &Message) -> bool {
        matches!(message, Message::Command(_))
    }

    fn fold(summary: &mut Summary, _: Sender, message: &Message) {
        match message {
            Message::Command(command) => summary.command = Some(command.clone()),
            Message::Answer { error, rows } => (summary.error, summary.rows) = (*error, *rows),
        }
    }

    fn details(summary: &Summary, _: Content) -> Details {
        let command = summary.command.as_ref();
        let status = if summary.error {
            "error"
        } else if summary.rows > 0 {
            "rows"
        } else {
            "ok"
        };
        Details {
            operation: command.map_or("", |command| command.name).into(),
            resource: command.map(|command| command.sql.clone()).unwrap_or_default(),
            status: Some(status.into()),
            error: summary.error.then(|| "error".into()),
        }
    }

    fn resync(_: &mut Context<'_, Self>, input: &[u8]) -> Option<usize> {
        matches!(input, [_, _, 0, 0 | 1, ..]).then_some(0)
    }
}

fn packet(input: &[u8]) -> Option<(&[u8], usize)> {
    let [a, b, c, _, rest @ ..] = input else { return None };
    let len = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
    Some((rest.get(..len)?, len + 4))
}

fn command(state: &State, body: &[u8]) -> Option<Command> {
    let named = |name, rest: &[u8]| {
        let id = rest.first_chunk().map(|id| u32::from_le_bytes(*id));
        let sql = id.and_then(|id| state.statements.get(&id).cloned()).unwrap_or_default();
        Some(Command { name, sql })
    };
    match body.split_first()? {
        (0x16, sql) => Some(Command { name: "PREPARE", sql: sql.into() }),
        (0x17, rest) => named("EXECUTE", rest),
        (0x19, rest) => named("CLOSE", rest),
        _ => None,
    }
}
