//! What is kept of an exchange, and how it is shown.

use kindling_core::{Details, Text, Visit};

use crate::{
    Content,
    parsers::http1::{
        message::{Body, Message, Request, Response},
        name::Name,
        target::{Target, host_port, masked_query, strip_userinfo, without_userinfo},
    },
};

/// What is kept of an exchange.
#[derive(Debug, Default)]
pub struct Summary {
    /// Records of what was in the request's head and, from `response_from` on, in the answer's: one buffer, one allocation.
    kept: Vec<u8>,
    response_from: Option<u32>,
    status: Option<u16>,
    request: Half,
    response: Half,
}

/// One side. Sizes that are not known are [`UNKNOWN`](Half::UNKNOWN): there is one of these for every request that waits.
#[derive(Clone, Copy, Debug)]
struct Half {
    body: u64,
    head: u32,
    minor: Option<u8>,
}

impl Default for Half {
    fn default() -> Self {
        Self { body: Self::UNKNOWN, head: u32::MAX, minor: None }
    }
}

impl Half {
    const UNKNOWN: u64 = u64::MAX;

    fn new(minor: u8, head: usize, body: Body) -> Self {
        let head = if body == Body::Unknown { u32::MAX } else { u32::try_from(head).unwrap_or(u32::MAX) };
        let body = match body {
            Body::Empty => 0,
            Body::Length(n) => n,
            Body::Chunked | Body::ToEnd | Body::Unknown => Self::UNKNOWN,
        };
        Self { minor: Some(minor), head, body }
    }
}

impl Summary {
    pub(super) fn fold(&mut self, message: &Message) {
        match message {
            Message::Request(request) => self.request(request),
            Message::Response(response) if !response.is_interim() => self.response(response),
            Message::Response(_) | Message::Blank => {}
            Message::End(end) => {
                let half = if end.status.is_some() { &mut self.response } else { &mut self.request };
                half.body = end.size;
                // Of an answer whose head went unpaired this is all that is known.
                self.status = end.status.or(self.status);
            }
        }
    }

    fn request(&mut self, request: &Request) {
        self.request = Half::new(request.minor(), request.head_size(), request.body());
        let kept = || request.fields().filter(|(name, _)| name.request_attribute().is_some() || *name == Name::Host);
        let target = strip_userinfo(request.target());
        let room = kept().map(|(_, value)| value.len().min(MAX_VALUE) + RECORD).sum::<usize>();
        self.kept
            .reserve_exact(room + request.method().len() + target.len().min(MAX_TARGET) + 2 * RECORD + ROOM_FOR_ANSWER);
        self.put(Name::Method, request.method(), MAX_VALUE);
        self.put(Name::Target, &target, MAX_TARGET);
        for (name, value) in kept() {
            self.put(name, if name == Name::Host { without_userinfo(value) } else { value }, MAX_VALUE);
        }
        if request.is_folded() {
            self.unfold(0);
        }
    }

    fn response(&mut self, response: &Response) {
        self.response = Half::new(response.minor(), response.head_size(), response.body());
        self.status = Some(response.status());
        let from = self.kept.len();
        self.response_from = u32::try_from(from).ok();
        for (name, value) in response.fields().filter(|(name, _)| name.response_attribute().is_some()) {
            self.put(name, value, MAX_VALUE);
        }
        if response.is_folded() {
            self.unfold(from);
        }
    }

    /// A record: name, length, value.
    fn put(&mut self, name: Name, value: &[u8], limit: usize) {
        let value = value.get(..limit).unwrap_or(value);
        let [low, high] = u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes();
        self.kept.extend_from_slice(&[name as u8, low, high]);
        self.kept.extend_from_slice(value);
    }

    /// Obsolete folding reads as blanks (RFC 9112 section 5.2).
    fn unfold(&mut self, from: usize) {
        let mut records = from;
        while let Some([_, low, high]) = self.kept.get(records..).and_then(<[u8]>::first_chunk).copied() {
            let value = records + RECORD;
            records = value + usize::from(u16::from_le_bytes([low, high]));
            let folds = self.kept.get_mut(value..records).unwrap_or_default().iter_mut();
            folds.filter(|b| matches!(b, b'\r' | b'\n')).for_each(|fold| *fold = b' ');
        }
    }

