//! Recording a stream as it passes.

use std::{
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project::pin_project;

use crate::{event::Batch, source::recording::Writer};

/// Writes every batch to a recording and passes it on.
///
/// If writing fails that is said once, after the batch concerned, and the stream goes on unrecorded. The recording is completed when the stream
/// ends or this is dropped. Writing blocks; a slow disk is better put behind a [`tee`](super::EventStreamExt::tee) and a thread.
#[pin_project]
#[derive(Debug)]
#[must_use = "streams and iterators do nothing unless polled"]
pub struct Record<S, W: Write> {
    #[pin]
    inner: S,
    tape: Tape<W>,
}

#[derive(Debug)]
struct Tape<W: Write> {
    writer: Option<Writer<W>>,
    failed: Option<io::Error>,
    ended: bool,
}

/// What a recorded stream can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError<E> {
    /// The stream itself failed.
    #[error(transparent)]
    Source(E),
    /// The recording could not be written and ends here; the stream goes on.
    #[error("cannot write the recording: it ends here, the stream goes on")]
    Write(#[source] io::Error),
}

impl<S, W: Write> Record<S, W> {
    pub(super) const fn new(inner: S, writer: Writer<W>) -> Self {
        Self { inner, tape: Tape { writer: Some(writer), failed: None, ended: false } }
    }
}

impl<W: Write> Tape<W> {
    fn pass<E>(&mut self, item: Option<Result<Batch, E>>) -> Option<Result<Batch, RecordError<E>>> {
        match item {
            Some(Ok(batch)) => {
                if let Some(Err(error)) = self.writer.as_mut().map(|writer| writer.write(&batch)) {
                    self.writer = None;
                    self.failed = Some(error);
                }
                Some(Ok(batch))
            }
            Some(Err(error)) => Some(Err(RecordError::Source(error))),
            None => {
                self.ended = true;
                let finished = self.writer.take().map(Writer::finish)?;
                finished.err().map(|error| Err(RecordError::Write(error)))
            }
        }
    }

    fn failure<E>(&mut self) -> Option<Result<Batch, RecordError<E>>> {
        self.failed.take().map(|error| Err(RecordError::Write(error)))
    }
}

impl<S: Stream<Item = Result<Batch, E>>, E, W: Write> Stream for Record<S, W> {
    type Item = Result<Batch, RecordError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if let Some(failure) = this.tape.failure() {
            return Poll::Ready(Some(failure));
        }
        if this.tape.ended {
            return Poll::Ready(None);
        }
        let item = ready!(this.inner.poll_next(cx));
        Poll::Ready(this.tape.pass(item))
    }
}

impl<S: Iterator<Item = Result<Batch, E>>, E, W: Write> Iterator for Record<S, W> {
    type Item = Result<Batch, RecordError<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(failure) = self.tape.failure() {
            return Some(failure);
        }
        if self.tape.ended { None } else { self.tape.pass(self.inner.next()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures::{StreamExt as _, executor::block_on};

    use super::super::testing::{opened, segment, source};
    use super::*;
    use crate::{
        EventIteratorExt, EventStreamExt,
        source::recording::{Options, Reader},
    };

    #[test]
    fn what_passes_is_what_is_read_back() {
        let batches = source(vec![vec![opened(1, 1)], vec![segment(2, 1, 0, b"payload", None)]]);
        let expected: Vec<_> = batches.clone().map(Result::unwrap).collect();
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let recorded =
            EventStreamExt::record(batches.clone().into_stream(), Writer::new(&mut one, Options::default()).unwrap());
        let streamed: Vec<_> = block_on(recorded.map(Result::unwrap).collect());
        let recorded = EventIteratorExt::record(batches, Writer::new(&mut two, Options::default()).unwrap());
        let iterated: Vec<_> = recorded.map(Result::unwrap).collect();
        assert_eq!((&streamed, &iterated, &one), (&expected, &expected, &two));
        let read: Vec<_> = Reader::new(&one[..]).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, expected);
    }

    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_said_once_and_the_stream_goes_on() {
        let batches = source(vec![vec![opened(1, 1)], vec![opened(2, 2)], vec![opened(3, 3)]]);
        let writer = Writer::new(Full(200), Options::default()).unwrap();
        let items: Vec<_> = EventIteratorExt::record(batches, writer).collect();
        assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 3);
        assert_eq!(items.iter().filter(|item| matches!(item, Err(RecordError::Write(_)))).count(), 1);
    }
}
