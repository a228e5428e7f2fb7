//! Reading a recording.

use std::{
    io::{self, BufReader, Read},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    decode::{Decoded, Decoder},
    format::{Content, MAGIC, MAX_BODY, VERSION, checksum, kind},
};
use crate::{
    event::{Batch, Event, Lost, LostClass},
    id::Origin,
    source::{
        input::{Input, shared},
        into_stream::IntoStream,
    },
    time::Timestamp,
};

/// Reads the batches of a recording.
///
/// After an error it is exhausted; what came before the error is sound.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<BufReader<R>>,
    version: u16,
    content: Content,
    origins: Vec<Arc<Origin>>,
    blocks: u64,
    /// Time of the latest event, for what is skipped.
    latest: Timestamp,
    /// Blocks skipped since the last batch.
    pending: u64,
    skipped: Skipped,
    done: bool,
}

/// What a reader passed over because a newer writer wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Blocks of unknown kinds; in the stream as `Lost`.
    pub blocks: u64,
    /// Events of unknown kinds, or with unknown values; in the stream as `Lost`.
    pub events: u64,
    /// Events that were read but for their last, unknown fields.
    pub longer: u64,
}

/// What a block is.
enum Block {
    Batch(Batch),
    Passed,
    End,
}

impl<R: Read> Reader<R> {
    /// Open a recording.
    ///
    /// # Errors
    /// If `input` is none, or one of a newer version.
    pub fn new(input: R) -> Result<Self, OpenError> {
        let mut input = Input::new(BufReader::with_capacity(1 << 16, input));
        let mut magic = [0; MAGIC.len()];
        if input.fill(&mut magic).map_err(OpenError::Io)? < magic.len() || magic != MAGIC {
            return Err(OpenError::NotARecording);
        }
        let mut reader = Self {
            input,
            version: 0,
            content: Content::Full,
            origins: Vec::new(),
            blocks: 0,
            latest: Timestamp::ZERO,
            pending: 0,
            skipped: Skipped::default(),
            done: false,
        };
        reader.header()?;
        Ok(reader)
    }

    /// The version of its format.
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// How much payload it holds.
    pub const fn content(&self) -> Content {
        self.content
    }

    /// The origins met so far.
    pub fn origins(&self) -> &[Arc<Origin>] {
        &self.origins
    }

    /// What was passed over so far.
    pub const fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// The same as a stream.
    pub const fn into_stream(self) -> IntoStream<Self> {
        IntoStream::new(self)
    }

    fn header(&mut self) -> Result<(), OpenError> {
        let block = self.block().map_err(|error| match error {
            ReadError::Io { source, .. } => OpenError::Io(io::Error::new(source.kind(), source.to_string())),
            _ => OpenError::Damaged,
        })?;
        let mut decoder = Decoder::new(&block, &block);
        if decoder.u8() != Some(kind::HEADER) {
            return Err(OpenError::Damaged);
        }
        self.version = decoder.u16().ok_or(OpenError::Damaged)?;
        if self.version == 0 || self.version > VERSION {
            return Err(OpenError::Newer { version: self.version });
        }
        let (mode, kept) = (decoder.u8(), decoder.u32());
        self.content = match (mode, kept) {
            (Some(0), Some(_)) => Content::Full,
            (Some(1), Some(bytes)) => Content::Heads(bytes),
            _ => return Err(OpenError::Damaged),
        };
        Ok(())
    }