    /// The records of one side.
    fn values(&self, response: bool) -> Records<'_> {
        let from = self.response_from.map_or(self.kept.len(), |from| from as usize);
        let (request, answer) = self.kept.split_at_checked(from).unwrap_or_default();
        Records(if response { answer } else { request })
    }

    fn value(&self, name: Name) -> Option<&[u8]> {
        self.values(false).find(|(found, _)| *found == name as u8).map(|(_, value)| value)
    }

    pub(super) fn details(&self, content: Content) -> Details {
        let operation = self.value(Name::Method).unwrap_or_default();
        let target = self.value(Name::Target).unwrap_or_default();
        let status = self.status.map(status_text);
        Details {
            operation: operation.into(),
            resource: match content {
                Content::Safe => Target::template(target, operation == b"CONNECT"),
                Content::Raw => Target::masked(target),
            },
            error: self.status.filter(|status| !(100..400).contains(status)).and_then(|_| status.clone()),
            status,
        }
    }

    pub(super) fn attributes(&self, content: Content, visit: &mut dyn Visit) {
        self.target_attributes(content, visit);
        for (name, value) in self.values(false).filter_map(Records::known) {
            if let Some(attribute) = name.request_attribute() {
                visit.attribute(attribute, value.into());
            }
        }
        if let Some(status) = self.status {
            visit.attribute("http.response.status_code", u32::from(status).into());
        }
        for (name, value) in self.values(true).filter_map(Records::known) {
            if let Some(attribute) = name.response_attribute() {
                visit.attribute(attribute, value.into());
            }
        }
        let halves = [
            (self.request, "http.request.header.size", "http.request.body.size"),
            (self.response, "http.response.header.size", "http.response.body.size"),
        ];
        for (half, header_size, body_size) in halves {
            if half.head != u32::MAX {
                visit.attribute(header_size, half.head.into());
            }
            if half.body != Half::UNKNOWN {
                visit.attribute(body_size, half.body.into());
            }
        }
        if let Some(minor) = self.response.minor.or(self.request.minor) {
            visit.attribute("network.protocol.version", Text::from(&[b'1', b'.', b'0' + minor][..]).into());
        }
    }

    fn target_attributes(&self, content: Content, visit: &mut dyn Visit) {
        let Some(target) = self.value(Name::Target) else { return };
        let parts = Target::parse(target);
        let connect = self.value(Name::Method) == Some(b"CONNECT");
        if !connect {
            visit.attribute("url.template", Target::template(target, false).into());
        }
        if content == Content::Raw && !connect {
            visit.attribute("url.path", Target::masked(parts.path).into());
            if !parts.query.is_empty() {
                visit.attribute("url.query", masked_query(parts.query).into());
            }
        }
        // RFC 9112 section 3.2.2: a target that names the host overrules the field.
        let authority = if parts.authority.is_empty() { self.value(Name::Host) } else { Some(parts.authority) };
        let (host, port) = host_port(authority.unwrap_or_default());
        if !host.is_empty() {
            visit.attribute("server.address", host.into());
        }
        if let Some(port) = port {
            visit.attribute("server.port", port.into());
        }
    }
}

struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [name, low, high, rest @ ..] = self.0 else { return None };
        let (value, rest) = rest.split_at_checked(u16::from_le_bytes([*low, *high]).into())?;
        self.0 = rest;
        Some((*name, value))
    }
}

impl<'a> Records<'a> {
    fn known((name, value): (u8, &'a [u8])) -> Option<(Name, &'a [u8])> {
        Name::ALL.get(usize::from(name)).map(|name| (*name, value))
    }
}

/// Three digits, which is how a status line has it.
fn status_text(status: u16) -> Text {
    let digit = |n: u16| b'0' + (n % 10) as u8;
    Text::from(&[digit(status / 100), digit(status / 10), digit(status)][..])
}

/// Most bytes kept of a target.
pub(super) const MAX_TARGET: usize = 1024;
/// Most bytes kept of a field's value; W3C demands that 512 of `tracestate` be kept.
pub(super) const MAX_VALUE: usize = 512;
/// Name and length of a record.
const RECORD: usize = 3;
/// Enough for the usual fields of an answer, so that its records need no second allocation.
const ROOM_FOR_ANSWER: usize = 48;
