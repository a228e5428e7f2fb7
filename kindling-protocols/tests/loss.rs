//! How often order pairs wrongly when segments are lost: it must be next to never, for clients that pause, that never pause, and that keep
//! a window of requests in flight.

mod toy;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kindling_core::{Batch, Direction, Event, FlowId, Offsets, Opened, Origin, Outcome, Role, Segment, Timestamp};
use kindling_protocols::{
    Engine, Limits, Registry, Sharded, Typed,
    testing::{Transcript, run},
};
use toy::Toy;

/// How a client asks.
#[derive(Clone, Copy, Debug)]
enum Client {
    /// Bursts of that many, each after a pause.
    Pausing(u32),
    /// Bursts of that many, the next as soon as the last answer is there.
    Busy(u32),
    /// Always that many in flight.
    Window(u32),
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Requests and answers of one client, in order of time: (from client, number, when).
fn conversation(client: Client, requests: u32, random: &mut Random) -> Vec<(bool, u32, u64)> {
    let mut out = Vec::new();
    let mut at = 1_000_000_u64;
    let burst = |depth: u32, pause: u64, out: &mut Vec<_>, at: &mut u64, random: &mut Random| {
        for first in (0..requests).step_by(depth as usize) {
            for n in first..first + depth {
                out.push((true, n, *at));
                *at += 1_000;
            }
            *at += 50_000 + random.below(200_000);
            for n in first..first + depth {
                out.push((false, n, *at));
                *at += 1_000 + random.below(10_000);
            }
            *at += pause;
        }
    };
    match client {
        Client::Pausing(depth) => burst(depth, 20_000_000, &mut out, &mut at, random),
        Client::Busy(depth) => burst(depth, 2_000, &mut out, &mut at, random),
        Client::Window(depth) => {
            for n in 0..depth {
                out.push((true, n, at));
                at += 1_000;
            }
            for n in 0..requests {
                at += 20_000 + random.below(50_000);
                out.push((false, n, at));
                at += 2_000;
                out.push((true, n + depth, at));
            }
        }
    }
    out
}

fn events(
    conversation: &[(bool, u32, u64)],
    flow: u64,
    loss: u64,
    since: Option<u64>,
    random: &mut Random,
) -> Vec<Event> {
    let flow = FlowId(flow);
    let mut events = vec![Event::Opened(Opened {
        at: Timestamp::from_nanos(since.unwrap_or(1)),
        flow,
        offsets: Offsets::Tcp,
        role: Role::Client,
        midstream: since.is_some(),
        first_out: since.is_none().then_some(0),
        first_in: since.is_none().then_some(0),
        ..Opened::default()
    })];
    let mut offsets = [0_u64; 2];
    for &(asks, n, at) in conversation {
        let data = Bytes::from(format!("{}{n} 0\n", if asks { 'Q' } else { 'A' }));
        let (direction, side) = if asks { (Direction::Out, 0) } else { (Direction::In, 1) };
        let (offset, len) = (offsets[side], data.len() as u64);
        offsets[side] += len;
        if random.below(10_000) >= loss {
            let at = Timestamp::from_nanos(at);
            events.push(Event::Segment(Segment { at, flow, direction, offset, data, len, task: None }));
        }
    }
    events
}

/// Right, wrong and unpaired, of how many requests.
fn measure(client: Client, loss: u64, midstream: bool) -> (u32, u32, u32) {
    let registry = Registry::new().with::<Toy>();
    let (mut right, mut wrong, mut total) = (0, 0, 0);
    for seed in 1..40_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut talk = conversation(client, 800, &mut random);
        // The observation starts right after the last message that it misses.
        let missed = midstream.then(|| talk.drain(..1 + random.below(40) as usize).next_back());
        let since = missed.flatten().map(|(_, _, at)| at);
        let batch = Batch::new(Arc::default(), events(&talk, 1, loss, since, &mut random));
        let run = run(&registry, &Limits::default(), &batch).unwrap();
        total += 800;
        for exchange in run.exchanges.iter().filter(|e| e.outcome == Outcome::Complete) {
            let asked = exchange.details.operation.to_string();
            let same = exchange.details.status.as_ref().is_some_and(|answered| answered.to_string() == asked);
            *(if same { &mut right } else { &mut wrong }) += 1;
        }
    }
    (right, wrong, total)
}

