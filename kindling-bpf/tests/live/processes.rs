//! Whose bytes: descendants, prefork servers, passed descriptors, cgroups, ports; and processes coming and going.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::{AsRawFd as _, FromRawFd as _},
    process::{Command, Stdio},
};

use kindling_bpf::{Probe, StartError, Target, Targets};
use kindling_core::{Cause, Direction, Event, Role};

use crate::{
    child::{WORKLOAD, done, exactly, pair, pause, say, wait},
    harness::{Trace, Worker, paths, settle},
    truth::gaps,
};

/// One connection whose server end is read here, then by a process that is no target, then here again.
pub(crate) fn pass() {
    wait();
    let (mut client, mut server) = pair("127.0.0.1:0");
    client.write_all(b"ours;theirs;ours again;").unwrap();
    assert_eq!(exactly(&mut server, 5), b"ours;");
    let fd = server.as_raw_fd();
    // SAFETY: takes no pointers that are used. Inherited from here on.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::work", "--nocapture", "--test-threads=1"])
        .env(WORKLOAD, format!("receive {fd}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(other.stdin.as_mut().unwrap(), "go").unwrap();
    assert!(other.wait().unwrap().success());
    assert_eq!(exactly(&mut server, 11), b"ours again;");
    done();
}

/// The other process of [`pass`].
pub(crate) fn receive(fd: &str) {
    wait();
    // SAFETY: the parent left it open for us.
    let mut server = unsafe { TcpStream::from_raw_fd(fd.parse().unwrap()) };
    assert_eq!(exactly(&mut server, 7), b"theirs;");
}

#[test]
fn bytes_moved_by_others_are_a_gap_with_its_cause() {
    for path in paths() {
        let mut worker = Worker::start("pass");
        // Only the process itself, not its descendants.
        let targets = Targets::new().process(worker.pid());
        let probe = Probe::builder().targets(targets).path(path).start().unwrap();
        worker.go();
        assert_eq!(worker.line(), "done");
        let trace = Trace { path, pid: worker.pid(), events: settle(&probe) };
        worker.finish();
        let server = trace.flow(|o| o.role == Role::Server);
        let segments = trace.segments(server.flow, Direction::In);
        let start = segments[0].offset;
        let gaps: Vec<_> = gaps(&trace, server.flow).iter().map(|g| (g.offset - start, g.len, g.cause)).collect();
        assert_eq!(gaps, [(5, 7, Cause::NotTargeted)], "{path}");
        assert_eq!(segments.iter().map(|s| s.data.as_ref()).collect::<Vec<_>>(), [&b"ours;"[..], b"ours again;"]);
        assert!(!segments.iter().any(|s| s.data.windows(6).any(|w| w == b"theirs")), "{path}");
    }
}

/// Two processes that share a listener and answer with their number.
pub(crate) fn prefork() {
    wait();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut workers = Vec::new();
    for _ in 0..2 {
        // SAFETY: the child uses only system calls before it leaves.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            serve(&listener);
        }
        workers.push(pid);
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"who?").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        say(&answer);
        // SAFETY: a child of ours; no status wanted.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
    done();
}

/// Answer one connection and end.
fn serve(listener: &TcpListener) -> ! {
    let (mut server, _) = listener.accept().unwrap();
    exactly(&mut server, 4);
    server.write_all(std::process::id().to_string().as_bytes()).unwrap();
    drop(server);
    // SAFETY: ends at once, without what the parent would do at its end.
    unsafe { libc::_exit(0) }
}

#[test]
fn the_stronger_of_two_names_counts() {
    let (alone, tree) = (Target::Process as fn(u32) -> Target, Target::Tree as fn(u32) -> Target);
    // Names added in order, the one removed, and whether the descendants are still traced.
    let cases = [
        (vec![alone, tree], None, true),
        (vec![tree, alone], None, true),
        (vec![alone, tree], Some(alone), true),
        (vec![tree, alone], Some(tree), false),
    ];
    for path in paths() {
        for (index, (names, removed, descendants)) in cases.iter().enumerate() {
            let mut worker = Worker::start("prefork");
            let pid = worker.pid();
            let targets = names.iter().fold(Targets::new(), |targets, name| targets.with(name(pid)));
            let probe = Probe::builder().targets(targets).path(path).start().unwrap();
            if let Some(name) = removed {
                probe.control().remove_target(&name(pid)).unwrap();
            }
            worker.go();
            let children: Vec<u32> = [worker.line(), worker.line()].iter().map(|pid| pid.parse().unwrap()).collect();
            assert_eq!(worker.line(), "done");
            let trace = Trace { path, pid, events: settle(&probe) };
            worker.finish();
            let traced = |pid| trace.events.iter().any(|e| e.task().is_some_and(|t| t.pid == pid));
            assert!(traced(pid), "{path}, case {index}");
            assert_eq!(
                children.iter().map(|&pid| traced(pid)).collect::<Vec<_>>(),
                [*descendants; 2],
                "{path}, case {index}"
            );
        }
    }
}

#[test]
fn what_has_exited_is_no_target() {
    for path in paths() {
        let worker = Worker::start("nothing");
        let probe = Probe::builder().targets(Targets::new().process(worker.pid())).path(path).start().unwrap();
        let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
        // Its output ends with it; it is not waited for yet, so its number is still its own.
        child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        for target in [Target::Process(child.id()), Target::Tree(child.id())] {
            let added = probe.control().add_target(&target);
            assert!(matches!(added, Err(StartError::NoProcess { .. })), "{path}: {added:?}");
        }
        child.wait().unwrap();
    }
}

#[test]
fn a_prefork_server_is_told_by_process() {
    for path in paths() {
        let mut worker = Worker::start("prefork");
        let probe = Probe::builder().targets(Targets::new().tree(worker.pid())).path(path).start().unwrap();
        worker.go();
        let answers = [worker.line(), worker.line()];
        assert_eq!(worker.line(), "done");
        let trace = Trace { path, pid: worker.pid(), events: settle(&probe) };
        worker.finish();
        for answer in &answers {
            let pid: u32 = answer.parse().unwrap();
            let answered = trace.flow(|o| o.role == Role::Server && trace.text(o.flow, Direction::Out) == *answer);
            for direction in [Direction::Out, Direction::In] {
                let task = trace.segments(answered.flow, direction)[0].task.unwrap();
                assert_eq!((task.pid, task.ns_pid), (pid, pid), "{path}");
            }
        }
    }
}

/// A process that starts a shell that starts a program.
pub(crate) fn spawn() {
    let mut early = Command::new("sh").args(["-c", "read line; true"]).stdin(Stdio::piped()).spawn().unwrap();
    wait();
    say(&early.id().to_string());
    drop(early.stdin.take());
    early.wait().unwrap();
    let status = Command::new("sh").args(["-c", "/bin/sh -c 'exit 7'; exit $?"]).status().unwrap();
    assert_eq!(status.code(), Some(7));
    pause("spawned");
    done();
}

#[test]
fn descendants_are_followed_from_their_start_to_their_end() {
    for path in paths() {
        let mut worker = Worker::start("spawn");
        let probe = Probe::builder().targets(Targets::new().tree(worker.pid())).path(path).start().unwrap();
        worker.go();
        let early: u32 = worker.line().parse().unwrap();
        assert_eq!(worker.line(), "spawned");
        worker.go();
        assert_eq!(worker.line(), "done");
        let trace = Trace { path, pid: worker.pid(), events: settle(&probe) };
        worker.finish();
        let started: Vec<_> =
            trace.events.iter().filter_map(|e| if let Event::Started(s) = e { Some(s) } else { None }).collect();
        let processes: Vec<_> = started.iter().filter(|s| s.task.pid == s.task.tid).collect();
        assert_eq!(processes.len(), 2, "{path}: {started:#?}");
        assert_eq!(processes[0].parent, trace.pid, "{path}");
        assert_eq!(processes[1].parent, processes[0].task.pid, "{path}");
        assert!(processes[0].boot_start > 0);
        let exits: Vec<_> =
            trace.events.iter().filter_map(|e| if let Event::Exited(x) = e { Some(x) } else { None }).collect();
        for process in &processes {
            let exit = exits.iter().find(|x| x.task.tid == process.task.tid).unwrap();
            assert_eq!(exit.status >> 8, 7, "{path}");
        }
        assert!(exits.iter().any(|x| x.task.pid == early && x.status == 0), "{path}: started before the probe");
        let exec = trace.events.iter().find_map(|e| match e {
            Event::Renamed(r) if r.task.pid == processes[1].task.pid && r.exec.is_some() => Some(r),
            _ => None,
        });
        let exec = exec.unwrap();
        assert_eq!((exec.task.comm.to_string(), exec.before.to_string()), ("sh".into(), "sh".into()), "{path}");
        assert_eq!(exec.exec.as_ref().unwrap().to_string(), "/bin/sh", "{path}");
    }
}

#[test]
fn a_port_is_a_target_and_others_are_not() {
    for path in paths() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (mut wanted, mut unwanted) =
            (Worker::start(&format!("tcp 127.0.0.1:{port}")), Worker::start("tcp 127.0.0.1:0"));
        let probe = Probe::builder().targets(Targets::new().port(port)).path(path).start().unwrap();
        for worker in [&mut unwanted, &mut wanted] {
            worker.go();
            assert_eq!(worker.line(), "done");
        }
        let trace = Trace { path, pid: wanted.pid(), events: settle(&probe) };
        assert_eq!(trace.opened().len(), 2, "{path}: {:#?}", trace.opened());
        assert!(trace.opened().iter().all(|o| o.local.port() == Some(port) || o.remote.port() == Some(port)), "{path}");
        assert!(trace.events.iter().filter_map(Event::task).all(|t| t.pid == wanted.pid()), "{path}");
        wanted.finish();
        unwanted.finish();
    }
}

