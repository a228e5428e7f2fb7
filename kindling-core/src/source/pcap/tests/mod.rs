//! Captures built packet by packet.

mod flows;
mod formats;
mod hostile;
mod reassembly;

use std::time::Duration;

use etherparse::{PacketBuilder, TcpHeader};

use super::{Capture, CaptureError, Options};
use crate::{Cause, Direction, Event, LostClass, Timestamp};

pub(super) const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
pub(super) const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 80);

/// A classic little-endian nanosecond capture of Ethernet frames.
#[derive(Clone)]
pub(super) struct Pcap(pub(super) Vec<u8>);

impl Pcap {
    pub(super) fn new() -> Self {
        Self(file_header(0xa1b2_3c4d, 1))
    }

    pub(super) fn frame(&mut self, micros: u64, frame: &[u8]) {
        self.cut_frame(micros, frame, frame.len());
    }

    pub(super) fn cut_frame(&mut self, micros: u64, frame: &[u8], captured: usize) {
        let fields = [micros / 1_000_000, micros % 1_000_000 * 1000, captured as u64, frame.len() as u64];
        for field in fields {
            self.0.extend_from_slice(&u32::try_from(field).unwrap().to_le_bytes());
        }
        self.0.extend_from_slice(&frame[..captured]);
    }

    /// A segment from the client.
    pub(super) fn client(&mut self, micros: u64, flags: &str, seq: u32, ack: u32, data: &[u8]) {
        self.frame(micros, &tcp(CLIENT, SERVER, flags, seq, ack, data));
    }

    /// A segment from the server.
    pub(super) fn server(&mut self, micros: u64, flags: &str, seq: u32, ack: u32, data: &[u8]) {
        self.frame(micros, &tcp(SERVER, CLIENT, flags, seq, ack, data));
    }

    /// The three packets that open a connection, at 0, 10 and 20 microseconds.
    pub(super) fn handshake(&mut self, client: u32, server: u32) {
        self.client(0, "S", client, 0, b"");
        self.server(10, "SA", server, client.wrapping_add(1), b"");
        self.client(20, "A", client.wrapping_add(1), server.wrapping_add(1), b"");
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events_with(Options::default())
    }

    pub(super) fn events_with(&self, options: Options) -> Vec<Event> {
        let (events, error) = read(&self.0, options);
        assert!(error.is_none(), "{error:?}");
        events
    }
}

pub(super) fn read(bytes: &[u8], options: Options) -> (Vec<Event>, Option<CaptureError>) {
    let mut events = Vec::new();
    let mut error = None;
    for batch in Capture::new(bytes, options).unwrap() {
        assert!(error.is_none(), "nothing comes after an error");
        match batch {
            Ok(batch) => events.extend(batch.events),
            Err(e) => error = Some(e),
        }
    }
    (events, error)
}

pub(super) fn file_header(magic: u32, link: u32) -> Vec<u8> {
    let mut bytes = magic.to_le_bytes().to_vec();
    bytes.extend([2, 0, 4, 0]);
    bytes.extend([0; 8]);
    bytes.extend(65_535_u32.to_le_bytes());
    bytes.extend(link.to_le_bytes());
    bytes
}

/// An Ethernet frame; flags are of `SAFR`.
pub(super) fn tcp(from: ([u8; 4], u16), to: ([u8; 4], u16), flags: &str, seq: u32, ack: u32, data: &[u8]) -> Vec<u8> {
    let mut header = TcpHeader::new(from.1, to.1, seq, 1000);
    header.syn = flags.contains('S');
    header.ack = flags.contains('A');
    header.fin = flags.contains('F');
    header.rst = flags.contains('R');
    header.acknowledgment_number = ack;
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(from.0, to.0, 64).tcp_header(header);
    let mut frame = Vec::new();
    builder.write(&mut frame, data).unwrap();
    frame
}

pub(super) fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), data: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(from.0, to.0, 64).udp(from.1, to.1);
    builder.write(&mut frame, data).unwrap();
    frame
}

pub(super) const fn micros(micros: u64) -> Timestamp {
    Timestamp::from_nanos(micros * 1000)
}

