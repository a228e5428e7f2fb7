//! The account as an object. Destructured, so that a new field of it cannot be forgotten here.

use kindling_core::{
    Ledger,
    ledger::{Bytes, Exchanges},
};

use super::write::Object;

pub(super) fn object(ledger: &Ledger, out: &mut Vec<u8>) {
    let mut line = Object::begin(out);
    let mut all = line.object("ledger");
    bytes(&ledger.bytes, all.object("bytes"));
    exchanges(&ledger.exchanges, all.object("exchanges"));
    all.number("messages", ledger.messages);
    all.number("scanned", ledger.scanned);
    all.number("rejects", ledger.rejects);
    all.number("resyncs", ledger.resyncs);
    all.number("segments", ledger.segments);
    all.number("flows", ledger.flows);
    all.number("flows_closed", ledger.flows_closed);
    all.number("flows_evicted", ledger.flows_evicted);
    all.number("connects_failed", ledger.connects_failed);
    let mut lost = all.object("events_lost");
    for (class, count) in &ledger.events_lost {
        lost.number(class.name(), count);
    }
    lost.end();
    all.bool("balanced", ledger.check().is_ok());
    all.end();
    line.end();
}

macro_rules! numbers {
    ($name:ident, $type:ident { $($field:ident),* $(,)? }) => {
        fn $name(from: &$type, mut to: Object<'_>) {
            let $type { $($field),* } = from;
            $(to.number(stringify!($field), $field);)*
            to.end();
        }
    };
}

numbers!(
    bytes,
    Bytes {
        advanced,
        framed,
        skipped,
        uncaptured,
        opaque,
        rejected,
        lost,
        not_targeted,
        evicted,
        buffered,
        captured,
        fresh,
        duplicate,
    }
);
numbers!(
    exchanges,
    Exchanges {
        opened,
        complete,
        unanswered,
        superseded,
        cancelled,
        reset,
        lost,
        pending,
        one_way,
        unmatched,
        repeats,
    }
);
