//! Where flows begin and end.

use std::time::Duration;

use super::{CLIENT, Pcap, SERVER, bytes, kinds, tcp, udp};
use crate::{
    Direction::{In, Out},
    Endpoint, Event, Offsets, Opened, Role, Vantage,
    source::pcap::Options,
};

fn opened(events: &[Event]) -> Vec<&Opened> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Opened(opened) => Some(opened),
            _ => None,
        })
        .collect()
}

fn endpoint(end: ([u8; 4], u16)) -> Endpoint {
    std::net::SocketAddr::from(end).into()
}

#[test]
fn a_connection_from_handshake_to_close() {
    let mut pcap = Pcap::new();
    pcap.handshake(100, 200);
    pcap.client(30, "A", 101, 201, b"request");
    pcap.client(40, "FA", 108, 201, b"");
    // Half closed: the answer still comes.
    pcap.server(50, "A", 201, 109, b"response");
    pcap.server(60, "FA", 209, 109, b"");
    pcap.client(70, "A", 109, 210, b"");
    pcap.server(80, "FA", 209, 109, b"");
    let events = pcap.events();
    assert_eq!(kinds(&events), ["clock", "opened 1", "Out request", "In response", "Closed 1"]);
    let flow = opened(&events)[0];
    assert_eq!((&flow.local, &flow.remote), (&endpoint(CLIENT), &endpoint(SERVER)));
    assert_eq!((flow.role, flow.vantage, flow.offsets), (Role::Client, Vantage::Wire, Offsets::Tcp));
    assert_eq!((flow.midstream, flow.connect), (false, Some(Duration::from_micros(10))));
    assert_eq!((flow.first_out, flow.first_in), (Some(101), Some(201)));
    assert_eq!(events.last().unwrap().at(), super::micros(60));
}

#[test]
fn without_a_handshake_the_role_is_unknown() {
    let mut pcap = Pcap::new();
    pcap.server(0, "A", 5, 9, b"first to speak");
    pcap.client(10, "A", 9, 19, b"second");
    let events = pcap.events();
    assert_eq!(kinds(&events), ["clock", "opened 1", "Out first to speak", "In second", "SourceEnded 1"]);
    let flow = opened(&events)[0];
    assert_eq!((&flow.local, flow.role, flow.midstream), (&endpoint(SERVER), Role::Unknown, true));
    assert_eq!((flow.connect, flow.first_out, flow.first_in), (None, None, None));
}

#[test]
fn half_a_handshake_tells_the_role() {
    let mut answer = Pcap::new();
    answer.server(0, "SA", 200, 101, b"");
    answer.client(10, "A", 101, 201, b"x");
    let mut question = Pcap::new();
    question.client(0, "S", 100, 0, b"");
    question.client(10, "A", 101, 201, b"x");
    for pcap in [answer, question] {
        let events = pcap.events();
        assert_eq!(kinds(&events), ["clock", "opened 1", "Out x", "SourceEnded 1"]);
        let flow = opened(&events)[0];
        assert_eq!((&flow.local, flow.role), (&endpoint(CLIENT), Role::Client));
        assert_eq!((flow.midstream, flow.connect, flow.first_out), (false, None, Some(101)));
    }
}

#[test]
fn attempts_that_fail() {
    let mut refused = Pcap::new();
    refused.client(0, "S", 100, 0, b"");
    refused.server(250, "RA", 0, 101, b"");
    assert_eq!(kinds(&refused.events()), ["clock", "failed 111 after 250µs"]);

    let mut unanswered = Pcap::new();
    unanswered.client(0, "S", 100, 0, b"");
    unanswered.client(1_000_000, "S", 100, 0, b"");
    assert_eq!(kinds(&unanswered.events()), ["clock", "failed 110 after 1s"]);
    unanswered.frame(200_000_000, &udp(CLIENT, SERVER, b""));
    let events = unanswered.events();
    assert_eq!(kinds(&events)[1], "failed 110 after 200s");

    let mut young = Pcap::new();
    young.client(0, "S", 100, 0, b"");
    assert_eq!(kinds(&young.events()), ["clock"], "an answer may have come after the capture's end");

    let mut stray = Pcap::new();
    stray.client(0, "S", 100, 0, b"");
    stray.server(10, "RA", 0, 7, b"");
    stray.server(20, "SA", 200, 101, b"");
    assert_eq!(kinds(&stray.events()), ["clock", "opened 1", "SourceEnded 1"], "a reset of something else");
}

#[test]
fn early_data_counts_once_it_was_taken() {
    let mut taken = Pcap::new();
    taken.client(0, "S", 100, 0, b"early");
    taken.server(10, "SA", 200, 106, b"");
    taken.client(20, "A", 106, 201, b" late");
    let mut refused = Pcap::new();
    refused.client(0, "S", 100, 0, b"early");
    refused.server(10, "SA", 200, 101, b"");
    refused.client(20, "A", 101, 201, b"early late");
    for pcap in [taken, refused] {
        let events = pcap.events();
        assert_eq!(bytes(&events, Out), b"early late");
        assert_eq!(opened(&events)[0].first_out, Some(101));
    }
}

