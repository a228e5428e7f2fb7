//! What must hold for every protocol, whatever happens to its bytes on the way.

use kindling_core::{Batch, Event, Exchange, Outcome, Segment, Transport};

use super::{
    run::{Run, fits, is_segment, run, written},
    transcript::Transcript,
};
use crate::{
    parse::{Probe, Verdict},
    protocol::Sender,
    registry::Registry,
};

/// A law: what must hold of a transcript.
type Law = fn(&Registry, &Transcript) -> Result<(), String>;

/// All laws for one transcript.
///
/// # Errors
/// Which law does not hold, and where.
pub fn check_all(registry: &Registry, transcript: &Transcript) -> Result<(), String> {
    let laws: [(&str, Law); 6] = [
        ("expected", expected),
        ("every cut", every_cut),
        ("every prefix", every_prefix),
        ("one segment dropped", one_dropped),
        ("permuted", permuted),
        ("linear", linear),
    ];
    for (name, law) in laws {
        law(registry, transcript).map_err(|why| format!("{}: {name}: {why}", transcript.name))?;
    }
    Ok(())
}

/// What comes out is what the transcript says.
///
/// # Errors
/// What is missing and what is too much.
pub fn expected(registry: &Registry, transcript: &Transcript) -> Result<(), String> {
    let run = Run::of(registry, transcript)?;
    let mut left: Vec<&Exchange> = run.exchanges.iter().collect();
    let mut missing = Vec::new();
    for line in &transcript.expected {
        match left.iter().position(|exchange| fits(exchange, line)) {
            Some(place) => drop(left.remove(place)),
            None => missing.push(line.as_str()),
        }
    }
    if missing.is_empty() && left.is_empty() {
        return Ok(());
    }
    let extra: Vec<_> = left.into_iter().map(written).collect();
    Err(format!("missing:\n{}\ninstead:\n{}", missing.join("\n"), extra.join("\n")))
}

/// However the streams are cut into segments, the same exchanges come out.
///
/// # Errors
/// The first cut that changes something.
pub fn every_cut(registry: &Registry, transcript: &Transcript) -> Result<(), String> {
    if transcript.transport == Transport::Udp {
        return Ok(());
    }
    let whole = Run::of(registry, transcript)?.signature();
    let batch = transcript.batch();
    let longest = batch.events.iter().filter_map(length).max().unwrap_or_default();
    // All cuts of short segments, a sample of those of long ones.
    let step = longest / 600 + 1;
    let sizes = (1..longest).step_by(step).map(|cut| (cut, false));
    for (size, repeated) in sizes.chain([(1, true), (2, true), (7, true)]) {
        let cut = recut(&batch, size, repeated);
        let signature = run(registry, &transcript.limits(), &cut)?.signature();
        if signature != whole {
            return Err(differ(&format!("cut at {size}, repeatedly: {repeated}"), &whole, &signature));
        }
    }
    Ok(())
}

/// No beginning of the conversation makes a parser refuse what the whole does not make it refuse.
///
/// # Errors
/// The first prefix that does.
pub fn every_prefix(registry: &Registry, transcript: &Transcript) -> Result<(), String> {
    let whole = Run::of(registry, transcript)?;
    let batch = transcript.batch();
    for end in 0..batch.events.len() {
        let len = batch.events.get(end).and_then(length).unwrap_or_default();
        let datagram = transcript.transport == Transport::Udp;
        for cut in (0..=len).step_by(if datagram { len.max(1) } else { len / 200 + 1 }) {
            let mut part = batch.clone();
            part.events.truncate(end + 1);
            if let Some(Event::Segment(segment)) = part.events.last_mut() {
                segment.data.truncate(cut);
                segment.len = cut as u64;
            }
            let rejects = run(registry, &transcript.limits(), &part)?.ledger.rejects;
            if rejects > whole.ledger.rejects {
                return Err(format!("rejected when event {end} ends after {cut} bytes"));
            }
        }
    }
    Ok(())
}

/// Whichever one segment is lost, no answer is given to another request.
///
/// # Errors
/// The first segment whose loss makes a wrong pair.
pub fn one_dropped(registry: &Registry, transcript: &Transcript) -> Result<(), String> {
    let truth = Run::of(registry, transcript)?;
    let batch = transcript.batch();
    for index in 0..batch.events.len() {
        if !is_segment(&batch.events[index]) {
            continue;
        }
        let mut holed = batch.clone();
        holed.events.remove(index);
        let run = run(registry, &transcript.limits(), &holed)?;
        no_wrong_pair(&truth, &run).map_err(|why| format!("without event {index}: {why}"))?;
    }
    Ok(())
}

