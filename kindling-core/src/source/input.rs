//! Reading a file of records whose lengths are not to be trusted.

use std::{
    io::{self, Read},
    sync::Arc,
};

/// A reader that knows its position and fills a buffer it keeps.
#[derive(Debug)]
pub(super) struct Input<R> {
    inner: R,
    /// Bytes consumed.
    pub(super) offset: u64,
}

impl<R: Read> Input<R> {
    pub(super) const fn new(inner: R) -> Self {
        Self { inner, offset: 0 }
    }

    /// Append up to `n` bytes to `to` and say how many came; fewer only at the end.
    ///
    /// The buffer grows with what arrives, so a hostile length costs nothing.
    pub(super) fn read(&mut self, n: usize, to: &mut Vec<u8>) -> io::Result<usize> {
        to.reserve(n.min(STEP));
        let came = self.inner.by_ref().take(n as u64).read_to_end(to)?;
        self.offset += came as u64;
        Ok(came)
    }

    /// Fill `to` from the front and say how many bytes came; fewer only at the end.
    pub(super) fn fill(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut came = 0;
        while let Some(rest) = to.get_mut(came..)
            && !rest.is_empty()
        {
            match self.inner.read(rest) {
                Ok(0) => break,
                Ok(n) => came += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.offset += came as u64;
        Ok(came)
    }
}

/// An I/O error that can be cloned, as items of a shared stream must be.
pub(super) fn shared(error: io::Error) -> Arc<io::Error> {
    Arc::new(error)
}

const STEP: usize = 1 << 16;
