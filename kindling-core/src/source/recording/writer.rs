//! Writing a recording.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use super::{
    encode::Encoder,
    format::{Content, MAGIC, MAX_BODY, VERSION, checksum, kind},
};
use crate::{
    event::{Batch, Event, Lost, LostClass},
    id::Origin,
};

/// Writes batches to a recording, each as it comes.
///
/// A recording ends with an end mark, which [`finish`](Self::finish) or dropping the writer writes. Where neither happens readers yield all
/// that was written and then say that the rest is missing.
#[derive(Debug)]
pub struct Writer<W: Write> {
    /// `None` once a write failed, or the output was given back.
    output: Option<W>,
    content: Content,
    origins: Vec<Arc<Origin>>,
    blocks: u64,
    block: Vec<u8>,
}

impl Writer<File> {
    /// Create a recording file that only its owner can read.
    ///
    /// # Errors
    /// If there is something at `path`: a file, unless [`Options::overwrite`] allows to replace it, or anything else (a link, a device, a
    /// pipe), always.
    pub fn create(path: impl AsRef<Path>, options: Options) -> Result<Self, CreateError> {
        let path = path.as_ref();
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => return Err(CreateError::NotAFile),
            Ok(_) if !options.overwrite => return Err(CreateError::Exists),
            // Replaced, not reused: the old file keeps its content for those who have it open, and its mode goes with it.
            Ok(_) => fs::remove_file(path).map_err(CreateError::Io)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CreateError::Io(error)),
        }
        let mut open = File::options();
        // Fails if something appeared meanwhile, and follows no link.
        open.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        #[expect(clippy::disallowed_methods, reason = "the user gives the path")]
        let file = open.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => CreateError::Exists,
            _ => CreateError::Io(error),
        })?;
        Self::new(file, options).map_err(CreateError::Io)
    }
}

impl<W: Write> Writer<W> {
    /// Write to `output`, in one call a batch.
    ///
    /// # Errors
    /// If the header cannot be written.
    pub fn new(output: W, options: Options) -> io::Result<Self> {
        let content = options.content;
        let mut writer = Self { output: Some(output), content, origins: Vec::new(), blocks: 0, block: Vec::new() };
        writer.block.extend_from_slice(&MAGIC);
        let start = writer.begin(kind::HEADER);
        let mut encoder = Encoder(&mut writer.block);
        encoder.u16(VERSION);
        let (mode, kept) = match content {
            Content::Full => (0, u32::MAX),
            Content::Heads(bytes) => (1, bytes),
        };
        encoder.u8(mode);
        encoder.u32(kept);
        writer.seal(start);
        writer.flush_block()?;
        Ok(writer)
    }

    /// Append a batch.
    ///
    /// # Errors
    /// If it cannot be written: the recording ends before it, and every later call fails too.
    pub fn write(&mut self, batch: &Batch) -> io::Result<()> {
        self.block.clear();
        let origin = self.origin(&batch.origin);
        let mut start = self.batch(origin);
        for event in &batch.events {
            let before = self.block.len();
            Encoder(&mut self.block).event(event, self.content);
            if self.block.len() - start <= HEAD + MAX_BODY {
                continue;
            }
            // The block is full: this event begins the next.
            let event_bytes = self.block.split_off(before);
            self.seal(start);
            start = self.batch(origin);
            if event_bytes.len() + 64 <= MAX_BODY {
                self.block.extend_from_slice(&event_bytes);
            } else {
                let (since, until) = (event.at(), event.at());
                let lost = Lost { class: LostClass::Decode, count: 1, cpu: None, since, until };
                Encoder(&mut self.block).event(&Event::Lost(lost), self.content);
            }
        }
        self.seal(start);
        self.flush_block()
    }

    /// Write the end mark and give the output back.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.end()?;
        self.output.take().ok_or_else(failed)
    }

    fn end(&mut self) -> io::Result<()> {
        self.block.clear();
        let blocks = self.blocks;
        let start = self.begin(kind::END);
        Encoder(&mut self.block).u64(blocks);
        self.seal(start);
        self.flush_block()?;
        let flushed = self.output.as_mut().map_or(Ok(()), Write::flush);
        flushed.inspect_err(|_| self.output = None)
    }

    /// The index of `origin`, which is announced the first time.
    fn origin(&mut self, origin: &Arc<Origin>) -> u32 {
        let found = self.origins.iter().position(|known| Arc::ptr_eq(known, origin) || known == origin);
        let index = u32::try_from(found.unwrap_or(self.origins.len())).unwrap_or(u32::MAX);
        if found.is_none() {
            self.origins.push(origin.clone());
            let start = self.begin(kind::ORIGIN);
            Encoder(&mut self.block).origin(index, origin);
            self.seal(start);
        }
        index
    }

    fn batch(&mut self, origin: u32) -> usize {
        let start = self.begin(kind::BATCH);
        Encoder(&mut self.block).u32(origin);
        start
    }

    fn begin(&mut self, kind: u8) -> usize {
        let start = self.block.len();
        self.block.extend_from_slice(&[0; HEAD]);
        self.block.push(kind);
        start
    }

    /// Complete the block that began at `start`.
    fn seal(&mut self, start: usize) {
        self.blocks += 1;
        let Some((head, body)) = self.block.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut::<HEAD>) else {
            return;
        };
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        let crc = checksum(length, body).to_le_bytes();
        *head = [length, crc].as_flattened().try_into().unwrap_or_default();
    }

    fn flush_block(&mut self) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Err(failed()) };
        // Whatever followed half a block could not be read.
        output.write_all(&self.block).inspect_err(|_| self.output = None)?;
        if self.block.capacity() > KEPT {
            self.block = Vec::new();
        }
        Ok(())
    }
}

impl<W: Write> Drop for Writer<W> {
    fn drop(&mut self) {
        // A panic may have interrupted a batch: then the recording is not complete and must not say so.
        if self.output.is_some() && !std::thread::panicking() {
            let _ = self.end();
        }
    }
}

/// How to record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How much of each segment's payload is kept.
    pub content: Content,
    /// Whether [`Writer::create`] may replace a file.
    pub overwrite: bool,
}

impl Options {
    /// How much of each segment's payload is kept.
    #[must_use]
    pub const fn content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// Whether [`Writer::create`] may replace a file.
    #[must_use]
    pub const fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }
}

/// Why a recording cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is a file already.
    #[error("the file exists: choose another name or allow overwriting")]
    Exists,
    /// There is a link, a device, a pipe or a folder.
    #[error("not a regular file: recordings hold payload, so they are written to files of their own only")]
    NotAFile,
    /// The system refuses.
    #[error("cannot create the recording")]
    Io(#[source] io::Error),
}

fn failed() -> io::Error {
    io::Error::other("an earlier write to the recording failed")
}

/// Length and checksum before each body.
const HEAD: usize = 8;
/// Buffer kept from batch to batch.
const KEPT: usize = 1 << 20;
