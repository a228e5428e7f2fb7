//! The live kernel: programs attached, real processes traced. Every process traced here was started here.
//!
//! Where the kernel or the privileges do not allow it the tests say so and pass, unless `KINDLING_REQUIRE_BPF=1` is set.

#[path = "live/child.rs"]
mod child;
#[path = "live/datagrams.rs"]
mod datagrams;
#[path = "live/handles.rs"]
mod handles;
#[path = "live/harness.rs"]
mod harness;
#[path = "live/losses.rs"]
mod losses;
#[path = "live/namespaces.rs"]
mod namespaces;
#[path = "live/processes.rs"]
mod processes;
#[path = "live/streams.rs"]
mod streams;
#[path = "live/truth.rs"]
mod truth;
#[path = "live/uring.rs"]
mod uring;
