//! Round trips, damage, and files of other versions.

use std::{io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    Content, CreateError, MAGIC, OpenError, Options, ReadError, Reader, VERSION, Writer,
    format::{MAX_BODY, checksum},
};
use crate::{
    Batch, Cause, Cgroup, Clock, CloseReason, Closed, Comm, ConnectFailed, Custom, Direction, Endpoint, Event, Exited,
    FlowId, FlowStats, Gap, Hierarchy, Lost, LostClass, Offsets, Opened, Origin, Renamed, Role, Segment, Started, Task,
    Text, Timestamp, Transport, Vantage,
};

fn task() -> impl Strategy<Value = Task> {
    let hierarchy =
        prop_oneof![Just(Hierarchy::V2), Just(Hierarchy::Cpu), Just(Hierarchy::Memory), Just(Hierarchy::Pids)];
    (any::<[u32; 4]>(), "[a-z]{0,15}", any::<u64>(), hierarchy).prop_map(|(ids, comm, id, hierarchy)| {
        let [pid, tid, ns_pid, ns_tid] = ids;
        let mut task = Task::new(pid, tid, Comm::from(comm.as_bytes()));
        (task.ns_pid, task.ns_tid, task.cgroup) = (ns_pid, ns_tid, Cgroup { id, hierarchy });
        task
    })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let name = || proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        Just(Endpoint::Unknown),
        any::<([u8; 4], u16)>().prop_map(|address| Endpoint::Inet(SocketAddr::from(address))),
        any::<([u8; 16], u16)>().prop_map(|address| Endpoint::Inet(SocketAddr::from(address))),
        name().prop_map(|name| Endpoint::Unix(Text::from(&name[..]))),
        any::<u64>().prop_map(Endpoint::Unnamed),
    ]
}

/// What many events have: time, flow, task, direction, two numbers, some bytes.
type Parts = ((Timestamp, FlowId, Option<Task>, Direction), (u64, u64, Duration, u32), (Bytes, Endpoint, Endpoint, u8));

fn parts() -> impl Strategy<Value = Parts> {
    let at = any::<u64>().prop_map(Timestamp::from_nanos);
    let direction = prop_oneof![Just(Direction::Out), Just(Direction::In)];
    let data = proptest::collection::vec(any::<u8>(), 0..600).prop_map(Bytes::from);
    (
        (at, any::<u64>().prop_map(FlowId), proptest::option::of(task()), direction),
        (any::<u64>(), any::<u64>(), any::<u64>().prop_map(Duration::from_nanos), any::<u32>()),
        (data, endpoint(), endpoint(), any::<u8>()),
    )
}

fn pick<T: Clone>(from: &[T], by: u8) -> T {
    from[usize::from(by) % from.len()].clone()
}

