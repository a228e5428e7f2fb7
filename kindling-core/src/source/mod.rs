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
pub mod pcap;
pub mod recording;

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::event::Batch;

/// Open a recording or capture file, whichever it is.
///
/// # Errors
/// If it cannot be read, or is neither.
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

/// An iterator as a stream that is always ready.
///
/// Polling it does the iterator's work, blocking reads included.
#[derive(Clone, Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct IntoStream<I>(I);

impl<I> IntoStream<I> {
    /// Make a stream of an iterator.
    pub const fn new(iterator: I) -> Self {
        Self(iterator)
    }

    /// The iterator.
    pub const fn inner(&self) -> &I {
        &self.0
    }
}

impl<I: Iterator + Unpin> Stream for IntoStream<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
