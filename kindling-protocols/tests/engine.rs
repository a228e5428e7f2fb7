//! The engine's own behaviour, shown with a protocol small enough to see through.

mod toy;

use kindling_core::{Event, Outcome};
use kindling_protocols::{
    Registry,
    testing::{Run, Transcript, laws, run},
};
use toy::Toy;

fn registry() -> Registry {
    Registry::new().with::<Toy>()
}

fn transcript(text: &str) -> Transcript {
    let text = format!("# protocol: toy\n# port: 7777\n{text}");
    Transcript::parse("toy", &text).unwrap()
}

fn outcomes(text: &str) -> Vec<String> {
    let run = Run::of(&registry(), &transcript(text)).unwrap();
    let show = |text: Option<&kindling_core::Text>| text.map_or_else(|| "-".into(), ToString::to_string);
    let line = |e: &kindling_core::Exchange| {
        format!("{} {} {}", e.outcome.name(), e.details.operation, show(e.details.status.as_ref()))
    };
    run.exchanges.iter().map(line).collect()
}

#[test]
fn pipelined_requests_pair_in_order_and_every_law_holds() {
    let text = ">>>\nQ1 5\\nhelloQ2 0\\n\n>>>\nQ3 300\\n\n~~~ client 300\n<<<\nI9 0\\nA1 10\\n0123456789\n<<<\nA2 0\\nA3 2\\nxy\n\
                ===> exchanges\ncomplete\t1\t-\t1\t-\trequest_bytes=10\ncomplete\t2\t-\t2\t-\ncomplete\t3\t-\t3\t-\trequest_bytes=307";
    laws::check_all(&registry(), &transcript(text)).unwrap();
}

#[test]
fn ids_pair_in_any_order_and_a_reused_id_supersedes() {
    let text = ">>>\nK1 0\\nK2 0\\nK3 0\\n\n<<<\nV3 0\\nV1 0\\n\n>>>\nK2 0\\n\n<<<\nV2 0\\n\n";
    assert_eq!(outcomes(text), ["complete 3 3", "complete 1 1", "superseded 2 -", "complete 2 2"]);
    laws::one_dropped(&registry(), &transcript(">>>\nK1 0\\n\n>>>\nK2 0\\n\n<<<\nV2 0\\n\n<<<\nV1 0\\n\n")).unwrap();
}

#[test]
fn arity_one_way_and_cancelled() {
    let text = ">>>\nM1 0\\nO5 0\\nK7 0\\nC7 0\\n\n<<<\nA1 0\\n\n<<<\nA2 0\\n\n";
    assert_eq!(outcomes(text), ["one_way 5 -", "cancelled 7 -", "complete 1 2"]);
}

#[test]
fn an_answer_waits_for_its_request_only_as_long_as_the_window() {
    assert_eq!(outcomes("<<<\nA1 0\\n\n>>>\nQ1 0\\n\n--- 20ms\n"), ["complete 1 1"]);
    assert_eq!(outcomes("<<<\nA1 0\\n\n--- 20ms\n>>>\nQ1 0\\n\n--- 2s\n"), ["unmatched  1", "unanswered 1 -"]);
}

#[test]
fn a_late_answer_does_not_shift_the_order() {
    let text = ">>>\nQ1 0\\n\n--- 1500ms\n>>>\nQ2 0\\n\n<<<\nA1 0\\n\n<<<\nA2 0\\n\n";
    assert_eq!(outcomes(text), ["unanswered 1 -", "unmatched  1", "complete 2 2"]);
}

#[test]
fn requests_before_a_lost_one_keep_their_answers() {
    // Q2 is lost: what was asked before is answered in order, what comes after proves nothing.
    let text = ">>>\nQ1 0\\n\n><> client 5\n>>>\nQ3 0\\n\n--- 12ms\n<<<\nA1 0\\n\n<<<\nA2 0\\n\n<<<\nA3 0\\n\n";
    assert_eq!(outcomes(text), ["complete 1 1", "lost 3 -", "unmatched  2", "unmatched  3"]);
}

