//! Capture files: pcap and pcapng to events.
//!
//! [`Capture`] reads frames from any [`Read`], puts IP fragments together, and TCP streams by sequence number, so what comes out is what the
//! applications exchanged: every byte once, in order, with its sequence number as offset.
//!
//! ```no_run
//! use kindling_core::{Event, source::pcap::{Capture, Options}};
//!
//! let file = std::fs::File::open("trace.pcap")?;
//! for batch in Capture::new(file, Options::default())? {
//!     for event in batch?.events {
//!         if let Event::Segment(segment) = event {
//!             println!("{} {:?} {} bytes", segment.flow, segment.direction, segment.len);
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * Formats: pcap with micro- or nanoseconds in either byte order and Kuznetzov's modified one; pcapng with any number of sections and
//!   interfaces, any time resolution, enhanced, simple and obsolete packets.
//! * Links: Ethernet (802.1Q, 802.1ad, MPLS, PPPoE, SNAP), Linux cooked v1 and v2, raw IP, null and loopback, PPP.
//! * A flow's `local` end is the one that sent the SYN, else the one that spoke first.
//! * A TCP flow is announced when its SYN is answered, with the time that took; without a SYN at its first byte, and is then `midstream`.
//! * A SYN answered by RST is a [`ConnectFailed`](crate::ConnectFailed) with `ECONNREFUSED`. One never answered is one with `ETIMEDOUT` if it was
//!   sent again or waited for a second; of a younger one nothing is known and nothing is said.
//! * Bytes behind a hole wait until the hole is filled. A hole is given up, as a [`Gap`](crate::Gap), when the other end acknowledges bytes behind
//!   it (the capture missed them), after [`Options::hole_timeout`], for a limit, or when the flow ends. What waited carries the time it was released.
//! * Frames that cannot be read are a [`Lost`](crate::Lost) of class [`LostClass::Frame`], as are frames that the capturing side says it dropped.
//! * Time never goes back: a frame stamped earlier than one before it gets that one's time.
//!
//! # Limits
//! Checksums are not verified: with offloading most captures on the sending host hold wrong ones. Tunnels (GRE, VXLAN, IP in IP) are not opened.
//! ICMP errors are not read.

mod file;
mod fragments;
mod half;
mod ip;
mod link;
mod ng;
mod out;
mod table;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

use std::{
    io::{self, BufReader, Read},
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use self::{
    file::{File, Frame, Magic, Record},
    fragments::Fragments,
    link::Carried,
    out::Out,
    tcp::Tcp,
    udp::{Datagram, Udp},
};
use crate::{
    event::{Batch, Event, Lost, LostClass},
    id::{Endpoint, FlowId, Origin},
    source::IntoStream,
    time::{Clock, Timestamp},
};

/// Reads a capture file as batches of events.
///
/// Reading blocks, in the stream form too: a file is always ready, but a pipe is not.
#[derive(Debug)]
pub struct Capture<R> {
    file: File<BufReader<R>>,
    first: Option<Record>,
    origin: Arc<Origin>,
    flows: Flows,
    batch_events: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading,
    Failed(CaptureError),
    Ended,
}

impl<R: Read> Capture<R> {
    /// Open a capture.
    ///
    /// # Errors
    /// If the input is no capture, or one of a link type that cannot be read.
    pub fn new(input: R, options: Options) -> Result<Self, OpenError> {
        let mut file = File::open(BufReader::with_capacity(1 << 16, input))?;
        let mut state = State::Reading;
        let first = file.next().map_err(|error| state = State::Failed(error)).ok();
        let origin = options.origin.clone().unwrap_or_else(|| {
            let at = if let Some(Record::Frame(frame)) = &first { frame.at } else { 0 };
            Origin::new(digest(at, file.data()), "", "pcap")
        });
        let batch_events = options.batch_events.max(1);
        Ok(Self { file, first, origin: Arc::new(origin), flows: Flows::new(&options), batch_events, state })
    }

    /// Where its events come from.
    pub const fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// The account so far.
    pub const fn counters(&self) -> &Counters {
        &self.flows.counters
    }

    /// The same as a stream.
    pub const fn into_stream(self) -> IntoStream<Self> {
        IntoStream::new(self)
    }

    /// Read until a batch is full or the capture ends.
    fn advance(&mut self) {
        while matches!(self.state, State::Reading) && !self.full() {
            let record = match self.first.take() {
                Some(record) => Ok(record),
                None => self.file.next(),
            };
            match record {
                Ok(Record::Frame(frame)) => self.flows.handle(&frame, self.file.data()),
                Ok(Record::Dropped(count)) => self.flows.lost(count),
                Ok(Record::End) => {
                    self.flows.finish();
                    self.state = State::Ended;
                }
                Err(error) => self.state = State::Failed(error),
            }
        }
        if matches!(self.state, State::Failed(_)) {
            self.flows.finish();
        }
    }

    fn full(&self) -> bool {
        self.flows.out.events.len() >= self.batch_events || self.flows.out.payload() >= BATCH_BYTES
    }
}

impl<R: Read> Iterator for Capture<R> {
    type Item = Result<Batch, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance();
        if !self.flows.out.events.is_empty() {
            self.flows.report();
            return Some(Ok(Batch::new(self.origin.clone(), self.flows.out.take())));
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Failed(error) => Some(Err(error)),
            State::Reading | State::Ended => None,
        }
    }
}

