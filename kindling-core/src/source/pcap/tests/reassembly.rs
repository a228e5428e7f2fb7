//! TCP bytes in order, each once.

use std::time::Duration;

use proptest::prelude::*;

use super::{Part, Pcap, bytes, parts};
use crate::{Direction::Out, Event, source::pcap::Options};

/// Pieces of a stream: where each starts and ends, covering all of it, some overlapping.
fn pieces() -> impl Strategy<Value = (Vec<u8>, Vec<(usize, usize)>, u32)> {
    let cuts = proptest::collection::vec((0_usize..2000, 0_usize..60, 0_usize..60), 0..40);
    let isn = prop_oneof![any::<u32>(), (0_u32..2000).prop_map(|n| u32::MAX - n)];
    (1_usize..2000, cuts, isn).prop_flat_map(|(len, cuts, isn)| {
        let stream: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let mut borders: Vec<_> = cuts.iter().map(|(at, ..)| at % len).chain([0, len]).collect();
        borders.sort_unstable();
        borders.dedup();
        let mut pieces: Vec<_> = borders.windows(2).map(|pair| (pair[0], pair[1])).collect();
        // Retransmissions, with other borders than the first time.
        pieces.extend(cuts.iter().map(|(at, before, after)| {
            let at = at % len;
            (at.saturating_sub(*before), (at + after + 1).min(len))
        }));
        (Just(stream), Just(pieces).prop_shuffle(), Just(isn))
    })
}

proptest! {
    #[test]
    fn any_cut_order_and_repetition_gives_the_same_bytes((stream, pieces, isn) in pieces()) {
        let mut pcap = Pcap::new();
        pcap.handshake(isn, 7);
        let first = isn.wrapping_add(1);
        for (from, to) in &pieces {
            pcap.client(30, "A", first.wrapping_add(*from as u32), 8, &stream[*from..*to]);
        }
        let events = pcap.events();
        prop_assert_eq!(bytes(&events, Out), stream);
        let starts = events.iter().filter_map(|event| match event {
            Event::Segment(segment) => Some(segment.offset as u32),
            _ => None,
        });
        prop_assert_eq!(starts.min_by_key(|at| at.wrapping_sub(first)), Some(first));
    }

    #[test]
    fn what_the_capture_missed_is_a_gap_of_its_size((stream, pieces, isn) in pieces(), lose in any::<u64>()) {
        let kept: Vec<_> = pieces.iter().enumerate().filter(|(n, _)| lose >> (n % 64) & 1 == 0).map(|(_, p)| *p).collect();
        let mut pcap = Pcap::new();
        pcap.handshake(isn, 7);
        let first = isn.wrapping_add(1);
        for (from, to) in &kept {
            pcap.client(30, "A", first.wrapping_add(*from as u32), 8, &stream[*from..*to]);
        }
        pcap.client(40, "FA", first.wrapping_add(stream.len() as u32), 8, b"");
        pcap.server(50, "A", 8, first.wrapping_add(stream.len() as u32 + 1), b"");
        pcap.frame(1_000_000, OTHER);
        let mut expected: Vec<Part> = Vec::new();
        for (at, byte) in stream.iter().enumerate() {
            let seen = kept.iter().any(|(from, to)| (*from..*to).contains(&at));
            match expected.last_mut() {
                Some(Part::Bytes(bytes)) if seen => bytes.push(*byte),
                Some(Part::Missing(len)) if !seen => *len += 1,
                _ if seen => expected.push(Part::Bytes(vec![*byte])),
                _ => expected.push(Part::Missing(1)),
            }
        }
        let events = pcap.events();
        prop_assert_eq!(parts(&events, Out), expected);
        // It was the acknowledgement that released them, not the end of the file.
        prop_assert!(moved(&events).all(|event| event.at() <= super::micros(50)));
    }
}

#[test]
fn sequence_numbers_wrap() {
    let mut pcap = Pcap::new();
    pcap.handshake(u32::MAX - 3, u32::MAX);
    pcap.client(30, "A", u32::MAX - 2, 0, b"abc");
    pcap.client(40, "A", 0, 0, b"def");
    pcap.server(50, "A", 0, 3, b"reply");
    let events = pcap.events();
    assert_eq!(bytes(&events, Out), b"abcdef");
    let offsets: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Segment(segment) => Some(segment.offset),
            _ => None,
        })
        .collect();
    assert_eq!(offsets, [(1 << 32) - 3, 1 << 32, 0], "64 bits, the low 32 are the wire's");
}

