//! Bytes of flows in, request/response exchanges out. No IO, no clock, no kernel.
//!
//! A [`Protocol`] says how messages look and which part they play; the engine does the rest once for all protocols: buffering,
//! gaps, pairing by id, lane or order, deadlines, resynchronisation, limits, and the account of every byte.

#![forbid(unsafe_code)]

mod pairing;
mod parse;
mod protocol;
mod role;
pub mod shape;

pub use crate::{
    parse::{Needed, Next, Parse, Probe, Reject, Span, Verdict},
    protocol::{Content, Context, Protocol, Sender, Spec},
    role::{Opener, Pair, Role, Target},
};
