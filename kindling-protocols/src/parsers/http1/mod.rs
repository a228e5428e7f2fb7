//! HTTP/1.0 and HTTP/1.1: [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110), [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112).
//!
//! Heads are read in one pass and bodies passed over, whether they end by length, by chunk or with the connection. Answers pair with
//! requests by order. A connection that changes hands (`101`, `CONNECT`) is handed over with a [note](self#notes).
//!
//! | of the exchange | is |
//! | --- | --- |
//! | operation | the method |
//! | resource | the template of the path, with [`Content::Raw`] the target; of `CONNECT` where it leads |
//! | status | the final status code |
//! | error | the status code, if it is 400 or more (or less than 100: RFC 9110 section 15) |
//!
//! Attributes have OpenTelemetry's names; header fields without one, those of trace contexts among them, are
//! `http.request.header.<name>` and `http.response.header.<name>`. Of a target 1024 bytes are kept, of another value 512.
//! User and password in a target, parameters named like credentials, and what looks like a JSON Web Token read `REDACTED`, percent-encoded
//! or not, in targets inside parameters too. A credential under a name of its own, or as a plain segment of the path, cannot be told.
//!
//! # Notes
//!
//! What the next protocol's [`adopt`](Protocol::adopt) gets: a line `name: value\n` each for `:method`, `:path`, `host` and those of
//! `http2-settings`, `sec-websocket-protocol` and `sec-websocket-extensions` that were there; the last two as the server chose.
//!
//! # Limits
//!
//! * A head that was not seen to its end says what its whole lines say. Where it ended cannot be told, nor how long the body was: with the call
//!   or packet that carried it, as far as its exchange goes.
//! * Of a chunked body every chunk's header must be captured, but for the last one, if the call that sent it ends with it.
//! * Whether an answer has a body depends on its request. Where that was not seen, the answer is taken for that of a `GET`; one that has no
//!   length and does not close the connection either, for that of a `HEAD`.
//! * A client that announced a body with `Expect: 100-continue` and was refused must still send it or close (RFC 9110 section 10.1.1).
//!   One that does neither is out of step until the announced length has passed.
//! * After a loss only registered methods are looked for.
//! * Body sizes are those that were announced; of bodies that end with the connection there is none.
//! * Bodies are not looked at, so neither are their codings.

#![warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

mod chunked;
mod detect;
mod message;
mod name;
mod secret;
mod summary;
mod target;
mod wire;

use bytes::Bytes;
use kindling_core::{Details, Visit};

use self::{
    chunked::{Chunked, Step},
    detect::Plausible,
    wire::{Coding, Fault, Fields, Length, StatusLine},
};
pub use self::{
    message::{Body, End, Message, Request, Response},
    name::Name,
    summary::Summary,
};
use crate::{Content, Context, Needed, Next, Pair, Parse, Probe, Protocol, Reject, Role, Sender, Span, Spec, Verdict};

/// HTTP/1.0 and HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct Http1;

/// Limits on what is read. Messages past them are rejected.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Bytes of a start line and its header section, or of one line of a trailer. More than 65 535 make no difference.
    pub max_head: usize,
    /// Lines of a header or trailer section.
    pub max_headers: usize,
    /// Bytes of the line before a chunk.
    pub max_chunk_header: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_head: wire::MAX_HEAD, max_headers: 256, max_chunk_header: 4 << 10 }
    }
}

/// The chunked bodies that are under way.
#[derive(Debug, Default)]
pub struct State {
    client: Option<Chunked>,
    server: Option<Chunked>,
}

impl State {
    const fn body(&mut self, sender: Sender) -> &mut Option<Chunked> {
        match sender {
            Sender::Client => &mut self.client,
            Sender::Server => &mut self.server,
        }
    }
}

/// What a request leaves for its answer.
#[derive(Clone, Debug)]
pub struct Open {
    kind: Kind,
    /// For the protocol that may come next; only of requests that offer one.
    note: Option<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Head,
    Connect,
    Other,
}

impl Open {
    fn new(request: &Request) -> Self {
        let kind = match request.method() {
            b"HEAD" => Kind::Head,
            b"CONNECT" => Kind::Connect,
            _ => Kind::Other,
        };
        Self { kind, note: request.offers_upgrade().then(|| note(request).into_boxed_slice()) }
    }

    /// Whether what the client sends next depends on the answer.
    fn may_switch(&self) -> bool {
        self.kind == Kind::Connect || self.note.is_some()
    }
}

type Cx<'a> = Context<'a, Http1>;

impl Protocol for Http1 {
    type Config = Config;
    type State = State;
    type Shared = ();
    type Message = Message;
    type Key = ();
    type Open = Open;
    type Summary = Summary;

    const SPEC: &'static Spec =
        &Spec::new("http1").ports(&[80, 8080, 8000, 3000, 5000, 9090]).alternations(1, 1).heads_only();

    fn detect(probe: &Probe<'_>) -> Verdict {
        detect::detect(probe)
    }

