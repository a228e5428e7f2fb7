//! What a flow is told: what it is, how it starts, and what it may use.

use std::{any::Any, collections::VecDeque, sync::Arc};

use kindling_core::{
    Clock, Direction, Directive, Endpoint, Exchange, FlowId, Ledger, Offsets, Opened, Origin, Role, Segment, Timestamp,
    Transport, Vantage,
};

use crate::{limits::Limits, parse::Next};

/// What is known of a flow, apart from its bytes. There is one for each flow, so it holds no more than is needed.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) flow: FlowId,
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
    pub(crate) transport: Transport,
    pub(crate) datagrams: bool,
    pub(crate) role: Role,
    pub(crate) vantage: Vantage,
    pub(crate) midstream: bool,
    /// The direction that carries the client's bytes, once that is known.
    pub(crate) client: Direction,
    /// Whether who is client was told from the bytes, against or without the socket.
    pub(crate) role_inferred: bool,
}

/// How a flow starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// Since when it is observed.
    pub(crate) at: Timestamp,
    /// The direction that carries the client's bytes.
    pub(crate) client: Direction,
    /// Whether it is older than that.
    pub(crate) midstream: bool,
    /// Where its bytes begin, outwards and inwards, if that is known.
    pub(crate) first: [Option<u64>; 2],
}

impl Start {
    /// Of a flow that speaks something else from now on.
    pub(crate) const fn anew(at: Timestamp, client: Direction) -> Self {
        Self { at, client, midstream: false, first: [None; 2] }
    }
}

impl Info {
    pub(crate) fn new(opened: Opened) -> (Self, Start) {
        let info = Self {
            flow: opened.flow,
            local: opened.local,
            remote: opened.remote,
            transport: opened.transport,
            datagrams: opened.offsets == Offsets::Datagram,
            role: opened.role,
            vantage: opened.vantage,
            midstream: opened.midstream,
            client: if opened.role == Role::Server { Direction::In } else { Direction::Out },
            role_inferred: opened.role == Role::Unknown,
        };
        let first = if opened.midstream { [None; 2] } else { [opened.first_out, opened.first_in] };
        let start = Start { at: opened.at, client: info.client, midstream: info.midstream, first };
        (info, start)
    }
}

/// Everything a flow may use and change while it handles something.
pub(crate) struct Env<'a> {
    pub(crate) info: &'a Info,
    pub(crate) origin: &'a Arc<Origin>,
    pub(crate) clock: Clock,
    pub(crate) now: Timestamp,
    pub(crate) limits: &'a Limits,
    pub(crate) shared: &'a mut dyn Any,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) out: &'a mut VecDeque<Exchange>,
    pub(crate) directives: &'a mut VecDeque<Directive>,
}

/// What a flow becomes after a switch, and what of its bytes is left to read.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) next: Next,
    pub(crate) left: Vec<Segment>,
}