#[test]
fn after_a_lost_answer_nothing_pairs_until_a_fence_or_silence() {
    let lost = ">>>\nQ1 0\\nQ2 0\\n\n><> server 5\n<<<\nA2 0\\n\n--- 22ms\n";
    let after = |more: &str| outcomes(&format!("{lost}{more}"));
    assert_eq!(after(">>>\nQ3 0\\n\n<<<\nA3 0\\n\n")[3..], ["complete 3 3"], "silence is proof");
    let busy = ">>>\nQ1 0\\nQ2 0\\n\n><> server 5\n<<<\nA2 0\\nA9 0\\n\n>>>\nQ3 0\\n\n>>>\nQ4 0\\n\n--- 12ms\n<<<\nA3 0\\n\n<<<\nA4 0\\n\n";
    assert!(outcomes(busy).iter().all(|line| !line.starts_with("complete")), "{:?}", outcomes(busy));
    let fenced = format!("{busy}<<<\nF9 0\\n\n>>>\nQ5 0\\n\n<<<\nA5 0\\n\n");
    assert_eq!(outcomes(&fenced).last().unwrap(), "complete 5 5");
}

/// Requests 1 to `last`, each answered before the next.
fn rounds(last: u32) -> String {
    (1..=last).map(|n| format!(">>>\nQ{n} 0\\n\n<<<\nA{n} 0\\n\n")).collect()
}

fn all_complete(text: &str) -> bool {
    outcomes(text).iter().all(|line| line.starts_with("complete"))
}

#[test]
fn a_conversation_joined_late_pairs_once_it_has_alternated() {
    let text = format!("# midstream: true\n# vantage: server\n{}", rounds(5));
    assert_eq!(outcomes(&text), ["complete 1 1", "complete 2 2", "complete 3 3", "complete 4 4", "complete 5 5"]);
    let few = format!("# midstream: true\n# vantage: server\n{}", rounds(2));
    assert_eq!(outcomes(&few), ["lost 1 -", "unmatched  1", "lost 2 -", "unmatched  2"]);
    // From the client's side a window of requests in flight would look the same, so only silence is proof there.
    let apart = text.replace("vantage: server", "vantage: client");
    assert!(outcomes(&apart).iter().all(|line| !line.starts_with("complete")));
}

#[test]
fn a_silence_shows_whether_a_conversation_joined_late_was_in_step() {
    let joined = |talk: &str, then: &str| format!("# midstream: true\n{talk}{then}");
    for then in ["--- 30ms\n", "=== close\n", "--- 30ms\n>>>\nQ9 0\\n\n<<<\nA9 0\\n\n"] {
        assert!(all_complete(&joined(&rounds(3), then)), "{then}: {:?}", outcomes(&joined(&rounds(3), then)));
    }
    let burst = ">>>\nQ1 0\\nQ2 0\\n\n<<<\nA1 0\\n\n<<<\nA2 0\\n\n";
    assert!(all_complete(&joined(burst, "--- 30ms\n")));
    // An answer to what was asked before makes one too many, and none of them is given to a request.
    let shifted = ">>>\nQ1 0\\n\n<<<\nA0 0\\n\n>>>\nQ2 0\\n\n<<<\nA1 0\\n\n<<<\nA2 0\\n\n";
    let lines = outcomes(&joined(shifted, "--- 30ms\n"));
    assert!(lines.iter().all(|line| !line.starts_with("complete")), "{lines:?}");
    // As long as a request waits, silence says nothing.
    let waiting = ">>>\nQ1 0\\n\n<<<\nA0 0\\n\n>>>\nQ2 0\\n\n";
    let lines = outcomes(&joined(waiting, "--- 30ms\n<<<\nA1 0\\n\n<<<\nA2 0\\n\n"));
    assert!(lines.iter().all(|line| !line.starts_with("complete")), "{lines:?}");
}

