//! Damaged conversations: whatever bytes come, nothing panics, the ledger balances after every event, and the work stays linear.

#[path = "common/fixtures.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "each test uses a part of it")]
mod fixtures;

use bytes::Bytes;
use kindling_protocols::{
    Registry,
    testing::{Run, Step, Transcript},
};

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// The transcript with a few of its bytes flipped, put in, taken out, doubled or made a digit.
fn damaged(transcript: &Transcript, random: &mut Random) -> Transcript {
    let mut out = transcript.clone();
    let spoken = out.steps.iter().filter(|step| matches!(step, Step::Say(..))).count();
    for _ in 0..1 + random.below(4) {
        let nth = random.below(spoken);
        let said =
            out.steps.iter_mut().filter_map(|step| if let Step::Say(_, data) = step { Some(data) } else { None });
        let Some(data) = said.into_iter().nth(nth) else { continue };
        let mut bytes = data.to_vec();
        let at = random.below(bytes.len());
        match random.below(6) {
            _ if bytes.is_empty() => {}
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = b'0' + random.below(10) as u8,
            2 => bytes[at] = random.below(256) as u8,
            3 => bytes.insert(at, random.below(256) as u8),
            4 => drop(bytes.drain(at..(at + 1 + random.below(8)).min(bytes.len()))),
            _ => bytes.extend_from_within(at..),
        }
        *data = Bytes::from(bytes);
    }
    out
}

#[test]
fn damage_is_survived() {
    let registry = Registry::builtin();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for protocol in ["dns", "http1", "redis"] {
        for transcript in fixtures::of(protocol) {
            for round in 0..200 {
                let run = Run::of(&registry, &damaged(&transcript, &mut random));
                let run = run.unwrap_or_else(|why| panic!("{protocol} {}, round {round}: {why}", transcript.name));
                let (scanned, captured) = (run.ledger.scanned, run.ledger.bytes.captured);
                assert!(scanned <= 8 * captured + 64, "{protocol} {}: {scanned} of {captured}", transcript.name);
            }
        }
    }
}