#[test]
fn a_reset_ends_a_flow_with_all_that_was_seen() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.client(30, "A", 3, 1, b"cd");
    pcap.server(40, "R", 1, 0, b"");
    pcap.client(50, "A", 5, 1, b"on its way");
    assert_eq!(kinds(&pcap.events()), ["clock", "opened 1", "Out gap 2", "Out cd", "Reset 1"]);
}

#[test]
fn a_missing_end_is_a_gap() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.client(30, "FA", 11, 1, b"");
    pcap.server(40, "FA", 1, 12, b"");
    assert_eq!(kinds(&pcap.events()), ["clock", "opened 1", "Out gap 10", "Closed 1"]);
}

#[test]
fn ports_are_used_again() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.client(30, "FA", 1, 1, b"");
    pcap.server(40, "FA", 1, 2, b"");
    pcap.client(45, "A", 2, 2, b"");
    pcap.client(50, "S", 5000, 0, b"");
    pcap.server(60, "SA", 6000, 5001, b"");
    pcap.client(70, "A", 5001, 6001, b"second");
    // The end of the second was not captured.
    pcap.client(80, "S", 9000, 0, b"");
    pcap.server(95, "SA", 9500, 9001, b"");
    pcap.client(100, "A", 9001, 9501, b"third");
    let events = pcap.events();
    let expected = [
        "clock",
        "opened 1",
        "Closed 1",
        "opened 2",
        "Out second",
        "Closed 2",
        "opened 3",
        "Out third",
        "SourceEnded 3",
    ];
    assert_eq!(kinds(&events), expected);
    assert_eq!(opened(&events)[2].connect, Some(Duration::from_micros(15)));
}

#[test]
fn a_stray_syn_does_not_end_a_connection() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.client(30, "S", 77_777, 0, b"");
    pcap.server(40, "A", 1, 1, b"challenge");
    pcap.client(50, "A", 1, 10, b"still here");
    let events = pcap.events();
    assert_eq!(kinds(&events), ["clock", "opened 1", "In challenge", "Out still here", "SourceEnded 1"]);
}

#[test]
fn what_cannot_belong_to_a_stream_invents_no_gap() {
    let far = 3_000_000_000;
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.client(30, "A", 1, 1, b"one");
    pcap.client(40, "A", far, 1, b"stray");
    pcap.client(50, "A", 4, 1, b"two");
    pcap.client(60_000_060, "A", far, 1, b"another connection");
    let expected =
        ["clock", "opened 1", "Out one", "Out two", "Idle 1", "opened 2", "Out another connection", "SourceEnded 2"];
    assert_eq!(kinds(&pcap.events()), expected);
}

#[test]
fn late_packets_open_nothing() {
    let mut pcap = Pcap::new();
    pcap.handshake(0, 0);
    pcap.client(30, "A", 1, 1, b"abc");
    pcap.client(40, "FA", 4, 1, b"");
    pcap.server(50, "FA", 1, 5, b"");
    pcap.client(60, "A", 1, 1, b"abc");
    pcap.server(70, "R", 2, 0, b"");
    pcap.client(80, "S", 0, 0, b"");
    pcap.server(90, "SA", 0, 1, b"");
    assert_eq!(kinds(&pcap.events()), ["clock", "opened 1", "Out abc", "Closed 1"]);
}

#[test]
fn datagrams_are_flows_until_idle() {
    let mut pcap = Pcap::new();
    pcap.frame(0, &udp(CLIENT, SERVER, b"ask"));
    pcap.frame(10, &udp(SERVER, CLIENT, b"answer"));
    pcap.frame(30_000_000, &udp(CLIENT, SERVER, b"again"));
    pcap.frame(90_000_000, &udp(CLIENT, SERVER, b"new"));
    let events = pcap.events();
    let expected =
        ["clock", "opened 1", "Out ask", "In answer", "Out again", "Idle 1", "opened 2", "Out new", "SourceEnded 2"];
    assert_eq!(kinds(&events), expected);
    assert_eq!(opened(&events)[0].offsets, Offsets::Datagram);
    let offset = |e: &Event| if let Event::Segment(s) = e { Some(s.offset) } else { None };
    let offsets: Vec<_> = events.iter().filter_map(offset).collect();
    assert_eq!(offsets, [0, 0, 3, 0]);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Tick(_))).count(), 2);
}

#[test]
fn the_longest_idle_flow_goes_for_the_limit() {
    let mut pcap = Pcap::new();
    let client = |n: u16| (CLIENT.0, 1000 + n);
    for n in 0..3 {
        pcap.frame(n.into(), &tcp(client(n), SERVER, "A", 1, 1, b"x"));
    }
    pcap.frame(3, &tcp(client(1), SERVER, "A", 2, 1, b"y"));
    pcap.frame(4, &tcp(client(3), SERVER, "A", 1, 1, b"z"));
    let events = pcap.events_with(Options::default().max_connections(2));
    let expected = [
        "clock",
        "opened 1",
        "Out x",
        "opened 2",
        "Out x",
        "opened 3",
        "Out x",
        "Idle 1",
        "Out y",
        "opened 4",
        "Out z",
        "Idle 3",
        "SourceEnded 2",
        "SourceEnded 4",
    ];
    assert_eq!(kinds(&events), expected);
    assert_eq!(bytes(&events, In), b"");
}