#[test]
fn the_first_copy_of_a_byte_wins() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.client(30, "A", 4, 1, b"DEF");
    pcap.client(40, "A", 1, 1, b"abcdefgh");
    pcap.client(50, "A", 1, 1, b"XXXXXXXXij");
    assert_eq!(bytes(&pcap.events(), Out), b"abcDEFghij");
}

#[test]
fn probes_add_nothing() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.client(30, "A", 1, 1, b"data");
    pcap.client(40, "A", 4, 1, b"\0");
    pcap.client(50, "A", 4, 1, b"");
    // A window probe sends the next byte, which comes again with the rest.
    pcap.client(60, "A", 5, 1, b"m");
    pcap.client(70, "A", 5, 1, b"more");
    assert_eq!(bytes(&pcap.events(), Out), b"datamore");
}

#[test]
fn a_keep_alive_probe_does_not_begin_a_stream() {
    let mut pcap = Pcap::new();
    pcap.server(0, "A", 100, 50, b"midstream");
    pcap.client(10, "A", 49, 109, b"\0");
    pcap.client(20, "A", 50, 109, b"real");
    assert_eq!(bytes(&pcap.events(), crate::Direction::In), b"real");
}

#[test]
fn a_hole_is_given_up_after_its_time() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.client(30, "A", 11, 1, b"after the hole");
    pcap.client(2_999_000, "A", 25, 1, b"!");
    pcap.frame(3_000_031, OTHER);
    pcap.frame(3_500_000, OTHER);
    let events = pcap.events();
    assert_eq!(parts(&events, Out), [Part::Missing(10), Part::Bytes(b"after the hole!".to_vec())]);
    let released = events.iter().find(|event| matches!(event, Event::Gap(_))).unwrap().at();
    assert_eq!(released, super::micros(3_000_031), "by time, not by the end of the file");
}

#[test]
fn an_acknowledgement_seen_before_its_data_releases_it_at_once() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.server(30, "A", 1, 21, b"");
    pcap.client(40, "A", 11, 1, b"0123456789");
    pcap.frame(1_000_000, OTHER);
    let events = pcap.events();
    assert_eq!(parts(&events, Out), [Part::Missing(10), Part::Bytes(b"0123456789".to_vec())]);
    assert!(moved(&events).all(|event| event.at() == super::micros(40)));
}

#[test]
fn what_waits_is_bounded_for_a_direction_and_in_all() {
    let far = Options::default().hole_timeout(Duration::from_secs(3600));
    for options in [far.clone().max_held(1 << 20, 10_000), far.max_held(10_000, 1 << 20)] {
        let mut pcap = Pcap::new();
        pcap.handshake(0, 0);
        for n in 0..20 {
            pcap.client(30 + u64::from(n), "A", 2 + n * 1000, 1, &[n as u8; 1000]);
        }
        let events = pcap.events_with(options);
        let gap = events.iter().find(|event| matches!(event, Event::Gap(_))).unwrap();
        assert_eq!(gap.at(), super::micros(39), "1096 bytes each: the tenth is too much");
        assert_eq!(parts(&events, Out)[0], Part::Missing(1));
    }
}

#[test]
fn nothing_follows_the_end_of_a_stream() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.client(30, "FA", 6, 1, b"fgh");
    pcap.client(40, "A", 8, 1, b"hXXX");
    pcap.client(50, "A", 1, 1, b"abcde");
    pcap.client(60, "A", 9, 1, b"beyond");
    assert_eq!(bytes(&pcap.events(), Out), b"abcdefgh");
}

#[test]
fn a_syn_counts_before_its_data() {
    let mut pcap = Pcap::new();
    pcap.client(0, "S", 100, 0, b"");
    pcap.server(10, "SA", 200, 101, b"greet");
    pcap.client(20, "A", 101, 206, b"");
    pcap.server(30, "A", 206, 101, b"ings");
    assert_eq!(bytes(&pcap.events(), crate::Direction::In), b"greetings");
}

#[test]
fn lengths_stay_true_where_frames_were_cut() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    let frame = super::tcp(super::CLIENT, super::SERVER, "A", 1, 1, &[7; 1000]);
    pcap.cut_frame(30, &frame, 14 + 20 + 20 + 96);
    pcap.client(40, "A", 1001, 1, b"next");
    let events = pcap.events();
    let lengths: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Segment(segment) => Some((segment.offset, segment.data.len(), segment.len)),
            _ => None,
        })
        .collect();
    assert_eq!(lengths, [(1, 96, 1000), (1001, 4, 4)]);
}

fn moved(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| matches!(event, Event::Segment(_) | Event::Gap(_)))
}

/// A frame that only moves time on.
const OTHER: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 6, 0, 1];
