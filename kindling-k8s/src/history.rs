//! Who held one key at which time.

use kindling_core::Text;

/// The claims to one key (an address, a cgroup), in order of their start, none overlapping another.
///
/// Keys are used again: the address of a pod that went is soon another's. So a claim ends when its holder lets go *or* when
/// the next one takes over, whichever is told first, and letting go of what somebody else holds by now changes nothing.
#[derive(Clone, Debug)]
pub(crate) struct History<T> {
    claims: Vec<Claim<T>>,
}

#[derive(Clone, Debug)]
struct Claim<T> {
    holder: Text,
    since: u64,
    until: u64,
    value: T,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self { claims: Vec::new() }
    }
}

impl<T> History<T> {
    /// From `since` on it is `holder`'s, as `value`, until told otherwise.
    pub(crate) fn claim(&mut self, holder: &Text, since: u64, value: T) {
        let place = self.claims.partition_point(|claim| claim.since < since);
        if let Some(before) = place.checked_sub(1).and_then(|index| self.claims.get_mut(index)) {
            before.until = before.until.min(since);
        }
        let until = match self.claims.get(place) {
            Some(same) if same.since == since => {
                self.claims.remove(place);
                self.claims.get(place).map_or(u64::MAX, |next| next.since)
            }
            next => next.map_or(u64::MAX, |next| next.since),
        };
        self.claims.insert(place, Claim { holder: holder.clone(), since, until, value });
        if self.claims.len() > MAX_CLAIMS {
            self.claims.remove(0);
        }
    }

    /// From `at` on it is no longer `holder`'s.
    pub(crate) fn release(&mut self, holder: &Text, at: u64) {
        for claim in self.claims.iter_mut().filter(|claim| claim.holder == *holder) {
            claim.until = claim.until.min(at.max(claim.since));
        }
        self.claims.retain(|claim| claim.since < claim.until);
    }

    /// Whose it was at `at`.
    pub(crate) fn at(&self, at: u64) -> Option<&T> {
        let place = self.claims.partition_point(|claim| claim.since <= at).checked_sub(1)?;
        self.claims.get(place).filter(|claim| at < claim.until).map(|claim| &claim.value)
    }

    /// Drop what ended at or before `at`; says whether anything is left.
    pub(crate) fn forget_before(&mut self, at: u64) -> bool {
        self.claims.retain(|claim| claim.until > at);
        !self.claims.is_empty()
    }

    /// Whether nothing is known.
    pub(crate) const fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }
}

/// Claims kept for one key; the oldest goes first. A key that changes hands more often than this within the time a look-up reaches back
/// tells nothing anyway.
const MAX_CLAIMS: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(steps: &[(&str, u64)]) -> History<String> {
        let mut history = History::default();
        for (holder, since) in steps {
            history.claim(&Text::from(*holder), *since, (*holder).to_owned());
        }
        history
    }

    #[test]
    fn the_next_holder_ends_the_claim_of_the_last() {
        let mut history = history(&[("a", 10), ("b", 20)]);
        history.release(&Text::from("a"), 25);
        assert_eq!([9, 10, 19, 20, 99].map(|at| history.at(at).map_or("-", String::as_str)), ["-", "a", "a", "b", "b"]);
    }

    #[test]
    fn what_is_told_late_ends_where_the_next_begins() {
        let history = history(&[("b", 20), ("a", 10)]);
        assert_eq!([10, 19, 20].map(|at| history.at(at).map_or("-", String::as_str)), ["a", "a", "b"]);
    }

    #[test]
    fn the_oldest_claims_go_first() {
        let mut history = History::default();
        for at in 0..100 {
            history.claim(&Text::from("a"), at, at);
        }
        assert_eq!((history.claims.len(), history.at(0), history.at(99)), (MAX_CLAIMS, None, Some(&99)));
    }

    proptest! {
        /// Against the plainest account: who held it at each of a few instants.
        #[test]
        fn in_order_it_agrees_with_a_table(steps in proptest::collection::vec((0..3u8, any::<bool>()), 0..24)) {
            let mut history = History::default();
            let mut holder = None;
            let mut table = Vec::new();
            for (at, (who, claims)) in steps.iter().enumerate() {
                let name = Text::from(&[*who][..]);
                if *claims {
                    history.claim(&name, at as u64, *who);
                    holder = Some(*who);
                } else {
                    history.release(&name, at as u64);
                    holder = holder.filter(|held| held != who);
                }
                table.push(holder);
            }
            for (at, held) in table.iter().enumerate() {
                prop_assert_eq!(history.at(at as u64).copied(), *held, "at {}", at);
            }
        }
    }
}
