//! Reading transcripts.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kindling_core::{
    Batch, CloseReason, Closed, Comm, Direction, Endpoint, Event, FlowId, Offsets, Opened, Origin, Role, Segment, Task,
    Timestamp, Transport, Vantage,
};

use crate::{
    limits::Limits,
    protocol::{Content, Sender},
};

/// A conversation, and what must come out of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Transcript {
    /// Its name, for messages.
    pub name: String,
    /// The protocol it is in.
    pub protocol: String,
    /// What carries it.
    pub transport: Transport,
    /// The server's port.
    pub port: u16,
    /// Whether the observation starts after the conversation did.
    pub midstream: bool,
    /// From where it is seen; `None` is the wire.
    pub vantage: Option<Sender>,
    /// How much of it users see.
    pub content: Content,
    /// What happens.
    pub steps: Vec<Step>,
    /// What must come out, a line an exchange.
    pub expected: Vec<String>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Bytes.
    Say(Sender, Bytes),
    /// Bytes that moved and were not captured.
    Hide(Sender, u64),
    /// Bytes that are missing.
    Miss(Sender, u64),
    /// Time passes.
    Wait(Duration),
    /// The flow ends.
    End(CloseReason),
}

/// A line that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}, line {line}: {why}")]
pub struct TranscriptError {
    /// The transcript.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Transcript {
    /// Read a transcript; `name` is for messages.
    ///
    /// # Errors
    /// The first line that is not understood.
    pub fn parse(name: &str, text: &str) -> Result<Self, TranscriptError> {
        let mut transcript = Self {
            name: name.into(),
            protocol: String::new(),
            transport: Transport::Tcp,
            port: 0,
            midstream: false,
            vantage: Some(Sender::Client),
            content: Content::Safe,
            steps: Vec::new(),
            expected: Vec::new(),
        };
        let mut expecting = false;
        for (index, line) in text.lines().enumerate() {
            let error = |why| TranscriptError { name: name.into(), line: index + 1, why };
            if line.starts_with("===> exchanges") {
                expecting = true;
            } else if expecting {
                if !line.trim().is_empty() && !line.starts_with('#') {
                    transcript.expected.push(line.trim_end().into());
                }
            } else {
                transcript.line(line).map_err(error)?;
            }
        }
        Ok(transcript)
    }

    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            ">>>" => self.steps.push(Step::Say(Sender::Client, Bytes::new())),
            "<<<" => self.steps.push(Step::Say(Sender::Server, Bytes::new())),
            "><>" => self.steps.push(amount(rest, Step::Miss)?),
            "~~~" => self.steps.push(amount(rest, Step::Hide)?),
            "---" => self.steps.push(Step::Wait(duration(rest).ok_or("not a duration, such as 5ms")?)),
            "===" => self.steps.push(Step::End(match rest.trim() {
                "close" => CloseReason::Closed,
                "reset" => CloseReason::Reset,
                _ => return Err("neither close nor reset"),
            })),
            "#" => self.fact(rest)?,
            _ if line.is_empty() => {}
            _ => match self.steps.last_mut() {
                Some(Step::Say(_, bytes)) => *bytes = [&bytes[..], &unescape(line)?].concat().into(),
                _ => return Err("bytes without >>> or <<< before them"),
            },
        }
        Ok(())
    }

    fn fact(&mut self, fact: &str) -> Result<(), &'static str> {
        // A line without a colon is a remark.
        let Some((name, value)) = fact.split_once(':') else { return Ok(()) };
        let value = value.trim();
        match name.trim() {
            "protocol" => self.protocol = value.into(),
            "port" => self.port = value.parse().map_err(|_| "not a port")?,
            "midstream" => self.midstream = value == "true",
            "transport" => {
                self.transport = match value {
                    "tcp" => Transport::Tcp,
                    "udp" => Transport::Udp,
                    "unix" => Transport::Unix,
                    _ => return Err("not a transport"),
                }
            }
            "vantage" => {
                self.vantage = match value {
                    "client" => Some(Sender::Client),
                    "server" => Some(Sender::Server),
                    "observer" => None,
                    _ => return Err("not a vantage"),
                }
            }
            "content" => self.content = if value == "raw" { Content::Raw } else { Content::Safe },
            _ => {}
        }
        Ok(())
    }

    /// The limits it asks for.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits::default().content(self.content).flow_ledgers(true)
    }

    /// The events a source would report.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let datagrams = self.transport == Transport::Udp;
        let mut at = Timestamp::from_nanos(1_000_000_000);
        // Close to a wrap-around of the sequence numbers, which are 32 bits on the wire.
        let mut offsets = if datagrams { [0, 0] } else { [u64::from(u32::MAX) - 20, 7_000] };
        let mut events = vec![Event::Opened(self.opened(at, offsets))];
        for step in &self.steps {
            at = at + PACE;
            match step {
                Step::Say(sender, data) => {
                    events.push(self.segment(*sender, at, &mut offsets, data.clone(), data.len() as u64));
                }
                Step::Hide(sender, len) => events.push(self.segment(*sender, at, &mut offsets, Bytes::new(), *len)),
                Step::Miss(sender, len) => offsets[sender.index()] += len,
                Step::Wait(time) => {
                    at = at + *time;
                    events.push(Event::Tick(at));
                }
                Step::End(reason) => {
                    events.push(Event::Closed(Closed { at, flow: FLOW, reason: *reason, stats: None }));
                }
            }
        }
        events
    }

    /// The events, as a batch.
    #[must_use]
    pub fn batch(&self) -> Batch {
        Batch::new(Arc::new(Origin::new(1, "host", "transcript")), self.events())
    }

    fn opened(&self, at: Timestamp, offsets: [u64; 2]) -> Opened {
        let client = Endpoint::from(std::net::SocketAddr::from(([10, 0, 0, 1], 40_000)));
        let server = Endpoint::from(std::net::SocketAddr::from(([10, 0, 0, 2], self.port)));
        let serving = self.vantage == Some(Sender::Server);
        let (local, remote) = if serving { (server, client) } else { (client, server) };
        let [out, into] = if serving { [offsets[1], offsets[0]] } else { offsets };
        Opened {
            at,
            flow: FLOW,
            transport: self.transport,
            offsets: if self.transport == Transport::Udp { Offsets::Datagram } else { Offsets::Tcp },
            local,
            remote,
            role: match (self.vantage, self.midstream) {
                (None, true) => Role::Unknown,
                (Some(Sender::Server), _) => Role::Server,
                _ => Role::Client,
            },
            vantage: if self.vantage.is_none() { Vantage::Wire } else { Vantage::Socket },
            midstream: self.midstream,
            first_out: (!self.midstream).then_some(out),
            first_in: (!self.midstream).then_some(into),
            ..Opened::default()
        }
    }

    fn segment(&self, sender: Sender, at: Timestamp, offsets: &mut [u64; 2], data: Bytes, len: u64) -> Event {
        let offset = offsets[sender.index()];
        offsets[sender.index()] += len;
        let direction = self.direction(sender);
        let task = self.vantage.map(|_| Task::new(100, 101, Comm::from(&b"program"[..])));
        Event::Segment(Segment { at, flow: FLOW, direction, offset, data, len, task })
    }

    fn direction(&self, sender: Sender) -> Direction {
        let local = self.vantage.unwrap_or(Sender::Client);
        if sender == local { Direction::Out } else { Direction::In }
    }

    /// What `sender` says first, for the detection matrix.
    #[must_use]
    pub fn first_bytes(&self, sender: Sender) -> Option<Bytes> {
        self.steps.iter().find_map(|step| match step {
            Step::Say(by, data) if *by == sender && !data.is_empty() => Some(data.clone()),
            _ => None,
        })
    }
}

fn amount(rest: &str, step: fn(Sender, u64) -> Step) -> Result<Step, &'static str> {
    let (sender, bytes) = rest.trim().split_once(' ').ok_or("needs a side and a number of bytes")?;
    let sender = match sender {
        "client" => Sender::Client,
        "server" => Sender::Server,
        _ => return Err("neither client nor server"),
    };
    Ok(step(sender, bytes.trim().parse().map_err(|_| "not a number of bytes")?))
}

fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number = number.parse().ok()?;
    match unit.trim() {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

/// The bytes a line of a transcript stands for.
fn unescape(line: &str) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(line.len());
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digit = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16));
                let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                    return Err("\\x needs two hexadecimal digits");
                };
                (high * 16 + low) as u8
            }
            _ => return Err("an escape that is none of \\r \\n \\t \\0 \\\\ \\xNN"),
        });
    }
    Ok(out)
}

/// The one flow of a transcript.
pub(super) const FLOW: FlowId = FlowId(7);
/// Time between two steps.
const PACE: Duration = Duration::from_micros(200);
