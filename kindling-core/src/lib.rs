//! Types and pure logic of kindling: what sources report ([`Event`]), what engines conclude ([`Exchange`]), the account of both
//! ([`Ledger`]), adaptors over streams of them, and the two sources that need no kernel: recordings and capture files.
//!
//! Nothing here reads a clock, needs a runtime or holds global state. Time is an argument, taken from the events, so that a
//! recording replayed gives the same results to the byte.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods)]

mod bounded;
mod directive;
mod event;
mod exchange;
mod id;
pub mod ledger;
pub mod source;
pub mod stream;
pub mod text;
mod time;

pub use crate::{
    bounded::{BoundedMap, BoundedQueue},
    directive::Directive,
    event::{
        Batch, Cause, CloseReason, Closed, ConnectFailed, Custom, Event, Exited, FlowStats, Gap, Lost, LostClass,
        Opened, Renamed, Segment, Started, Vantage,
    },
    exchange::{Attribute, Details, Exchange, Outcome, Quality, Side, Value, Visit},
    id::{Cgroup, Direction, Endpoint, FlowId, Hierarchy, Offsets, Origin, Role, Task, Transport},
    ledger::Ledger,
    stream::{EventIteratorExt, EventStreamExt},
    text::{Comm, Text},
    time::{Clock, Timestamp},
};
