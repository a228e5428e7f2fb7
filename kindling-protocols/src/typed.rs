//! One flow of one known protocol, with its typed messages: no registry, no detection, no erasure.

use std::{collections::VecDeque, fmt, sync::Arc};

use kindling_core::{Clock, CloseReason, Event, Exchange, Ledger, Opened, Origin, Timestamp};

use crate::{
    flow::{AnyFlow as _, Env, Flow, Handover, Info},
    limits::Limits,
    protocol::{Protocol, Sender},
};

/// One flow that is known to speak `P`.
///
/// Its messages go to the function given to [`handle_event`](Self::handle_event) as they are framed; its exchanges come out of
/// [`poll_exchange`](Self::poll_exchange). Nothing can follow a switch to another protocol here: what comes after it is passed over.
pub struct Typed<P: Protocol> {
    flow: Flow<P>,
    info: Info,
    shared: P::Shared,
    limits: Limits,
    origin: Arc<Origin>,
    clock: Clock,
    now: Timestamp,
    ledger: Ledger,
    out: VecDeque<Exchange>,
    switched: bool,
}

impl<P: Protocol> Typed<P> {
    /// A flow as `opened` describes it; without a role there, the local end is taken for the client.
    #[must_use]
    pub fn new(config: P::Config, opened: Opened, limits: Limits) -> Self {
        let (info, start) = Info::new(opened);
        Self {
            flow: Flow::new(Arc::new(config), &start),
            now: start.at,
            info,
            shared: P::Shared::default(),
            limits,
            origin: Arc::default(),
            clock: Clock::default(),
            ledger: Ledger::default(),
            out: VecDeque::new(),
            switched: false,
        }
    }

    /// Take in an event of this flow, or a tick; `tap` sees each message, who sent it and when its last byte moved.
    pub fn handle_event(&mut self, event: &Event, mut tap: impl FnMut(Sender, &P::Message, Timestamp)) {
        self.now = self.now.max(event.at());
        if let Event::Clock(clock) = event {
            self.clock = *clock;
        }
        if self.switched {
            return;
        }
        let due = self.flow.next_deadline(Timestamp::MAX).is_some_and(|deadline| deadline <= self.now);
        self.act(|flow, env| {
            let handover = if due { flow.handle_time(env) } else { None };
            if handover.is_some() {
                return handover;
            }
            match event {
                Event::Segment(segment) => flow.segment(segment, env, Some(&mut tap)),
                Event::Gap(gap) => {
                    flow.handle_gap(gap, env);
                    None
                }
                Event::Closed(closed) => {
                    flow.handle_end(closed.reason, env);
                    None
                }
                _ => None,
            }
        });
    }

    /// The source has ended: everything that waits comes out.
    pub fn handle_end(&mut self) {
        self.act(|flow, env| {
            flow.handle_end(CloseReason::SourceEnded, env);
            None
        });
    }

    /// The next exchange that ended.
    pub fn poll_exchange(&mut self) -> Option<Exchange> {
        self.out.pop_front()
    }

    /// The account of everything so far.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn act(&mut self, act: impl FnOnce(&mut Flow<P>, &mut Env<'_>) -> Option<Handover>) {
        let mut directives = VecDeque::new();
        let mut env = Env {
            info: &self.info,
            origin: &self.origin,
            clock: self.clock,
            now: self.now,
            limits: &self.limits,
            shared: &mut self.shared,
            ledger: &mut self.ledger,
            out: &mut self.out,
            directives: &mut directives,
        };
        self.switched |= act(&mut self.flow, &mut env).is_some();
    }
}

impl<P: Protocol> fmt::Debug for Typed<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed").field("protocol", &P::SPEC.name).finish_non_exhaustive()
    }
}
