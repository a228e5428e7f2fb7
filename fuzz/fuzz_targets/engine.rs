//! Anything may happen on four flows of any kind; every protocol listens.
#![no_main]

use kindling_fuzz::{run, tight};
use kindling_protocols::{Content, Registry};

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    run(script, Registry::builtin(), tight().content(Content::Raw));
});
