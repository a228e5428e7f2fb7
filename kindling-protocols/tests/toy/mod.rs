//! A protocol small enough to see through: lines `<kind><id> <body length>\n` and a body that is skipped.
//!
//! `Q` asks by order, `A` answers; `K` asks by id, `V` answers; `M` asks for two answers; `O` expects none; `I` is interim; `F` answers and is a fence;
//! `S` switches to something else; `C` withdraws by id.

use std::time::Duration;

use bytes::Bytes;
use kindling_core::{Details, Text};
use kindling_protocols::{
    Content, Context, Needed, Next, Pair, Parse, Probe, Protocol, Reject, Role, Sender, Span, Spec, Target, Verdict,
};

pub(crate) enum Toy {}

#[derive(Debug)]
pub(crate) struct Message {
    kind: u8,
    id: u32,
}

#[derive(Default)]
pub(crate) struct Summary {
    asked: Option<u32>,
    answered: Vec<u32>,
}

impl Protocol for Toy {
    type Config = ();
    type State = ();
    type Shared = ();
    type Message = Message;
    type Key = u32;
    type Open = ();
    type Summary = Summary;
    const SPEC: &'static Spec =
        &Spec::new("toy").ports(&[7777]).max_head(64).deadline(Duration::from_secs(1)).alternations(0, 3);

    fn detect(probe: &Probe<'_>) -> Verdict {
        match probe.head {
            [b'Q' | b'K' | b'M' | b'O' | b'C', b'0'..=b'9', ..] => Verdict::Match(Sender::Client),
            [b'A' | b'V' | b'I' | b'F', b'0'..=b'9', ..] => Verdict::Match(Sender::Server),
            [_] => Verdict::Maybe,
            _ => Verdict::No,
        }
    }

    fn parse(cx: &mut Context<'_, Self>, input: &Bytes) -> Parse<Message> {
        if !b"QKMOCAVIFS".contains(&input[0]) {
            return Parse::Reject(Reject::Malformed);
        }
        let Some(end) = input[cx.seen..].iter().position(|&b| b == b'\n').map(|end| cx.seen + end) else {
            return Parse::Incomplete(Needed::Unknown);
        };
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let line = std::str::from_utf8(&input[1..end]).unwrap_or_default();
        let Some((id, len)) = line.split_once(' ').and_then(|(id, len)| Some((number(id)?, number(len)?))) else {
            return Parse::Reject(Reject::Malformed);
        };
        let message = Message { kind: input[0], id: id as u32 };
        let span = Span::of(end + 1).skipping(len);
        if message.kind == b'S' {
            Parse::Switch(Some(message), span, Next::Opaque)
        } else {
            Parse::Message(message, span)
        }
    }

    fn role(_: &Context<'_, Self>, message: &Message) -> Role<u32, ()> {
        let id = Pair::Id(message.id);
        match message.kind {
            b'Q' => Role::opens(Pair::Order, ()),
            b'M' => Role::Opens { pair: Pair::Order, open: (), replies: 2 },
            b'K' => Role::opens(id, ()),
            b'A' | b'F' | b'S' => Role::closes(Pair::Order),
            b'V' => Role::closes(id),
            b'I' => Role::interim(Pair::Order),
            b'C' => Role::Cancels(Target { pair: id, opener: kindling_protocols::Opener::Sender }),
            _ => Role::OneWay,
        }
    }

    fn fold(summary: &mut Summary, _: Sender, message: &Message) {
        if b"QKMOC".contains(&message.kind) {
            summary.asked.get_or_insert(message.id);
        } else {
            summary.answered.push(message.id);
        }
    }

    fn details(summary: &Summary, _: Content) -> Details {
        let text = |id: u32| Text::from(id.to_string().as_str());
        Details {
            operation: summary.asked.map(text).unwrap_or_default(),
            resource: Text::new(),
            status: summary.answered.last().copied().map(text),
            error: None,
        }
    }

    fn resync(_: &mut Context<'_, Self>, input: &[u8]) -> Option<usize> {
        (0..input.len()).find(|&i| b"QKMOAVIFCS".contains(&input[i]) && (i == 0 || input[i - 1] == b'\n'))
    }

    fn fence(_: &Context<'_, Self>, message: &Message) -> bool {
        message.kind == b'F'
    }
}
