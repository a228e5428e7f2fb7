//! Durations counted in buckets that grow with the value.

use std::time::Duration;

/// A histogram of durations whose quantiles are at most 1/64 off (1.6 %), from a nanosecond to five centuries.
///
/// Each power of two is split into 32 equal buckets, and a quantile is the middle of its bucket. Memory follows the span between the
/// shortest and the longest duration seen: 8 bytes a bucket, 256 bytes a power of two, 15 KiB at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Index of the bucket at the front of `counts`.
    first: usize,
    counts: Vec<u64>,
    total: u64,
    min: Duration,
    max: Duration,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: 0, counts: Vec::new(), total: 0, min: Duration::ZERO, max: Duration::ZERO }
    }

    /// Count a duration.
    pub fn record(&mut self, duration: Duration) {
        let index = bucket(nanos(duration));
        if self.counts.is_empty() {
            self.first = index;
        }
        if index < self.first {
            let missing = self.first - index;
            self.counts.splice(..0, std::iter::repeat_n(0, missing));
            self.first = index;
        }
        let place = index - self.first;
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += 1;
        self.min = if self.is_empty() { duration } else { self.min.min(duration) };
        self.max = self.max.max(duration);
        self.total += 1;
    }

    /// How many were counted.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.total
    }

    /// Whether none was.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The shortest, exactly; zero if there is none.
    #[must_use]
    pub const fn min(&self) -> Duration {
        self.min
    }

    /// The longest, exactly.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }

    /// The duration that a share `q` (from 0 to 1) of all does not exceed; `None` if there are none.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        // Rank counts from 1, so that the quantile is one of the values.
        let rank = ((q * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        let place = self.counts.iter().position(|&count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(middle(self.first + place)).clamp(self.min, self.max))
    }

    /// Add what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        let mut both = Self::new();
        // The ends first, so that the buckets between them are there.
        let ends =
            if self.is_empty() { [other.min, other.max] } else { [self.min.min(other.min), self.max.max(other.max)] };
        ends.into_iter().for_each(|end| both.record(end));
        both.counts.fill(0);
        for from in [&*self, other] {
            for (place, count) in from.counts.iter().enumerate() {
                both.counts[from.first + place - both.first] += count;
            }
        }
        both.total = self.total + other.total;
        *self = both;
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Values below `SPLIT` have a bucket each; above, the top `BITS + 1` bits are the bucket.
const fn bucket(nanos: u64) -> usize {
    if nanos < SPLIT {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - BITS;
    ((shift as u64 + 1) * SPLIT + ((nanos >> shift) - SPLIT)) as usize
}

/// The middle of a bucket.
const fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SPLIT {
        return bucket;
    }
    let shift = bucket / SPLIT - 1;
    let low = (SPLIT + bucket % SPLIT) << shift;
    low + ((1 << shift) >> 1)
}

const BITS: u32 = 5;
const SPLIT: u64 = 1 << BITS;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quantile_is_close_to_the_true_one(mut values in proptest::collection::vec(any::<u64>().prop_flat_map(|v| (0..64u32).prop_map(move |s| v >> s)), 1..200), q in 0.0..=1.0f64) {
            let mut histogram = Histogram::new();
            values.iter().for_each(|&v| histogram.record(Duration::from_nanos(v)));
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let truth = values[rank - 1];
            let found = nanos(histogram.quantile(q).unwrap());
            prop_assert!(found.abs_diff(truth) <= truth / 64, "{} is not close to {}", found, truth);
            prop_assert!(histogram.counts.len() <= 60 * 32);
        }

        #[test]
        fn merged_is_as_if_counted_together(a: Vec<u64>, b: Vec<u64>) {
            let of = |values: &[u64]| {
                let mut histogram = Histogram::new();
                values.iter().for_each(|&v| histogram.record(Duration::from_nanos(v)));
                histogram
            };
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }
    }

    #[test]
    fn of_nothing_there_is_no_quantile() {
        assert_eq!(Histogram::new().quantile(0.5), None);
    }
}
