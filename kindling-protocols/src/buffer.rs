//! One direction of a flow: contiguous bytes, aware of offsets, skips, truncation and gaps.

use bytes::{Buf, Bytes, BytesMut};
use kindling_core::{Cause, Segment, ledger};

use crate::{pairing::Stamp, parse::Span};

/// The bytes of one direction that wait to be parsed.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Captured, contiguous, not parsed; ends at `end - tail`.
    data: Bytes,
    /// Bytes known to follow `data` that were not captured.
    tail: u64,
    /// Stream position after `data` and `tail`; [`NOWHERE`] until anything is known.
    end: u64,
    /// Bytes the parser need not see, still to pass. While there are any, `data` and `tail` are empty.
    skip: u64,
    /// Bytes passed under the current skip.
    passed: u64,
    /// Who moved which bytes of `data`, and when, but for those of the newest segment.
    marks: Vec<Mark>,
    /// Who moved the newest byte, and when.
    newest: Stamp,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    end: u64,
    stamp: Stamp,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            data: Bytes::new(),
            tail: 0,
            end: NOWHERE,
            skip: 0,
            passed: 0,
            marks: Vec::new(),
            newest: Stamp::default(),
        }
    }
}

/// What a push found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It follows what was there.
    Contiguous,
    /// Bytes before it are missing that no skip covered; what was buffered before them is gone.
    Broken,
    /// All of it had been seen.
    Duplicate,
}

impl Buffer {
    /// The stream starts at `offset`.
    pub(crate) const fn begin(&mut self, offset: u64) {
        if self.end == NOWHERE {
            self.end = offset;
        }
    }

    /// Where the next byte is expected, once anything is known.
    pub(crate) const fn expected(&self) -> Option<u64> {
        if self.end == NOWHERE { None } else { Some(self.end) }
    }

    /// Whether something is missing between what is here and `offset`, that no skip covers.
    pub(crate) const fn misses(&self, offset: u64) -> bool {
        offset > self.end && offset - self.end > self.skip
    }

