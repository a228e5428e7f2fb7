//! Capture files as a sequence of frames: both formats behind one type, and the classic one.

use std::io::Read;

use super::{
    error::{CaptureError, OpenError},
    frame::{Frame, MAX_RECORD, Record},
    link,
    ng::Ng,
};
use crate::source::{
    cursor::{Cursor, Order},
    input::{Input, shared},
};

/// Reads a capture file record by record.
#[derive(Debug)]
pub(super) struct File<R> {
    input: Input<R>,
    format: Format,
    record: Vec<u8>,
    data: std::ops::Range<usize>,
}

#[derive(Debug)]
enum Format {
    Classic(Classic),
    Ng(Ng),
}

#[derive(Debug)]
struct Classic {
    order: Order,
    nanos_per_tick: u64,
    header: usize,
    link: u16,
    minor: u16,
}

impl<R: Read> File<R> {
    pub(super) fn open(inner: R) -> Result<Self, OpenError> {
        let mut input = Input::new(inner);
        let mut magic = [0; 4];
        let came = input.fill(&mut magic).map_err(OpenError::Io)?;
        let format = match Magic::of(magic.get(..came).unwrap_or_default()).ok_or(OpenError::NotCapture)? {
            Magic::Ng => Format::Ng(Ng::open(&mut input)?),
            Magic::Classic { order, nanos_per_tick, header } => {
                Format::Classic(Classic::open(&mut input, order, nanos_per_tick, header)?)
            }
        };
        Ok(Self { input, format, record: Vec::new(), data: 0..0 })
    }

    /// The bytes of the frame that [`next`](Self::next) returned last.
    pub(super) fn data(&self) -> &[u8] {
        self.record.get(self.data.clone()).unwrap_or_default()
    }

    pub(super) fn next(&mut self) -> Result<Record, CaptureError> {
        let (record, data) = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.input, &mut self.record)?,
            Format::Ng(ng) => ng.next(&mut self.input, &mut self.record)?,
        };
        self.data = data;
        Ok(record)
    }
}

/// The four bytes a capture file starts with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Magic {
    Classic { order: Order, nanos_per_tick: u64, header: usize },
    Ng,
}

impl Magic {
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let magic: [u8; 4] = *start.first_chunk()?;
        if magic == NG {
            return Some(Self::Ng);
        }
        [Order::Little, Order::Big].into_iter().find_map(|order| {
            let (nanos_per_tick, header) = match Cursor::new(&magic).u32(order)? {
                0xa1b2_c3d4 => (1_000, 16),
                0xa1b2_3c4d => (1, 16),
                // Kuznetzov's patched libpcap: interface, protocol and packet type follow the lengths.
                0xa1b2_cd34 => (1_000, 24),
                _ => return None,
            };
            Some(Self::Classic { order, nanos_per_tick, header })
        })
    }
}

impl Classic {
    fn open<R: Read>(input: &mut Input<R>, order: Order, nanos: u64, header: usize) -> Result<Self, OpenError> {
        let mut bytes = [0; 20];
        if input.fill(&mut bytes).map_err(OpenError::Io)? < bytes.len() {
            return Err(OpenError::Torn);
        }
        let mut cursor = Cursor::new(&bytes);
        let minor = cursor.take(2).and_then(|_| cursor.u16(order)).unwrap_or_default();
        // The upper half tells the length of the frame check sequence.
        let link = cursor.take(12).and_then(|_| cursor.u32(order)).unwrap_or_default() & 0xffff;
        let link = u16::try_from(link).unwrap_or_default();
        if !link::known(link) {
            return Err(OpenError::LinkType(link));
        }
        Ok(Self { order, nanos_per_tick: nanos, header, link, minor })
    }

    fn next<R: Read>(
        &self,
        input: &mut Input<R>,
        record: &mut Vec<u8>,
    ) -> Result<(Record, std::ops::Range<usize>), CaptureError> {
        let start = input.offset;
        let mut bytes = [0; 24];
        let head = bytes.get_mut(..self.header).unwrap_or_default();
        let came = input.fill(head).map_err(|error| CaptureError::Io { offset: start, source: shared(error) })?;
        if came == 0 {
            return Ok((Record::End, 0..0));
        }
        if came < self.header {
            return Err(CaptureError::Torn { offset: start });
        }
        let mut cursor = Cursor::new(&bytes);
        let mut field = || cursor.u32(self.order).unwrap_or_default();
        let (seconds, fraction, mut captured, mut length) = (field(), field(), field(), field());
        // Before 2.3 the two lengths were the other way round, and some writers of 2.3 mixed them up.
        if self.minor < 3 || (self.minor == 3 && captured > length) {
            (captured, length) = (length, captured);
        }
        let size = captured as usize;
        if size > MAX_RECORD {
            return Err(CaptureError::Corrupt { offset: start });
        }
        record.clear();
        let came =
            input.read(size, record).map_err(|error| CaptureError::Io { offset: start, source: shared(error) })?;
        if came < size {
            return Err(CaptureError::Torn { offset: start });
        }
        let frame = Frame {
            at: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.nanos_per_tick,
            link: Some(self.link),
            missing: length.saturating_sub(captured) as usize,
        };
        Ok((Record::Frame(frame), 0..size))
    }
}

const NG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
