//! A client of name servers, in a process of its own that can be traced: this test binary, started again.

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

/// Says what the child is to do.
pub(crate) const WORK: &str = "KINDLING_TEST_RESOLVER";

/// What makes a command of the child.
pub(crate) fn command() -> [String; 4] {
    let program = std::env::current_exe().unwrap().display().to_string();
    [program, "--exact".into(), "resolver::work".into(), "--nocapture".into()]
}

/// Not a test: the entry of the child.
#[test]
fn work() {
    let Ok(work) = std::env::var(WORK) else { return };
    let words: Vec<_> = work.split(' ').collect();
    let peer = |at: usize| -> SocketAddr { words[at].parse().unwrap() };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    match words[0] {
        "both" => both(&socket, peer(1), peer(2)),
        "silence" => {
            socket.send_to(&query(7, "nobody.test"), peer(1)).unwrap();
            std::thread::sleep(Duration::from_secs(words[2].parse().unwrap()));
        }
        other => panic!("no work {other}"),
    }
}

/// Ask two servers at once, from one socket, with the same ids, for the same names and for others.
fn both(socket: &UdpSocket, a: SocketAddr, b: SocketAddr) {
    for id in 0..50 {
        let names = if id % 2 == 0 { ["same.test"; 2] } else { ["host.test", "missing.test"] };
        socket.send_to(&query(id, names[0]), a).unwrap();
        socket.send_to(&query(id, names[1]), b).unwrap();
        for _ in 0..2 {
            let mut answer = [0; 512];
            let (len, from) = socket.recv_from(&mut answer).unwrap();
            assert!(len > 12 && answer[..2] == id.to_be_bytes() && (from == a || from == b));
        }
    }
}

/// One question for an address.
fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}
