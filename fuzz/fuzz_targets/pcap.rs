//! A capture that no card saw: read to its end twice with the same result, its flows parsed, every promise of the engine kept.
#![no_main]

use kindling_core::{
    Batch, Event,
    source::pcap::{Capture, Options},
};
use kindling_fuzz::{Watched, heap, tight};
use kindling_protocols::Registry;

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let Ok(capture) = Capture::new(file, Options::default()) else { return };
    let before = heap::live();
    let mut events = 0;
    for batch in capture.map_while(Result::ok) {
        events += batch.events.len();
        drop(batch);
        let held = heap::live().saturating_sub(before);
        assert!(held <= HEAP + 2 * file.len(), "{held} bytes of memory held for {} bytes of file", file.len());
    }

    let again = Capture::new(file, Options::default()).expect("it opened before");
    let batches: Vec<Batch> = again.map_while(Result::ok).collect();
    assert_eq!(batches.iter().map(|batch| batch.events.len()).sum::<usize>(), events, "read twice, events");
    let mut engine = Watched::new(Registry::builtin(), tight());
    let mut shown = 0;
    for event in batches.iter().flat_map(|batch| &batch.events) {
        if let Event::Segment(segment) = event {
            shown += segment.data.len();
            assert!(segment.len >= segment.data.len() as u64, "more captured than moved: {segment:?}");
        }
        engine.handle(event);
    }
    engine.end();
    assert!(shown <= file.len(), "{shown} bytes of payload out of {} bytes of file", file.len());
});

/// What a reader may hold beside the bytes of the file: its arenas and tables.
const HEAP: usize = 1 << 20;
