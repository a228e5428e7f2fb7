//! TCP and Unix streams.

use std::time::Duration;

use kindling_core::{CloseReason, Direction, Endpoint, Event, Offsets, Role, Transport};

use crate::{
    child::{SIZES, pattern},
    harness::{Trace, Worker, paths, settle, trace},
};

fn tcp_over(address: &str) {
    for path in paths() {
        let trace = trace(path, &format!("tcp {address}"));
        let client = trace.flow(|o| o.role == Role::Client);
        let server = trace.flow(|o| o.role == Role::Server);
        for (flow, out, incoming) in [(client, Direction::Out, Direction::In), (server, Direction::In, Direction::Out)]
        {
            assert_eq!(trace.text(flow.flow, out), "request 0;request 1;request 2;", "{path}");
            assert_eq!(trace.text(flow.flow, incoming), "reply 0;reply 1;reply 2;", "{path}");
            assert_eq!((flow.transport, flow.offsets, flow.midstream), (Transport::Tcp, Offsets::Tcp, false), "{path}");
            let first = trace.segments(flow.flow, Direction::Out)[0].offset;
            assert_eq!(flow.first_out, Some(first), "{path}");
            assert!(flow.netns != 0);
            assert_eq!(flow.task.unwrap().pid, trace.pid, "{path}");
        }
        assert_eq!((&client.local, &client.remote), (&server.remote, &server.local), "{path}");
        assert!(client.connect.is_some_and(|c| c < Duration::from_secs(1)), "{path}: {client:?}");
        // Both ends of a connection agree on the low 32 bits of every offset.
        let low = |offset: Option<u64>| offset.unwrap() & u64::from(u32::MAX);
        assert_eq!(low(client.first_out), low(server.first_in), "{path}");
        assert_eq!(low(client.first_in), low(server.first_out), "{path}");
        ended(&trace, client.flow, 30, 24);
        ended(&trace, server.flow, 24, 30);
        assert_eq!(trace.lost(), Vec::<&kindling_core::Lost>::new(), "{path}");
    }
}

fn ended(trace: &Trace, flow: kindling_core::FlowId, sent: u64, received: u64) {
    let Some(Event::Closed(closed)) = trace.of_flow(flow).last().copied() else { panic!("no end of {flow}") };
    assert_eq!(closed.reason, CloseReason::Closed, "{}", trace.path);
    let stats = closed.stats.unwrap();
    assert_eq!((stats.bytes_out, stats.bytes_in), (sent, received), "{}", trace.path);
    assert_eq!(stats.retransmits, 0);
    assert!(!stats.rtt.is_zero() && stats.rtt < Duration::from_secs(1), "{stats:?}");
}

#[test]
fn tcp_v4() {
    tcp_over("127.0.0.1:0");
}

#[test]
fn tcp_v6() {
    tcp_over("[::1]:0");
}

#[test]
fn payload_is_a_true_prefix_at_every_size() {
    for path in paths() {
        let trace = trace(path, "tcp-sizes");
        let client = trace.flow(|o| o.role == Role::Client);
        let sent = trace.segments(client.flow, Direction::Out);
        let expected: Vec<usize> = SIZES.iter().flat_map(|&size| [size, size]).collect();
        assert_eq!(sent.len(), expected.len(), "{path}");
        for (segment, size) in sent.iter().zip(expected) {
            assert_eq!(segment.len, size as u64, "{path}");
            assert_eq!(segment.data.len(), size.min(16384), "{path}");
            assert!(pattern(size).starts_with(&segment.data), "{path}: another buffer's bytes at size {size}");
        }
        let whole: Vec<u8> = SIZES.iter().flat_map(|&size| [pattern(size), pattern(size)]).flatten().collect();
        let server = trace.flow(|o| o.role == Role::Server);
        let received = trace.bytes(server.flow, Direction::In);
        assert_eq!(received.len(), whole.len(), "{path}");
        let shown = received.iter().filter(|b| b.is_some()).count();
        assert!(shown >= 100_000, "{path}: only {shown} bytes were shown");
        assert!(received.iter().zip(&whole).all(|(got, sent)| got.is_none_or(|got| got == *sent)), "{path}");
    }
}

#[test]
fn connections_older_than_the_probe_have_their_role() {
    for path in paths() {
        let mut worker = Worker::start("tcp-old");
        let targets = kindling_bpf::Targets::new().process(worker.pid());
        let probe = kindling_bpf::Probe::builder().targets(targets).path(path).start().unwrap();
        worker.go();
        let fresh: u16 = worker.line().parse().unwrap();
        let plain: u16 = worker.line().parse().unwrap();
        assert_eq!(worker.line(), "done");
        let trace = Trace { path, pid: worker.pid(), events: settle(&probe) };
        worker.finish();
        assert_eq!(trace.opened().len(), 6, "{path}: {:#?}", trace.opened());
        for opened in trace.opened() {
            let ports = [opened.local.port(), opened.remote.port()];
            let client = trace.text(opened.flow, Direction::Out) == "after";
            assert_eq!(opened.role, if client { Role::Client } else { Role::Server }, "{path}: {opened:?}");
            assert_eq!(trace.text(opened.flow, Direction::In), if client { "late" } else { "after" }, "{path}");
            // The first connection had bytes before; the others are seen from their first byte on.
            let seen_whole = ports.contains(&Some(fresh)) || ports.contains(&Some(plain));
            assert_eq!(opened.midstream, !seen_whole, "{path}: {opened:?}");
            assert_eq!(opened.first_out.is_some(), seen_whole, "{path}");
        }
    }
}