#[test]
fn a_cgroup_is_a_target_with_what_is_below_it() {
    let Some(root) = cgroup_root() else {
        eprintln!("skipped: no cgroup hierarchy can be written to here");
        assert!(std::env::var_os("KINDLING_REQUIRE_BPF").is_none_or(|v| v != "1"), "cgroups are required");
        return;
    };
    for path in paths() {
        let outer = root.join(format!("kindling-{}", std::process::id()));
        let inner = outer.join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        let (mut inside, mut outside) = (Worker::start("tcp 127.0.0.1:0"), Worker::start("tcp 127.0.0.1:0"));
        std::fs::write(inner.join("cgroup.procs"), inside.pid().to_string()).unwrap();
        let probe = Probe::builder().targets(Targets::new().cgroup(&outer)).path(path).start().unwrap();
        for worker in [&mut outside, &mut inside] {
            worker.go();
            assert_eq!(worker.line(), "done");
        }
        let trace = Trace { path, pid: inside.pid(), events: settle(&probe) };
        let pid = inside.pid();
        inside.finish();
        outside.finish();
        // Both go with their last process, which may take a moment.
        for folder in [&inner, &outer] {
            for _ in 0..100 {
                if std::fs::remove_dir(folder).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        assert_eq!(trace.opened().len(), 2, "{path}: {:#?}", trace.opened());
        assert!(trace.events.iter().filter_map(Event::task).all(|t| t.pid == pid), "{path}");
    }
}

fn cgroup_root() -> Option<std::path::PathBuf> {
    ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"]
        .into_iter()
        .map(std::path::PathBuf::from)
        .find(|root| root.join("cgroup.procs").exists())
}
