//! The fixtures of the original Kindling: traces of system calls in YAML, with the records its agent made of them.
//!
//! `corpus::folder()/kindling/<protocol>/<side>-event.yml` holds what the calls have in common, `<side>-trace-<name>.yml` the calls and the records.
//! In `data` each element is text, `hex|<bytes>`, `string|<text>`, or `<hex>|<text>`: bytes, then text. `res` is how many bytes the call moved; `data`
//! may hold fewer. `timestamp` is when the call returned, and a record's `Timestamp` when the first one began.

#![expect(clippy::disallowed_methods, reason = "the fixtures are files")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses a part of it")]

use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::Path};

use bytes::Bytes;
use kindling_core::{
    Batch, Comm, Direction, Endpoint, Event, FlowId, Offsets, Opened, Origin, Role, Segment, Task, Timestamp,
    Transport, Vantage,
};
use yaml_rust2::{Yaml, YamlLoader};

/// A trace file and the event file it goes with.
#[derive(Debug)]
pub(crate) struct Fixture {
    /// Its calls, by time.
    pub(crate) calls: Vec<Call>,
    /// The records the original made of them.
    pub(crate) records: Vec<Record>,
    pub(crate) serving: bool,
    pub(crate) transport: Transport,
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    pub(crate) task: Task,
}

/// A system call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) request: bool,
    /// When it returned, in ns.
    pub(crate) at: u64,
    /// How long it took, in ns.
    pub(crate) latency: u64,
    /// Bytes it moved, or messages.
    pub(crate) moved: u64,
    /// Of them, what was captured.
    pub(crate) data: Vec<u8>,
}

/// A record: `Values` and `Labels` by name, all as text.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) at: u64,
    pub(crate) facts: BTreeMap<String, String>,
}

impl Record {
    /// A value or label; empty if it has none of that name.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.facts.get(name).map_or("", String::as_str)
    }

    /// A value as a number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or_else(|_| panic!("{name} is {}", self.get(name)))
    }
}

impl Fixture {
    /// Read a trace and the event file that belongs to it.
    pub(crate) fn read(trace: &Path, event: &Path) -> Self {
        let load = |path: &Path| YamlLoader::load_from_str(&fs::read_to_string(path).unwrap()).unwrap().remove(0);
        let (trace, event) = (load(trace), load(event));
        let (trace, context) = (&trace["trace"], &event["eventCommon"]["ctx"]);
        let (socket, thread) = (&context["fd_info"], &context["thread_info"]);
        let address = |ip: &str, port: &str| {
            let ip = u32::try_from(integer(&socket[ip][0])).unwrap();
            let port = u16::try_from(integer(&socket[port])).unwrap();
            Endpoint::from(std::net::SocketAddr::from((Ipv4Addr::from(ip.to_le_bytes()), port)))
        };
        let id = |name: &str| u32::try_from(integer(&thread[name])).unwrap();
        let mut calls: Vec<_> = calls(&trace["requests"], true).chain(calls(&trace["responses"], false)).collect();
        calls.sort_by_key(|call| call.at);
        Self {
            calls,
            records: trace["expects"].as_vec().into_iter().flatten().map(record).collect(),
            serving: socket["role"].as_bool().unwrap_or(false),
            transport: if integer(&socket["protocol"]) == 1 { Transport::Tcp } else { Transport::Udp },
            client: address("sip", "sport"),
            server: address("dip", "dport"),
            task: Task::new(id("pid"), id("tid"), Comm::from(text(&thread["comm"]).as_bytes())),
        }
    }

    /// The calls as a source would report them: each a segment of a connection that opened just before. `midstream`: that opened long before.
    pub(crate) fn batch(&self, midstream: bool) -> Batch {
        let flow = FlowId(1);
        let (local, remote) = if self.serving { (&self.server, &self.client) } else { (&self.client, &self.server) };
        let mut opened = Opened {
            at: self.calls.first().map(|call| Timestamp::from_nanos(call.at - call.latency)).unwrap_or_default(),
            flow,
            transport: self.transport,
            offsets: if self.transport == Transport::Udp { Offsets::Datagram } else { Offsets::Tcp },
            local: local.clone(),
            remote: remote.clone(),
            role: if self.serving { Role::Server } else { Role::Client },
            vantage: Vantage::Socket,
            midstream,
            ..Opened::default()
        };
        if !midstream {
            (opened.first_in, opened.first_out) = (Some(0), Some(0));
        }
        let mut events = vec![Event::Opened(opened)];
        let mut offsets = [0; 2];
        for call in &self.calls {
            let inward = call.request == self.serving;
            let offset = &mut offsets[usize::from(inward)];
            let (direction, data) =
                (if inward { Direction::In } else { Direction::Out }, Bytes::from(call.data.clone()));
            let (at, task) = (Timestamp::from_nanos(call.at), Some(self.task));
            events.push(Event::Segment(Segment { at, flow, direction, offset: *offset, data, len: call.moved, task }));
            *offset += call.moved;
        }
        Batch::new(std::sync::Arc::new(Origin::new(1, "host", "fixture")), events)
    }
}

fn calls(list: &Yaml, request: bool) -> impl Iterator<Item = Call> {
    list.as_vec().into_iter().flatten().map(move |call| {
        let facts = &call["user_attributes"];
        let number = |yaml: &Yaml| u64::try_from(integer(yaml)).unwrap();
        Call {
            name: text(&call["name"]),
            request,
            at: number(&call["timestamp"]),
            latency: number(&facts["latency"]),
            moved: number(&facts["res"]),
            data: facts["data"].as_vec().into_iter().flatten().flat_map(|piece| bytes(&text(piece))).collect(),
        }
    })
}

fn record(record: &Yaml) -> Record {
    let facts = ["Values", "Labels"].into_iter().flat_map(|part| record[part].as_hash().into_iter().flatten());
    Record {
        at: u64::try_from(integer(&record["Timestamp"])).unwrap(),
        facts: facts.map(|(name, value)| (text(name), text(value))).collect(),
    }
}

/// The bytes an element of `data` stands for.
fn bytes(piece: &str) -> Vec<u8> {
    match piece.split_once('|').map(|(kind, rest)| (kind.trim(), rest.trim())) {
        None => piece.into(),
        Some(("hex", rest)) => hex(rest),
        Some(("string", rest)) => rest.into(),
        Some((prefix, rest)) => [hex(prefix), rest.into()].concat(),
    }
}

fn hex(digits: &str) -> Vec<u8> {
    let digit = |b: u8| u8::try_from(char::from(b).to_digit(16).unwrap()).unwrap();
    digits.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn integer(yaml: &Yaml) -> i64 {
    yaml.as_i64().unwrap_or_else(|| panic!("not a number: {yaml:?}"))
}

fn text(yaml: &Yaml) -> String {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Boolean(truth) => truth.to_string(),
        Yaml::Null | Yaml::BadValue => String::new(),
        other => panic!("not a scalar: {other:?}"),
    }
}