    fn parse(cx: &mut Cx<'_>, input: &Bytes) -> Parse<Message> {
        if let Some(body) = cx.state.body(cx.sender) {
            return match body.step(input, cx.seen, cx.config) {
                Step::Passed { consumed, skip } => Parse::Progress(Span::of(consumed).skipping(skip)),
                Step::End(consumed) => {
                    let end = body.end();
                    *cx.state.body(cx.sender) = None;
                    Parse::message(Message::End(end), consumed)
                }
                Step::Incomplete => Parse::Incomplete(Needed::Unknown),
                Step::Reject(reject) => Parse::Reject(reject),
            };
        }
        let unanswered = match cx.sender {
            // Nothing can be told of an answer to a request that is still under way.
            Sender::Server => cx.awaiting(&Pair::Order).is_none() && !cx.overdue,
            // Until the answer says whether the connection changes hands, only another request can be told for what it is.
            Sender::Client => {
                let asked = cx.asked(&Pair::Order).is_some_and(Open::may_switch);
                asked && !(cx.overdue && detect::request(input) == Plausible::Yes)
            }
        };
        if unanswered {
            return Parse::Incomplete(Needed::Partner);
        }
        match wire::leading_newlines(input) {
            0 => {}
            n => return Parse::message(Message::Blank, n),
        }
        let parsed = match cx.sender {
            Sender::Client => request(cx, input),
            Sender::Server => response(cx, input),
        };
        parsed.unwrap_or_else(|fault| match fault {
            Fault::Incomplete => Parse::Incomplete(Needed::Unknown),
            Fault::Reject(reject) => Parse::Reject(reject),
        })
    }

    fn role(cx: &Cx<'_>, message: &Message) -> Role<(), Open> {
        match message {
            Message::Request(request) => Role::opens(Pair::Order, Open::new(request)),
            Message::Response(response) if response.is_interim() => Role::interim(Pair::Order),
            Message::Response(response) if response.body() == Body::Chunked => Role::continues_answer(Pair::Order),
            Message::Response(_) => Role::closes(Pair::Order),
            Message::End(end) if end.status.is_some() => Role::closes(Pair::Order),
            Message::End(_) if cx.asked(&Pair::Order).is_some() => Role::continues_request(Pair::Order),
            // The body of a request that was answered before it ended, and what belongs to no message.
            Message::End(_) | Message::Blank => Role::Ignored,
        }
    }

    fn fold(summary: &mut Summary, _sender: Sender, message: &Message) {
        summary.fold(message);
    }

    fn details(summary: &Summary, content: Content) -> Details {
        summary.details(content)
    }

    fn attributes(summary: &Summary, content: Content, visit: &mut dyn Visit) {
        summary.attributes(content, visit);
    }

    fn salvage(cx: &mut Cx<'_>, input: &Bytes, hidden: u64) -> Option<Message> {
        if let Some(body) = cx.state.body(cx.sender) {
            let end = body.end_if_hidden(input, hidden)?;
            *cx.state.body(cx.sender) = None;
            return Some(Message::End(end));
        }
        let (text, next) = wire::line(input, 0)?;
        let (fields, _) = wire::fields(input, next, cx.config).ok()?;
        let head = input.clone();
        Some(match cx.sender {
            Sender::Client => Message::Request(Request::new(head, wire::request_line(text)?, fields, Body::Unknown)),
            Sender::Server => Message::Response(Response::new(head, wire::status_line(text)?, fields, Body::Unknown)),
        })
    }

    fn lose(state: &mut State, sender: Sender) {
        *state.body(sender) = None;
    }

    fn resync(cx: &mut Cx<'_>, input: &[u8]) -> Option<usize> {
        match cx.sender {
            Sender::Client => detect::next_request(input),
            Sender::Server => detect::next_response(input),
        }
    }
}

fn request(cx: &mut Cx<'_>, input: &Bytes) -> Result<Parse<Message>, Fault> {
    let (line, fields, end) = head(cx, input, detect::request, wire::request_line)?;
    let (body, span) = if line.method.of(input) == b"CONNECT" {
        // What follows belongs to the tunnel, whatever the fields say (RFC 9110 section 9.3.6).
        (Body::Empty, Span::of(end))
    } else {
        match (fields.coding, fields.length) {
            (Coding::Chunked, _) => (Body::Chunked, Span::of(end)),
            // Its end cannot be told (RFC 9112 section 6.3 rule 4).
            (Coding::Other, _) => return Err(Reject::Malformed.into()),
            (Coding::Identity, Length::Exact(n)) => (Body::Length(n), Span::of(end).skipping(n)),
            (Coding::Identity, Length::Absent) => (Body::Empty, Span::of(end)),
            (Coding::Identity, Length::Bad) => return Err(Reject::Length.into()),
        }
    };
    if body == Body::Chunked {
        cx.state.client = Some(Chunked::new(0));
    }
    Ok(Parse::Message(Message::Request(Request::new(input.slice(..end), line, fields, body)), span))
}

