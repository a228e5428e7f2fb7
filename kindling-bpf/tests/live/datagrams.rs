//! UDP: one flow for each socket and peer.

use std::{io::ErrorKind, net::UdpSocket, os::fd::AsRawFd as _};

use kindling_core::{Direction, Endpoint, Event, Offsets, Role, Transport};

use crate::{
    child::{done, udp_pair, wait},
    harness::{paths, trace},
};

/// A client that connects and one that does not, to one server that does not; and an empty datagram.
pub(crate) fn udp(address: &str) {
    wait();
    let (server, _spare) = udp_pair(address);
    let to = server.local_addr().unwrap();
    let connected = UdpSocket::bind(address).unwrap();
    connected.connect(to).unwrap();
    let loose = UdpSocket::bind(address).unwrap();
    let mut buffer = [0; 64];
    for round in 0..2 {
        connected.send(format!("connected {round}").as_bytes()).unwrap();
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..len], from).unwrap();
        connected.recv(&mut buffer).unwrap();
        loose.send_to(format!("loose {round}").as_bytes(), to).unwrap();
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..len], from).unwrap();
        loose.recv_from(&mut buffer).unwrap();
    }
    loose.send_to(b"", to).unwrap();
    assert_eq!(server.recv_from(&mut buffer).unwrap().0, 0);
    done();
}

fn udp_over(address: &str) {
    for path in paths() {
        let trace = trace(path, &format!("udp {address}"));
        let opened = trace.opened();
        let ends: Vec<_> =
            opened.iter().map(|o| format!("{} {} {:?}", o.local, o.remote, trace.of_flow(o.flow).len())).collect();
        assert_eq!(opened.len(), 4, "{path}: {ends:#?}");
        for (ours, text) in [("connected", "connected 0connected 1"), ("loose", "loose 0loose 1")] {
            let starts = |o: &&&kindling_core::Opened, direction| {
                trace.segments(o.flow, direction).first().is_some_and(|s| s.data.starts_with(ours.as_bytes()))
            };
            let first = |o: &&&kindling_core::Opened, direction| {
                let at = |d| trace.segments(o.flow, d).first().map(|s| s.at);
                starts(o, direction) && at(direction) < at(direction.opposite())
            };
            let client = opened.iter().find(|o| first(o, Direction::Out)).unwrap();
            let server = opened.iter().find(|o| first(o, Direction::In)).unwrap();
            assert_eq!((&client.local, &client.remote), (&server.remote, &server.local), "{path}");
            assert!(matches!(client.remote, Endpoint::Inet(_)), "{path}");
            for flow in [client, server] {
                assert_eq!((flow.transport, flow.offsets), (Transport::Udp, Offsets::Datagram), "{path}");
                for direction in [Direction::Out, Direction::In] {
                    let data: Vec<u8> =
                        trace.segments(flow.flow, direction).iter().flat_map(|s| s.data.to_vec()).collect();
                    assert_eq!(String::from_utf8(data).unwrap(), text, "{path}");
                    assert!(trace.segments(flow.flow, direction).len() >= 2, "{path}: datagrams joined");
                }
            }
        }
        let empty = trace.events.iter().filter(|e| matches!(e, Event::Segment(s) if s.len == 0)).count();
        assert_eq!(empty, 2, "{path}: an empty datagram is a datagram, sent and received");
    }
}

#[test]
fn udp_v4() {
    udp_over("127.0.0.1:0");
}

#[test]
fn udp_v6() {
    udp_over("[::1]:0");
}

/// Two queries in one call and their answers in another, three times from the same memory, with a failing call between.
pub(crate) fn mmsg() {
    wait();
    let (server, client) = udp_pair("127.0.0.1:0");
    client.connect(server.local_addr().unwrap()).unwrap();
    server.connect(client.local_addr().unwrap()).unwrap();
    for round in 0..3u8 {
        let texts = [format!("first {round}"), format!("other {round}")];
        assert_eq!(send_many(&client, &texts), 2);
        server.set_nonblocking(true).unwrap();
        // Asks for more than there is, so the call ends with EAGAIN inside.
        assert_eq!(receive_many(&server, 4), 2);
        assert_eq!(server.recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    done();
}

fn send_many(socket: &UdpSocket, texts: &[String]) -> i32 {
    let mut vectors: Vec<libc::iovec> =
        texts.iter().map(|t| libc::iovec { iov_base: t.as_ptr().cast_mut().cast(), iov_len: t.len() }).collect();
    let mut messages: Vec<libc::mmsghdr> = vectors.iter_mut().map(message).collect();
    let count = u32::try_from(messages.len()).unwrap();
    // SAFETY: headers, vectors and texts are alive during the call.
    unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, 0) }
}

fn receive_many(socket: &UdpSocket, count: u32) -> i32 {
    let mut buffers = vec![[b'#'; 32]; count as usize];
    let mut vectors: Vec<libc::iovec> =
        buffers.iter_mut().map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: b.len() }).collect();
    let mut messages: Vec<libc::mmsghdr> = vectors.iter_mut().map(message).collect();
    // SAFETY: headers, vectors and buffers are alive during the call; no timeout.
    unsafe { libc::recvmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, 0, std::ptr::null_mut()) }
}

fn message(vector: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: all zero is a valid header: no name, no control data.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    header
}

#[test]
fn the_messages_of_one_call_keep_their_own_bytes() {
    for path in paths() {
        let trace = trace(path, "mmsg");
        assert_eq!(trace.opened().len(), 2, "{path}: {:#?}", trace.opened());
        for opened in trace.opened() {
            let out = trace.segments(opened.flow, Direction::Out);
            let segments = if out.is_empty() { trace.segments(opened.flow, Direction::In) } else { out };
            let texts: Vec<_> = segments.iter().map(|s| String::from_utf8(s.data.to_vec()).unwrap()).collect();
            assert_eq!(texts, ["first 0", "other 0", "first 1", "other 1", "first 2", "other 2"], "{path}");
        }
    }
}

#[test]
fn only_who_chose_the_peer_and_not_the_port_is_a_client() {
    for path in paths() {
        let trace = trace(path, "udp 127.0.0.1:0");
        let clients: Vec<_> = trace.opened().into_iter().filter(|o| o.role == Role::Client).collect();
        assert_eq!(clients.len(), 1, "{path}: {:#?}", trace.opened());
        let sent = trace.segments(clients[0].flow, Direction::Out);
        assert_eq!(sent[0].data, "connected 0", "{path}");
        assert!(trace.opened().iter().all(|o| o.role != Role::Server), "{path}");
    }
}
