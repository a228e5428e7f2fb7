//! The BPF objects: built by clang 19, byte for byte the same from any folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Build the objects into `kindling-bpf/prebuilt`, and those of test fixtures and examples beside their sources.
pub(crate) fn build() -> Result<(), String> {
    for object in objects()? {
        let bytes = compile(&object)?;
        if let Some(folder) = object.built.parent() {
            fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        fs::write(&object.built, &bytes).map_err(|e| format!("{}: {e}", object.built.display()))?;
        println!("{} ({} bytes)", object.built.display(), bytes.len());
    }
    Ok(())
}

/// Build them elsewhere and compare.
pub(crate) fn check() -> Result<(), String> {
    let mut differ = Vec::new();
    for object in objects()? {
        let same = fs::read(&object.built).is_ok_and(|there| compile(&object).is_ok_and(|bytes| bytes == there));
        if !same {
            differ.push(object.built.display().to_string());
        }
    }
    if differ.is_empty() {
        return Ok(());
    }
    Err(format!("not what their sources give; run `cargo xtask bpf` and commit:\n{}", differ.join("\n")))
}

struct Object {
    /// Folder of the source; the compiler runs there, so that no other name gets into the object.
    folder: PathBuf,
    source: String,
    /// Where the headers are, from there.
    headers: &'static str,
    built: PathBuf,
}

fn objects() -> Result<Vec<Object>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let mut objects = Vec::new();
    for (folder, headers, built) in FOLDERS {
        let folder = root.join(folder);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let source = entry.file_name().to_string_lossy().into_owned();
            if let Some(name) = source.strip_suffix(".bpf.c") {
                let built = root.join(built).join(format!("{name}.bpf.o"));
                objects.push(Object { folder: folder.clone(), source, headers, built });
            }
        }
    }
    objects.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(objects)
}

fn compile(object: &Object) -> Result<Vec<u8>, String> {
    let out = std::env::temp_dir().join(format!("kindling-{}-{}.o", std::process::id(), object.source));
    let here = object.folder.display();
    run(Command::new("clang-19")
        .current_dir(&object.folder)
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror", "-D__TARGET_ARCH_x86"])
        .arg(format!("-fdebug-prefix-map={here}=."))
        .arg(format!("-ffile-prefix-map={here}=."))
        .args(["-I", object.headers, "-c", &object.source, "-o"])
        .arg(&out))?;
    run(Command::new("llvm-strip-19").arg("-g").arg(&out))?;
    let bytes = fs::read(&out).map_err(|e| format!("{}: {e}", out.display()));
    // The file is in the system's temporary folder; leaving it there would harm nobody.
    let _ = fs::remove_file(&out);
    bytes
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", command.get_program().display())) }
}

/// Where sources are, the headers from there, and where the objects go.
const FOLDERS: [(&str, &str, &str); 3] = [
    ("kindling-bpf/bpf", ".", "kindling-bpf/prebuilt/x86_64"),
    ("kindling-bpf/tests/fixtures", "../../bpf", "kindling-bpf/tests/fixtures"),
    ("examples/add_probe", "../../kindling-bpf/bpf", "examples/add_probe"),
];
