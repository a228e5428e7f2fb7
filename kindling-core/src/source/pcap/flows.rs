//! Everything between frames and events.

use std::time::Duration;

use super::{
    account::Counters,
    connection,
    fragments::Fragments,
    frame::Frame,
    ip,
    key::{FlowIds, Key},
    link::{self, Carried},
    options::Options,
    out::Out,
    tcp::Tcp,
    udp::{Datagram, Udp},
};
use crate::{
    event::{Event, Lost, LostClass},
    time::{Clock, Timestamp},
};

/// The state of a capture, and its account.
#[derive(Debug)]
pub(super) struct Flows {
    pub(super) out: Out,
    pub(super) tcp: Tcp,
    udp: Udp,
    fragments: Fragments,
    ids: FlowIds,
    pub(super) counters: Counters,
    started: bool,
    /// Time of the last event.
    marked: Timestamp,
    /// Frames lost since they were last reported, and when the first of them was.
    lost: Option<(Timestamp, u64)>,
}

impl Flows {
    pub(super) fn new(options: &Options) -> Self {
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

    pub(super) fn handle(&mut self, frame: &Frame, data: &[u8]) {
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
            self.marked = out.now;
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
                let (ports, packet) = connection::Packet::parse(data, len)?;
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

    pub(super) fn lost(&mut self, count: u64) {
        self.counters.lost += count;
        self.lost.get_or_insert((self.out.now, 0)).1 += count;
    }

    pub(super) fn report(&mut self) {
        if let Some((since, count)) = self.lost.take() {
            let until = self.out.now;
            self.out.push(Event::Lost(Lost { class: LostClass::Frame, count, cpu: None, since, until }));
        }
    }

    /// The capture ends; calling it again changes nothing.
    pub(super) fn finish(&mut self) {
        self.tcp.finish(&mut self.out);
        self.udp.finish(&mut self.out);
        let lost = self.fragments.drain();
        if lost > 0 {
            self.lost(lost);
        }
        self.report();
    }
}

/// Quiet time after which a tick is sent.
const TICK: Duration = Duration::from_millis(10);
const MAX_FRAGMENTS: usize = 4 << 20;
