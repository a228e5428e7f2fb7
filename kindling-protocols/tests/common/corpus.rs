//! Captures that nobody of this project recorded, and what tshark says of them.
//!
//! The corpus is taken from `KINDLING_CORPUS`, by default `../shared/corpus` beside the workspace. Without it, or without tshark, a test says
//! so and does nothing; in CI (`CI` set) that is a failure.

#![expect(clippy::disallowed_methods, reason = "the corpus is a folder of files, and tshark is a program")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use kindling_core::{
    Event, Exchange,
    source::pcap::{Capture, Options},
};
use kindling_protocols::{Engine, Limits, Registry};

/// The corpus, if it is there.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus");
    let folder = PathBuf::from(std::env::var_os("KINDLING_CORPUS").unwrap_or_else(|| beside.into()));
    if !folder.is_dir() {
        return skip(&format!("no corpus at {}", folder.display()));
    }
    Some(folder)
}

/// Captures of one of the corpus's folders, by name.
pub(crate) fn captures(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder.join("pcap").join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "pcap" || end == "pcapng"));
    paths.sort();
    paths
}

/// The exchanges of a capture. The ledger must balance.
pub(crate) fn exchanges(path: &Path, registry: &Registry, limits: &Limits) -> Vec<Exchange> {
    let mut engine = Engine::new(registry.clone(), limits.clone());
    let capture = Capture::new(fs::File::open(path).unwrap(), Options::default()).unwrap();
    for batch in capture {
        engine.handle_batch(&batch.unwrap());
    }
    engine.handle_end();
    engine.ledger().check().unwrap();
    std::iter::from_fn(|| engine.poll_exchange()).collect()
}

/// The events of a capture.
pub(crate) fn events(path: &Path) -> Vec<Event> {
    let capture = Capture::new(fs::File::open(path).unwrap(), Options::default()).unwrap();
    capture.flat_map(|batch| batch.unwrap().events).collect()
}

/// What tshark sees: for each message the values of `fields`, empty where it has none.
pub(crate) fn tshark(path: &Path, filter: &str, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.args(["-r".as_ref(), path.as_os_str()]);
    command.args(["-Y", filter, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let Ok(output) = command.output() else { return skip("no tshark") };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
    None
}