/// How to read a capture.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where the events come from; by default `pcap` and a digest of the first packet.
    pub origin: Option<Origin>,
    /// TCP connections tracked at once; the longest idle one goes first. 65 536.
    pub max_connections: usize,
    /// Datagram flows tracked at once. 65 536.
    pub max_datagram_flows: usize,
    /// Bytes that may wait for a hole in all; 64 MiB.
    pub max_held: usize,
    /// Bytes that may wait for a hole in one direction of a connection; 4 MiB.
    pub max_held_each: usize,
    /// How long, in capture time, a hole is waited for; 3 s.
    pub hole_timeout: Duration,
    /// How long, in capture time, a datagram flow may be idle; 60 s.
    pub datagram_idle: Duration,
    /// Events a batch holds before it is handed out; 1024. A pipe that should be seen packet by packet wants 1.
    pub batch_events: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            origin: None,
            max_connections: 1 << 16,
            max_datagram_flows: 1 << 16,
            max_held: 64 << 20,
            max_held_each: 4 << 20,
            hole_timeout: Duration::from_secs(3),
            datagram_idle: Duration::from_secs(60),
            batch_events: 1024,
        }
    }
}

impl Options {
    /// Where the events come from.
    #[must_use]
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// TCP connections tracked at once.
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Datagram flows tracked at once.
    #[must_use]
    pub const fn max_datagram_flows(mut self, flows: usize) -> Self {
        self.max_datagram_flows = flows;
        self
    }

    /// Bytes that may wait for holes: in all, and in one direction of a connection.
    #[must_use]
    pub const fn max_held(mut self, all: usize, each: usize) -> Self {
        self.max_held = all;
        self.max_held_each = each;
        self
    }

    /// How long a hole is waited for.
    #[must_use]
    pub const fn hole_timeout(mut self, timeout: Duration) -> Self {
        self.hole_timeout = timeout;
        self
    }

    /// How long a datagram flow may be idle.
    #[must_use]
    pub const fn datagram_idle(mut self, idle: Duration) -> Self {
        self.datagram_idle = idle;
        self
    }

    /// Events a batch holds before it is handed out.
    #[must_use]
    pub const fn batch_events(mut self, events: usize) -> Self {
        self.batch_events = events;
        self
    }
}

/// The account of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames read.
    pub frames: u64,
    /// Frames that carry neither TCP nor UDP.
    pub other: u64,
    /// Frames that could not be read, fragments of packets never completed, and frames the capturing side dropped; also in the stream as `Lost`.
    pub lost: u64,
    /// TCP bytes seen again.
    pub duplicate: u64,
    /// TCP bytes of connections that had ended.
    pub after_close: u64,
    /// Flows ended for the limit on flows.
    pub evicted: u64,
}

/// Why a capture cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is something else.
    #[error("not a capture file: neither pcap nor pcapng")]
    NotCapture,
    /// Its frames are of a kind that cannot be read.
    #[error("link type {0} is not supported: capture on Ethernet, Linux cooked, raw IP, loopback or PPP")]
    LinkType(u16),
    /// It cannot be read.
    #[error("cannot read the capture")]
    Io(#[source] io::Error),
}

/// Why a capture cannot be read to its end. Everything before it was delivered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// It ends in the middle of a record, as it does when its writer was stopped.
    #[error("the capture is cut off in the record at byte {offset}; everything before it was read")]
    Torn {
        /// Where that record starts.
        offset: u64,
    },
    /// A record contradicts the format.
    #[error("the capture is damaged at byte {offset}; everything before it was read")]
    Corrupt {
        /// Where that record starts.
        offset: u64,
    },
    /// Reading failed.
    #[error("cannot read the capture at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: Arc<io::Error>,
    },
}

/// Whether `start` is how a capture begins.
pub(super) fn detect(start: &[u8]) -> bool {
    Magic::of(start).is_some()
}

/// Everything between frames and events.
#[derive(Debug)]
struct Flows {
    out: Out,
    tcp: Tcp,
    udp: Udp,
    fragments: Fragments,
    ids: FlowIds,
    counters: Counters,
    started: bool,
    /// Time of the last event.
    marked: Timestamp,
    /// Frames lost since they were last reported, and when the first of them was.
    lost: Option<(Timestamp, u64)>,
}

impl Flows {
    fn new(options: &Options) -> Self {
        Self {
            out: Out::default(),
            tcp: Tcp::new(options),
            udp: Udp::new(options.max_datagram_flows, options.datagram_idle),
            fragments: Fragments::new(MAX_FRAGMENTS),
            ids: FlowIds::default(),
            counters: Counters::default(),
            started: false,
            marked: Timestamp::ZERO,
            lost: None,
        }
    }

