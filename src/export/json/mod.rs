//! JSON lines: a header, one object an exchange, the ledger.
//!
//! The form is a contract; `docs/json.md` describes it. [`VERSION`] counts its incompatible changes: new keys may
//! appear at the end of an object at any time, keys that are there keep their name, meaning and place.
//!
//! ```
//! use kindling::{Content, Exchange, FlowId, Ledger, export::json};
//!
//! let mut lines = json::Lines::new(Vec::new(), Content::Safe)?;
//! lines.exchange(&Exchange::new(Default::default(), FlowId(0x4c), "redis"))?;
//! lines.ledger(&Ledger::default())?;
//! let text = String::from_utf8(lines.into_inner()).unwrap();
//! assert_eq!(text.lines().next(), Some(r#"{"header":{"version":1,"content":"safe"}}"#));
//! assert!(text.contains(r#""flow":"4c""#));
//! # Ok::<(), std::io::Error>(())
//! ```

mod ledger;
mod write;

use std::io::{self, Write};

use kindling_core::{Attribute, Exchange, Ledger, Outcome, Text, Value};
use kindling_protocols::Content;

use self::write::Object;

/// Version of the form.
pub const VERSION: u32 = 1;

/// Writes JSON lines to `W`, each in one call.
#[derive(Debug)]
pub struct Lines<W> {
    output: W,
    line: Vec<u8>,
}

impl<W: Write> Lines<W> {
    /// Begin with the header, which says that what follows holds `content`: that of the [`Limits`](crate::Limits) in use.
    ///
    /// # Errors
    /// If the output refuses.
    pub fn new(output: W, content: Content) -> io::Result<Self> {
        let mut lines = Self { output, line: Vec::with_capacity(1024) };
        header(content, &mut lines.line);
        lines.end()?;
        Ok(lines)
    }

    /// Write an exchange.
    ///
    /// # Errors
    /// If the output refuses.
    pub fn exchange(&mut self, exchange: &Exchange) -> io::Result<()> {
        self::exchange(exchange, &mut self.line);
        self.end()
    }

    /// Write the account: the last line.
    ///
    /// # Errors
    /// If the output refuses.
    pub fn ledger(&mut self, ledger: &Ledger) -> io::Result<()> {
        self::ledger(ledger, &mut self.line);
        self.end()
    }

    /// Flush the output.
    ///
    /// # Errors
    /// If the output refuses.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// The output.
    pub fn into_inner(self) -> W {
        self.output
    }

    fn end(&mut self) -> io::Result<()> {
        self.line.push(b'\n');
        let written = self.output.write_all(&self.line);
        self.line.clear();
        written
    }
}

/// Append the header's object to `out`, without a line end.
pub fn header(content: Content, out: &mut Vec<u8>) {
    let mut line = Object::begin(out);
    let mut header = line.object("header");
    header.number("version", VERSION);
    header.string(
        "content",
        match content {
            Content::Safe => "safe",
            Content::Raw => "raw",
        },
    );
    header.end();
    line.end();
}

/// Append an exchange's object to `out`, without a line end.
pub fn exchange(exchange: &Exchange, out: &mut Vec<u8>) {
    let e = exchange;
    let wall = |at| e.wall(at);
    let mut object = Object::begin(out);
    object.hex("id", e.id, 16);
    object.hex("flow", e.flow.0, 1);
    object.text("host", some(e.origin.host.as_bytes()));
    object.string("side", e.side.name());
    object.string("protocol", e.protocol);
    object.string("transport", e.transport.name());
    object.endpoint("client", &e.client);
    object.endpoint("server", &e.server);
    object.text("operation", some(e.details.operation.as_bytes()));
    object.text("resource", some(e.details.resource.as_bytes()));
    object.text("status", e.details.status.as_ref().map(Text::as_bytes));
    object.text("error", e.details.error.as_ref().map(Text::as_bytes));
    object.string("outcome", e.outcome.name());
    let mut quality = object.array("quality");
    e.quality.names().for_each(|name| quality.text(name.as_bytes()));
    quality.end();
    object.text("key", e.key.as_ref().map(Text::as_bytes));
    object.number_or_null("request_at", (e.outcome != Outcome::Unmatched).then(|| wall(e.request_at)));
    object.number_or_null("first_byte_at", e.first_byte_at.map(wall));
    object.number_or_null("response_at", e.response_at.map(wall));
    object.number_or_null("latency_ns", e.latency().map(|latency| latency.as_nanos()));
    object.number("request_bytes", e.request_bytes);
    object.number("response_bytes", e.response_bytes);
    object.number_or_null("pid", e.task.map(|task| task.pid));
    object.number_or_null("tid", e.task.map(|task| task.tid));
    object.text("comm", e.task.as_ref().map(|task| task.comm.as_bytes()));
    let mut attributes = object.object("attributes");
    for (place, one) in e.attributes.iter().enumerate() {
        // A key comes once in an object, whatever was repeated on the wire.
        if e.attributes.iter().take(place).all(|earlier| earlier.name != one.name) {
            attribute(one, &mut attributes);
        }
    }
    attributes.end();
    object.end();
}

/// Append the ledger's object to `out`, without a line end.
pub fn ledger(ledger: &Ledger, out: &mut Vec<u8>) {
    ledger::object(ledger, out);
}

fn attribute(attribute: &Attribute, to: &mut Object<'_>) {
    match &attribute.value {
        Value::Text(text) => to.text(attribute.name, Some(text.as_bytes())),
        Value::Int(number) => to.number(attribute.name, *number),
        Value::Bool(truth) => to.bool(attribute.name, *truth),
        Value::List(texts) => {
            let mut list = to.array(attribute.name);
            texts.iter().for_each(|text| list.text(text.as_bytes()));
            list.end();
        }
        // A kind of value that this version of the form does not have yet.
        _ => to.null(attribute.name),
    }
}

/// What is empty is absent.
const fn some(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.is_empty() { None } else { Some(bytes) }
}
