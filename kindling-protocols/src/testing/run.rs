//! Running events through an engine, with the ledger checked after each.

use kindling_core::{Batch, Event, Exchange, Ledger, Value};

use super::transcript::{FLOW, Transcript};
use crate::{engine::Engine, limits::Limits, registry::Registry};

/// What came out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// Exchanges, in order.
    pub exchanges: Vec<Exchange>,
    /// The account at the end.
    pub ledger: Ledger,
}

/// Run `batch` through an engine and end it.
///
/// # Errors
/// A sum of the ledger that does not hold after some event.
pub fn run(registry: &Registry, limits: &Limits, batch: &Batch) -> Result<Run, String> {
    let mut engine = Engine::new(registry.clone(), limits.clone());
    let mut exchanges = Vec::new();
    engine.handle_origin(&batch.origin);
    for (index, event) in batch.events.iter().enumerate() {
        engine.handle_event(event);
        while let Some(exchange) = engine.poll_exchange() {
            exchanges.push(exchange);
        }
        let own = engine.flow_ledger(FLOW).map_or(Ok(()), Ledger::check);
        for check in [engine.ledger().check(), own] {
            check.map_err(|e| format!("after event {index}, {event:?}: {e}"))?;
        }
    }
    engine.handle_end();
    while let Some(exchange) = engine.poll_exchange() {
        exchanges.push(exchange);
    }
    let ledger = engine.ledger().clone();
    ledger.check().map_err(|e| format!("at the end: {e}"))?;
    if ledger.exchanges.pending != 0 || ledger.bytes.buffered != 0 {
        return Err(format!("the end left something behind: {ledger:?}"));
    }
    Ok(Run { exchanges, ledger })
}

impl Run {
    /// Run a transcript.
    ///
    /// # Errors
    /// A sum of the ledger that does not hold after some event.
    pub fn of(registry: &Registry, transcript: &Transcript) -> Result<Self, String> {
        run(registry, &transcript.limits(), &transcript.batch())
    }

    /// What came out, without times, sorted.
    #[must_use]
    pub fn signature(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.exchanges.iter().map(line).collect();
        lines.sort();
        lines
    }
}

/// What must not change when the same bytes are cut or ordered otherwise.
fn line(exchange: &Exchange) -> String {
    let Exchange { details, request_bytes, response_bytes, attributes, key, .. } = exchange;
    let outcome = exchange.outcome.name();
    format!("{outcome} {details:?} {request_bytes} {response_bytes} {key:?} {attributes:?}")
}

/// Whether an exchange is what a line of a transcript says.
pub(super) fn fits(exchange: &Exchange, expected: &str) -> bool {
    let dash = |text: Option<&kindling_core::Text>| text.map_or_else(|| "-".to_owned(), ToString::to_string);
    let filled = |text: &kindling_core::Text| if text.is_empty() { "-".to_owned() } else { text.to_string() };
    let details = &exchange.details;
    let fixed = [
        exchange.outcome.name().to_owned(),
        filled(&details.operation),
        filled(&details.resource),
        dash(details.status.as_ref()),
        dash(details.error.as_ref()),
    ];
    let mut columns = expected.split('\t').map(str::trim).filter(|column| !column.is_empty());
    fixed.iter().all(|value| columns.next() == Some(value))
        && columns.all(|column| column.split_once('=').is_some_and(|(name, value)| fact(exchange, name) == value))
}

/// A further fact of an exchange, as transcripts write it.
fn fact(exchange: &Exchange, name: &str) -> String {
    match name {
        "request_bytes" => exchange.request_bytes.to_string(),
        "response_bytes" => exchange.response_bytes.to_string(),
        "side" => exchange.side.name().to_owned(),
        "key" => exchange.key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        "quality" => exchange.quality.names().collect::<Vec<_>>().join(","),
        _ => exchange.attributes.iter().find(|a| a.name == name).map_or_else(|| "-".to_owned(), |a| show(&a.value)),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::List(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        _ => String::from("?"),
    }
}

/// How an exchange would be written in a transcript.
pub(super) fn written(exchange: &Exchange) -> String {
    let details = &exchange.details;
    let dash = |text: Option<&kindling_core::Text>| text.map_or_else(|| "-".to_owned(), ToString::to_string);
    let filled = |text: &kindling_core::Text| if text.is_empty() { "-".to_owned() } else { text.to_string() };
    let mut line = format!(
        "{}\t{}\t{}\t{}\t{}\trequest_bytes={}\tresponse_bytes={}",
        exchange.outcome.name(),
        filled(&details.operation),
        filled(&details.resource),
        dash(details.status.as_ref()),
        dash(details.error.as_ref()),
        exchange.request_bytes,
        exchange.response_bytes,
    );
    for attribute in &exchange.attributes {
        line += &format!("\t{}={}", attribute.name, show(&attribute.value));
    }
    line
}

/// Whether an event is a segment.
pub(super) const fn is_segment(event: &Event) -> bool {
    matches!(event, Event::Segment(_))
}