    /// Nothing is buffered and nothing is to be skipped: the next byte starts a message.
    pub(crate) fn at_boundary(&self) -> bool {
        self.data.is_empty() && self.tail == 0 && self.skip == 0
    }

    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.data
    }

    /// The buffered bytes, to be given back with [`restore`](Self::restore) before anything else is done here.
    pub(crate) const fn lend(&mut self) -> Bytes {
        std::mem::replace(&mut self.data, Bytes::new())
    }

    pub(crate) fn restore(&mut self, data: Bytes) {
        self.data = data;
    }

    pub(crate) const fn skipping(&self) -> bool {
        self.skip > 0
    }

    /// Whether the current skip lasts until the flow ends.
    pub(crate) const fn skipping_to_end(&self) -> bool {
        self.skip > Span::TO_END / 2
    }

    /// Stream position at which the current skip ends.
    pub(crate) const fn skip_end(&self) -> u64 {
        self.end.saturating_add(self.skip)
    }

    /// Bytes passed under the latest skip.
    pub(crate) const fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether what follows the buffered bytes was not captured, so that they cannot become more.
    pub(crate) const fn cut(&self) -> bool {
        self.tail > 0
    }

    /// How many bytes that follow the buffered ones were not captured.
    pub(crate) const fn hidden(&self) -> u64 {
        self.tail
    }

    /// Stream position of the first buffered byte.
    pub(crate) fn start(&self) -> u64 {
        self.end - self.tail - self.data.len() as u64
    }

    /// Who moved the byte at stream position `offset`, which is buffered.
    pub(crate) fn stamp(&self, offset: u64) -> Stamp {
        self.marks.iter().find(|mark| offset < mark.end).map_or(self.newest, |mark| mark.stamp)
    }

    /// Who moved the newest byte, and when.
    pub(crate) const fn newest(&self) -> Stamp {
        self.newest
    }

    /// The next segment stands alone at `offset`.
    pub(crate) const fn restart(&mut self, offset: u64) {
        self.end = offset;
    }

    /// Let a segment pass that lies wholly inside the current skip and follows what was there. Most bytes of most bodies go this way.
    pub(crate) const fn pass_whole(&mut self, segment: &Segment, captured: u64, account: &mut ledger::Bytes) -> bool {
        if segment.offset != self.end || segment.len >= self.skip || captured > segment.len {
            return false;
        }
        account.captured += captured;
        account.fresh += captured;
        account.advanced += segment.len;
        account.skipped += segment.len;
        self.end += segment.len;
        self.skip -= segment.len;
        self.passed += segment.len;
        self.newest = Stamp { at: segment.at, task: segment.task };
        true
    }

    /// Add a segment.
    pub(crate) fn push(&mut self, segment: &Segment, account: &mut ledger::Bytes) -> Pushed {
        self.begin(segment.offset);
        let captured = segment.data.len() as u64;
        let len = segment.len.max(captured);
        account.captured += captured;
        let seen = self.end.saturating_sub(segment.offset).min(len);
        let again = seen.min(captured);
        account.duplicate += again;
        account.fresh += captured - again;
        if seen == len {
            return if len == 0 { Pushed::Contiguous } else { Pushed::Duplicate };
        }
        let whole = self.miss(segment.offset.saturating_sub(self.end), Cause::Lost, account);
        let stamp = Stamp { at: segment.at, task: segment.task };
        self.append(segment.data.slice(again as usize..), len - seen - (captured - again), stamp, account);
        if whole { Pushed::Contiguous } else { Pushed::Broken }
    }

    /// Bytes that moved unseen, up to stream position `until`.
    pub(crate) fn push_gap(&mut self, until: u64, cause: Cause, account: &mut ledger::Bytes) -> Pushed {
        if until <= self.end {
            return Pushed::Duplicate;
        }
        if self.miss(until - self.end, cause, account) { Pushed::Contiguous } else { Pushed::Broken }
    }

    /// `missing` bytes passed unseen. Says whether all of them were to be skipped.
    fn miss(&mut self, missing: u64, cause: Cause, account: &mut ledger::Bytes) -> bool {
        if missing == 0 && self.tail == 0 {
            return true;
        }
        if missing > MAX_JUMP {
            // No stream moves that far unseen: the source restarted its count, or lies.
            self.end = self.end.saturating_add(missing);
            self.give_up(account);
            return false;
        }
        account.advanced += missing;
        self.end += missing;
        let needed = missing - self.pass(missing, account);
        let bucket = match cause {
            Cause::NotTargeted => &mut account.not_targeted,
            Cause::Unhooked => &mut account.uncaptured,
            _ => &mut account.lost,
        };
        *bucket += needed;
        if needed == 0 && self.tail == 0 {
            return true;
        }
        self.give_up(account);
        false
    }

    fn append(&mut self, mut data: Bytes, uncaptured: u64, stamp: Stamp, account: &mut ledger::Bytes) {
        let len = data.len() as u64 + uncaptured;
        account.advanced += len;
        self.end += len;
        let passed = self.pass(data.len() as u64, account);
        data.advance(passed as usize);
        let hidden = uncaptured - if data.is_empty() { self.pass(uncaptured, account) } else { 0 };
        account.buffered += data.len() as u64 + hidden;
        self.tail += hidden;
        if data.is_empty() {
            // What is buffered has no later bytes: those that came last were skipped or not captured.
            if self.data.is_empty() {
                self.newest = stamp;
            }
            return;
        }
        if self.data.is_empty() {
            self.data = data;
            self.newest = stamp;
            return;
        }
        let older = std::mem::replace(&mut self.newest, stamp);
        self.marks.push(Mark { end: self.end - len, stamp: older });
        // Unique after the first join, so growth is amortised.
        let mut grown = match std::mem::take(&mut self.data).try_into_mut() {
            Ok(unique) => unique,
            Err(shared) => BytesMut::from(&shared[..]),
        };
        grown.extend_from_slice(&data);
        self.data = grown.freeze();
    }

    /// Let up to `n` bytes pass under the current skip; says how many did.
    fn pass(&mut self, n: u64, account: &mut ledger::Bytes) -> u64 {
        let n = n.min(self.skip);
        self.skip -= n;
        self.passed += n;
        account.skipped += n;
        n
    }

    /// Take what a parser took.
    pub(crate) fn consume(&mut self, span: Span, account: &mut ledger::Bytes) {
        let consumed = span.consumed.min(self.data.len());
        self.data.advance(consumed);
        account.framed += consumed as u64;
        account.buffered -= consumed as u64;
        self.skip = span.skip;
        self.passed = 0;
        let passed = self.pass(self.data.len() as u64, account);
        self.data.advance(passed as usize);
        account.buffered -= passed;
        if self.data.is_empty() {
            let hidden = self.pass(self.tail, account);
            self.tail -= hidden;
            account.buffered -= hidden;
        }
        self.forget_marks();
    }

    /// Pass over bytes that are not a message.
    pub(crate) fn reject(&mut self, n: usize, account: &mut ledger::Bytes) {
        let n = n.min(self.data.len());
        self.data.advance(n);
        account.buffered -= n as u64;
        account.rejected += n as u64;
        self.forget_marks();
    }

    /// Drop what is buffered, because it cannot become a message.
    pub(crate) fn give_up(&mut self, account: &mut ledger::Bytes) {
        account.evicted += self.data.len() as u64;
        account.uncaptured += self.tail;
        account.buffered -= self.data.len() as u64 + self.tail;
        self.data = Bytes::new();
        self.tail = 0;
        self.skip = 0;
        self.marks.clear();
    }

    /// Hand the buffered bytes over, to be pushed again elsewhere; the account forgets them.
    pub(crate) fn take(&mut self, account: &mut ledger::Bytes) -> (u64, Bytes, u64, Stamp) {
        let (start, stamp) = (self.start(), self.stamp(self.start()));
        let (data, tail) = (std::mem::take(&mut self.data), std::mem::take(&mut self.tail));
        let len = data.len() as u64 + tail;
        account.buffered -= len;
        account.advanced -= len;
        account.captured -= data.len() as u64;
        account.fresh -= data.len() as u64;
        self.marks.clear();
        (start, data, tail, stamp)
    }

    /// End the segment: own what is left, so that it does not pin the batch.
    pub(crate) fn settle(&mut self) {
        if self.data.is_empty() {
            self.data = Bytes::new();
        } else if !self.data.is_unique() {
            self.data = Bytes::from(BytesMut::from(&self.data[..]));
        }
    }

    fn forget_marks(&mut self) {
        if self.data.is_empty() {
            self.marks.clear();
        } else if !self.marks.is_empty() {
            let start = self.start();
            self.marks.retain(|mark| mark.end > start);
        }
    }
}

