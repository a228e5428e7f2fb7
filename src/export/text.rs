//! Exchanges, losses and the account as lines for people. This form changes freely; [`json`](super::json) is the one to parse.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use kindling_core::{Clock, ConnectFailed, Exchange, Ledger, Lost, Outcome, Timestamp};

/// What the columns of a [`Line`] are.
pub const HEADINGS: &str = "TIME (UTC)       SIDE     PROTO  ASKED                                  ANSWERED    LATENCY      SENT RECEIVED  CLIENT > SERVER  THREAD";

/// An exchange as a line: time of day (UTC), side, protocol, what was asked and answered, latency, sizes, ends, thread, marks.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a>(pub &'a Exchange);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let e = self.0;
        let what = clipped(&format!("{} {}", e.details.operation, e.details.resource), 38);
        write!(f, "{}  {:<8} {:<6} {what:<38} ", TimeOfDay(e.clock, e.request_at), e.side.name(), e.protocol)?;
        let latency = e.latency().map_or_else(String::new, |latency| Short(latency).to_string());
        write!(f, "{:<10} {latency:>8}  ", clipped(&result(e), 10))?;
        write!(
            f,
            "{:>8} {:>8}  {} > {}",
            Size(e.request_bytes).to_string(),
            Size(e.response_bytes).to_string(),
            e.client,
            e.server
        )?;
        if let Some(task) = &e.task {
            write!(f, "  {}/{}", task.comm, task.tid)?;
        }
        if let Some(error) = e.details.error.as_ref().filter(|error| e.details.status.as_ref() != Some(error)) {
            write!(f, "  error: {}", clipped(&error.to_string(), 60))?;
        }
        let marks: Vec<_> = e.quality.names().collect();
        if !marks.is_empty() {
            write!(f, "  [{}]", marks.join(" "))?;
        }
        Ok(())
    }
}

/// The status of what was answered, the outcome of what was not.
fn result(e: &Exchange) -> String {
    match (&e.details.status, &e.details.error, e.outcome) {
        (Some(status), _, Outcome::Complete | Outcome::Unmatched) => status.to_string(),
        (None, None, Outcome::Complete) => "ok".to_owned(),
        (None, Some(error), Outcome::Complete) => error.to_string(),
        (.., outcome) => outcome.name().to_owned(),
    }
}

/// A failed connection attempt as a line.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a>(pub &'a ConnectFailed, pub Clock);

impl Display for Refused<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(failed, clock) = self;
        let why = std::io::Error::from_raw_os_error(failed.errno);
        write!(f, "{}  connect  {:<6} ", TimeOfDay(*clock, failed.at), failed.transport.name())?;
        write!(f, "{} > {}  after {}: {why}", failed.local, failed.remote, Short(failed.after))?;
        failed.task.as_ref().map_or(Ok(()), |task| write!(f, "  {}/{}", task.comm, task.tid))
    }
}

/// A loss as a line.
#[derive(Clone, Copy, Debug)]
pub struct Missing<'a>(pub &'a Lost, pub Clock);

impl Display for Missing<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(lost, clock) = self;
        write!(f, "{}  lost     {} of class {}", TimeOfDay(*clock, lost.until), lost.count, lost.class.name())?;
        lost.cpu.map_or(Ok(()), |cpu| write!(f, " on cpu {cpu}"))
    }
}

/// The account in a few lines. Sums that should hold and do not are named.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a>(pub &'a Ledger);

