//! What each endpoint was asked, how often it failed, and how long it took.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt::{self, Display, Formatter},
};

use kindling_core::{Endpoint, Exchange, Side, Text};

use super::{
    histogram::Histogram,
    text::{Short, Size, clipped},
};

/// Exchanges by endpoint: counts, errors, latency, bytes.
///
/// It keeps at most [`limit`](Self::new) endpoints. Those that come later are counted together in one further row, so nothing is left out
/// of the sums and memory stays bounded: about 6 KiB a row at worst, 1 KiB as a rule.
///
/// An exchange seen at both of its ends is two rows, one a side: a sum over all traffic adds up `server` rows only.
#[derive(Clone, Debug)]
pub struct Table {
    rows: HashMap<Key, Row>,
    rest: Row,
    limit: usize,
}

/// What makes an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Key {
    /// From where it was seen.
    pub side: Side,
    /// Which protocol.
    pub protocol: &'static str,
    /// Who was asked.
    pub server: Endpoint,
    /// What was asked.
    pub operation: Text,
    /// Of what.
    pub resource: Text,
}

/// What is known of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Exchanges, whatever their outcome.
    pub count: u64,
    /// Those that [failed](Exchange::failed).
    pub errors: u64,
    /// Latency of those that completed.
    pub latency: Histogram,
    /// Bytes of requests.
    pub request_bytes: u64,
    /// Bytes of answers.
    pub response_bytes: u64,
}

impl Table {
    /// A table of at most `limit` endpoints.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { rows: HashMap::new(), rest: Row::default(), limit }
    }

    /// Count an exchange.
    pub fn add(&mut self, exchange: &Exchange) {
        let key = Key {
            side: exchange.side,
            protocol: exchange.protocol,
            server: exchange.server.clone(),
            operation: exchange.details.operation.clone(),
            resource: exchange.details.resource.clone(),
        };
        let room = self.rows.len() < self.limit;
        let row = match self.rows.entry(key) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(row) if room => row.insert(Row::default()),
            Entry::Vacant(_) => &mut self.rest,
        };
        row.count += 1;
        row.errors += u64::from(exchange.failed());
        row.request_bytes += exchange.request_bytes;
        row.response_bytes += exchange.response_bytes;
        if let Some(latency) = exchange.latency() {
            row.latency.record(latency);
        }
    }

    /// The rows, the most frequent first, and in the order of their keys where that is equal.
    #[must_use]
    pub fn rows(&self) -> Vec<(&Key, &Row)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_cached_key(|(key, row)| (std::cmp::Reverse(row.count), key.cells()));
        rows
    }

    /// What did not fit.
    #[must_use]
    pub const fn rest(&self) -> &Row {
        &self.rest
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.rest.count == 0
    }
}

/// A thousand endpoints.
impl Default for Table {
    fn default() -> Self {
        Self::new(1000)
    }
}

impl Key {
    fn cells(&self) -> [String; 4] {
        let what = format!("{} {}", self.operation, self.resource);
        [self.side.name().to_owned(), self.protocol.to_owned(), self.server.to_string(), what.trim_end().to_owned()]
    }
}

impl Row {
    fn cells(&self) -> [String; 7] {
        let quantile = |q| self.latency.quantile(q).map_or_else(|| "-".to_owned(), |value| Short(value).to_string());
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(quantile);
        let [sent, received] = [self.request_bytes, self.response_bytes].map(|bytes| Size(bytes).to_string());
        [self.count.to_string(), self.errors.to_string(), p50, p95, p99, sent, received]
    }
}

/// Aligned columns under a line of headings.
impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut lines = vec![(NAMES.map(str::to_owned), FIGURES.map(str::to_owned))];
        lines.extend(
            self.rows().into_iter().map(|(key, row)| (key.cells().map(|cell| clipped(&cell, 48)), row.cells())),
        );
        if self.rest.count > 0 {
            let names = ["", "", "", "(all others)"].map(str::to_owned);
            lines.push((names, self.rest.cells()));
        }
        let widest = |cells: &dyn Fn(usize) -> usize| (0..lines.len()).map(cells).max().unwrap_or_default();
        let names: [usize; 4] = std::array::from_fn(|column| widest(&|i| lines[i].0[column].chars().count()));
        let figures: [usize; 7] = std::array::from_fn(|column| widest(&|i| lines[i].1[column].len()));
        for (i, (name, figure)) in lines.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            for (cell, width) in name.iter().zip(names) {
                write!(f, "{cell:<width$}  ")?;
            }
            for (column, (cell, width)) in figure.iter().zip(figures).enumerate() {
                write!(f, "{}{cell:>width$}", if column > 0 { "  " } else { "" })?;
            }
        }
        Ok(())
    }
}

const NAMES: [&str; 4] = ["SIDE", "PROTO", "SERVER", "ENDPOINT"];
const FIGURES: [&str; 7] = ["COUNT", "ERRORS", "P50", "P95", "P99", "SENT", "RECEIVED"];

#[cfg(test)]
mod tests {
    use kindling_core::{FlowId, Outcome, Timestamp};

    use super::*;

    fn exchange(resource: &str, micros: u64) -> Exchange {
        let mut e = Exchange::new(Default::default(), FlowId(1), "http1");
        e.details.operation = "GET".into();
        e.details.resource = resource.into();
        e.details.status = Some("200".into());
        e.outcome = Outcome::Complete;
        e.response_at = Some(Timestamp::from_nanos(micros * 1000));
        (e.request_bytes, e.response_bytes) = (100, 2048);
        e
    }

    #[test]
    fn what_does_not_fit_is_counted_together() {
        let mut table = Table::new(2);
        for i in 0..10 {
            table.add(&exchange(&format!("/{}", i % 5), 1000));
        }
        assert_eq!((table.rows().len(), table.rest().count), (2, 6));
        assert_eq!(table.rows().iter().map(|(_, row)| row.count).sum::<u64>() + table.rest().count, 10);
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::default();
        for micros in 1..=100 {
            table.add(&exchange("/slow", micros * 1000));
        }
        let mut failed = exchange("/", 10);
        failed.details.error = Some("500".into());
        failed.outcome = Outcome::Unanswered;
        table.add(&failed);
        let text = table.to_string();
        let expected = "\
SIDE      PROTO  SERVER  ENDPOINT   COUNT  ERRORS     P50     P95     P99     SENT  RECEIVED
observer  http1  ?       GET /slow    100       0  49.8ms  95.4ms  99.6ms  9.77KiB    200KiB
observer  http1  ?       GET /          1       1       -       -       -     100B   2.00KiB";
        assert_eq!(text, expected, "\n{text}");
    }
}
