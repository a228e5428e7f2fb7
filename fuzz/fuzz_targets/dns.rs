//! Hostile bytes from both sides, to `dns` alone.
#![no_main]

use kindling_fuzz::{run, tight};
use kindling_protocols::Registry;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    run(script, Registry::builtin().only(&["dns"]), tight());
});
