#![cfg_attr(feature = "bpf", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "bpf"),
    doc = "Embed kernel-level tracing: typed events, request/response exchanges and losses as data."
)]
#![forbid(unsafe_code)]

pub mod export;
mod pipeline;
pub mod prelude;

#[cfg(feature = "bpf")]
pub use kindling_bpf as bpf;
pub use kindling_core::{
    Attribute, Batch, BoundedMap, BoundedQueue, Cause, Cgroup, Clock, CloseReason, Closed, Comm, ConnectFailed, Custom,
    Details, Direction, Directive, Endpoint, Event, EventIteratorExt, EventStreamExt, Exchange, Exited, FlowId,
    FlowStats, Gap, Hierarchy, Ledger, Lost, LostClass, Offsets, Opened, Origin, Outcome, Quality, Renamed, Role,
    Segment, Side, Started, Task, Text, Timestamp, Transport, Value, Vantage, Visit, ledger, source, stream, text,
};
#[cfg(feature = "k8s")]
pub use kindling_k8s as k8s;
pub use kindling_protocols as protocols;
pub use kindling_protocols::{Content, Engine, Limits, Registry};

pub use crate::pipeline::{Control, Delivery, Output, Pipeline};