#[test]
fn a_refused_connection_is_told_with_its_error() {
    for path in paths() {
        for address in ["127.0.0.1:1", "[::1]:1"] {
            let trace = trace(path, &format!("tcp-refused {address}"));
            let failed =
                trace.events.iter().filter_map(|e| if let Event::ConnectFailed(f) = e { Some(f) } else { None });
            let failed: Vec<_> = failed.collect();
            assert_eq!(failed.len(), 1, "{path}");
            assert_eq!(failed[0].errno, libc::ECONNREFUSED, "{path}");
            assert_eq!(failed[0].remote.to_string(), address, "{path}");
            assert_eq!(failed[0].task.unwrap().pid, trace.pid, "{path}");
            assert!(!failed[0].after.is_zero() && failed[0].after < Duration::from_secs(1), "{path}: {:?}", failed[0]);
            assert!(trace.opened().is_empty(), "{path}");
        }
    }
}

#[test]
fn a_reset_is_told_from_an_end() {
    for path in paths() {
        let trace = trace(path, "tcp-reset");
        let client = trace.flow(|o| o.role == Role::Client);
        let Some(Event::Closed(closed)) = trace.of_flow(client.flow).last().copied() else { panic!("no end") };
        assert_eq!(closed.reason, CloseReason::Reset, "{path}");
        assert_eq!(trace.text(client.flow, Direction::Out), "never read", "{path}");
    }
}

#[test]
fn unix_streams() {
    for path in paths() {
        let mut worker = Worker::start("unix");
        let targets = kindling_bpf::Targets::new().process(worker.pid());
        let probe = kindling_bpf::Probe::builder().targets(targets).path(path).start().unwrap();
        worker.go();
        let name = worker.line();
        assert_eq!(worker.line(), "done");
        let trace = Trace { path, pid: worker.pid(), events: settle(&probe) };
        worker.finish();
        // The child's pipes to its parent are no sockets.
        let named = Endpoint::Unix(name.as_str().into());
        let client = trace.flow(|o| o.remote == named);
        let server = trace.flow(|o| o.local == named);
        assert_eq!((client.role, client.transport, client.offsets), (Role::Client, Transport::Unix, Offsets::Counted));
        assert_eq!(server.role, Role::Server);
        assert!(matches!((&client.local, &server.remote), (Endpoint::Unnamed(a), Endpoint::Unnamed(b)) if a == b));
        assert_eq!(trace.text(client.flow, Direction::Out), "to the server", "{path}");
        assert_eq!(trace.text(server.flow, Direction::In), "to the server", "{path}");
        assert_eq!(trace.text(client.flow, Direction::In), "to the client", "{path}");
        assert_eq!(trace.segments(client.flow, Direction::In)[0].offset, 0, "{path}");
        let Some(Event::Closed(closed)) = trace.of_flow(client.flow).last().copied() else { panic!("no end") };
        assert_eq!(closed.reason, CloseReason::Closed, "{path}");
        let left = trace.flow(|o| {
            matches!((&o.local, &o.remote), (Endpoint::Unnamed(_), Endpoint::Unnamed(_))) && {
                !trace.segments(o.flow, Direction::Out).is_empty()
            }
        });
        assert_eq!(trace.text(left.flow, Direction::Out), "left to right", "{path}");
    }
}

#[test]
fn a_socket_connected_again_is_another_flow() {
    for path in paths() {
        let trace = trace(path, "tcp-again");
        let clients: Vec<_> = trace.opened().into_iter().filter(|o| o.role == Role::Client).collect();
        assert_eq!(clients.len(), 2, "{path}: {clients:#?}");
        assert_ne!(clients[0].remote, clients[1].remote, "{path}");
        // What moved, by the peer that was opened last.
        let mut told: Vec<(&Endpoint, Vec<u8>)> = Vec::new();
        let mut open = false;
        for event in trace.of_flow(clients[0].flow) {
            match event {
                Event::Opened(o) => {
                    assert!(!open, "{path}: opened twice");
                    told.push((&o.remote, Vec::new()));
                    open = true;
                }
                Event::Closed(_) => open = false,
                Event::Segment(s) => told.last_mut().unwrap().1.extend_from_slice(&s.data),
                _ => {}
            }
        }
        let expected =
            [(&clients[0].remote, b"to the first".to_vec()), (&clients[1].remote, b"to the second".to_vec())];
        assert_eq!(told, expected, "{path}");
    }
}