fn response(cx: &mut Cx<'_>, input: &Bytes) -> Result<Parse<Message>, Fault> {
    let (line, fields, end) = head(cx, input, detect::response, wire::status_line)?;
    let open = cx.awaiting(&Pair::Order);
    let body = answer_body(open.map(|open| open.kind), line, &fields)?;
    let span = match body {
        Body::Empty | Body::Chunked => Span::of(end),
        Body::Length(n) => Span::of(end).skipping(n),
        Body::ToEnd | Body::Unknown => Span::of(end).skipping(Span::TO_END),
    };
    let tunnel = open.is_some_and(|open| open.kind == Kind::Connect) && matches!(line.status, 200..=299);
    let note = open.and_then(|open| open.note.as_deref()).unwrap_or_default().to_vec();
    let response = Response::new(input.slice(..end), line, fields, body);
    if line.status == 101 {
        let next = upgraded(&response, note);
        return Ok(Parse::Switch(Some(Message::Response(response)), span, next));
    }
    if tunnel {
        return Ok(Parse::Switch(Some(Message::Response(response)), span, Next::Detect));
    }
    if body == Body::Chunked {
        cx.state.server = Some(Chunked::new(line.status));
    }
    Ok(Parse::Message(Message::Response(response), span))
}

/// RFC 9112 section 6.3. `kind`: of the request, if it was seen.
fn answer_body(kind: Option<Kind>, line: StatusLine, fields: &Fields) -> Result<Body, Fault> {
    let tunnel = kind == Some(Kind::Connect) && matches!(line.status, 200..=299);
    if tunnel || kind == Some(Kind::Head) || matches!(line.status, 100..=199 | 204 | 304) {
        return Ok(Body::Empty);
    }
    match (fields.coding, fields.length) {
        (Coding::Chunked, _) if line.minor > 0 => Ok(Body::Chunked),
        // Section 6.1: HTTP/1.0 knows no codings; with one the framing is faulty and the connection must close.
        (Coding::Chunked | Coding::Other, _) => Ok(Body::ToEnd),
        (Coding::Identity, Length::Exact(n)) => Ok(Body::Length(n)),
        (Coding::Identity, Length::Bad) => Err(Reject::Length.into()),
        (Coding::Identity, Length::Absent) if kind.is_none() && line.minor > 0 && !fields.close => Ok(Body::Empty),
        (Coding::Identity, Length::Absent) => Ok(Body::ToEnd),
    }
}

/// Start line and header section at the start of `input`, and where they end.
fn head<L>(
    cx: &Cx<'_>,
    input: &[u8],
    plausible: fn(&[u8]) -> Plausible,
    start_line: fn(&[u8]) -> Option<L>,
) -> Result<(L, Fields, usize), Fault> {
    let found = match wire::line(input, 0) {
        // What is no head should not be buffered until the limit: a part of the first line may tell.
        None if plausible(input) == Plausible::No => return Err(Reject::Malformed.into()),
        None => Err(Fault::Incomplete),
        Some((text, next)) => {
            // Looked at as soon as it is whole, and again when the head is.
            if cx.seen > 0 && !wire::ends(input, cx.seen) {
                let bad = cx.seen < next && start_line(text).is_none();
                Err(if bad { Reject::Malformed.into() } else { Fault::Incomplete })
            } else {
                let line = start_line(text).ok_or(Reject::Malformed)?;
                match wire::fields(input, next, cx.config)? {
                    (fields, Some(end)) => Ok((line, fields, end)),
                    (_, None) => Err(Fault::Incomplete),
                }
            }
        }
    };
    let most = cx.config.max_head.min(wire::MAX_HEAD);
    match found {
        Err(Fault::Incomplete) if input.len() > most => Err(Reject::Length.into()),
        Ok((_, _, end)) if end > most => Err(Reject::Length.into()),
        found => found,
    }
}

/// What the offer of a request and the server's choice make of the connection.
fn upgraded(response: &Response, mut note: Vec<u8>) -> Next {
    let protocol = response.field(Name::Upgrade).unwrap_or_default();
    if protocol.eq_ignore_ascii_case(b"websocket") {
        for name in [Name::WebSocketProtocol, Name::WebSocketExtensions] {
            add(&mut note, name, response.field(name));
        }
        Next::Protocol("websocket", note)
    } else if protocol.eq_ignore_ascii_case(b"h2c") {
        Next::Protocol("http2", note)
    } else {
        Next::Opaque
    }
}

fn note(request: &Request) -> Vec<u8> {
    let mut note = Vec::new();
    add(&mut note, Name::Method, Some(request.method()));
    add(&mut note, Name::Target, Some(request.target()));
    for name in [Name::Host, Name::Http2Settings] {
        add(&mut note, name, request.field(name));
    }
    note
}

fn add(note: &mut Vec<u8>, name: Name, value: Option<&[u8]>) {
    if let Some(value) = value {
        note.extend_from_slice(name.lower().as_bytes());
        note.extend_from_slice(b": ");
        // A folded value must not look like another line.
        note.extend(value.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }));
        note.push(b'\n');
    }
}
