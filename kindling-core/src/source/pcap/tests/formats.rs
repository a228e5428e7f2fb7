//! The same traffic in every format and encapsulation gives the same events.

use super::{CLIENT, Part, Pcap, SERVER, bytes, file_header, kinds, micros, parts, read, tcp, udp};
use crate::{Direction::Out, Event, source::pcap::Options};

/// Microseconds and frames of a short conversation.
fn conversation() -> Vec<(u64, Vec<u8>)> {
    let start = 1_700_000_000_000_000;
    vec![
        (start, tcp(CLIENT, SERVER, "S", 100, 0, b"")),
        (start + 10, tcp(SERVER, CLIENT, "SA", 200, 101, b"")),
        (start + 20, tcp(CLIENT, SERVER, "A", 101, 201, b"request")),
        (start + 50_000, tcp(SERVER, CLIENT, "A", 201, 108, b"response")),
        (start + 50_001, udp(CLIENT, SERVER, b"datagram")),
    ]
}

/// A file in one of the classic formats.
fn classic(magic: u32, per_tick: u64, big: bool, extra: usize) -> Vec<u8> {
    let swap = |bytes: Vec<u8>| bytes.chunks(4).flat_map(|word| word.iter().rev().copied()).collect::<Vec<_>>();
    let mut bytes = file_header(magic, 1);
    if big {
        bytes = swap(bytes);
        // The two versions are 16-bit fields.
        bytes[4..8].copy_from_slice(&[0, 2, 0, 4]);
    }
    for (micros, frame) in conversation() {
        let len = frame.len() as u64;
        let mut head = Vec::new();
        for field in [micros / 1_000_000, micros % 1_000_000 * 1000 / per_tick, len, len] {
            head.extend((field as u32).to_le_bytes());
        }
        bytes.extend(if big { swap(head) } else { head });
        bytes.extend(vec![0; extra]);
        bytes.extend(frame);
    }
    bytes
}

/// A pcapng file under construction.
struct Ng {
    bytes: Vec<u8>,
    big: bool,
}

impl Ng {
    fn new(big: bool) -> Self {
        let mut ng = Self { bytes: Vec::new(), big };
        ng.section();
        ng
    }