/// One event of each kind by number; the match in `encode` keeps this from missing new ones.
fn build(kind: u8, parts: Parts) -> Event {
    let ((at, flow, task, direction), (a, b, duration, c), (data, local, remote, by)) = parts;
    let transport = pick(&[Transport::Tcp, Transport::Udp, Transport::Unix], by);
    let some = by & 1 == 0;
    match kind % 12 {
        0 => Event::Opened(Opened {
            at,
            flow,
            transport,
            offsets: pick(&[Offsets::Tcp, Offsets::Counted, Offsets::Datagram], by >> 2),
            local,
            remote,
            role: pick(&[Role::Unknown, Role::Client, Role::Server], by >> 3),
            vantage: pick(&[Vantage::Socket, Vantage::Wire], by >> 1),
            netns: c,
            midstream: some,
            first_out: some.then_some(a),
            first_in: (!some).then_some(b),
            connect: some.then_some(duration),
            task,
        }),
        1 => Event::Segment(Segment {
            at,
            flow,
            direction,
            offset: a,
            len: data.len() as u64 + u64::from(c),
            data,
            task,
        }),
        2 => {
            let cause = pick(&[Cause::NotTargeted, Cause::Unhooked, Cause::Lost], by);
            Event::Gap(Gap { at, flow, direction, offset: a, len: b, cause })
        }
        3 => {
            let reasons = [CloseReason::Closed, CloseReason::Reset, CloseReason::Idle, CloseReason::SourceEnded];
            let stats = FlowStats { rtt: duration, rtt_variation: duration, retransmits: c, bytes_out: a, bytes_in: b };
            Event::Closed(Closed { at, flow, reason: pick(&reasons, by), stats: some.then_some(stats) })
        }
        4 => Event::ConnectFailed(ConnectFailed {
            at,
            flow: some.then_some(flow),
            transport,
            local,
            remote,
            errno: c.cast_signed(),
            after: duration,
            task,
        }),
        5 => Event::Started(Started { at, task: task.unwrap_or_default(), parent: c, boot_start: a }),
        6 => {
            let exec = some.then(|| Text::from(&data[..]));
            Event::Renamed(Renamed { at, task: task.unwrap_or_default(), before: Comm::from(&b"old"[..]), exec })
        }
        7 => Event::Exited(Exited { at, task: task.unwrap_or_default(), status: c.cast_signed() }),
        8 => Event::Tick(at),
        9 => Event::Clock(Clock { mono: at, wall: a, boot: b }),
        10 => Event::Custom(Custom { at, tag: 0x8000 | u16::from(by), data, flow: some.then_some(flow), task }),
        _ => {
            use LostClass as L;
            let classes = [
                L::RingSegment,
                L::RingFlow,
                L::RingProcess,
                L::RingCustom,
                L::Recursion,
                L::Decode,
                L::HandOver,
                L::Table,
                L::Frame,
            ];
            let since = Timestamp::from_nanos(b);
            Event::Lost(Lost { class: pick(&classes, by), count: a, cpu: some.then_some(c), since, until: at })
        }
    }
}

fn origin(boot: u8) -> Arc<Origin> {
    Arc::new(Origin::new(boot.into(), "host", "kernel"))
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let event = (any::<u8>(), parts()).prop_map(|(kind, parts)| build(kind, parts));
    let batch = (0_u8..3, proptest::collection::vec(event, 0..12));
    proptest::collection::vec(batch.prop_map(|(boot, events)| Batch::new(origin(boot), events)), 0..8)
}

fn write(batches: &[Batch], options: Options) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> (Vec<Batch>, Option<ReadError>) {
    let mut reader = Reader::new(bytes).unwrap();
    let mut batches = Vec::new();
    for item in reader.by_ref() {
        match item {
            Ok(batch) => batches.push(batch),
            Err(error) => {
                assert!(reader.next().is_none(), "nothing comes after an error");
                return (batches, Some(error));
            }
        }
    }
    (batches, None)
}

