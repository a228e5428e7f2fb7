//! Time is an argument here, never read: every instant comes from the events themselves.

use std::{fmt, time::Duration};

/// Nanoseconds of `CLOCK_MONOTONIC` in the domain of the event's [`Origin`](crate::Origin).
///
/// It is what [`std::time::Instant`], `perf` and `bpf_ktime_get_ns` count. For a capture file, which knows only wall
/// time, it is the wall time itself and the [`Clock`] of that origin maps it to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than everything.
    pub const MAX: Self = Self(u64::MAX);

    /// From nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// As nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`, zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at [`Timestamp::MAX`].
impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Saturates at [`Timestamp::ZERO`].
impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(before.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// The three clocks of an origin, read together.
///
/// Sources send one at the start and every ten seconds, so an NTP step (wall jumps) or a suspend (boot runs ahead of
/// mono) is visible to whoever compares two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// `CLOCK_MONOTONIC`.
    pub mono: Timestamp,
    /// `CLOCK_REALTIME`, nanoseconds since the Unix epoch.
    pub wall: u64,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot: u64,
}

impl Clock {
    /// Nanoseconds since the Unix epoch at `at`, by this reading of the clocks.
    #[must_use]
    pub const fn wall_at(&self, at: Timestamp) -> u64 {
        self.wall.saturating_add(at.as_nanos()).saturating_sub(self.mono.as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_follows_the_reading() {
        let clock = Clock { mono: Timestamp::from_nanos(100), wall: 1_000, boot: 100 };
        assert_eq!(clock.wall_at(Timestamp::from_nanos(150)), 1_050);
        assert_eq!(clock.wall_at(Timestamp::from_nanos(50)), 950);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO - Duration::from_secs(1), Timestamp::ZERO);
        assert_eq!(Timestamp::ZERO.since(Timestamp::MAX), Duration::ZERO);
    }
}