    fn handle(&mut self, frame: &Frame, data: &[u8]) {
        self.counters.frames += 1;
        self.set_time(Timestamp::from_nanos(frame.at));
        let before = self.out.events.len();
        if self.network(frame, data).is_none() {
            self.lost(1);
        }
        if self.out.events.len() > before {
            self.marked = self.out.now;
        }
    }

    /// Time goes on, and never back.
    fn set_time(&mut self, at: Timestamp) {
        let out = &mut self.out;
        out.now = out.now.max(at);
        if !self.started {
            self.started = true;
            // A capture knows only wall time.
            out.push(Event::Clock(Clock { mono: out.now, wall: out.now.as_nanos(), boot: out.now.as_nanos() }));
        } else if out.now.since(self.marked) > TICK {
            self.marked = out.now;
            out.push(Event::Tick(out.now));
        }
        self.tcp.handle_time(&mut self.out);
        self.udp.handle_time(&mut self.out);
    }

    /// `None` if the frame cannot be read.
    fn network(&mut self, frame: &Frame, data: &[u8]) -> Option<()> {
        let bytes = match link::strip(frame.link?, data) {
            Carried::Ip(bytes) => bytes,
            Carried::Other => {
                self.counters.other += 1;
                return Some(());
            }
            Carried::Unreadable => return None,
        };
        let packet = ip::parse(bytes, frame.missing)?;
        let Some(fragment) = packet.fragment else {
            return self.transport(&packet.addresses, packet.protocol, packet.data, packet.len);
        };
        let (whole, lost) = self.fragments.handle(self.out.now, &packet, fragment);
        if lost > 0 {
            self.lost(lost);
        }
        match whole {
            Some(whole) => self.transport(&packet.addresses, packet.protocol, &whole.data, whole.len),
            None => Some(()),
        }
    }

    fn transport(&mut self, addresses: &[u128; 2], protocol: u8, data: &[u8], len: usize) -> Option<()> {
        let Self { out, tcp, udp, ids, counters, .. } = self;
        match protocol {
            6 => {
                let (ports, packet) = tcp::Packet::parse(data, len)?;
                let (key, side) = Key::new(*addresses, ports);
                tcp.handle(key, side, &packet, ids, out, counters);
            }
            17 => {
                let (ports, datagram) = Datagram::parse(data, len)?;
                let (key, side) = Key::new(*addresses, ports);
                udp.handle(key, side, datagram, ids, out, counters);
            }
            _ => counters.other += 1,
        }
        Some(())
    }

    fn lost(&mut self, count: u64) {
        self.counters.lost += count;
        self.lost.get_or_insert((self.out.now, 0)).1 += count;
    }

    fn report(&mut self) {
        if let Some((since, count)) = self.lost.take() {
            let until = self.out.now;
            self.out.push(Event::Lost(Lost { class: LostClass::Frame, count, cpu: None, since, until }));
        }
    }

    /// The capture ends; calling it again changes nothing.
    fn finish(&mut self) {
        self.tcp.finish(&mut self.out);
        self.udp.finish(&mut self.out);
        let lost = self.fragments.drain();
        if lost > 0 {
            self.lost(lost);
        }
        self.report();
    }
}

/// Two endpoints in an order of their own, so that both directions have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    addresses: [u128; 2],
    ports: [u16; 2],
}

impl Key {
    /// The key of a packet from the first address and port to the second, and which of its ends sent it.
    fn new(addresses: [u128; 2], ports: [u16; 2]) -> (Self, usize) {
        let ([from, to], [from_port, to_port]) = (addresses, ports);
        if (from, from_port) <= (to, to_port) {
            (Self { addresses, ports }, 0)
        } else {
            (Self { addresses: [to, from], ports: [to_port, from_port] }, 1)
        }
    }

    fn endpoint(&self, side: usize) -> Endpoint {
        let address = self.addresses.get(side).copied().unwrap_or_default();
        let port = self.ports.get(side).copied().unwrap_or_default();
        Endpoint::from(SocketAddr::new(Ipv6Addr::from_bits(address).into(), port))
    }
}

/// Numbers flows in the order in which they were seen.
#[derive(Debug, Default)]
struct FlowIds(u64);

impl FlowIds {
    const fn take(&mut self) -> FlowId {
        self.0 += 1;
        FlowId(self.0)
    }
}

/// FNV-1a: a name for a capture, not a defence.
fn digest(at: u64, data: &[u8]) -> u128 {
    let bytes = at.to_le_bytes();
    bytes.iter().chain(data).fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

/// Quiet time after which a tick is sent.
const TICK: Duration = Duration::from_millis(10);
const BATCH_BYTES: usize = 256 << 10;
const MAX_FRAGMENTS: usize = 4 << 20;