proptest! {
    #[test]
    fn what_is_written_is_read(batches in batches()) {
        let (read, error) = read(&write(&batches, Options::default()));
        prop_assert!(error.is_none());
        prop_assert_eq!(read, batches);
    }

    #[test]
    fn any_truncation_yields_a_prefix_and_one_error(batches in batches(), cut in any::<prop::sample::Index>()) {
        let bytes = write(&batches, Options::default());
        let cut = cut.index(bytes.len());
        match Reader::new(&bytes[..cut]) {
            Err(OpenError::NotARecording) => prop_assert!(cut < MAGIC.len()),
            Err(OpenError::Damaged) => prop_assert!(cut < HEADER),
            Err(error) => prop_assert!(false, "{}", error),
            Ok(_) => {
                let (read, error) = read(&bytes[..cut]);
                prop_assert_eq!(&read[..], &batches[..read.len()]);
                let Some(ReadError::Torn { offset }) = error else { panic!("{error:?}") };
                prop_assert!(offset <= cut as u64);
            }
        }
    }

    #[test]
    fn any_flipped_byte_is_noticed(batches in batches(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = write(&batches, Options::default());
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(reader) = Reader::new(&bytes[..]) {
            let items: Vec<_> = reader.collect();
            let (last, before) = items.split_last().unwrap();
            let damaged = |e: &ReadError| matches!(e, ReadError::Torn { offset } | ReadError::Corrupt { offset } if *offset <= at as u64);
            prop_assert!(last.as_ref().is_err_and(damaged));
            for (item, batch) in before.iter().zip(&batches) {
                prop_assert_eq!(item.as_ref().unwrap(), batch);
            }
        } else {
            prop_assert!(at < HEADER);
        }
    }

    #[test]
    fn random_blocks_never_panic(bodies in proptest::collection::vec((3_u8..6, any::<Vec<u8>>()), 0..20)) {
        let mut bytes = unended(&[Batch::new(origin(1), vec![])]);
        for (kind, body) in bodies {
            bytes.extend(block(&[&[kind, 0, 0, 0, 0][..], &body].concat()));
        }
        let _ = read(&bytes);
    }

    #[test]
    fn random_events_never_panic(events in proptest::collection::vec((0_u16..14, proptest::collection::vec(0_u8..5, 8..200)), 0..20)) {
        let mut bytes = unended(&[Batch::new(origin(1), vec![])]);
        let events: Vec<u8> = events.iter().flat_map(|(tag, fields)| event(*tag, fields)).collect();
        bytes.extend(block(&[&[3, 0, 0, 0, 0][..], &events].concat()));
        let (batches, error) = read(&bytes);
        assert!(matches!(error, Some(ReadError::Torn { .. })), "{error:?}");
        prop_assert_eq!(batches.len(), 2);
    }
}

/// A recording without its end mark.
fn unended(batches: &[Batch]) -> Vec<u8> {
    let mut bytes = write(batches, Options::default());
    bytes.truncate(bytes.len() - (8 + 1 + 8));
    bytes
}

fn block(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    [&length[..], &checksum(length, body).to_le_bytes(), body].concat()
}

fn event(tag: u16, fields: &[u8]) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &(fields.len() as u32).to_le_bytes(), fields].concat()
}

fn tick(at: u64) -> Event {
    Event::Tick(Timestamp::from_nanos(at))
}

#[test]
fn what_a_newer_writer_added_is_passed_over_and_counted() {
    let mut bytes = unended(&[Batch::new(origin(1), vec![tick(5)])]);
    let time = |at: u64| at.to_le_bytes().to_vec();
    let longer = event(9, &[time(10), vec![1, 2, 3]].concat());
    let unknown = event(999, &[time(20), vec![0; 50]].concat());
    let new_cause = event(3, &[time(30), vec![1; 8], vec![1], vec![0; 16], vec![200]].concat());
    bytes.extend(block(&[77, 1, 2, 3]));
    bytes.extend(block(&[&[3, 0, 0, 0, 0][..], &longer, &unknown, &new_cause, &event(9, &time(40))].concat()));
    bytes.extend(block(&[88]));
    bytes.extend(block(&[&[4][..], &6_u64.to_le_bytes()].concat()));
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let events: Vec<_> = reader.by_ref().flat_map(|batch| batch.unwrap().events).collect();
    let lost = |count, since, until| {
        let (since, until) = (Timestamp::from_nanos(since), Timestamp::from_nanos(until));
        Event::Lost(Lost { class: LostClass::Decode, count, cpu: None, since, until })
    };
    assert_eq!(events, [tick(5), lost(1, 5, 5), tick(10), lost(2, 20, 30), tick(40), lost(1, 40, 40)]);
    let skipped = reader.skipped();
    assert_eq!((skipped.blocks, skipped.events, skipped.longer), (2, 2, 1));
    assert_eq!(reader.version(), VERSION);
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(block(&[1, 2, 0, 0, 0, 0, 0, 0]));
    assert!(matches!(Reader::new(&bytes[..]), Err(OpenError::Newer { version: 2 })));
    assert!(matches!(Reader::new(&b"\xd4\xc3\xb2\xa1 no recording"[..]), Err(OpenError::NotARecording)));
}

#[test]
fn a_hostile_length_allocates_nothing() {
    for length in [0, MAX_BODY as u32 + 1, u32::MAX] {
        let mut bytes = unended(&[]);
        let end = bytes.len() as u64;
        bytes.extend(length.to_le_bytes());
        bytes.extend([0; 4]);
        assert!(matches!(read(&bytes).1, Some(ReadError::Corrupt { offset }) if offset == end));
    }
    let mut bytes = unended(&[]);
    bytes.extend((MAX_BODY as u32).to_le_bytes());
    bytes.extend([0; 100]);
    assert!(matches!(read(&bytes).1, Some(ReadError::Torn { .. })));
}

