//! What a flow remembers beside its open questions: which ids are in use, and which zones are being transferred.

use smallvec::SmallVec;

use super::{
    names,
    wire::{self, Question},
};

/// What pairs an answer with its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) id: u16,
    /// Type and name of the first question; zeroes if there is none.
    pub(super) kind: u16,
    pub(super) name: u64,
}

impl Key {
    pub(super) fn new(id: u16, question: Option<Question>) -> Self {
        question.map_or(Self { id, kind: 0, name: 0 }, |q| Self { id, kind: q.kind, name: q.hash })
    }
}

/// Memory of one flow.
#[derive(Debug, Default)]
pub struct State {
    asked: SmallVec<[Key; 2]>,
    transfers: SmallVec<[Transfer; 1]>,
}

/// A zone that comes in several messages. RFC 5936 section 2.2, RFC 1995 section 4.
#[derive(Debug)]
struct Transfer {
    key: Key,
    serial: u32,
    records: u64,
    /// How often the start of authority that began it came again.
    again: u32,
    /// Once where the zone comes whole, twice where changes come.
    ends: u32,
}

impl State {
    pub(super) fn asked(&mut self, key: Key) {
        self.transfers.retain(|transfer| transfer.key != key);
        if self.asked.contains(&key) {
            return;
        }
        if self.asked.len() >= REMEMBERED {
            self.asked.remove(0);
        }
        self.asked.push(key);
    }

    pub(super) fn answered(&mut self, key: Key) {
        self.asked.retain(|asked| *asked != key);
    }

    /// The question asked under `id`, if it is only one that `waits`.
    pub(super) fn only(&self, id: u16, waits: impl Fn(Key) -> bool) -> Option<Key> {
        let mut all = self.asked.iter().filter(|key| key.id == id && waits(**key));
        all.next().filter(|_| all.next().is_none()).copied()
    }

    /// What `id` transfers.
    pub(super) fn transferred(&self, id: u16) -> Option<Key> {
        self.transfers.iter().find(|transfer| transfer.key.id == id).map(|transfer| transfer.key)
    }

    /// One more message of a transfer, with `answers` records from `at`. Says whether it was the last.
    pub(super) fn transfer(&mut self, key: Key, message: &[u8], at: usize, answers: u16, failed: bool) -> bool {
        let place = self.transfers.iter().position(|transfer| transfer.key == key);
        let mut transfer = match place {
            Some(place) => self.transfers.remove(place),
            None => Transfer { key, serial: 0, records: 0, again: 0, ends: 1 },
        };
        if failed || transfer.take(message, at, answers) {
            return true;
        }
        if self.transfers.len() < MAX_TRANSFERS {
            self.transfers.push(transfer);
        }
        false
    }
}

impl Transfer {
    /// Takes the records of one message; says whether the zone is complete.
    fn take(&mut self, message: &[u8], mut at: usize, answers: u16) -> bool {
        let first = self.records == 0;
        for _ in 0..answers {
            // What cannot be read to its end goes on for ever, or ends here.
            let Some(record) = wire::record(message, at) else { return true };
            at = record.end();
            self.records += 1;
            let serial = (record.kind == names::SOA).then(|| record.serial(message)).flatten();
            match (self.records, serial) {
                (1, Some(serial)) => self.serial = serial,
                // A transfer starts with a start of authority.
                (1, None) => return true,
                (2, Some(serial)) if serial != self.serial => self.ends = 2,
                (_, Some(serial)) if serial == self.serial => self.again += 1,
                _ => {}
            }
        }
        // A server that has nothing new to say sends one record only.
        let current = self.key.kind == names::IXFR && first && self.records == 1;
        answers == 0 || self.again >= self.ends || current
    }
}

/// Questions of one flow that an answer without a question is looked up in.
const REMEMBERED: usize = 64;
/// Transfers going on at once on one flow.
const MAX_TRANSFERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_use_twice_tells_nothing() {
        let [one, two] = [1, 28].map(|kind| Key { id: 7, kind, name: 9 });
        let mut state = State::default();
        state.asked(one);
        assert_eq!(state.only(7, |_| true), Some(one));
        state.asked(two);
        assert_eq!(state.only(7, |_| true), None);
        assert_eq!(state.only(7, |key| key == two), Some(two));
        state.answered(one);
        assert_eq!(state.only(7, |_| true), Some(two));
        assert_eq!(state.only(8, |_| true), None);
        (0..1000).for_each(|id| state.asked(Key { id, ..one }));
        assert!(state.asked.len() <= REMEMBERED);
    }

    /// Records `S<serial>` and `x` (any other) as the answers of one message.
    fn records(text: &str) -> (Vec<u8>, u16) {
        let mut message = vec![0; 12];
        for word in text.split(' ') {
            let serial = word.strip_prefix('S').map(|serial| serial.parse::<u32>().unwrap());
            let data = serial
                .map_or_else(|| vec![1, 2, 3, 4], |serial| [&[0, 0][..], &serial.to_be_bytes(), &[0; 16]].concat());
            message.extend([0, 0, if serial.is_some() { 6 } else { 1 }, 0, 1, 0, 0, 0, 0, 0, data.len() as u8]);
            message.extend(data);
        }
        (message, text.split(' ').count() as u16)
    }

    #[test]
    fn transfers_end_where_they_should() {
        for (kind, messages, lasts) in [
            (names::AXFR, &["S5 x x S5"][..], &[true][..]),
            (names::AXFR, &["S5", "x x", "x S5"], &[false, false, true]),
            (names::AXFR, &["x"], &[true]),
            (names::IXFR, &["S5"], &[true]),
            (names::IXFR, &["S5 x x S5"], &[true]),
            (names::IXFR, &["S5 S3 x", "S5 x", "S5"], &[false, false, true]),
            (names::IXFR, &["S5 S3 x S4 x S4 x S5 x", "x S5"], &[false, true]),
        ] {
            let mut state = State::default();
            let key = Key { id: 1, kind, name: 2 };
            for (message, last) in messages.iter().zip(lasts) {
                let (bytes, answers) = records(message);
                assert_eq!(state.transfer(key, &bytes, 12, answers, false), *last, "{messages:?} at {message}");
            }
            assert_eq!(state.transferred(1), None);
        }
        let mut state = State::default();
        assert!(state.transfer(Key { id: 1, kind: names::AXFR, name: 2 }, &[], 12, 0, true));
    }
}
