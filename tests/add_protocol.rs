//! The test that stands in the example `add_protocol`: its protocol keeps the laws of the conformance kit.
//!
//! From here, because an example built as a test is not built as a program, and other tests run it.

#[path = "../examples/add_protocol.rs"]
#[expect(dead_code, reason = "only its test is run here")]
mod add_protocol;
