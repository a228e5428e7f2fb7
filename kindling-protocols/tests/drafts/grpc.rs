//! gRPC streaming over HTTP/2 frames, as far as it asks something of the trait: many exchanges at once by id, messages in both directions that
//! neither open nor close, trailers that close, and both ways to withdraw. Header blocks are plain text here; HPACK is a matter of state.

use bytes::Bytes;
use kindling_core::{Details, Text};
use kindling_protocols::{
    Content, Context, Needed, Opener, Pair, Parse, Probe, Protocol, Role, Sender, Span, Spec, Target, Verdict,
};

pub(crate) enum Grpc {}

pub(crate) struct Frame {
    kind: u8,
    ends: bool,
    stream: u32,
    headers: Text,
}

#[derive(Default)]
pub(crate) struct Summary {
    method: Text,
    status: Option<Text>,
    asked: u32,
    answered: u32,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

impl Protocol for Grpc {
    type Config = ();
    type State = ();
    type Shared = ();
    type Message = Frame;
    type Key = u32;
    type Open = ();
    type Summary = Summary;
    const SPEC: &'static Spec = &Spec::new("grpc").max_head(1 << 14);

    fn detect(probe: &Probe<'_>) -> Verdict {
        match probe.head {
            head if head.starts_with(PREFACE) => Verdict::Match(Sender::Client),
            head if PREFACE.starts_with(head) => Verdict::Maybe,
            // A server's first frame, or anything: the client's preface will tell.
            [0, 0, _, 0..=9, ..] | [0] | [0, 0] | [0, 0, _] => Verdict::Maybe,
            _ => Verdict::No,
        }
    }

    fn parse(_: &mut Context<'_, Self>, input: &Bytes) -> Parse<Frame> {
        if input.starts_with(PREFACE) {
            return Parse::Progress(Span::of(PREFACE.len()));
        }
        if PREFACE.starts_with(input) {
            return Parse::Incomplete(Needed::until(PREFACE.len(), input.len()));
        }
        let [a, b, c, kind, flags, s0, s1, s2, s3, rest @ ..] = &input[..] else {
            return Parse::Incomplete(Needed::until(9, input.len()));
        };
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (stream, ends) = (u32::from_be_bytes([*s0, *s1, *s2, *s3]), flags & 1 != 0);
        let frame = |headers| Frame { kind: *kind, ends, stream, headers };
        if *kind == DATA {
            return Parse::Message(frame(Text::new()), Span::of(9).skipping(len as u64));
        }
        match rest.get(..len) {
            Some(block) => Parse::message(frame(block.into()), 9 + len),
            None => Parse::Incomplete(Needed::until(9 + len, input.len())),
        }
    }

    fn role(cx: &Context<'_, Self>, frame: &Frame) -> Role<u32, ()> {
        let pair = Pair::Id(frame.stream);
        let opener = if cx.sender == Sender::Client { Opener::Sender } else { Opener::Peer };
        match (frame.kind, cx.sender) {
            (HEADERS, Sender::Client) => Role::opens(pair, ()),
            (HEADERS | DATA, Sender::Server) if frame.ends => Role::closes(pair),
            (HEADERS | DATA, _) => Role::Continues(Target { pair, opener }),
            (RST_STREAM, _) => Role::Cancels(Target { pair, opener }),
            (GOAWAY, Sender::Server) => Role::CancelsAll(Opener::Peer),
            _ => Role::Ignored,
        }
    }

    fn fold(summary: &mut Summary, sender: Sender, frame: &Frame) {
        match (frame.kind, sender) {
            (HEADERS, Sender::Client) => summary.method = frame.headers.clone(),
            (HEADERS, Sender::Server) if frame.ends => summary.status = Some(frame.headers.clone()),
            (DATA, Sender::Client) => summary.asked += 1,
            (DATA, Sender::Server) => summary.answered += 1,
            _ => {}
        }
    }

    fn details(summary: &Summary, _: Content) -> Details {
        Details {
            operation: summary.method.clone(),
            resource: format!("{} out, {} in", summary.asked, summary.answered).as_str().into(),
            status: summary.status.clone(),
            error: None,
        }
    }
}
