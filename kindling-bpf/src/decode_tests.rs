//! The decoder on records as the kernel writes them, cut and garbled.

use std::time::Duration;

use kindling_core::{Cause, CloseReason, Direction, Event, Offsets, Timestamp};
use proptest::prelude::*;

use super::{Decoder, record};
use crate::arena::Arena;

fn decode(records: &[Vec<u8>]) -> (Vec<Event>, u64) {
    let mut decoder = Decoder::new(Duration::from_secs(60), vec![(0x8001, |data| data.len() == 8)]);
    let (mut arena, mut events) = (Arena::default(), Vec::new());
    for record in records {
        decoder.record(record, &mut arena, &mut events);
    }
    (events, decoder.take_rejected())
}

/// A record by hand: header, words of the body, payload.
fn record(tag: u16, flow: u64, body: &[u32], payload: &[u8]) -> Vec<u8> {
    let len = record::HEADER + body.len() * 4 + payload.len();
    let mut bytes = Vec::new();
    bytes.extend(tag.to_ne_bytes());
    bytes.extend(3u16.to_ne_bytes());
    bytes.extend(u32::try_from(len).unwrap().to_ne_bytes());
    bytes.extend(1000u64.to_ne_bytes());
    bytes.extend(flow.to_ne_bytes());
    for word in [7u32, 8, 7, 8] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(99u64.to_ne_bytes());
    bytes.extend(*b"worker\0\0\0\0\0\0\0\0\0\0");
    for word in body {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(payload);
    // The kernel reserves in steps, so what follows is anything.
    bytes.extend([0xee; 16]);
    bytes
}

fn segment(seq: u32, moved: u32, skipped: u32, before: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
    let captured = u32::try_from(payload.len()).unwrap();
    let mut body = vec![seq, moved, skipped, captured, before, 0, flags, 0];
    body.extend([0; 12]);
    record(record::tag::SEGMENT, 5, &body, payload)
}

/// A flow of TCP whose directions begin at these sequence numbers.
fn opened(first_out: u32, first_in: u32) -> Vec<u8> {
    let mut body = vec![0; 12];
    body.extend([0, 0, first_out, first_in, 0, 0]);
    record(record::tag::FLOW_INET, 5, &body, b"")
}

fn spans(events: &[Event]) -> Vec<(u64, u64, Vec<u8>)> {
    let span = |e: &Event| match e {
        Event::Segment(s) => Some((s.offset, s.len, s.data.to_vec())),
        _ => None,
    };
    events.iter().filter_map(span).collect()
}

#[test]
fn offsets_go_on_when_sequence_numbers_wrap() {
    let (events, rejected) =
        decode(&[opened(0xffff_fffe, 0), segment(0xffff_fffe, 4, 0, 0, 0, b"abcd"), segment(2, 2, 0, 0, 0, b"ef")]);
    assert_eq!(rejected, 0);
    let Event::Opened(flow) = &events[0] else { panic!("{events:?}") };
    assert_eq!((flow.first_out, flow.offsets), (Some(0x1_ffff_fffe), Offsets::Tcp));
    assert_eq!(spans(&events), [(0x1_ffff_fffe, 4, b"abcd".to_vec()), (0x2_0000_0002, 2, b"ef".to_vec())]);
}

#[test]
fn what_nobody_wanted_is_a_segment_of_its_own() {
    let (events, _) = decode(&[opened(0, 0), segment(100, 10, 4, 0, 0, b"abc")]);
    let lap = 1 << 32;
    assert_eq!(spans(&events), [(lap + 100, 4, vec![]), (lap + 104, 6, b"abc".to_vec())]);
}

#[test]
fn bytes_past_the_hooks_come_before_the_segment() {
    let (events, _) = decode(&[opened(0, 0), segment(30, 5, 0, 30, record::flag::SEG_IN, b"hello")]);
    let Event::Gap(gap) = &events[1] else { panic!("{events:?}") };
    assert_eq!((gap.offset, gap.len, gap.cause, gap.direction), (1 << 32, 30, Cause::Unhooked, Direction::In));
    assert!(matches!(&events[2], Event::Segment(s) if s.offset == (1 << 32) + 30));
}

#[test]
fn two_writers_at_once_show_no_bytes_and_no_byte_twice() {
    let contradicts = record::flag::SEG_CONTRADICTS;
    // Both calls had ended when the first looked, so both say the last 100 bytes were theirs.
    let (events, _) = decode(&[
        opened(0, 0),
        segment(100, 100, 0, 100, contradicts, b""),
        segment(100, 100, 0, 0, contradicts, b""),
        segment(200, 1, 0, 0, 0, b"x"),
    ]);
    let gaps: Vec<_> =
        events.iter().filter_map(|e| if let Event::Gap(g) = e { Some((g.offset, g.len)) } else { None }).collect();
    assert_eq!(gaps, [(1 << 32, 200)]);
    assert_eq!(spans(&events), [((1 << 32) + 200, 1, b"x".to_vec())]);
}

#[test]
fn a_flow_whose_opening_was_lost_is_opened_all_the_same() {
    let (events, _) = decode(&[segment(9, 1, 0, 0, 0, b"x"), segment(10, 1, 0, 0, 0, b"y")]);
    assert!(matches!(&events[0], Event::Opened(o) if o.midstream && o.task.unwrap().tid == 8));
    assert_eq!(events.len(), 3);
}

#[test]
fn a_socket_taken_over_by_an_upper_layer_is_another_flow() {
    let counted = record::flag::SEG_COUNTED;
    let (events, _) = decode(&[opened(0, 0), segment(0, 1, 0, 0, 0, b"x"), segment(0, 1, 0, 0, counted, b"y")]);
    assert!(matches!(events[2], Event::Closed(_)));
    assert!(matches!(&events[3], Event::Opened(o) if o.offsets == Offsets::Counted));
    assert!(matches!(&events[4], Event::Segment(s) if s.offset == 0));
}

/// As [`opened`], between other ends.
fn opened_between(local_port: u16, remote: [u8; 4], first_out: u32, flags: u32) -> Vec<u8> {
    let ports = u32::from(local_port) | 80 << 16;
    let mut body = vec![0, 0, 0xffff_0000, 0x0100_007f, 0, 0, 0xffff_0000, u32::from_ne_bytes(remote), ports, 2, 0, 0];
    body.extend([0, 0, first_out, 0, flags, 0]);
    record(record::tag::FLOW_INET, 5, &body, b"")
}

#[test]
fn a_socket_connected_again_is_another_flow() {
    let connect = record::flag::FLOW_CONNECT;
    let first = opened_between(1000, [10, 0, 0, 1], 100, connect);
    let others = [
        opened_between(1000, [10, 0, 0, 2], 100, connect),
        opened_between(1001, [10, 0, 0, 1], 100, connect),
        opened_between(1000, [10, 0, 0, 1], 900, connect),
        // Its opening found no room, so it is told when bytes move.
        opened_between(1000, [10, 0, 0, 2], 900, record::flag::FLOW_MIDSTREAM),
    ];
    for again in others {
        let (events, _) =
            decode(&[first.clone(), segment(100, 1, 0, 0, 0, b"x"), again, segment(900, 1, 0, 0, 0, b"y")]);
        assert!(matches!(&events[2], Event::Closed(c) if c.stats.is_none()), "{events:?}");
        let Event::Opened(opened) = &events[3] else { panic!("{events:?}") };
        assert!(opened.midstream || opened.first_out.is_some());
        assert_eq!(spans(&events), [((1 << 32) + 100, 1, b"x".to_vec()), ((1 << 32) + 900, 1, b"y".to_vec())]);
        assert!(!events.iter().any(|e| matches!(e, Event::Gap(_))), "{events:?}");
    }
}

#[test]
fn a_flow_told_twice_goes_on() {
    let first = opened_between(1000, [10, 0, 0, 1], 100, record::flag::FLOW_CONNECT);
    let again = opened_between(1000, [10, 0, 0, 1], 100, record::flag::FLOW_MIDSTREAM);
    let (events, _) =
        decode(&[first.clone(), segment(100, 1, 0, 0, 0, b"x"), again, first, segment(101, 1, 0, 0, 0, b"y")]);
    assert_eq!(events.len(), 3, "{events:?}");
}

#[test]
fn connecting_again_in_vain_ends_what_was() {
    let mut body = vec![0; 12];
    body.extend([0, 0, 111, 0]);
    let (events, _) = decode(&[opened(0, 0), record(record::tag::CONNECT_FAILED, 5, &body, b"")]);
    assert!(matches!(&events[1..], [Event::Closed(_), Event::ConnectFailed(f)] if f.errno == 111), "{events:?}");
}

#[test]
fn flows_opened_over_and_over_leave_no_notes() {
    let mut decoder = Decoder::new(Duration::from_secs(60), Vec::new());
    let (mut arena, mut events) = (Arena::default(), Vec::new());
    let unix = record::flag::SEG_UNIX | record::flag::SEG_COUNTED;
    for _ in 0..1000 {
        decoder.record(&segment(0, 1, 0, 0, unix, b"x"), &mut arena, &mut events);
        decoder.record(&segment(0, 0, 0, 0, unix | record::flag::SEG_ENDED, b""), &mut arena, &mut events);
        assert!(decoder.idle.len() <= 20, "{}", decoder.idle.len());
    }
}

#[test]
fn idle_flows_end() {
    let mut decoder = Decoder::new(Duration::from_nanos(100), Vec::new());
    let (mut arena, mut events) = (Arena::default(), Vec::new());
    let mut datagram = segment(0, 1, 0, 0, 0, b"x");
    datagram[..2].copy_from_slice(&record::tag::DATAGRAM.to_ne_bytes());
    decoder.record(&datagram, &mut arena, &mut events);
    decoder.expire(Timestamp::from_nanos(1099), &mut events);
    assert_eq!(events.len(), 2);
    decoder.expire(Timestamp::from_nanos(1100), &mut events);
    assert!(matches!(&events[2], Event::Closed(c) if c.reason == CloseReason::Idle));
    decoder.record(&datagram, &mut arena, &mut events);
    assert!(matches!(&events[3], Event::Opened(_)));
}

#[test]
fn users_records_are_held_against_their_type() {
    let good = record(0x8001, 5, &[1, 2], b"");
    let (events, rejected) = decode(&[good, record(0x8001, 5, &[1], b""), record(0x8002, 0, &[], b"any")]);
    assert_eq!((events.len(), rejected), (2, 1));
    assert!(matches!(&events[1], Event::Custom(c) if c.data == "any" && c.tag == 0x8002));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_counted(records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20)) {
        let (_, rejected) = decode(&records);
        prop_assert!(rejected <= records.len() as u64);
    }

    #[test]
    fn garbled_records_never_show_more_than_moved(
        tag in 0u16..12, words in proptest::collection::vec(any::<u32>(), 0..80), len in any::<u32>(), cut in 0usize..400,
    ) {
        let mut bytes = record(tag, 5, &words, &[b'p'; 64]);
        if len % 2 == 0 {
            bytes[4..8].copy_from_slice(&len.to_ne_bytes());
        }
        bytes.truncate(cut);
        let (events, rejected) = decode(&[opened(0, 0), bytes]);
        prop_assert!(rejected <= 1);
        for event in &events {
            if let Event::Segment(s) = event {
                prop_assert!(s.data.len() as u64 <= s.len);
            }
        }
    }

    #[test]
    fn every_prefix_of_a_record_is_refused(cut in 0usize..1000) {
        let whole = segment(1, 100, 0, 0, 0, &[b'z'; 100]);
        let mut bytes = whole[..whole.len() - 16].to_vec();
        let cut = cut % bytes.len();
        bytes.truncate(cut);
        let (events, rejected) = decode(&[bytes]);
        prop_assert_eq!((events.len(), rejected), (0, 1));
    }
}
