//! Bytes of flows in, request/response exchanges out. No IO, no clock, no kernel.
//!
//! A [`Protocol`] says how messages look and which part they play; the engine does the rest once for all protocols: buffering,
//! gaps, pairing by id, lane or order, deadlines, resynchronisation, limits, and the account of every byte.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods)]

mod buffer;
mod builtin;
mod detect;
mod engine;
mod flow;
mod limits;
mod pairing;
mod parse;
pub mod parsers;
mod protocol;
mod registry;
mod role;
pub mod shape;
mod sharded;
mod slot;
#[cfg(feature = "testing")]
pub mod testing;
mod typed;

pub use crate::{
    engine::Engine,
    limits::Limits,
    parse::{Needed, Next, Parse, Probe, Reject, Span, Verdict},
    protocol::{Content, Context, Protocol, Sender, Spec},
    registry::Registry,
    role::{Opener, Pair, Role, Target},
    sharded::Sharded,
    typed::Typed,
};
