//! How exchanges come out.

use kindling_core::{Exchange, Outcome, Quality, Side, Vantage};

use super::{Env, half::Ready};
use crate::{
    pairing::Pending,
    protocol::{Protocol, Sender},
    role::{Pair, Target},
};

/// What an exchange needs to know of its flow.
#[derive(Clone, Copy)]
pub(super) struct View {
    /// The part the local end plays in the protocol.
    pub(super) local: Sender,
    pub(super) quality: Quality,
}

impl View {
    /// Report a request that ended.
    pub(super) fn report<P: Protocol>(
        self,
        pending: &mut Pending<P>,
        outcome: Outcome,
        answer: Option<&Ready<P>>,
        env: &mut Env<'_>,
    ) {
        let count = &mut env.ledger.exchanges;
        count.pending -= 1;
        *match outcome {
            Outcome::Complete => &mut count.complete,
            Outcome::Superseded => &mut count.superseded,
            Outcome::Cancelled => &mut count.cancelled,
            Outcome::Reset => &mut count.reset,
            Outcome::Lost => &mut count.lost,
            _ => &mut count.unanswered,
        } += 1;
        let exchange = self.exchange::<P>(pending.opener, &pending.summary, outcome, env);
        exchange.id = identity(exchange, pending.opener, pending.offset);
        exchange.offset = pending.offset;
        exchange.key = pending.key.take();
        exchange.request_at = pending.first.at;
        exchange.task = pending.first.task;
        exchange.request_end = Some(pending.request_end);
        exchange.request_bytes = pending.request_bytes;
        exchange.response_bytes = pending.response_bytes;
        exchange.first_byte_at = pending.first_byte;
        exchange.quality.insert(pending.quality);
        if outcome == Outcome::Lost && !pending.aligned {
            // Parts of an answer may have been taken for its own; nothing of them stays.
            (exchange.details.status, exchange.details.error) = (None, None);
            (exchange.first_byte_at, exchange.response_bytes) = (None, 0);
        }
        if let Some(answer) = answer {
            exchange.first_byte_at = exchange.first_byte_at.or(Some(answer.first.at));
            exchange.response_at = Some(answer.last.at);
            exchange.response_task = answer.last.task;
            if exchange.first_byte_at.is_some_and(|first| first < pending.first.at) {
                exchange.quality.insert(Quality::REORDERED);
            }
        }
    }

    /// A new exchange at the end of what came out, to be completed there.
    pub(super) fn exchange<'e, P: Protocol>(
        self,
        opener: Sender,
        summary: &P::Summary,
        outcome: Outcome,
        env: &'e mut Env<'_>,
    ) -> &'e mut Exchange {
        let info = env.info;
        let side = self.side(opener, env);
        let exchange = env.out.push_back_mut(Exchange::new(env.origin.clone(), info.flow, P::SPEC.name));
        let (client, server) =
            if self.local == opener { (&info.local, &info.remote) } else { (&info.remote, &info.local) };
        exchange.side = side;
        exchange.transport = info.transport;
        exchange.client = client.clone();
        exchange.server = server.clone();
        exchange.details = P::details(summary, env.limits.content);
        exchange.outcome = outcome;
        exchange.quality = self.quality;
        exchange.clock = env.clock;
        if env.limits.attributes {
            P::attributes(summary, env.limits.content, &mut exchange.attributes);
        }
        exchange
    }

    pub(super) fn side(self, opener: Sender, env: &Env<'_>) -> Side {
        match env.info.vantage {
            Vantage::Wire => Side::Observer,
            Vantage::Socket if self.local == opener => Side::Client,
            Vantage::Socket => Side::Server,
        }
    }
}

pub(super) fn key_of<P: Protocol>(ready: &Ready<P>) -> Option<kindling_core::Text> {
    match ready.effect.target() {
        Some(Target { pair: Pair::Id(key), .. }) => P::key(key),
        _ => None,
    }
}

/// The same for the same first byte of the same flow, however many engines share the work.
pub(super) fn identity(exchange: &Exchange, sender: Sender, offset: u64) -> u64 {
    let boot = exchange.origin.boot;
    let parts = [boot as u64, (boot >> 64) as u64, exchange.flow.0, offset, sender.index() as u64];
    parts.into_iter().fold(0, |id, part| mix(id ^ part))
}

/// The step of SplitMix64: every bit of the input moves every bit of the output.
const fn mix(id: u64) -> u64 {
    let id = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    id ^ (id >> 31)
}
