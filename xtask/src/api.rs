//! Listings of what each crate shows to its users, so that a change of surface is a decision that shows in a diff.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Write the listings to `api/`.
pub(crate) fn write() -> Result<(), String> {
    for (package, listing) in listings()? {
        let file = file(package);
        fs::create_dir_all(root().join("api")).map_err(|e| format!("api: {e}"))?;
        fs::write(&file, &listing).map_err(|e| format!("{}: {e}", file.display()))?;
        println!("api/{package}.txt ({} lines)", listing.lines().count());
    }
    Ok(())
}

/// Compare them with what is there.
pub(crate) fn check() -> Result<(), String> {
    let mut differ = Vec::new();
    for (package, listing) in listings()? {
        let there = fs::read_to_string(file(package)).unwrap_or_default();
        for line in listing.lines().filter(|line| !there.lines().any(|old| old == *line)) {
            differ.push(format!("+{package}: {line}"));
        }
        for line in there.lines().filter(|line| !listing.lines().any(|new| new == *line)) {
            differ.push(format!("-{package}: {line}"));
        }
    }
    if differ.is_empty() {
        return Ok(());
    }
    Err(format!("the public API changed; if that is meant, run `cargo xtask api` and commit:\n{}", differ.join("\n")))
}

/// Package and listing of each crate, all features on.
fn listings() -> Result<Vec<(&'static str, String)>, String> {
    let version = output(Command::new(tool("RUSTC", "rustc")).arg("--version"))?;
    if !version.starts_with(TOOLCHAIN) {
        return Err(format!("the listings are made by {TOOLCHAIN}, this is {version}"));
    }
    PACKAGES.iter().map(|(package, library)| Ok((*package, listing(package, library)?))).collect()
}

fn listing(package: &str, library: &str) -> Result<String, String> {
    // A folder of its own: the switch for unstable options would make cargo build everything else again.
    let folder = target().join("api");
    output(
        Command::new(tool("CARGO", "cargo"))
            .args(["rustdoc", "--quiet", "--package", package, "--lib", "--all-features", "--target-dir"])
            .arg(&folder)
            .args(["--", "-Zunstable-options", "--output-format=json", "--cap-lints=allow"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTDOCFLAGS")
            .current_dir(root()),
    )?;
    let json = folder.join("doc").join(format!("{library}.json"));
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .sorted(true)
        .build()
        .map_err(|e| format!("{package}: {e}"))?;
    // What `pin_project` writes is nobody's to name.
    let lines = api.items().map(|item| format!("{item}\n")).filter(|line| !line.contains("pin_project::__private"));
    Ok(lines.collect())
}

fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().display().to_string();
    let output = command.output().map_err(|e| format!("{name}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{name} failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn file(package: &str) -> PathBuf {
    root().join("api").join(format!("{package}.txt"))
}

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// What cargo says it uses, or the one in the path.
fn tool(variable: &str, name: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| PathBuf::from(name), PathBuf::from)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Packages and the names of their libraries.
const PACKAGES: [(&str, &str); 5] = [
    ("kindling-core", "kindling_core"),
    ("kindling-protocols", "kindling_protocols"),
    ("kindling-bpf", "kindling_bpf"),
    ("kindling-k8s", "kindling_k8s"),
    ("kindling-sdk", "kindling"),
];

/// The form of rustdoc's JSON changes from release to release, and `public-api` reads one.
const TOOLCHAIN: &str = "rustc 1.95.";
