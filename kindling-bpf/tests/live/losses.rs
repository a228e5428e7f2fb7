//! What is lost is counted, exactly.

use std::time::{Duration, Instant};

use kindling_bpf::{Probe, Targets};
use kindling_core::{Direction, Directive, Event, LostClass, Role};

use crate::harness::{Trace, Worker, paths, settle, trace_with};

#[test]
fn events_and_losses_add_up_when_the_ring_overflows() {
    for path in paths() {
        const SENDS: u64 = 20_000;
        let mut worker = Worker::start(&format!("tcp-burst {SENDS}"));
        let targets = Targets::new().tree(worker.pid());
        let probe =
            Probe::builder().targets(targets).path(path).ring_bytes(64 << 10).poll_interval(Duration::from_millis(50));
        let probe = probe.start().unwrap();
        worker.go();
        assert_eq!(worker.line(), "done");
        let trace = Trace { path, pid: worker.pid(), events: settle(&probe) };
        worker.finish();
        // The sender's calls are known; the receiver's are not, since reads join what was sent.
        let lost: u64 = trace.lost().iter().filter(|l| l.class == LostClass::RingSegment).map(|l| l.count).sum();
        assert!(lost > 0, "{path}: the ring was meant to overflow");
        assert!(trace.lost().iter().all(|l| l.since <= l.until && l.cpu.is_some()), "{path}");
        let client = trace.opened().into_iter().find(|o| o.role == Role::Client).unwrap().flow;
        let sent = trace.segments(client, Direction::Out);
        let server = trace.opened().into_iter().find(|o| o.role == Role::Server).map(|o| o.flow);
        let received = server.map(|flow| trace.segments(flow, Direction::In)).unwrap_or_default();
        // Every send that is missing left a hole of 100 bytes between its neighbours, or lies at an end.
        let holes: u64 = sent.windows(2).map(|p| p[1].offset - (p[0].offset + p[0].len)).sum();
        let last = sent.last().unwrap();
        let first = sent[0].offset;
        let tail = SENDS * 100 - (last.offset + last.len - first);
        let lost_sends = (holes + tail) / 100;
        assert_eq!(sent.len() as u64 + lost_sends, SENDS, "{path}");
        // What else was lost are receives, of which there were no more than sends.
        assert!(lost >= lost_sends, "{path}: {lost} < {lost_sends}");
        let lost_receives = lost - lost_sends;
        assert!(lost_receives + received.len() as u64 <= SENDS, "{path}");
    }
}

#[test]
fn without_overflow_nothing_is_lost() {
    for path in paths() {
        let trace = trace_with(path, "tcp-burst 20000", |builder| builder.ring_bytes(32 << 20));
        let client = trace.flow(|o| o.role == Role::Client);
        assert_eq!(trace.segments(client.flow, Direction::Out).len(), 20_000, "{path}");
        assert!(trace.lost().is_empty(), "{path}: {:?}", trace.lost());
    }
}

#[test]
fn stopping_hands_over_a_whole_ring() {
    for path in paths() {
        let mut worker = Worker::start("tcp-bulk 3072");
        let probe = Probe::builder().targets(Targets::new().tree(worker.pid())).path(path).ring_bytes(128 << 20);
        let probe = probe.start().unwrap();
        worker.go();
        // Nobody takes batches, so the reader stands still and the ring fills.
        assert_eq!(worker.line(), "done");
        probe.stop();
        let events = probe.batches().flat_map(|batch| batch.unwrap().events).collect();
        assert!(probe.is_over(), "{path}");
        assert_eq!(probe.next_batch(Duration::from_secs(1)), Ok(None), "{path}");
        let trace = Trace { path, pid: worker.pid(), events };
        worker.finish();
        assert!(trace.lost().is_empty(), "{path}: {:?}", trace.lost());
        for (role, direction) in [(Role::Client, Direction::Out), (Role::Server, Direction::In)] {
            let flow = trace.flow(|o| o.role == role).flow;
            let bytes: u64 = trace.segments(flow, direction).iter().map(|s| s.len).sum();
            assert_eq!(bytes, 3072 * 16384, "{path}");
        }
    }
}

#[test]
fn directives_shorten_and_skip_payload() {
    for path in paths() {
        let mut worker = Worker::start("tcp-stop-and-go");
        let probe = Probe::builder().targets(Targets::new().tree(worker.pid())).path(path).start().unwrap();
        let control = probe.control();
        worker.go();
        assert_eq!(worker.line(), "wrote");
        let mut trace = Trace { path, pid: worker.pid(), events: settle(&probe) };
        let client = trace.flow(|o| o.role == Role::Client).flow;
        let server = trace.flow(|o| o.role == Role::Server).flow;
        let first = trace.segments(client, Direction::Out)[0].offset;
        control.apply(&Directive::everything(client, Direction::Out).per_segment(64));
        control.apply(&Directive::everything(server, Direction::In).skip_to(first + 1400));
        for step in 0..3 {
            if step == 1 {
                control.apply(&Directive::nothing(client, Direction::Out));
            }
            if step == 2 {
                control.apply(&Directive::everything(client, Direction::Out));
            }
            worker.go();
            assert_eq!(worker.line(), "wrote");
        }
        worker.go();
        assert_eq!(worker.line(), "done");
        trace.events.extend(settle(&probe));
        worker.finish();
        let sent: Vec<_> = trace.segments(client, Direction::Out).iter().map(|s| (s.len, s.data.len())).collect();
        assert_eq!(sent, [(1000, 1000), (1000, 64), (1000, 0), (1000, 1000)], "{path}");
        let received: Vec<_> = trace.segments(server, Direction::In).iter().map(|s| (s.len, s.data.len())).collect();
        assert_eq!(received, [(1000, 1000), (400, 0), (600, 600), (1000, 1000), (1000, 1000)], "{path}");
        assert_eq!(trace.segments(server, Direction::In)[2].data[0], b'b', "{path}");
    }
}

#[test]
fn ticks_go_on_and_clocks_come() {
    for path in paths() {
        let worker = Worker::start("nothing");
        let probe = Probe::builder().targets(Targets::new().process(worker.pid())).path(path).start().unwrap();
        let until = Instant::now() + Duration::from_millis(500);
        let mut events = Vec::new();
        while Instant::now() < until {
            events.extend(probe.next_batch(Duration::from_millis(100)).unwrap().into_iter().flat_map(|b| b.events));
        }
        let ticks: Vec<_> =
            events.iter().filter_map(|e| if let Event::Tick(at) = e { Some(*at) } else { None }).collect();
        assert!(ticks.len() >= 10, "{path}: {} ticks in half a second", ticks.len());
        assert!(ticks.is_sorted(), "{path}");
        assert!(matches!(events[0], Event::Clock(clock) if clock.wall > clock.mono.as_nanos()), "{path}");
    }
}