/// No stream position: the engine takes none that is so high.
const NOWHERE: u64 = u64::MAX;

/// Most bytes that may be missing in one place.
pub(crate) const MAX_JUMP: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use kindling_core::{Direction, FlowId, Timestamp};

    use super::*;

    fn segment(offset: u64, data: &'static [u8], len: u64) -> Segment {
        Segment {
            at: Timestamp::from_nanos(offset),
            flow: FlowId(1),
            direction: Direction::Out,
            offset,
            data: Bytes::from_static(data),
            len,
            task: None,
        }
    }

    fn balanced(account: &ledger::Bytes) {
        let ledger = kindling_core::Ledger::default();
        let mut ledger = ledger;
        ledger.bytes = *account;
        ledger.check().unwrap();
    }

    #[test]
    fn joins_cuts_duplicates_and_passes_skips() {
        let (mut buffer, mut account) = (Buffer::default(), ledger::Bytes::default());
        assert_eq!(buffer.push(&segment(10, b"abc", 3), &mut account), Pushed::Contiguous);
        assert_eq!(buffer.push(&segment(11, b"bcde", 4), &mut account), Pushed::Contiguous);
        assert_eq!(&buffer.bytes()[..], b"abcde");
        assert_eq!(buffer.push(&segment(10, b"abc", 3), &mut account), Pushed::Duplicate);
        buffer.consume(Span::of(3).skipping(10), &mut account);
        assert!(buffer.skipping() && buffer.bytes().is_empty());
        // A hole inside the skip loses nothing.
        assert_eq!(buffer.push(&segment(20, b"xxxyz", 5), &mut account), Pushed::Contiguous);
        assert_eq!(&buffer.bytes()[..], b"yz");
        balanced(&account);
        assert_eq!((account.lost, account.duplicate, account.skipped), (0, 5, 10));
    }

    #[test]
    fn a_hole_breaks_what_it_cuts() {
        let (mut buffer, mut account) = (Buffer::default(), ledger::Bytes::default());
        buffer.push(&segment(0, b"ab", 2), &mut account);
        assert_eq!(buffer.push(&segment(5, b"cd", 2), &mut account), Pushed::Broken);
        assert_eq!(&buffer.bytes()[..], b"cd");
        balanced(&account);
        assert_eq!((account.lost, account.evicted), (3, 2));
    }

    #[test]
    fn what_was_not_captured_may_be_skipped_and_not_more() {
        let (mut buffer, mut account) = (Buffer::default(), ledger::Bytes::default());
        buffer.push(&segment(0, b"head", 10), &mut account);
        assert!(buffer.cut());
        buffer.consume(Span::of(4).skipping(6), &mut account);
        assert!(buffer.at_boundary());
        buffer.push(&segment(10, b"he", 10), &mut account);
        assert_eq!(buffer.push(&segment(20, b"head", 4), &mut account), Pushed::Broken);
        balanced(&account);
        assert_eq!((account.uncaptured, account.evicted, account.skipped), (8, 2, 6));
    }
}
