//! The kernel side of kindling: prebuilt CO-RE programs, their loader, the decoder of their records, and what this kernel allows.
//!
//! A [`Probe`] is attached to [`Targets`] and yields batches of [`kindling_core::Event`]: flows opened and closed, the bytes that
//! moved, connections that failed, processes that came and went, and everything that was lost. It hooks sockets, not libraries:
//! the traced programs need no change and are not restarted.
//!
//! It never publishes a buffer that is not provably the one that moved (else a segment has its length and no bytes), never traces
//! what nobody asked for, pins nothing, writes no file, and needs no async runtime.
//!
//! ```
//! // Runs anywhere: says what works here, and why the rest does not.
//! let capabilities = kindling_bpf::Capabilities::detect();
//! println!("{capabilities}");
//! ```
//!
//! # Probes of your own
//!
//! `bpf/kindling.bpf.h` gives a BPF program in C kindling's record header, ring, target filter and flow lookup; the builder loads it
//! beside kindling's own ([`Builder::object`], [`Builder::attach`]) and its records arrive in the same stream as
//! [`Event::Custom`](kindling_core::Event::Custom), typed by [`Decode`].

#![deny(unsafe_code)]

mod arena;
mod capabilities;
mod control;
mod custom;
mod decode;
mod endpoint;
mod error;
mod flow;
mod handover;
mod loader;
mod losses;
mod prebuilt;
mod probe;
mod reader;
mod record;
mod shared;
mod sys;
mod targets;
#[cfg(feature = "testing")]
pub mod testing;

pub use crate::{
    capabilities::{Capabilities, Feature},
    control::{Control, Stats},
    custom::{AttachPoint, Decode},
    error::{Detail, ReaderEnded, StartError},
    prebuilt::Path,
    probe::{Builder, Probe},
    targets::{Target, Targets},
};
