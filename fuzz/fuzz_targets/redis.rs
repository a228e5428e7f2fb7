//! Hostile bytes from both sides, to `redis` alone.
#![no_main]

use kindling_fuzz::{run, tight};
use kindling_protocols::Registry;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    run(script, Registry::builtin().only(&["redis"]), tight());
});
