//! Whether order may pair: after a loss or a late start it proves nothing until something shows that no request is in flight.

use std::time::Duration;

use kindling_core::{Quality, Timestamp};

use crate::protocol::Sender;

/// Whether the answers of a flow are known to be in step with its requests.
#[derive(Debug)]
pub(crate) struct Alignment {
    /// Since when they are not.
    lost: Option<Timestamp>,
    /// Marks for exchanges paired although the flow's past is not wholly known.
    pub(crate) quality: Quality,
    /// Rounds of strict alternation seen since.
    rounds: u8,
    /// Most requests in flight at once so far, up to 2.
    deepest: u8,
    /// Longest wait for an answer so far, as time since zero: half the size of a duration.
    slowest: Timestamp,
    /// When the latest answer moved.
    last_answer: Timestamp,
    last_seen: Timestamp,
    last_sender: Option<Sender>,
}

impl Alignment {
    pub(crate) const fn new(midstream: bool, at: Timestamp) -> Self {
        Self {
            lost: if midstream { Some(at) } else { None },
            quality: if midstream { Quality::MID_STREAM } else { Quality::GOOD },
            rounds: 0,
            deepest: 0,
            slowest: Timestamp::ZERO,
            last_answer: Timestamp::ZERO,
            last_seen: at,
            last_sender: None,
        }
    }

    pub(crate) const fn aligned(&self) -> bool {
        self.lost.is_none()
    }

    /// Whether the only reason for doubt is that the flow is older than the observation.
    pub(crate) const fn only_joined_late(&self) -> bool {
        self.lost.is_some() && self.quality.contains(Quality::MID_STREAM) && !self.quality.contains(Quality::GAP_BEFORE)
    }

    /// Order proves nothing from here on.
    pub(crate) const fn lose(&mut self, at: Timestamp) {
        if self.lost.is_none() {
            self.lost = Some(at);
        }
        self.rounds = 0;
        self.quality = self.quality.union(Quality::GAP_BEFORE);
    }

    /// An answer had no request although all was in step: something is off, without bytes missing.
    pub(crate) const fn lose_quietly(&mut self, at: Timestamp) {
        if self.lost.is_none() {
            self.lost = Some(at);
        }
    }

    /// Something proved that no request is in flight.
    pub(crate) const fn regain(&mut self) {
        self.lost = None;
        self.rounds = 0;
    }

    /// Whether it has been lost for so long that the flow only counts.
    pub(crate) fn hopeless(&self, now: Timestamp) -> bool {
        self.lost.is_some_and(|since| now.since(since) >= PATIENCE)
    }

    /// A request was sent at `at`, while `waiting` others wait. Messages may come here later than they moved, so both count.
    pub(crate) fn asked(&mut self, waiting: usize, at: Timestamp) {
        if waiting > 0 || at < self.last_answer {
            self.deepest = 2;
            self.rounds = 0;
        }
        self.deepest = self.deepest.max(1);
    }

    /// An answer moved at `at`, whichever request it is for.
    pub(crate) fn answer_seen(&mut self, at: Timestamp) {
        self.last_answer = self.last_answer.max(at);
    }

    /// An answer came to the one request that waited.
    pub(crate) const fn alternated(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
    }

    /// Whether one more such answer makes `needed` rounds of strict alternation, on a flow that was never seen to do anything else.
    pub(crate) const fn proved_by_next(&self, needed: u8) -> bool {
        // What was lost may have been a request, and the next answer its own: one round more shows.
        let after_loss = self.quality.contains(Quality::GAP_BEFORE) as u8;
        needed > 0 && self.deepest < 2 && self.rounds.saturating_add(1) >= needed.saturating_add(after_loss)
    }

    /// When the silence since the last bytes will be long enough to prove something.
    pub(crate) fn silence_ends(&self) -> Timestamp {
        self.last_seen + self.long_silence()
    }

    /// An answer came that no single request explains.
    pub(crate) const fn stray(&mut self) {
        self.rounds = 0;
    }

    pub(crate) fn answered(&mut self, wait: Duration) {
        self.slowest = self.slowest.max(Timestamp::ZERO + wait);
    }

    fn long_silence(&self) -> Duration {
        let slowest = self.slowest.since(Timestamp::ZERO);
        if slowest.is_zero() { FIRST_SILENCE } else { (slowest * 2).max(SILENCE) }
    }

    /// Bytes of `sender` moved. Says whether they end a silence in which any answer in flight would have come: longer than any on this flow
    /// took, with the server the last to speak or nobody yet.
    pub(crate) fn heard(&mut self, sender: Sender, at: Timestamp) -> bool {
        let silence = at.since(self.last_seen);
        let quiet =
            silence >= self.long_silence() && sender == Sender::Client && self.last_sender != Some(Sender::Client);
        self.last_seen = self.last_seen.max(at);
        self.last_sender = Some(sender);
        quiet
    }
}

/// Least silence that says something. Answers of local stores take tens of microseconds; a thread put off by the scheduler takes milliseconds.
const SILENCE: Duration = Duration::from_millis(5);
/// The same while it is not known how long answers take on this flow.
const FIRST_SILENCE: Duration = Duration::from_millis(20);
/// How long a flow may look for proof.
const PATIENCE: Duration = Duration::from_secs(2);
