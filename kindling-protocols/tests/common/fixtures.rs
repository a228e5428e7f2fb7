//! The transcripts of a protocol's folder.

use std::{fs, path::PathBuf};

use kindling_protocols::{
    Registry,
    testing::{Transcript, laws},
};

/// All transcripts of `protocol`, sorted by name.
pub(crate) fn of(protocol: &str) -> Vec<Transcript> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/parsers").join(protocol).join("fixtures");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &PathBuf| {
        let name = file.file_stem().unwrap().to_string_lossy();
        Transcript::parse(&name, &fs::read_to_string(file).unwrap()).unwrap()
    };
    files.iter().map(read).collect()
}

/// Every law on each of them; all that do not hold are shown.
pub(crate) fn check(protocol: &str, registry: &Registry, at_least: usize) {
    let transcripts = of(protocol);
    assert!(transcripts.len() >= at_least, "{} transcripts of {protocol}", transcripts.len());
    let broken: Vec<_> =
        transcripts.iter().filter_map(|transcript| laws::check_all(registry, transcript).err()).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    laws::diagonal(registry, &transcripts).unwrap();
}