/// What one direction gave, in order: bytes, or the length of what was missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Bytes(Vec<u8>),
    Missing(u64),
}

/// The parts of a direction of all flows, after asserting that each follows the one before it.
pub(super) fn parts(events: &[Event], direction: Direction) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut next = None;
    let mut follow = |offset: u64, len: u64| {
        assert!(next.is_none_or(|next| next == offset), "offset {offset} after {next:?}");
        next = Some(offset + len);
    };
    for event in events {
        match event {
            Event::Opened(_) => {}
            Event::Segment(s) if s.direction == direction => {
                assert_eq!(s.data.len() as u64, s.len);
                follow(s.offset, s.len);
                match parts.last_mut() {
                    Some(Part::Bytes(bytes)) => bytes.extend_from_slice(&s.data),
                    _ => parts.push(Part::Bytes(s.data.to_vec())),
                }
            }
            Event::Gap(g) if g.direction == direction => {
                assert_eq!(g.cause, Cause::Lost);
                follow(g.offset, g.len);
                parts.push(Part::Missing(g.len));
            }
            _ => {}
        }
    }
    parts
}

pub(super) fn bytes(events: &[Event], direction: Direction) -> Vec<u8> {
    match &parts(events, direction)[..] {
        [] => Vec::new(),
        [Part::Bytes(bytes)] => bytes.clone(),
        other => panic!("gaps: {other:?}"),
    }
}

/// Events by kind, in short; ticks are left out.
pub(super) fn kinds(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| match event {
        Event::Clock(_) => Some("clock".to_owned()),
        Event::Opened(e) => Some(format!("opened {}", e.flow.0)),
        Event::Segment(e) => Some(format!("{:?} {}", e.direction, String::from_utf8_lossy(&e.data))),
        Event::Gap(e) => Some(format!("{:?} gap {}", e.direction, e.len)),
        Event::Closed(e) => Some(format!("{:?} {}", e.reason, e.flow.0)),
        Event::ConnectFailed(e) => Some(format!("failed {} after {:?}", e.errno, e.after)),
        Event::Lost(e) => Some(format!("{} {}", e.class.name(), e.count)),
        _ => None,
    };
    events.iter().filter_map(name).collect()
}

#[test]
fn time_is_never_read_but_from_frames() {
    let mut pcap = Pcap::new();
    pcap.frame(5_000_000, &udp(CLIENT, SERVER, b"a"));
    pcap.frame(4_000_000, &udp(CLIENT, SERVER, b"earlier"));
    pcap.frame(5_010_001, &udp(CLIENT, SERVER, b"later"));
    pcap.frame(5_020_001, &udp(CLIENT, SERVER, b"within the tick"));
    let events = pcap.events();
    let Event::Clock(clock) = events[0] else { panic!("{events:?}") };
    assert_eq!((clock.mono, clock.wall), (micros(5_000_000), 5_000_000_000));
    let times: Vec<_> = events.iter().map(|event| event.at().as_nanos() / 1000).collect();
    assert_eq!(times, [5_000_000, 5_000_000, 5_000_000, 5_000_000, 5_010_001, 5_010_001, 5_020_001, 5_020_001]);
    let ticks: Vec<_> = events.iter().filter(|event| matches!(event, Event::Tick(_))).map(Event::at).collect();
    assert_eq!(ticks, [micros(5_010_001)]);
}

#[test]
fn unreadable_frames_are_counted_in_the_stream() {
    let mut pcap = Pcap::new();
    pcap.frame(0, &[0; 5]);
    pcap.frame(1, &[&[0; 12][..], &[8, 0, 0x41, 0]].concat());
    pcap.frame(2, &[&[0; 12][..], &[8, 6, 0, 1]].concat());
    let events = pcap.events();
    assert_eq!(kinds(&events), ["clock", "frame 2"]);
    assert!(matches!(&events[1], Event::Lost(lost) if lost.class == LostClass::Frame && lost.since == micros(0)));
}

#[test]
fn every_source_type_is_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Capture<std::fs::File>>();
    check::<crate::source::Source<std::fs::File>>();
    check::<crate::source::recording::Writer<std::fs::File>>();
    assert_eq!(Options::default().hole_timeout, Duration::from_secs(3));
}
