//! Damaged and hostile files.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::{CLIENT, Pcap, SERVER, file_header, kinds, read, tcp, udp};
use crate::{
    Direction, Event, Offsets,
    source::pcap::{Capture, CaptureError, OpenError, Options},
};

fn sample() -> Pcap {
    let mut pcap = Pcap::new();
    pcap.handshake(100, 200);
    for n in 0..10 {
        pcap.client(100 + u64::from(n), "A", 101 + n * 10, 201, b"0123456789");
        pcap.frame(100 + u64::from(n), &udp(CLIENT, SERVER, b"datagram"));
    }
    pcap
}

#[test]
fn every_truncation_yields_what_came_before_and_one_error() {
    let whole = sample();
    let borders: Vec<usize> = (0..=23)
        .scan(24, |at, _| {
            let border = *at;
            let length = whole.0.get(border + 8..border + 12)?;
            *at += 16 + u32::from_le_bytes(length.try_into().unwrap()) as usize;
            Some(border)
        })
        .chain([whole.0.len()])
        .collect();
    assert_eq!(borders.len(), 24, "23 frames");
    for cut in 24..=whole.0.len() {
        let (events, error) = read(&whole.0[..cut], Options::default());
        let border = *borders.iter().rfind(|border| **border <= cut).unwrap();
        let (expected, none) = read(&whole.0[..border], Options::default());
        assert!(none.is_none());
        assert_eq!(events, expected);
        match error {
            None => assert_eq!(cut, border),
            Some(CaptureError::Torn { offset }) => assert_eq!((offset, cut > border), (border as u64, true)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_no_capture_is_refused() {
    let open = |bytes: &[u8]| Capture::new(bytes, Options::default()).map(|_| ()).unwrap_err();
    assert!(matches!(open(b""), OpenError::NotCapture));
    assert!(matches!(open(b"\xd4\xc3\xb2\xa1\x02"), OpenError::Torn));
    assert!(matches!(open(b"#!/bin/sh\necho this is not a capture file"), OpenError::NotCapture));
    assert!(matches!(open(&file_header(0xa1b2_c3d4, 105)), OpenError::LinkType(105)));
    assert!(matches!(open(b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a"), OpenError::Torn));
    assert_eq!(kinds(&Pcap::new().events()), [""; 0]);
}

#[test]
fn a_hostile_length_is_an_error_and_no_allocation() {
    let mut pcap = sample();
    let end = pcap.0.len();
    pcap.0.extend([0; 8]);
    pcap.0.extend([0xff; 8]);
    let (events, error) = read(&pcap.0, Options::default());
    assert_eq!(events, sample().events());
    assert!(matches!(error, Some(CaptureError::Corrupt { offset }) if offset == end as u64), "{error:?}");
}

#[test]
fn floods_are_bounded() {
    let mut pcap = Pcap::new();
    let options = Options::default().max_connections(100).max_datagram_flows(100);
    for n in 0..5000_u16 {
        pcap.frame(1, &tcp((CLIENT.0, n), SERVER, "S", 1, 0, b"early data"));
        pcap.frame(1, &tcp((CLIENT.0, n), (SERVER.0, 81), "A", 1, 0, b"data"));
        pcap.frame(1, &tcp((CLIENT.0, n), (SERVER.0, 81), "A", 9, 0, b"behind a hole"));
        pcap.frame(1, &udp((CLIENT.0, n), SERVER, b"datagram"));
    }
    let mut capture = Capture::new(&pcap.0[..], options).unwrap();
    let events = capture.by_ref().map(|batch| batch.unwrap().events.len()).sum::<usize>();
    assert!(events > 20_000);
    assert_eq!(capture.counters().evicted, 2 * 4900);
    let sizes = capture.flows.tcp.sizes();
    assert!(sizes.iter().all(|size| *size <= 1000), "{sizes:?}");
}

/// What holds whatever the packets are: flows open before they carry anything and close once, offsets go on without a break.
fn sound(events: &[Event]) -> Result<(), TestCaseError> {
    let mut open = HashMap::new();
    let mut ids = HashSet::new();
    let mut latest = None;
    for event in events {
        prop_assert!(latest <= Some(event.at()), "time goes back");
        latest = Some(event.at());
        let (flow, direction, offset, len) = match event {
            Event::Opened(e) => {
                prop_assert!(ids.insert(e.flow), "opened twice");
                open.insert(e.flow, (e.offsets, [e.first_out, e.first_in]));
                continue;
            }
            Event::Closed(e) => {
                prop_assert!(open.remove(&e.flow).is_some(), "closed, not open");
                continue;
            }
            Event::Segment(e) => {
                prop_assert!(e.data.len() as u64 <= e.len);
                (e.flow, e.direction, e.offset, e.len)
            }
            Event::Gap(e) => (e.flow, e.direction, e.offset, e.len),
            _ => continue,
        };
        let Some((offsets, next)) = open.get_mut(&flow) else { panic!("{event:?} of a flow that is not open") };
        let next = &mut next[usize::from(direction == Direction::In)];
        prop_assert!(next.is_none_or(|next| next == offset), "{:?} after {:?}", event, next);
        prop_assert!(len <= 1 << 31 && (len > 0 || *offsets == Offsets::Datagram));
        *next = Some(offset + len);
    }
    prop_assert!(open.is_empty());
    Ok(())
}

proptest! {
    #[test]
    fn any_packets_give_sound_flows(packets in proptest::collection::vec(
        (0_u64..200_000, 0_u16..2, any::<bool>(), "[SAFR]{0,2}", 0_u32..40, 0_u32..40, 0_usize..12, 0_u8..20), 0..120,
    )) {
        let mut pcap = Pcap::new();
        let mut now = 0;
        for (wait, port, from_client, flags, seq, ack, len, odd) in packets {
            // Mostly close together, at times long apart; mostly near, at times far away.
            now += match odd { 0 => wait * 1000, 1 => wait * 20, _ => wait / 1000 };
            let base = if odd == 2 { 0x7000_0000 } else { u32::MAX - 20 };
            let (client, seq, ack) = ((CLIENT.0, 1000 + port), base.wrapping_add(seq), base.wrapping_add(ack));
            let (from, to) = if from_client { (client, SERVER) } else { (SERVER, client) };
            let frame = tcp(from, to, &flags, seq, ack, &b"abcdefghijkl"[..len]);
            pcap.cut_frame(now, &frame, frame.len() - if odd == 3 { len / 2 } else { 0 });
        }
        for options in [Options::default(), Options::default().max_connections(1).max_held(200, 150)] {
            sound(&pcap.events_with(options))?;
        }
    }

    #[test]
    fn random_records_never_panic(link in 0_u32..300, frames in proptest::collection::vec(any::<Vec<u8>>(), 0..20)) {
        let mut bytes = file_header(0xa1b2_3c4d, link);
        for frame in &frames {
            bytes.extend([0; 8]);
            bytes.extend((frame.len() as u32).to_le_bytes());
            bytes.extend((frame.len() as u32).to_le_bytes());
            bytes.extend(frame);
        }
        if let Ok(capture) = Capture::new(&bytes[..], Options::default()) {
            prop_assert!(capture.map(|batch| batch.unwrap().events.len()).sum::<usize>() <= 2 + 2 * frames.len());
        }
    }

    #[test]
    fn random_bytes_never_panic(magic in 0_usize..4, rest in any::<Vec<u8>>()) {
        let magic: [u8; 4] = [*b"\xd4\xc3\xb2\xa1", *b"\xa1\xb2\x3c\x4d", *b"\x34\xcd\xb2\xa1", *b"\x0a\x0d\x0d\x0a"][magic];
        if let Ok(capture) = Capture::new(&[&magic[..], &rest].concat()[..], Options::default()) {
            prop_assert!(capture.count() <= 2);
        }
    }

    #[test]
    fn flipped_bytes_never_panic(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30)) {
        let mut bytes = sample().0;
        for (at, value) in flips {
            *at.get_mut(&mut bytes[24..]) = value;
        }
        sound(&read(&bytes, Options::default()).0)?;
    }
}
