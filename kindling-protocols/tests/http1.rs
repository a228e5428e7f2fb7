//! HTTP/1 through the engine.

#[path = "common/fixtures.rs"]
mod fixtures;

use kindling_protocols::{Registry, parsers::http1::Http1};

#[test]
fn every_transcript_keeps_every_law() {
    fixtures::check("http1", &Registry::new().with::<Http1>(), 25);
}
