//! Never another buffer's bytes; lengths right all the same.

use std::{
    io::{Read as _, Write as _},
    os::fd::AsRawFd as _,
    thread,
    time::Duration,
};

use kindling_bpf::Path;
use kindling_core::{Cause, Direction, Event, Gap, Role};

use crate::{
    child::{done, exactly, file_with, pair, pause, wait},
    harness::{Trace, paths, trace},
    uring::Uring,
};

/// Peeks, a read that throws away, and a read after both.
pub(crate) fn peek() {
    wait();
    let (mut client, mut server) = pair("127.0.0.1:0");
    client.write_all(b"peeked|thrown|kept").unwrap();
    let mut buffer = [0u8; 64];
    let receive = |buffer: &mut [u8], len: usize, flags| {
        // SAFETY: the buffer is alive and at least `len` long.
        unsafe { libc::recv(server.as_raw_fd(), buffer.as_mut_ptr().cast(), len, flags) }
    };
    thread::sleep(Duration::from_millis(20));
    for _ in 0..3 {
        assert_eq!(receive(&mut buffer, 18, libc::MSG_PEEK), 18);
    }
    assert_eq!(receive(&mut buffer, 7, 0), 7);
    buffer.fill(b'#');
    assert_eq!(receive(&mut buffer, 7, libc::MSG_TRUNC), 7);
    assert_eq!(buffer[0], b'#', "the kernel throws them away");
    assert_eq!(exactly(&mut server, 4), b"kept");
    done();
}

#[test]
fn a_peek_moves_nothing_and_a_truncation_shows_nothing() {
    for path in paths() {
        let trace = trace(path, "peek");
        let server = trace.flow(|o| o.role == Role::Server);
        let segments = trace.segments(server.flow, Direction::In);
        let shown: Vec<_> = segments.iter().map(|s| (s.len, s.data.as_ref())).collect();
        assert_eq!(shown, [(7, &b"peeked|"[..]), (7, b""), (4, b"kept")], "{path}");
        assert!(gaps(&trace, server.flow).is_empty(), "{path}");
    }
}

/// A file sent without passing through the program.
pub(crate) fn sendfile() {
    wait();
    let (mut client, mut server) = pair("127.0.0.1:0");
    client.write_all(b"head;").unwrap();
    let file = file_with(&[b'f'; 5000]);
    let mut sent = 0;
    while sent < 5000 {
        // SAFETY: two open descriptors; no offset.
        let n = unsafe { libc::sendfile(client.as_raw_fd(), file.as_raw_fd(), std::ptr::null_mut(), 5000 - sent) };
        sent += usize::try_from(n).unwrap();
    }
    client.write_all(b"tail;").unwrap();
    exactly(&mut server, 5010);
    done();
}

#[test]
fn sendfile_has_a_length_and_no_bytes() {
    for path in paths() {
        let trace = trace(path, "sendfile");
        let client = trace.flow(|o| o.role == Role::Client);
        let bytes = trace.bytes(client.flow, Direction::Out);
        assert_eq!(bytes.len(), 5010, "{path}");
        assert_eq!(bytes.iter().filter(|b| b.is_some()).count(), 10, "{path}");
        assert!(
            !trace.shows(b"fff") || trace.segments(client.flow, Direction::Out).iter().all(|s| !s.data.contains(&b'f'))
        );
        let segments = trace.segments(client.flow, Direction::Out);
        assert_eq!(segments.first().unwrap().data, "head;", "{path}");
        assert_eq!(segments.last().unwrap().data, "tail;", "{path}");
        assert!(gaps(&trace, client.flow).is_empty(), "{path}");
    }
}

/// A proxy that splices from one socket to another; its program reads before and after.
pub(crate) fn splice() {
    wait();
    let (mut client, mut server) = pair("127.0.0.1:0");
    client.write_all(b"read;spliced;read again;").unwrap();
    assert_eq!(exactly(&mut server, 5), b"read;");
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    let mut moved = 0;
    while moved < 8 {
        // SAFETY: open descriptors; no offsets.
        let n = unsafe {
            libc::splice(server.as_raw_fd(), std::ptr::null_mut(), ends[1], std::ptr::null_mut(), 8 - moved, 0)
        };
        moved += usize::try_from(n).unwrap();
    }
    assert_eq!(exactly(&mut server, 11), b"read again;");
    done();
}

