//! Pid namespaces: numbers are given in the caller's, and told in both.

use std::{collections::BTreeSet, fs};

use kindling_bpf::{Path, Probe, StartError, Targets};
use kindling_core::{Direction, Event, Role};

use crate::{
    child::{done, wait},
    harness::{Trace, Worker, paths, settle},
};

/// Ends its child with it.
const UNSHARE: [&str; 4] = ["unshare", "--pid", "--fork", "--kill-child"];

/// The only child of `pid`.
fn child_of(pid: u32) -> u32 {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap().trim().parse().unwrap()
}

/// Numbers of the tasks seen: those of the machine, and of their own namespaces.
fn numbers(trace: &Trace) -> BTreeSet<(u32, u32)> {
    trace.events.iter().filter_map(Event::task).map(|task| (task.pid, task.ns_pid)).collect()
}

/// Trace `pid` while `worker` works.
fn traced(path: Path, worker: &mut Worker, pid: u32) -> Trace {
    let probe = Probe::builder().targets(Targets::new().process(pid)).path(path).start().unwrap();
    worker.go();
    assert_eq!(worker.line(), "done");
    Trace { path, pid, events: settle(&probe) }
}

fn said_hello(trace: &Trace) {
    let flow = trace.flow(|o| o.role == Role::Client);
    assert!(!trace.text(flow.flow, Direction::Out).is_empty(), "{}", trace.path);
}

#[test]
fn a_process_of_a_namespace_below_is_named_by_the_callers_number() {
    for path in paths() {
        let mut worker = Worker::start_in(&UNSHARE, "tcp 127.0.0.1:0");
        let pid = child_of(worker.pid());
        let trace = traced(path, &mut worker, pid);
        assert_eq!(numbers(&trace), BTreeSet::from([(pid, 1)]), "{path}");
        said_hello(&trace);
        worker.finish();
    }
}

#[test]
fn a_process_two_namespaces_below_has_the_number_of_its_own() {
    for path in paths() {
        // In the namespace between it is the second process.
        let wrapper = [UNSHARE, UNSHARE].concat();
        let mut worker = Worker::start_in(&wrapper, "tcp 127.0.0.1:0");
        let pid = child_of(child_of(worker.pid()));
        let trace = traced(path, &mut worker, pid);
        assert_eq!(numbers(&trace), BTreeSet::from([(pid, 1)]), "{path}");
        said_hello(&trace);
        worker.finish();
    }
}

/// Where the embedding process is in a namespace, its numbers are those to give, and others' are not to be had.
#[test]
fn an_embedder_in_a_namespace_names_its_own_numbers() {
    for path in paths() {
        let mut outside = Worker::start("nothing");
        let mut inside = Worker::start_in(&UNSHARE, &format!("embed {path} {}", outside.pid()));
        inside.go();
        assert_eq!(inside.line(), "done", "{path}");
        inside.finish();
        outside.go();
        assert_eq!(outside.line(), "done");
        outside.finish();
    }
}

/// The embedder of the test above, process 1 of its namespace. `argument`: the path, and a process outside.
pub(crate) fn embed(argument: &str) {
    wait();
    let (name, outside) = argument.split_once(' ').unwrap();
    let path = paths().into_iter().find(|path| path.to_string() == name).unwrap();
    assert_eq!(std::process::id(), 1);
    let mut worker = Worker::start("tcp 127.0.0.1:0");
    let outer = Targets::new().process(outside.parse().unwrap());
    let refused = Probe::builder().targets(outer).path(path).start();
    assert!(matches!(refused, Err(StartError::NoProcess { .. })), "{refused:?}");
    let pid = worker.pid();
    let trace = traced(path, &mut worker, pid);
    let seen = numbers(&trace);
    assert!(seen.len() == 1 && seen.iter().all(|&(machine, own)| own == pid && machine != pid), "{pid}: {seen:?}");
    said_hello(&trace);
    worker.finish();
    done();
}
