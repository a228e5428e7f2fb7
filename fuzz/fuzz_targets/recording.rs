//! A recording that nobody wrote: read to its end or first error, and what was read comes back the same when written again.
#![no_main]

use kindling_core::source::recording::{Options, Reader, Writer};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let Ok(reader) = Reader::new(file) else { return };
    let batches: Vec<_> = reader.map_while(Result::ok).collect();
    let mut writer = Writer::new(Vec::new(), Options::default()).expect("memory takes everything");
    for batch in &batches {
        writer.write(batch).expect("memory takes everything");
    }
    let written = writer.finish().expect("memory takes everything");
    let again: Vec<_> =
        Reader::new(&written[..]).expect("its own file").map(|batch| batch.expect("its own batch")).collect();
    assert_eq!(batches, again, "a batch changed on its way through a file");
});