#[test]
fn a_sliding_window_joined_late_is_never_paired_one_off() {
    // Q1 is in flight when the observation starts; its answer must not go to Q2.
    let text = "# midstream: true\n>>>\nQ2 0\\n\n>>>\nQ3 0\\n\n<<<\nA1 0\\n\n>>>\nQ4 0\\n\n<<<\nA2 0\\n\n>>>\nQ5 0\\n\n<<<\nA3 0\\n\n";
    assert!(outcomes(text).iter().all(|line| !line.starts_with("complete")));
}

#[test]
fn a_body_until_the_end_and_a_cut_one() {
    let run = |text: &str| Run::of(&registry(), &transcript(text)).unwrap();
    let whole = run(">>>\nQ1 0\\n\n<<<\nA1 18446744073709551615\\nabc\n<<<\ndef\n=== close\n");
    assert_eq!((whole.exchanges[0].outcome, whole.exchanges[0].response_bytes), (Outcome::Complete, 24 + 6));
    let cut = run(">>>\nQ1 0\\n\n<<<\nA1 10\\nabc\n=== close\n");
    assert_eq!((cut.exchanges[0].outcome, cut.exchanges[0].response_bytes), (Outcome::Cancelled, 6 + 3));
    let reset = run(">>>\nQ1 0\\n\n=== reset\n");
    assert_eq!(reset.exchanges[0].outcome, Outcome::Reset);
}

#[test]
fn a_head_longer_than_allowed_ends_nothing_but_itself() {
    let long = "Q1111111111111111111111111111111111111111111111111111111111111111111111111111111111";
    let start = format!(">>>\nQ1 0\\n\n<<<\nA1 0\\n\n>>>\n{long}\n>>>\n1\\n\n");
    let next = ">>>\nQ2 0\\n\n<<<\nA2 0\\n\n";
    // Whatever it asked may still be answered, so the next answer proves nothing; one that came, and silence, do.
    assert_eq!(outcomes(&format!("{start}--- 20ms\n{next}")), ["complete 1 1", "lost 2 -", "unmatched  2"]);
    let answered = format!("{start}<<<\nA9 0\\n\n--- 20ms\n{next}");
    assert_eq!(outcomes(&answered), ["complete 1 1", "unmatched  9", "complete 2 2"]);
}

#[test]
fn a_switch_leaves_the_rest_opaque() {
    let run = Run::of(&registry(), &transcript(">>>\nQ1 0\\n\n<<<\nS1 0\\nrest\n>>>\nwhatever\n")).unwrap();
    assert_eq!(run.exchanges.len(), 1);
    assert_eq!(run.ledger.bytes.opaque, 4 + 8);
}

#[test]
fn what_no_protocol_claims_is_opaque_and_accounted_for() {
    let run = Run::of(&registry(), &transcript(">>>\nxxxxxxxx\n<<<\nyyyy\n")).unwrap();
    assert_eq!((run.exchanges.len(), run.ledger.bytes.opaque), (0, 12));
}

#[test]
fn more_flows_than_allowed_evict_the_silent_one() {
    let batch = transcript(">>>\nQ1 0\\n\n").batch();
    let mut events = Vec::new();
    for flow in 0..10 {
        for event in &batch.events {
            let mut event = event.clone();
            match &mut event {
                Event::Opened(opened) => opened.flow.0 = flow,
                Event::Segment(segment) => segment.flow.0 = flow,
                _ => {}
            }
            events.push(event);
        }
    }
    let batch = kindling_core::Batch::new(batch.origin.clone(), events);
    let run = run(&registry(), &kindling_protocols::Limits::default().max_flows(4), &batch).unwrap();
    assert_eq!((run.ledger.flows_evicted, run.exchanges.len()), (6, 10));
}

#[test]
fn an_early_answer_counts_what_was_sent_so_far() {
    let text = ">>>\nQ1 1000\\nabcde\n>>>\nfghij\n--- 1ms\n<<<\nA1 0\\n\n--- 20ms\n>>>\nklmno\n=== close\n";
    let run = Run::of(&registry(), &transcript(text)).unwrap();
    assert_eq!((run.exchanges[0].outcome, run.exchanges[0].request_bytes), (Outcome::Complete, 8 + 10));
}