    fn section(&mut self) {
        let mut body = self.u32(0x1a2b_3c4d);
        body.extend(self.u16(1));
        body.extend(self.u16(0));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body);
    }

    fn u16(&self, value: u16) -> Vec<u8> {
        if self.big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    fn u32(&self, value: u32) -> Vec<u8> {
        if self.big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    fn u64(&self, value: u64) -> Vec<u8> {
        if self.big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = [self.u16(code), self.u16(value.len() as u16), value.to_vec()].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let padded = body.len().next_multiple_of(4);
        let length = self.u32(padded as u32 + 12);
        let block = [&self.u32(kind)[..], &length, body, &vec![0; padded - body.len()], &length].concat();
        self.bytes.extend(block);
    }

    fn interface(&mut self, link: u16, options: &[u8]) {
        let body = [self.u16(link), self.u16(0), self.u32(0), options.to_vec()].concat();
        self.block(1, &body);
    }

    fn enhanced(&mut self, interface: u32, ticks: u64, frame: &[u8]) {
        let len = self.u32(frame.len() as u32);
        let time = [self.u32((ticks >> 32) as u32), self.u32(ticks as u32)].concat();
        let body = [self.u32(interface), time, len.clone(), len, frame.to_vec()].concat();
        self.block(6, &body);
    }
}

#[test]
fn classic_formats_agree() {
    let (expected, _) = read(&classic(0xa1b2_c3d4, 1000, false, 0), Options::default());
    // One tick, for the 50 ms before the response.
    assert_eq!((kinds(&expected).len(), expected.len()), (8, 9), "{expected:?}");
    for (magic, per_tick, extra) in [(0xa1b2_c3d4, 1000, 0), (0xa1b2_3c4d, 1, 0), (0xa1b2_cd34, 1000, 8)] {
        for big in [false, true] {
            assert_eq!(read(&classic(magic, per_tick, big, extra), Options::default()).0, expected, "{magic:x} {big}");
        }
    }
}

#[test]
fn pcapng_agrees_in_every_resolution() {
    let (expected, _) = read(&classic(0xa1b2_c3d4, 1000, false, 0), Options::default());
    for big in [false, true] {
        let mut ng = Ng::new(big);
        let nanos = ng.option(9, &[9]);
        let shifted =
            [ng.option(2, b"eth0"), ng.option(9, &[6]), ng.option(14, &ng.u64(1_000_000_000)), ng.option(0, b"")];
        ng.interface(1, &[]);
        ng.interface(1, &nanos);
        ng.interface(1, &shifted.concat());
        for (n, (micros, frame)) in conversation().into_iter().enumerate() {
            // Unknown blocks are passed over, and a new section forgets the interfaces.
            ng.block(0x0bad, &[1; 7]);
            match n % 4 {
                0 => ng.enhanced(0, micros, &frame),
                1 => ng.enhanced(1, micros * 1000, &frame),
                2 => ng.enhanced(2, micros - 1_000_000_000_000_000, &frame),
                _ => {
                    ng.section();
                    ng.interface(1, &[]);
                    let len = ng.u32(frame.len() as u32);
                    let time = [ng.u32((micros >> 32) as u32), ng.u32(micros as u32)].concat();
                    let body = [ng.u16(0), ng.u16(0), time, len.clone(), len, frame].concat();
                    ng.block(2, &body);
                }
            }
        }
        assert_eq!(read(&ng.bytes, Options::default()).0, expected, "big-endian: {big}");
    }
}

#[test]
fn binary_resolutions_and_simple_packets() {
    let mut ng = Ng::new(false);
    let option = ng.option(9, &[0x80 | 10]);
    ng.interface(1, &option);
    ng.enhanced(0, 1024 * 5 + 512, &udp(CLIENT, SERVER, b"a"));
    let frame = udp(CLIENT, SERVER, b"b");
    let body = [&(frame.len() as u32).to_le_bytes()[..], &frame].concat();
    ng.block(3, &body);
    let (events, error) = read(&ng.bytes, Options::default());
    assert!(error.is_none());
    assert_eq!(kinds(&events), ["clock", "opened 1", "Out a", "Out b", "SourceEnded 1"]);
    assert!(events.iter().all(|event| event.at() == micros(5_500_000)));
}

#[test]
fn frames_the_interface_dropped_are_losses() {
    let mut ng = Ng::new(false);
    ng.interface(1, &[]);
    ng.enhanced(0, 5, &udp(CLIENT, SERVER, b"a"));
    for dropped in [7, 7, 9] {
        let body = [ng.u32(0), ng.u64(0), ng.option(5, &ng.u64(dropped)), ng.option(7, &ng.u64(u64::MAX))].concat();
        ng.block(5, &body);
    }
    ng.enhanced(9, 5, &udp(CLIENT, SERVER, b"of no interface"));
    let (events, _) = read(&ng.bytes, Options::default());
    assert_eq!(kinds(&events), ["clock", "opened 1", "Out a", "SourceEnded 1", "frame 10"]);
}

#[test]
fn padding_is_no_payload_and_offload_is_no_error() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    let mut padded = tcp(CLIENT, SERVER, "A", 1, 1, b"ab");
    padded.resize(80, 0xee);
    pcap.frame(30, &padded);
    // Segmentation offload: the total length is 0 and the frame tells.
    let mut large = tcp(CLIENT, SERVER, "A", 3, 1, b"cdef");
    large[16..18].fill(0);
    pcap.frame(40, &large);
    assert_eq!(bytes(&pcap.events(), Out), b"abcdef");
}

/// An IPv6 frame of Ethernet with these headers between IPv6 and payload.
fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
    let mut frame = [&[0; 12][..], &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend((rest.len() as u16).to_be_bytes());
    frame.extend([next, 64]);
    frame.extend([[0xfe; 16], [0xfd; 16]].concat());
    frame.extend(rest);
    frame
}

#[test]
fn fragments_of_both_versions_are_put_together() {
    let whole = udp(CLIENT, SERVER, &[b'x'; 2000]);
    let datagram = &whole[34..];
    let mut pcap = Pcap::new();
    for (at, from, to) in [(1, 1480, datagram.len()), (2, 0, 1480)] {
        let mut frame = whole[..34].to_vec();
        let more = if to < datagram.len() { 0x2000 } else { 0 };
        frame[16..18].copy_from_slice(&((20 + to - from) as u16).to_be_bytes());
        frame[18..20].copy_from_slice(&77_u16.to_be_bytes());
        frame[20..22].copy_from_slice(&((from / 8) as u16 | more).to_be_bytes());
        frame.extend(&datagram[from..to]);
        pcap.frame(at, &frame);
    }
    assert_eq!(parts(&pcap.events(), Out), [Part::Bytes(vec![b'x'; 2000])]);

    let mut pcap = Pcap::new();
    for (at, from, to) in [(1, 1480, datagram.len()), (2, 0, 1480)] {
        let more = u16::from(to < datagram.len());
        let fragment = [&[17, 0][..], &(from as u16 | more).to_be_bytes(), &[0, 0, 0, 9], &datagram[from..to]].concat();
        // Destination options before the fragment header.
        pcap.frame(at, &v6(60, &[&[44, 0, 1, 4, 0, 0, 0, 0][..], &fragment].concat()));
    }
    let events = pcap.events();
    assert_eq!(parts(&events, Out), [Part::Bytes(vec![b'x'; 2000])]);
    let Event::Opened(opened) = &events[1] else { panic!("{events:?}") };
    assert!(opened.local.to_string().starts_with("[fefe:"), "{}", opened.local);
}