/// Events out of order by less than the reorder window change no pair.
///
/// # Errors
/// The first order that does.
pub fn permuted(registry: &Registry, transcript: &Transcript) -> Result<(), String> {
    let truth = Run::of(registry, transcript)?;
    let batch = transcript.batch();
    let datagram = transcript.transport == Transport::Udp;
    for seed in 0..64_u64 {
        let mut shuffled = batch.clone();
        if !shuffle(&mut shuffled, seed) {
            return Ok(());
        }
        let run = run(registry, &transcript.limits(), &shuffled)?;
        no_wrong_pair(&truth, &run).map_err(|why| format!("shuffle {seed}: {why}"))?;
        // What began before the observation, what was lost, and datagrams with one id twice do depend on order.
        let whole = !transcript.midstream && !datagram && truth.ledger.resyncs == 0 && truth.ledger.rejects == 0;
        if whole && run.signature() != truth.signature() {
            return Err(differ(&format!("shuffle {seed}"), &truth.signature(), &run.signature()));
        }
    }
    Ok(())
}

/// Parsers look at each byte at most eight times, even if it comes in segments of one byte.
///
/// # Errors
/// How often they looked.
pub fn linear(registry: &Registry, transcript: &Transcript) -> Result<(), String> {
    if transcript.transport == Transport::Udp {
        return Ok(());
    }
    let run = run(registry, &transcript.limits(), &recut(&transcript.batch(), 1, true))?;
    let (scanned, bytes) = (run.ledger.scanned, run.ledger.bytes.captured);
    if scanned > 8 * bytes + 64 { Err(format!("{scanned} bytes looked at, of {bytes}")) } else { Ok(()) }
}

/// Asks every protocol of `registry` about the first bytes of every transcript; only its own may claim them.
///
/// # Errors
/// The first transcript that another protocol claims, or its own does not.
pub fn diagonal(registry: &Registry, transcripts: &[Transcript]) -> Result<(), String> {
    for transcript in transcripts {
        let mut claimed = false;
        for sender in [Sender::Client, Sender::Server] {
            let Some(head) = transcript.first_bytes(sender) else { continue };
            let probe = Probe::new(&head).transport(transcript.transport).midstream(transcript.midstream);
            for (name, verdict) in registry.verdicts(&probe) {
                let own = name == transcript.protocol;
                claimed |= own && matches!(verdict, Verdict::Match(_));
                if !own && matches!(verdict, Verdict::Match(_)) {
                    return Err(format!("{}: {name} claims what the {sender:?} says first", transcript.name));
                }
            }
        }
        let known = registry.names().any(|name| name == transcript.protocol);
        if known && !claimed && !transcript.midstream {
            return Err(format!("{}: {} does not know its own", transcript.name, transcript.protocol));
        }
    }
    Ok(())
}

/// Every exchange of `run` that has an answer has the one that it has in `truth`.
fn no_wrong_pair(truth: &Run, run: &Run) -> Result<(), String> {
    for exchange in run.exchanges.iter().filter(|exchange| exchange.outcome == Outcome::Complete) {
        let right = truth.exchanges.iter().find(|other| {
            other.offset == exchange.offset && other.side == exchange.side && other.client == exchange.client
        });
        let fits = right.is_some_and(|right| {
            let (first, last) = (right.first_byte_at, right.response_at);
            // Of an answer in several segments the first may be the one that was lost.
            exchange.first_byte_at >= first && exchange.first_byte_at <= last
        });
        if !fits {
            return Err(format!("wrong pair: {}", written(exchange)));
        }
    }
    Ok(())
}

fn length(event: &Event) -> Option<usize> {
    match event {
        Event::Segment(segment) => Some(segment.data.len()),
        _ => None,
    }
}

/// The same bytes in other segments: each cut at `size`, once or all along.
fn recut(batch: &Batch, size: usize, repeated: bool) -> Batch {
    let mut events = Vec::new();
    for event in &batch.events {
        match event {
            Event::Segment(segment) => cut(segment, size, repeated, &mut events),
            other => events.push(other.clone()),
        }
    }
    Batch::new(batch.origin.clone(), events)
}

fn cut(segment: &Segment, size: usize, repeated: bool, events: &mut Vec<Event>) {
    let mut rest = segment.clone();
    while rest.data.len() > size {
        let mut head = rest.clone();
        head.data.truncate(size);
        head.len = size as u64;
        rest.data = rest.data.slice(size..);
        rest.len -= size as u64;
        rest.offset += size as u64;
        events.push(Event::Segment(head));
        if !repeated {
            break;
        }
    }
    events.push(Event::Segment(rest));
}

/// Move segments among others that happened within half the reorder window. Says whether there is anything to move.
fn shuffle(batch: &mut Batch, seed: u64) -> bool {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let movable: Vec<_> =
        batch.events.iter().enumerate().filter(|(_, event)| is_segment(event)).map(|(i, _)| i).collect();
    for pair in movable.windows(2) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (a, b) = (pair[0], pair[1]);
        // Only neighbours: over something else, such as a wait, order is certain.
        let near = batch.events[b].at().since(batch.events[a].at()).as_millis() < 5;
        if b == a + 1 && near && random.is_multiple_of(3) {
            batch.events.swap(a, b);
        }
    }
    movable.len() > 1
}

fn differ(what: &str, left: &[String], right: &[String]) -> String {
    let only =
        |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>().join("\n");
    format!("{what}\nonly whole:\n{}\nonly changed:\n{}", only(left, right), only(right, left))
}
