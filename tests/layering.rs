//! Rules of the house that no compiler checks: layers and cycles of modules, which crate may know which, how long files and
//! functions get, what code without IO and clocks must not name. The checker's own tests stand beside it.

#[path = "layering/layers.rs"]
mod layers;
#[path = "layering/paths.rs"]
mod paths;
#[path = "layering/rules.rs"]
mod rules;
#[path = "layering/sources.rs"]
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
};

use layers::Layers;
use rules::Longer;

/// Lowest layer first. Modules of one layer do not use each other.
const LAYERS: &[Layers] = &[
    Layers {
        folder: "kindling-core",
        layers: &[
            &["bounded", "text", "time"],
            &["id"],
            &["event", "directive", "exchange"],
            &["ledger"],
            &["source"],
            &["stream"],
        ],
        knots: &[],
    },
    Layers {
        folder: "kindling-protocols",
        layers: &[
            &["role", "shape"],
            &["pairing", "parse", "protocol"],
            &["buffer", "limits"],
            &["flow"],
            &["registry", "typed"],
            &["detect", "parsers"],
            &["builtin", "slot"],
            &["engine"],
            &["sharded", "testing"],
        ],
        knots: &[(
            &["pairing", "parse", "protocol"],
            "a protocol's functions are given a context that looks into the pairing of that protocol",
        )],
    },
    Layers { folder: "kindling-k8s", layers: &[&["history", "identity"], &["store"]], knots: &[] },
    Layers {
        folder: "kindling-bpf",
        layers: &[
            &["arena", "custom", "error", "prebuilt", "record", "sys"],
            &["endpoint", "flow", "handover", "losses", "targets"],
            &["capabilities", "decode", "loader"],
            &["shared", "testing"],
            &["reader"],
            &["control"],
            &["probe"],
        ],
        knots: &[],
    },
    Layers { folder: "", layers: &[&["export"], &["pipeline"], &["prelude"]], knots: &[] },
];

/// Which crates of ours each may depend on: they meet in core's types.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("kindling-core", &[]),
    ("kindling-protocols", &["kindling-core"]),
    ("kindling-bpf", &["kindling-core"]),
    ("kindling-k8s", &["kindling-core"]),
    ("", &["kindling-core", "kindling-protocols", "kindling-bpf", "kindling-k8s"]),
];

/// Crates without a word of `unsafe`; the compiler sees to it by their root's `forbid`.
const SAFE: &[&str] = &["kindling-core", "kindling-protocols", "kindling-k8s", ""];

/// What crates that get their time and bytes as arguments must not name.
const OUTSIDE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::env",
    "std::fs",
    "std::process",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
];

/// Where files are opened because the user says so: by path, nowhere else.
const OPENS_FILES: &[&str] = &["kindling-core/src/source/mod.rs", "kindling-core/src/source/recording/writer.rs"];

/// Crates that public signatures may name beside ours: the listings in `api/` show all of them.
const SHOWN: &[&str] = &["core", "alloc", "std", "bytes", "futures_core"];

const FILE_LINES: usize = 400;
const LONGER_FILES: &[Longer] = &[];
const FUNCTION_LINES: usize = 60;
const LONGER_FUNCTIONS: &[Longer] = &[Longer {
    what: "kindling-protocols/src/parsers/dns/names.rs#known_type",
    lines: 80,
    why: "a table of the registered types, a line each",
}];

#[test]
fn modules_use_only_earlier_layers() {
    let wrong: Vec<_> =
        LAYERS.iter().flat_map(|table| layers::out_of_order(table, &sources_of(table.folder))).collect();
    none(&wrong);
}

#[test]
fn modules_of_a_folder_form_no_cycle() {
    let wrong: Vec<_> = LAYERS.iter().flat_map(|table| layers::cycles(table, &sources_of(table.folder))).collect();
    none(&wrong);
}

#[test]
fn crates_meet_only_in_core() {
    for (folder, may) in MAY_KNOW {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let known = rules::own_dependencies(&manifest);
        let wrong: Vec<_> = known.iter().filter(|name| !may.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "{folder} must not depend on {wrong:?}");
    }
}

#[test]
fn files_stay_within_the_budget() {
    let folders = [
        "src",
        "examples",
        "benches",
        "tests",
        "xtask",
        "fuzz/fuzz_targets",
        "kindling-core",
        "kindling-protocols",
        "kindling-bpf",
        "kindling-k8s",
    ];
    let files = folders.iter().flat_map(|folder| sources::files(&root().join(folder), "rs"));
    let measured: Vec<_> = files
        .filter(|file| !file.iter().any(|part| part == "target"))
        .map(|file| {
            let text = fs::read_to_string(&file).expect("a readable file");
            (relative(&file).display().to_string(), rules::lines_before_tests(&text))
        })
        .collect();
    none(&rules::long_files(&measured, FILE_LINES, LONGER_FILES));
}

#[test]
fn functions_stay_within_the_budget() {
    let sources: Vec<_> = LAYERS.iter().flat_map(|table| sources_of(table.folder)).collect();
    none(&rules::long_functions(&sources, FUNCTION_LINES, LONGER_FUNCTIONS));
}

#[test]
fn unsafe_code_stands_in_one_crate() {
    for folder in SAFE {
        let lib = fs::read_to_string(root().join(folder).join("src/lib.rs")).expect("a crate root");
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{folder}: its root must forbid unsafe code");
        let wrong: Vec<_> = sources_of(folder).iter().flat_map(|source| rules::names(source, &["unsafe"])).collect();
        none(&wrong);
    }
}

#[test]
fn core_and_protocols_read_no_clock_and_do_no_io() {
    let sources = ["kindling-core", "kindling-protocols", "kindling-k8s"].iter().flat_map(|folder| sources_of(folder));
    let wrong: Vec<_> = sources
        .flat_map(|source| {
            let opens = OPENS_FILES.iter().any(|file| source.file == Path::new(file));
            let forbidden = OUTSIDE.iter().copied().filter(|name| !(opens && *name == "std::fs"));
            rules::names(&source, &forbidden.collect::<Vec<_>>())
        })
        .collect();
    none(&wrong);
}

#[test]
fn public_signatures_name_few_crates() {
    let listings = sources::files(&root().join("api"), "txt");
    assert_eq!(listings.len(), MAY_KNOW.len(), "a listing for each crate");
    let wrong = listings.iter().flat_map(|file| {
        let text = fs::read_to_string(file).expect("a readable file");
        let found = rules::foreign(&text, SHOWN);
        found.into_iter().map(|line| format!("{}: {line}", relative(file).display()))
    });
    none(&wrong.collect::<Vec<_>>());
}

fn sources_of(folder: &str) -> Vec<sources::Source> {
    let found = sources::of_crate(&root().join(folder));
    assert!(!found.is_empty(), "no sources under {folder}");
    found.into_iter().map(|source| sources::Source { file: relative(&source.file), ..source }).collect()
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn relative(file: &Path) -> PathBuf {
    file.strip_prefix(root()).expect("in the repository").to_owned()
}
