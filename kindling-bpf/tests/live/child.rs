//! What traced children do. Each workload runs in a process of its own, started by [`crate::harness::Worker`].

use std::{
    fs::File,
    io::{BufRead as _, IoSlice, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsRawFd as _,
        unix::net::{UnixListener, UnixStream},
    },
    thread,
};

pub(crate) const WORKLOAD: &str = "KINDLING_TEST_WORKLOAD";

/// Not a test: the entry of the child.
#[test]
fn work() {
    let Ok(workload) = std::env::var(WORKLOAD) else { return };
    let (name, argument) = workload.split_once(' ').unwrap_or((&workload, ""));
    match name {
        "tcp" => tcp(argument),
        "tcp-sizes" => tcp_sizes(),
        "tcp-old" => tcp_old(),
        "tcp-burst" => tcp_burst(argument.parse().unwrap()),
        "tcp-bulk" => tcp_bulk(argument.parse().unwrap()),
        "tcp-stop-and-go" => tcp_stop_and_go(),
        "tcp-refused" => tcp_refused(argument),
        "tcp-reset" => tcp_reset(),
        "tcp-again" => tcp_again(),
        "unix" => unix(),
        "udp" => crate::datagrams::udp(argument),
        "mmsg" => crate::datagrams::mmsg(),
        "peek" => crate::truth::peek(),
        "sendfile" => crate::truth::sendfile(),
        "splice" => crate::truth::splice(),
        "uring" => crate::truth::uring(),
        "pass" => crate::processes::pass(),
        "receive" => crate::processes::receive(argument),
        "prefork" => crate::processes::prefork(),
        "spawn" => crate::processes::spawn(),
        "probe" => crate::handles::probe_and_wait(),
        "embed" => crate::namespaces::embed(argument),
        "nothing" => {
            wait();
            done();
        }
        other => panic!("no workload {other}"),
    }
}

/// Say `text` to the parent.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@ {text}").unwrap();
    out.flush().unwrap();
}

/// Wait until the parent says so.
pub(crate) fn pause(text: &str) {
    say(text);
    let mut line = String::new();
    assert!(std::io::stdin().lock().read_line(&mut line).unwrap() > 0, "the parent went away");
}

/// Wait for the probe to be there.
pub(crate) fn wait() {
    pause("ready");
}

/// All is done; wait for the parent to have looked.
pub(crate) fn done() {
    say("done");
    let mut line = String::new();
    // Ends when the parent closes our input.
    let _ = std::io::stdin().lock().read_line(&mut line);
}

/// Bytes that tell where they are: no stretch of seven repeats within 64 KiB.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A connected pair over `address`, the accepted end second.
pub(crate) fn pair(address: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

pub(crate) fn exactly(from: &mut impl std::io::Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).unwrap();
    bytes
}

/// Three requests and replies, then an orderly end.
fn tcp(address: &str) {
    wait();
    let (mut client, mut server) = pair(address);
    for i in 0..3 {
        client.write_all(format!("request {i};").as_bytes()).unwrap();
        exactly(&mut server, 10);
        server.write_all(format!("reply {i};").as_bytes()).unwrap();
        exactly(&mut client, 8);
    }
    drop(client);
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
    drop(server);
    done();
}

pub(crate) const SIZES: [usize; 12] = [1, 100, 256, 257, 1024, 1025, 4096, 4097, 16384, 16385, 20000, 60000];

/// One write and one vectored write of each size.
fn tcp_sizes() {
    wait();
    let (mut client, mut server) = pair("127.0.0.1:0");
    for size in SIZES {
        let bytes = pattern(size);
        // The receiver reads while the sender writes, so that neither waits for the other.
        let reader = thread::spawn(move || {
            exactly(&mut server, 2 * size);
            server
        });
        client.write_all(&bytes).unwrap();
        let (a, rest) = bytes.split_at(size / 3);
        let (b, c) = rest.split_at(rest.len() / 2);
        let vector = [IoSlice::new(a), IoSlice::new(&[]), IoSlice::new(b), IoSlice::new(c)];
        assert_eq!(client.write_vectored(&vector).unwrap(), size);
        server = reader.join().unwrap();
    }
    done();
}