#[test]
fn spliced_bytes_are_a_gap_with_its_cause() {
    for path in paths() {
        let trace = trace(path, "splice");
        let server = trace.flow(|o| o.role == Role::Server);
        let segments = trace.segments(server.flow, Direction::In);
        let start = segments[0].offset;
        match path {
            // The system call path sees the call, and so the length.
            Path::Syscalls => {
                let shown: Vec<_> = segments.iter().map(|s| (s.offset - start, s.len, s.data.len())).collect();
                assert_eq!(shown, [(0, 5, 5), (5, 8, 0), (13, 11, 11)]);
            }
            _ => {
                let gaps = gaps(&trace, server.flow);
                let gaps: Vec<_> = gaps.iter().map(|g| (g.direction, g.offset - start, g.len, g.cause)).collect();
                assert_eq!(gaps, [(Direction::In, 5, 8, Cause::Unhooked)], "{path}");
                assert_eq!(
                    segments.iter().map(|s| s.data.as_ref()).collect::<Vec<_>>(),
                    [&b"read;"[..], b"read again;"]
                );
            }
        }
        assert!(!trace.segments(server.flow, Direction::In).iter().any(|s| s.data.starts_with(b"spliced")), "{path}");
    }
}

/// A receive that completes in the kernel while its thread is blocked reading a pipe.
pub(crate) fn uring() {
    wait();
    let (mut client, mut server) = pair("127.0.0.1:0");
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    let Some(mut ring) = Uring::new() else {
        pause("no io_uring");
        return done();
    };
    let mut into = [0u8; 64];
    ring.receive(server.as_raw_fd(), &mut into);
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        client.write_all(b"by the ring").unwrap();
        thread::sleep(Duration::from_millis(100));
        // SAFETY: writes from a constant.
        assert_eq!(unsafe { libc::write(ends[1], b"!".as_ptr().cast(), 1) }, 1);
        client
    });
    let mut foreign = *b"SECRET OF ANOTHER BUFFER SECRET OF ANOTHER BUFFER";
    // SAFETY: the buffer is alive.
    assert_eq!(unsafe { libc::read(ends[0], foreign.as_mut_ptr().cast(), foreign.len()) }, 1);
    assert_eq!(ring.result(), 11);
    assert_eq!(&into[..11], b"by the ring");
    // The same with a read of the very socket that the ring receives from.
    ring.receive(server.as_raw_fd(), &mut into);
    let mut client = writer.join().unwrap();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        client.write_all(b"again").unwrap();
        thread::sleep(Duration::from_millis(100));
        client.write_all(b"read").unwrap();
    });
    let mut own = *b"SECRET OF ANOTHER BUFFER";
    let n = server.read(&mut own).unwrap();
    assert!(n > 0);
    writer.join().unwrap();
    pause("io_uring");
    done();
}

#[test]
fn a_receive_under_another_call_shows_no_foreign_byte() {
    for path in paths() {
        let mut worker = crate::harness::Worker::start("uring");
        let targets = kindling_bpf::Targets::new().tree(worker.pid());
        let probe = kindling_bpf::Probe::builder().targets(targets).path(path).start().unwrap();
        worker.go();
        if worker.line() == "no io_uring" {
            eprintln!("skipped: this kernel has no io_uring, or forbids it");
            return;
        }
        worker.go();
        assert_eq!(worker.line(), "done");
        let trace = Trace { path, pid: worker.pid(), events: crate::harness::settle(&probe) };
        worker.finish();
        assert!(!trace.shows(b"SECRET"), "{path}: another buffer was published");
        let server = trace.flow(|o| o.role == Role::Server);
        let segments = trace.segments(server.flow, Direction::In);
        if path == Path::Sockets {
            let shown: u64 = segments.iter().map(|s| s.len).sum();
            let gaps: u64 = gaps(&trace, server.flow).iter().map(|g| g.len).sum();
            assert!((11..=20).contains(&(shown + gaps)) && shown >= 16, "{path}: {:#?}", trace.of_flow(server.flow));
            assert_eq!((segments[0].len, segments[0].data.len()), (11, 0), "{path}: {segments:#?}");
        }
        for segment in segments {
            let whole = b"by the ringagainread";
            assert!(segment.data.is_empty() || whole.windows(segment.data.len()).any(|w| w == segment.data.as_ref()));
        }
    }
}

pub(crate) fn gaps(trace: &Trace, flow: kindling_core::FlowId) -> Vec<&Gap> {
    let gaps = trace.events.iter().filter_map(|e| if let Event::Gap(g) = e { Some(g) } else { None });
    gaps.filter(|g| g.flow == flow).collect()
}
