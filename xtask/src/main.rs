//! Repository chores; see `cargo xtask help`.
#![expect(clippy::print_stdout, reason = "a program for people to run")]

mod api;
mod bpf;
#[path = "../../fuzz/src/script.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "the fuzz targets read what the chore only writes"))]
#[expect(unreachable_pub, reason = "public where the fuzz targets share it")]
mod script;
mod seeds;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["api"] => api::write(),
        ["api", "--check"] => api::check(),
        ["bpf"] => bpf::build(),
        ["bpf", "--check"] => bpf::check(),
        ["seeds"] => seeds::write(),
        ["help" | "--help"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => Err(format!("no such chore\n\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

const HELP: &str = "\
cargo xtask api           list what each crate shows to its users, in api/ (needs Rust 1.95)
cargo xtask api --check   make the listings and compare them with what is there
cargo xtask bpf           build the BPF objects under kindling-bpf/prebuilt (needs clang-19, llvm-19, libbpf-dev)
cargo xtask bpf --check   build them and compare the bytes with what is there
cargo xtask seeds         make seeds for the fuzz targets, in fuzz/corpus
cargo xtask help          this";
