//! Sources that need no kernel: [`recording`] and [`pcap`]; [`open`] tells them apart by content.
//!
//! ```no_run
//! for batch in kindling_core::source::open("trace.bin")? {
//!     println!("{} events", batch?.events.len());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cursor;
mod input;
mod into_stream;
pub mod pcap;
pub mod recording;

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
};

pub use self::into_stream::IntoStream;
use crate::event::Batch;

/// Open a recording or capture file, whichever it is.
///
/// # Errors
/// If it cannot be read, or is neither.
#[expect(clippy::disallowed_methods, reason = "the user gives the path")]
pub fn open(path: impl AsRef<Path>) -> Result<Source<File>, OpenError> {
    Source::new(File::open(path).map_err(OpenError::Io)?)
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A [`recording`].
    Recording,
    /// A [`pcap`] or pcapng file.
    Capture,
}

impl Format {
    /// Tell by the beginning of a file, of which [`DETECT_LEN`](Self::DETECT_LEN) bytes suffice.
    #[must_use]
    pub fn detect(start: &[u8]) -> Option<Self> {
        if recording::detect(start) {
            Some(Self::Recording)
        } else if pcap::detect(start) {
            Some(Self::Capture)
        } else {
            None
        }
    }

    /// Bytes that [`detect`](Self::detect) wants to see.
    pub const DETECT_LEN: usize = recording::MAGIC.len();
}

/// A reader of either format.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source<R> {
    /// A recording.
    Recording(recording::Reader<Sniffed<R>>),
    /// A capture.
    Capture(Box<pcap::Capture<Sniffed<R>>>),
}

/// An input whose first bytes were looked at and are read again.
pub type Sniffed<R> = io::Chain<Cursor<Vec<u8>>, R>;

impl<R: Read> Source<R> {
    /// Read `input`, whichever it is, with default options.
    ///
    /// # Errors
    /// If it cannot be read, or is neither.
    pub fn new(input: R) -> Result<Self, OpenError> {
        Self::with_options(input, pcap::Options::default())
    }

    /// Read `input`, whichever it is; `options` apply to captures.
    ///
    /// # Errors
    /// If it cannot be read, or is neither.
    pub fn with_options(mut input: R, options: pcap::Options) -> Result<Self, OpenError> {
        let mut start = Vec::new();
        input.by_ref().take(Format::DETECT_LEN as u64).read_to_end(&mut start).map_err(OpenError::Io)?;
        let format = Format::detect(&start);
        let gzip = start.starts_with(&[0x1f, 0x8b]);
        let zstd = start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let input = Cursor::new(start).chain(input);
        match format {
            Some(Format::Recording) => Ok(Self::Recording(recording::Reader::new(input)?)),
            Some(Format::Capture) => Ok(Self::Capture(Box::new(pcap::Capture::new(input, options)?))),
            None if gzip || zstd => Err(OpenError::Compressed),
            None => Err(OpenError::Unknown),
        }
    }

    /// Which it is.
    pub const fn format(&self) -> Format {
        match self {
            Self::Recording(_) => Format::Recording,
            Self::Capture(_) => Format::Capture,
        }
    }

    /// The same as a stream.
    pub const fn into_stream(self) -> IntoStream<Self> {
        IntoStream::new(self)
    }
}

impl<R: Read> Iterator for Source<R> {
    type Item = Result<Batch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Recording(reader) => reader.next().map(|batch| batch.map_err(ReadError::from)),
            Self::Capture(capture) => capture.next().map(|batch| batch.map_err(ReadError::from)),
        }
    }
}

/// Why a file cannot be opened as either format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is neither.
    #[error("neither a recording nor a capture file (pcap, pcapng)")]
    Unknown,
    /// It is compressed.
    #[error("the file is compressed: unpack it first")]
    Compressed,
    /// It is a recording that cannot be opened.
    #[error(transparent)]
    Recording(#[from] recording::OpenError),
    /// It is a capture that cannot be opened.
    #[error(transparent)]
    Capture(#[from] pcap::OpenError),
    /// It cannot be read.
    #[error("cannot read the file")]
    Io(#[source] io::Error),
}

/// Why a file cannot be read to its end.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Of a recording.
    #[error(transparent)]
    Recording(#[from] recording::ReadError),
    /// Of a capture.
    #[error(transparent)]
    Capture(#[from] pcap::CaptureError),
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, sync::Arc};

    use super::*;
    use crate::{Event, Origin, Timestamp};

    fn recording() -> Vec<u8> {
        let mut writer = recording::Writer::new(Vec::new(), recording::Options::default()).unwrap();
        let origin = Arc::new(Origin::new(1, "host", "test"));
        writer.write(&Batch::new(origin, vec![Event::Tick(Timestamp::from_nanos(1))])).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn files_are_told_apart_by_content() {
        let capture = [&b"\xd4\xc3\xb2\xa1\x02\0\x04\0"[..], &[0; 8], &[0xff, 0xff, 0, 0, 1, 0, 0, 0]].concat();
        for (bytes, format, batches) in [(recording(), Format::Recording, 1), (capture, Format::Capture, 0)] {
            let mut file = tempfile::Builder::new().suffix(".jpeg").tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let source = open(file.path()).unwrap();
            assert_eq!(source.format(), format);
            assert_eq!(source.map(Result::unwrap).count(), batches);
            for cut in 0..4 {
                assert_eq!(Format::detect(&bytes[..cut]), None);
            }
            assert_eq!(Format::detect(&bytes[..Format::DETECT_LEN]), Some(format));
        }
    }

    #[test]
    fn other_files_are_refused_with_what_to_do() {
        let message = |bytes: &[u8]| Source::new(bytes).map(drop).unwrap_err().to_string();
        assert_eq!(message(b""), "neither a recording nor a capture file (pcap, pcapng)");
        assert_eq!(message(b"%PDF-1.4 and so on"), "neither a recording nor a capture file (pcap, pcapng)");
        assert_eq!(message(b"\x1f\x8b\x08\0"), "the file is compressed: unpack it first");
        assert_eq!(message(&recording::MAGIC), "the recording's header is damaged");
        assert!(matches!(open("/nonexistent/file").map(drop), Err(OpenError::Io(_))));
    }
}
