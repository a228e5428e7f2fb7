//! Records no program wrote: decoded or counted, and whatever events they make, the engine keeps its promises.
#![no_main]

use std::time::Duration;

use kindling_bpf::testing::Records;
use kindling_core::Event;
use kindling_fuzz::{Watched, tight};
use kindling_protocols::Registry;

libfuzzer_sys::fuzz_target!(|ring: &[u8]| {
    let mut records = Records::new(Duration::from_secs(60));
    let (mut events, mut kept, mut given) = (Vec::new(), 0, 0);
    for record in split(ring) {
        let before = events.len();
        records.record(&record, &mut events);
        given += 1;
        let told = events.len() > before;
        let rejected = records.take_rejected();
        assert!(rejected <= 1, "one record, {rejected} rejects");
        assert!(rejected == 0 || !told, "a record that was rejected told something: {:?}", &events[before..]);
        if let Some(last) = events.last() {
            records.expire(last.at(), &mut events);
        }
    }
    for event in &events {
        if let Event::Segment(segment) = event {
            kept += segment.data.len();
            assert!(segment.data.len() as u64 <= segment.len, "more captured than moved: {segment:?}");
        }
    }
    assert!(kept <= ring.len(), "{kept} bytes of payload out of {} bytes in {given} records", ring.len());

    let mut engine = Watched::new(Registry::builtin(), tight());
    for event in &events {
        engine.handle(event);
    }
    engine.end();
});

/// Records by their length; the highest bit of that asks for the record's own length to be set right, which chance rarely does.
fn split(mut ring: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some((head, rest)) = ring.split_at_checked(2) {
        let mark = u16::from_le_bytes([head[0], head[1]]);
        let (record, rest) = rest.split_at(usize::from(mark & 0x7fff).min(rest.len()));
        let mut record = record.to_vec();
        if let (Some(len), true) = (u32::try_from(record.len()).ok(), mark >> 15 == 1)
            && let Some(place) = record.get_mut(4..8)
        {
            place.copy_from_slice(&len.to_ne_bytes());
        }
        records.push(record);
        ring = rest;
    }
    records
}
