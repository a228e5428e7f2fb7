//! Redis through the engine.

#[path = "common/fixtures.rs"]
mod fixtures;

use kindling_protocols::{Registry, parsers::redis::Redis};

#[test]
fn every_transcript_keeps_every_law() {
    fixtures::check("redis", &Registry::new().with::<Redis>(), 30);
}