impl Display for Account<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Ledger { bytes: b, exchanges: e, .. } = self.0;
        let ledger = self.0;
        write!(f, "exchanges  {} opened", e.opened)?;
        let ends = [
            ("complete", e.complete),
            ("unanswered", e.unanswered),
            ("superseded", e.superseded),
            ("cancelled", e.cancelled),
            ("reset", e.reset),
            ("lost", e.lost),
            ("pending", e.pending),
        ];
        nonzero(f, " = ", " + ", &ends, u64::to_string)?;
        let beside = [("one-way", e.one_way), ("unmatched", e.unmatched), ("repeats", e.repeats)];
        nonzero(f, ", beside: ", ", ", &beside, u64::to_string)?;
        write!(f, "\nbytes      {} advanced", Size(b.advanced))?;
        let ways = [
            ("framed", b.framed),
            ("skipped", b.skipped),
            ("not captured", b.uncaptured),
            ("opaque", b.opaque),
            ("rejected", b.rejected),
            ("lost", b.lost),
            ("not targeted", b.not_targeted),
            ("given up", b.evicted),
            ("waiting", b.buffered),
        ];
        nonzero(f, " = ", " + ", &ways, |bytes| Size(*bytes).to_string())?;
        write!(f, ", {} captured", Size(b.captured))?;
        write!(f, "\nflows      {} seen, {} ended", ledger.flows, ledger.flows_closed)?;
        let flows = [("dropped for the limit", ledger.flows_evicted), ("failed to connect", ledger.connects_failed)];
        nonzero(f, ", ", ", ", &flows, u64::to_string)?;
        write!(f, "\nlost       ")?;
        if ledger.events_lost.values().all(|&count| count == 0) {
            f.write_str("nothing")?;
        }
        for (i, (class, count)) in ledger.events_lost.iter().enumerate() {
            write!(f, "{}{count} {}", if i > 0 { ", " } else { "" }, class.name())?;
        }
        let parser = [("rejects", ledger.rejects), ("resyncs", ledger.resyncs)];
        nonzero(f, "; parsers: ", ", ", &parser, u64::to_string)?;
        match ledger.check() {
            Ok(()) => Ok(()),
            Err(imbalance) => write!(f, "\nTHE ACCOUNT DOES NOT BALANCE: {imbalance}"),
        }
    }
}

fn nonzero(
    f: &mut Formatter<'_>,
    before: &str,
    between: &str,
    parts: &[(&str, u64)],
    show: impl Fn(&u64) -> String,
) -> fmt::Result {
    for (i, (name, value)) in parts.iter().filter(|(_, value)| *value > 0).enumerate() {
        write!(f, "{}{} {name}", if i == 0 { before } else { between }, show(value))?;
    }
    Ok(())
}

/// Time of day, UTC, to the microsecond; of an origin that has not read its clocks, seconds of its own.
struct TimeOfDay(Clock, Timestamp);

impl Display for TimeOfDay {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(clock, at) = self;
        let micros = clock.wall_at(*at) / 1_000;
        let seconds = micros / 1_000_000 % 86_400;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}.{:06}", seconds % 60, micros % 1_000_000)
    }
}

/// A duration in three digits: `1.23ms`.
#[derive(Clone, Copy, Debug)]
pub struct Short(pub Duration);

impl Display for Short {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, scale) = match nanos {
            0..1_000 => return write!(f, "{nanos}ns"),
            1_000..1_000_000 => ("us", 1e3),
            1_000_000..1_000_000_000 => ("ms", 1e6),
            _ => ("s", 1e9),
        };
        three_digits(f, nanos as f64 / scale, unit)
    }
}

/// A number of bytes in three digits: `1.23KiB`.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub u64);

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1000 {
            return write!(f, "{}B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = UNITS[0];
        for larger in UNITS.into_iter().skip(1) {
            if value < 1000.0 {
                break;
            }
            value /= 1024.0;
            unit = larger;
        }
        three_digits(f, value, unit)
    }
}

fn three_digits(f: &mut Formatter<'_>, value: f64, unit: &str) -> fmt::Result {
    match value {
        ..9.995 => write!(f, "{value:.2}{unit}"),
        ..99.95 => write!(f, "{value:.1}{unit}"),
        _ => write!(f, "{value:.0}{unit}"),
    }
}

/// At most `width` characters, the last one an ellipsis if there were more.
pub(super) fn clipped(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['\u{2026}']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_say_enough() {
        let short = |nanos| Short(Duration::from_nanos(nanos)).to_string();
        assert_eq!(["0ns", "999ns", "1.00us"].map(str::to_owned), [short(0), short(999), short(1_000)]);
        assert_eq!(["9.99us", "10.0us"].map(str::to_owned), [short(9_994), short(9_996)]);
        assert_eq!(["123ms", "61.0s"].map(str::to_owned), [short(123_400_000), short(61_000_000_000)]);
        assert_eq!(["999B", "0.98KiB"].map(str::to_owned), [Size(999).to_string(), Size(1_000).to_string()]);
        assert_eq!(["1.50MiB", "16384PiB"].map(str::to_owned), [Size(3 << 19).to_string(), Size(u64::MAX).to_string()]);
    }

    #[test]
    fn long_text_is_clipped() {
        assert_eq!((clipped("abc", 3), clipped("abcd", 3)), ("abc".to_owned(), "ab\u{2026}".to_owned()));
    }
}