    /// The body of the next block.
    fn block(&mut self) -> Result<Bytes, ReadError> {
        let offset = self.input.offset;
        let io = |error| ReadError::Io { offset, source: shared(error) };
        let mut head = [0; 8];
        if self.input.fill(&mut head).map_err(io)? < head.len() {
            return Err(ReadError::Torn { offset });
        }
        let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let length = [l0, l1, l2, l3];
        let size = u32::from_le_bytes(length) as usize;
        if size == 0 || size > MAX_BODY {
            return Err(ReadError::Corrupt { offset });
        }
        let mut body = Vec::new();
        if self.input.read(size, &mut body).map_err(io)? < size {
            return Err(ReadError::Torn { offset });
        }
        if checksum(length, &body) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(ReadError::Corrupt { offset });
        }
        self.blocks += 1;
        Ok(body.into())
    }

    fn step(&mut self) -> Result<Block, ReadError> {
        let offset = self.input.offset;
        let block = self.block()?;
        let corrupt = ReadError::Corrupt { offset };
        let mut decoder = Decoder::new(&block, &block);
        match decoder.u8() {
            Some(kind::ORIGIN) => {
                let (index, origin) = decoder.origin().ok_or_else(|| corrupt.clone())?;
                if index as usize != self.origins.len() {
                    return Err(corrupt);
                }
                self.origins.push(Arc::new(origin));
                Ok(Block::Passed)
            }
            Some(kind::BATCH) => self.batch(decoder).map(Block::Batch).ok_or(corrupt),
            Some(kind::END) => {
                let all = decoder.u64() == Some(self.blocks - 1);
                let last =
                    self.input.fill(&mut [0]).map_err(|error| ReadError::Io { offset, source: shared(error) })?;
                if all && last == 0 { Ok(Block::End) } else { Err(corrupt) }
            }
            Some(kind::HEADER) | None => Err(corrupt),
            Some(_) => {
                self.skipped.blocks += 1;
                self.pending += 1;
                Ok(Block::Passed)
            }
        }
    }

    /// The blocks skipped since the last batch.
    fn passed_over(&mut self) -> Option<Event> {
        let (since, until) = (self.latest, self.latest);
        let count = std::mem::take(&mut self.pending);
        (count > 0).then_some(Event::Lost(Lost { class: LostClass::Decode, count, cpu: None, since, until }))
    }

    fn batch(&mut self, mut decoder: Decoder<'_>) -> Option<Batch> {
        let origin = self.origins.get(decoder.u32()? as usize)?.clone();
        let mut events = Vec::new();
        events.extend(self.passed_over());
        while !decoder.is_empty() {
            match decoder.event()? {
                Decoded::Event(event, longer) => {
                    self.skipped.longer += u64::from(longer);
                    self.latest = self.latest.max(event.at());
                    events.push(event);
                }
                Decoded::Unknown(at) => {
                    self.skipped.events += 1;
                    match events.last_mut() {
                        Some(Event::Lost(lost))
                            if lost.class == LostClass::Decode && lost.cpu.is_none() && lost.until <= at =>
                        {
                            lost.count += 1;
                            lost.until = at;
                        }
                        _ => {
                            let (class, count, cpu) = (LostClass::Decode, 1, None);
                            events.push(Event::Lost(Lost { class, count, cpu, since: at, until: at }));
                        }
                    }
                }
            }
        }
        Some(Batch::new(origin, events))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Batch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.step() {
                Ok(Block::Batch(batch)) => return Some(Ok(batch)),
                Ok(Block::Passed) => {}
                Ok(Block::End) => {
                    self.done = true;
                    if let (Some(lost), Some(origin)) = (self.passed_over(), self.origins.last()) {
                        return Some(Ok(Batch::new(origin.clone(), vec![lost])));
                    }
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Why a recording cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is something else.
    #[error("not a recording")]
    NotARecording,
    /// It begins like one, but its header is cut off or damaged.
    #[error("the recording's header is damaged")]
    Damaged,
    /// A newer version of the format.
    #[error("the recording has format version {version}, this reader knows up to {VERSION}: use a newer kindling")]
    Newer {
        /// Which.
        version: u16,
    },
    /// It cannot be read.
    #[error("cannot read the recording")]
    Io(#[source] io::Error),
}

/// Why a recording cannot be read to its end. Everything before it was delivered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It ends before its end mark, as it does when its writer was killed.
    #[error("the recording breaks off at byte {offset}; everything before it was read")]
    Torn {
        /// Where the first incomplete block starts.
        offset: u64,
    },
    /// A block is damaged, or bytes follow the end mark.
    #[error("the recording is damaged at byte {offset}; everything before it was read")]
    Corrupt {
        /// Where that block starts.
        offset: u64,
    },
    /// Reading failed.
    #[error("cannot read the recording at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: Arc<io::Error>,
    },
}
