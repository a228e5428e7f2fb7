//! Starting, stopping, and what is left behind.

use std::{
    collections::BTreeSet,
    os::fd::AsFd as _,
    process::Command,
    time::{Duration, Instant},
};

use kindling_bpf::{AttachPoint, Decode, Probe, StartError, Target, Targets};
use kindling_core::{Direction, Event, Role};

use crate::{
    child::{done, pause, wait},
    harness::{Trace, Worker, paths, settle},
};

#[test]
fn no_target_is_an_error() {
    assert!(matches!(Probe::builder().start(), Err(StartError::NoTargets)));
}

#[test]
fn what_does_not_exist_is_named() {
    for path in paths() {
        let start = |targets| Probe::builder().targets(targets).path(path).start();
        assert!(matches!(start(Targets::new().process(4_000_000)), Err(StartError::NoProcess { pid: 4_000_000 })));
        let error = start(Targets::new().cgroup("/nonexistent/cgroup")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/cgroup"), "{error}");
        let object = Probe::builder().targets(Targets::new().process(1)).path(path).object(b"not an object").start();
        assert!(matches!(object, Err(StartError::Object { index: 0, .. })), "{object:?}");
    }
}

#[test]
fn targets_come_and_go() {
    for path in paths() {
        let (mut first, mut second) = (Worker::start("tcp 127.0.0.1:0"), Worker::start("tcp 127.0.0.1:0"));
        let idle = Worker::start("nothing");
        let probe = Probe::builder().targets(Targets::new().process(idle.pid())).path(path).start().unwrap();
        let control = probe.control();
        control.add_target(&Target::Tree(first.pid())).unwrap();
        control.add_target(&Target::Process(second.pid())).unwrap();
        control.remove_target(&Target::Process(second.pid())).unwrap();
        assert!(matches!(control.add_target(&Target::Process(4_000_000)), Err(StartError::NoProcess { .. })));
        for worker in [&mut first, &mut second] {
            worker.go();
            assert_eq!(worker.line(), "done");
        }
        let trace = Trace { path, pid: first.pid(), events: settle(&probe) };
        assert_eq!(trace.opened().len(), 2, "{path}");
        assert!(trace.events.iter().filter_map(Event::task).all(|t| t.pid == first.pid()), "{path}");
        let stats = control.stats();
        assert!(stats.records > 0 && stats.bytes > 0 && stats.events >= stats.records && stats.lost == 0, "{stats:?}");
        drop(probe);
        assert!(matches!(control.add_target(&Target::Port(1)), Err(StartError::Ended)));
    }
}

#[test]
fn the_embedding_process_is_left_out_unless_included() {
    for path in paths() {
        for own in [false, true] {
            let targets = Targets::new().process(std::process::id());
            let targets = if own { targets.include_self() } else { targets };
            let probe = Probe::builder().targets(targets).path(path).start().unwrap();
            let (mut client, mut server) = crate::child::pair("127.0.0.1:0");
            std::io::Write::write_all(&mut client, b"from the embedder").unwrap();
            crate::child::exactly(&mut server, 17);
            let trace = Trace { path, pid: std::process::id(), events: settle(&probe) };
            assert_eq!(trace.shows(b"from the embedder"), own, "{path}");
            if own {
                let port = client.local_addr().unwrap().port();
                let flow = trace.flow(|o| o.role == Role::Client && o.local.port() == Some(port));
                assert_eq!(trace.text(flow.flow, Direction::Out), "from the embedder");
            }
        }
    }
}

#[test]
fn batches_come_by_stream_and_descriptor_too() {
    let Some(path) = paths().first().copied() else { return };
    let idle = Worker::start("nothing");
    let mut probe = Probe::builder().targets(Targets::new().process(idle.pid())).path(path).start().unwrap();
    let mut poll =
        libc::pollfd { fd: std::os::fd::AsRawFd::as_raw_fd(&probe.as_fd()), events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor, alive.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 2000) }, 1);
    let batch = futures::executor::block_on(futures::StreamExt::next(&mut probe)).unwrap().unwrap();
    assert!(!batch.events.is_empty());
    assert_eq!(batch.origin.source, "kernel");
    assert_ne!(batch.origin.boot, 0);
    assert!(probe.batches().next().unwrap().is_ok());
    // Stopped from another thread while this one waits: an end, no error.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            probe.stop();
        });
        assert!(probe.batches().all(|batch| batch.is_ok()));
    });
    assert!(futures::executor::block_on(futures::StreamExt::next(&mut probe)).is_none());
    fn send_and_sync<T: Send + Sync>(_: &T) {}
    send_and_sync(&probe.control());
    send_and_sync(&probe);
}