#[test]
fn blocks_that_went_missing_are_noticed() {
    let batches = [Batch::new(origin(1), vec![tick(1)]), Batch::new(origin(1), vec![tick(2)])];
    let one = unended(&batches[..1]);
    let mut bytes = write(&batches, Options::default());
    bytes.drain(one.len()..one.len() + 8 + 1 + 4 + 6 + 8);
    assert!(matches!(read(&bytes).1, Some(ReadError::Corrupt { .. })));
}

fn segment(len: usize) -> Event {
    let data: Bytes = (0..len).map(|n| n as u8).collect();
    Event::Segment(Segment {
        at: Timestamp::from_nanos(1),
        flow: FlowId(1),
        direction: Direction::Out,
        offset: 0,
        data,
        len: len as u64,
        task: None,
    })
}

#[test]
fn heads_only_keeps_heads_and_true_lengths() {
    let batch = Batch::new(origin(1), vec![segment(1000), segment(10)]);
    let bytes = write(std::slice::from_ref(&batch), Options::default().content(Content::HEADS));
    assert_eq!(Reader::new(&bytes[..]).unwrap().content(), Content::Heads(256));
    let lengths: Vec<_> = read(&bytes).0[0]
        .events
        .iter()
        .map(|event| match event {
            Event::Segment(segment) => (segment.data.len(), segment.len),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [(256, 1000), (10, 10)]);
}

#[test]
fn batches_larger_than_a_block_are_split() {
    let batch = Batch::new(origin(1), (0..40).map(|_| segment(1 << 20)).collect());
    let (read, error) = read(&write(std::slice::from_ref(&batch), Options::default()));
    assert!(error.is_none());
    assert_eq!(read.len(), 3);
    assert_eq!(read.into_iter().flat_map(|batch| batch.events).collect::<Vec<_>>(), batch.events);
}

#[test]
fn an_event_larger_than_a_block_is_cut_or_lost_but_not_silent() {
    let at = Timestamp::from_nanos(3);
    let data = Bytes::from(vec![7; MAX_BODY]);
    let custom = Event::Custom(Custom { at, tag: 0x8000, data, flow: None, task: None });
    let batch = Batch::new(origin(1), vec![segment(MAX_BODY), custom, tick(4)]);
    let (read, error) = read(&write(&[batch], Options::default()));
    assert!(error.is_none());
    let events: Vec<_> = read.into_iter().flat_map(|batch| batch.events).collect();
    assert!(matches!(&events[0], Event::Segment(s) if s.len == MAX_BODY as u64 && s.data.len() < MAX_BODY));
    assert!(matches!(&events[1], Event::Lost(lost) if lost.count == 1 && lost.until == at));
    assert_eq!(events[2], tick(4));
}

#[expect(clippy::disallowed_methods, reason = "files are what is tested")]
#[test]
fn dropping_the_writer_completes_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    let mut writer = Writer::create(&path, Options::default()).unwrap();
    writer.write(&Batch::new(origin(1), vec![tick(1)])).unwrap();
    drop(writer);
    let (batches, error) = read(&std::fs::read(&path).unwrap());
    assert!(error.is_none());
    assert_eq!(batches.len(), 1);
}

#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "files are what is tested")]
#[test]
fn files_are_private_and_nothing_else_is_written_to() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    std::fs::File::create(&path).unwrap().write_all(b"precious").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let create = |path, options| Writer::create(path, options).map(drop);
    assert!(matches!(create(&path, Options::default()), Err(CreateError::Exists)));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    create(&path, Options::default().overwrite(true)).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the mode of the file it replaced is gone");
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(create(&link, Options::default().overwrite(true)), Err(CreateError::NotAFile)));
    assert!(matches!(create(&folder.path().to_owned(), Options::default()), Err(CreateError::NotAFile)));
}

/// Magic and header block.
const HEADER: usize = MAGIC.len() + 8 + 8;