/// Connections that are older than the probe: one with bytes exchanged, one without.
fn tcp_old() {
    let (mut client, mut server) = pair("127.0.0.1:0");
    let (mut fresh_client, mut fresh_server) = pair("127.0.0.1:0");
    client.write_all(b"before").unwrap();
    exactly(&mut server, 6);
    server.write_all(b"early").unwrap();
    exactly(&mut client, 5);
    // A listener that asked for no backlog leaves no trace of it in what it accepted.
    let (mut plain_client, mut plain_server) = pair_without_backlog();
    wait();
    for (client, server) in
        [(&mut client, &mut server), (&mut fresh_client, &mut fresh_server), (&mut plain_client, &mut plain_server)]
    {
        client.write_all(b"after").unwrap();
        exactly(server, 5);
        server.write_all(b"late").unwrap();
        exactly(client, 4);
    }
    say(&fresh_client.local_addr().unwrap().port().to_string());
    say(&plain_client.local_addr().unwrap().port().to_string());
    done();
}

fn pair_without_backlog() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: takes no pointers.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// `count` small sends, received in one thread.
fn tcp_burst(count: usize) {
    wait();
    let (mut client, mut server) = pair("127.0.0.1:0");
    let reader = thread::spawn(move || exactly(&mut server, count * 100));
    for _ in 0..count {
        client.write_all(&[b'x'; 100]).unwrap();
    }
    reader.join().unwrap();
    done();
}

/// That many writes of 16 KiB.
fn tcp_bulk(count: usize) {
    wait();
    let (mut client, mut server) = pair("127.0.0.1:0");
    let reader = thread::spawn(move || exactly(&mut server, count * 16384));
    for _ in 0..count {
        client.write_all(&[b'x'; 16384]).unwrap();
    }
    reader.join().unwrap();
    done();
}

/// Writes of 1000 bytes, one each time the parent says so.
fn tcp_stop_and_go() {
    wait();
    let (mut client, mut server) = pair("127.0.0.1:0");
    for i in 0..4u8 {
        client.write_all(&[b'a' + i; 1000]).unwrap();
        exactly(&mut server, 1000);
        pause("wrote");
    }
    done();
}

/// A connection to a port where nobody listens.
fn tcp_refused(address: &str) {
    wait();
    let address: SocketAddr = address.parse().unwrap();
    assert!(TcpStream::connect(address).is_err());
    done();
}

/// One socket, connected to one peer and then to another.
fn tcp_again() {
    wait();
    let listeners = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let mut client = TcpStream::connect(listeners[0].local_addr().unwrap()).unwrap();
    let fd = client.as_raw_fd();
    client.write_all(b"to the first").unwrap();
    exactly(&mut listeners[0].accept().unwrap().0, 12);
    // SAFETY: all zero is a valid address, of no family; a live address is given with its size.
    unsafe {
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        let size = libc::socklen_t::try_from(size_of_val(&address)).unwrap();
        assert_eq!(libc::connect(fd, (&raw const address).cast(), size), 0);
        address.sin_family = libc::AF_INET.try_into().unwrap();
        address.sin_port = listeners[1].local_addr().unwrap().port().to_be();
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        assert_eq!(libc::connect(fd, (&raw const address).cast(), size), 0);
    }
    client.write_all(b"to the second").unwrap();
    exactly(&mut listeners[1].accept().unwrap().0, 13);
    done();
}

/// A connection that ends with a reset: closed with bytes unread.
fn tcp_reset() {
    wait();
    let (mut client, server) = pair("127.0.0.1:0");
    client.write_all(b"never read").unwrap();
    thread::sleep(std::time::Duration::from_millis(20));
    drop(server);
    assert!(client.read(&mut [0; 8]).is_err());
    drop(client);
    done();
}

/// A named Unix socket, and a pair.
fn unix() {
    wait();
    let folder = std::env::temp_dir().join(format!("kindling-unix-{}", std::process::id()));
    let _ = std::fs::remove_file(&folder);
    let listener = UnixListener::bind(&folder).unwrap();
    let mut client = UnixStream::connect(&folder).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"to the server").unwrap();
    exactly(&mut server, 13);
    server.write_all(b"to the client").unwrap();
    exactly(&mut client, 13);
    drop(server);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    let (mut left, mut right) = UnixStream::pair().unwrap();
    left.write_all(b"left to right").unwrap();
    exactly(&mut right, 13);
    std::fs::remove_file(&folder).unwrap();
    say(&folder.display().to_string());
    done();
}

/// A file with `bytes` that nobody else sees.
pub(crate) fn file_with(bytes: &[u8]) -> File {
    use std::os::fd::FromRawFd as _;
    // SAFETY: a terminated name; the descriptor is new and ours.
    let mut file = unsafe { File::from_raw_fd(libc::memfd_create(c"test".as_ptr(), 0)) };
    file.write_all(bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

pub(crate) fn udp_pair(address: &str) -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind(address).unwrap(), UdpSocket::bind(address).unwrap())
}