/// Starts a probe of its own parent, and waits to be killed.
pub(crate) fn probe_and_wait() {
    wait();
    let probe = Probe::builder().targets(Targets::new().process(std::os::unix::process::parent_id())).start().unwrap();
    pause("started");
    drop(probe);
    pause("dropped");
    let _again = Probe::builder().targets(Targets::new().process(std::os::unix::process::parent_id())).start().unwrap();
    pause("again");
    done();
}

/// Programs, maps and links that process `pid` holds: kind and id, as `bpftool` takes them.
fn held(pid: u32) -> BTreeSet<(&'static str, String)> {
    let mut held = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        for (field, kind) in [("link_id:", "link"), ("prog_id:", "prog"), ("map_id:", "map")] {
            // A link's description names its program as well, which counts as held too.
            held.extend(text.lines().filter_map(|l| Some((kind, l.strip_prefix(field)?.trim().to_owned()))));
        }
    }
    held
}

/// Which of these the kernel still knows.
fn alive(held: &BTreeSet<(&'static str, String)>) -> Vec<(&'static str, String)> {
    let known = |(kind, id): &&(&'static str, String)| {
        Command::new("bpftool")
            .args([*kind, "show", "id", id.as_str()])
            .output()
            .expect("bpftool is installed")
            .status
            .success()
    };
    held.iter().filter(known).cloned().collect()
}

/// Programs and maps go after a grace period.
fn gone(held: &BTreeSet<(&'static str, String)>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = alive(held);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {left:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn nothing_is_left_behind() {
    if paths().is_empty() {
        return;
    }
    let mut worker = Worker::start("probe");
    let pid = worker.pid();
    worker.go();
    assert_eq!(worker.line(), "started");
    let first = held(pid);
    for kind in ["prog", "map", "link"] {
        assert!(first.iter().any(|(k, _)| *k == kind), "no {kind} among {first:?}");
    }
    assert_eq!(alive(&first).len(), first.len());
    worker.go();
    assert_eq!(worker.line(), "dropped");
    assert!(held(pid).is_empty(), "held after the drop");
    gone(&first);
    worker.go();
    assert_eq!(worker.line(), "again");
    let second = held(pid);
    assert!(second.len() >= first.len());
    // SIGKILL.
    drop(worker);
    gone(&second);
}

/// The record of `fixtures/states.bpf.c`.
struct State {
    before: u32,
    after: u32,
}

impl Decode for State {
    const TAG: u16 = 0x8001;

    fn decode(data: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(data.get(at..at + 4)?.try_into().ok()?));
        Some(Self { before: word(0)?, after: word(4)? })
    }
}

#[test]
fn a_users_own_probe_shares_ring_targets_and_flows() {
    let object = include_bytes!("../fixtures/states.bpf.o");
    for path in paths() {
        let mut worker = Worker::start("tcp 127.0.0.1:0");
        let probe = Probe::builder()
            .targets(Targets::new().tree(worker.pid()))
            .path(path)
            .object(object)
            .attach("on_state", AttachPoint::BtfTracepoint("inet_sock_set_state".into()))
            .decode::<State>()
            .start()
            .unwrap();
        worker.go();
        assert_eq!(worker.line(), "done");
        let trace = Trace { path, pid: worker.pid(), events: settle(&probe) };
        worker.finish();
        let states: Vec<_> = trace.events.iter().filter_map(|e| Some((State::from_event(e)?, e))).collect();
        // Only what the target itself did, in its own context: CLOSE to SYN_SENT among others.
        assert!(states.iter().any(|(s, _)| (s.before, s.after) == (7, 2)), "{path}: {} records", states.len());
        assert!(states.iter().all(|(_, e)| e.task().unwrap().pid == trace.pid), "{path}");
        let flows: Vec<_> = trace.opened().iter().map(|o| o.flow).collect();
        assert!(
            states.iter().any(|(_, e)| e.flow().is_some_and(|f| flows.contains(&f))),
            "{path}: {states_len} without flow",
            states_len = states.len()
        );
    }
}