#[test]
fn loss_makes_exchanges_missing_and_not_wrong() {
    for client in [
        Client::Pausing(1),
        Client::Pausing(16),
        Client::Busy(1),
        Client::Busy(4),
        Client::Busy(16),
        Client::Window(4),
        Client::Window(16),
    ] {
        for loss in [10, 200] {
            let (right, wrong, total) = measure(client, loss, false);
            let percent = |n: u32| 100.0 * f64::from(n) / f64::from(total);
            eprintln!(
                "{client:?}, {} % lost: {:.2} % right, {:.4} % wrong",
                loss as f64 / 100.0,
                percent(right),
                percent(wrong)
            );
            assert!(percent(wrong) <= 0.03, "{client:?} with {loss} in 10000 lost: {wrong} of {total} wrong");
        }
    }
}

#[test]
fn joining_late_makes_exchanges_missing_and_not_wrong() {
    for client in [Client::Pausing(1), Client::Pausing(16), Client::Busy(1), Client::Busy(16), Client::Window(4)] {
        let (right, wrong, total) = measure(client, 0, true);
        let percent = |n: u32| 100.0 * f64::from(n) / f64::from(total);
        eprintln!("{client:?}, joined late: {:.2} % right, {:.4} % wrong", percent(right), percent(wrong));
        assert!(percent(wrong) <= 0.03, "{client:?}: {wrong} of {total} wrong");
    }
}

#[test]
fn shards_give_the_results_of_one() {
    let registry = Registry::new().with::<Toy>();
    let mut random = Random(7);
    let mut all = Vec::new();
    for flow in 0..50 {
        let talk = conversation(Client::Busy(4), 40, &mut random);
        all.extend(events(&talk, flow, 100, None, &mut random));
    }
    all.sort_by_key(Event::at);
    let origin = Arc::new(Origin::new(1, "host", "test"));
    let batches: Vec<_> = all.chunks(500).map(|part| Arc::new(Batch::new(origin.clone(), part.to_vec()))).collect();
    let results = |shards| {
        let mut sharded = Sharded::new(shards, &registry, &Limits::default()).unwrap();
        let mut out = Vec::new();
        for batch in &batches {
            sharded.handle_batch(batch);
            out.extend(std::iter::from_fn(|| sharded.poll_exchange()));
        }
        sharded.handle_end();
        out.extend(std::iter::from_fn(|| sharded.poll_exchange()));
        let ledger = sharded.ledger();
        ledger.check().unwrap();
        (out, ledger)
    };
    let one = results(1);
    assert!(one.0.len() > 1500);
    for shards in [2, 5] {
        let several = results(shards);
        assert!(several == one, "{shards} shards give other results: {:?} for {:?}", several.1, one.1);
    }
    let mut ids: Vec<_> = one.0.iter().map(|exchange| exchange.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), one.0.len(), "ids are unique");
}

#[test]
fn typed_messages_without_erasure() {
    let transcript = Transcript::parse("t", ">>>\nQ1 0\\nQ2 0\\n\n<<<\nA1 0\\nA2 0\\n\n").unwrap();
    let mut events = transcript.events().into_iter();
    let Some(Event::Opened(opened)) = events.next() else { panic!("a transcript starts with its flow") };
    let mut typed = Typed::<Toy>::new((), opened, Limits::default());
    let mut seen = Vec::new();
    for event in events {
        typed.handle_event(&event, |sender, message, _| seen.push((sender, format!("{message:?}"))));
    }
    typed.handle_end();
    assert_eq!(seen.len(), 4);
    assert_eq!(std::iter::from_fn(|| typed.poll_exchange()).filter(|e| e.outcome == Outcome::Complete).count(), 2);
    typed.ledger().check().unwrap();
}

#[test]
fn a_server_that_never_answers_is_reported_by_ticks_alone() {
    let mut engine = Engine::new(Registry::new().with::<Toy>(), Limits::default());
    let transcript = Transcript::parse("t", "# port: 7777\n>>>\nQ1 0\\n\n").unwrap();
    transcript.events().iter().for_each(|event| engine.handle_event(event));
    let start = engine.poll_deadline().unwrap();
    assert!(engine.poll_exchange().is_none());
    engine.handle_event(&Event::Tick(start + Duration::from_millis(1)));
    assert_eq!(engine.poll_exchange().map(|e| e.outcome), Some(Outcome::Unanswered));
}
