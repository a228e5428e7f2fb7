//! A capture that no card saw: read to its end, its flows parsed, every promise of the engine kept.
#![no_main]

use kindling_core::source::pcap::{Capture, Options};
use kindling_fuzz::{Watched, tight};
use kindling_protocols::Registry;

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let Ok(capture) = Capture::new(file, Options::default()) else { return };
    let mut engine = Watched::new(Registry::builtin(), tight());
    let mut shown = 0u64;
    for batch in capture.map_while(Result::ok) {
        for event in &batch.events {
            if let kindling_core::Event::Segment(segment) = event {
                shown += segment.data.len() as u64;
                assert!(segment.len >= segment.data.len() as u64, "more captured than moved: {segment:?}");
            }
            engine.handle(event);
        }
    }
    engine.end();
    assert!(shown <= file.len() as u64, "{shown} bytes of payload out of {} bytes of file", file.len());
});
