//! Hostile bytes from both sides, to `http1` alone.
#![no_main]

use kindling_fuzz::{run, tight};
use kindling_protocols::Registry;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    run(script, Registry::builtin().only(&["http1"]), tight());
});
