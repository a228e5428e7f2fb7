//! pcapng: sections, interfaces and packet blocks (draft-ietf-opsawg-pcapng).

use std::{io::Read, ops::Range};

use super::{
    error::{CaptureError, OpenError},
    frame::{Frame, MAX_RECORD, Record},
};
use crate::source::{
    cursor::{Cursor, Order},
    input::{Input, shared},
};

/// Where the reader is in a pcapng file: byte order and interfaces of the current section.
#[derive(Debug)]
pub(super) struct Ng {
    order: Order,
    interfaces: Vec<Interface>,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    snaplen: u32,
    /// `if_tsresol`: ticks are 10^-n s, or 2^-n s with the highest bit set.
    resolution: u8,
    /// `if_tsoffset`: seconds to add.
    offset: i64,
    dropped: u64,
}

type Step = (Record, Range<usize>);

impl Ng {
    /// Past the section header whose first four bytes were read already.
    pub(super) fn open<R: Read>(input: &mut Input<R>) -> Result<Self, OpenError> {
        let mut ng = Self { order: Order::Little, interfaces: Vec::new(), last: 0 };
        let mut length = [0; 4];
        let came = input.fill(&mut length).map_err(OpenError::Io)?;
        if came < length.len() {
            return Err(OpenError::Torn);
        }
        match ng.section(input, length, 0, &mut Vec::new()) {
            Ok(()) => Ok(ng),
            Err(CaptureError::Io { source, .. }) => {
                Err(OpenError::Io(std::io::Error::new(source.kind(), source.to_string())))
            }
            Err(CaptureError::Torn { .. }) => Err(OpenError::Torn),
            Err(_) => Err(OpenError::NotCapture),
        }
    }

    pub(super) fn next<R: Read>(&mut self, input: &mut Input<R>, record: &mut Vec<u8>) -> Result<Step, CaptureError> {
        loop {
            let start = input.offset;
            let mut head = [0; 8];
            match fill(input, &mut head, start) {
                Ok(0) => return Ok((Record::End, 0..0)),
                Ok(8) => {}
                Ok(_) => return Err(CaptureError::Torn { offset: start }),
                Err(error) => return Err(error),
            }
            let mut cursor = Cursor::new(&head);
            let (Some(kind), Some(raw)) = (cursor.u32(self.order), cursor.array::<4>()) else {
                return Err(CaptureError::Torn { offset: start });
            };
            if kind == SECTION_HEADER {
                self.section(input, raw, start, record)?;
                continue;
            }
            let length = Cursor::new(&raw).u32(self.order).unwrap_or_default();
            let body = self.body(input, length, 12, start, record)?;
            let step = match kind {
                INTERFACE => self.interface(body).map(|()| None),
                ENHANCED_PACKET => self.enhanced(body).map(Some),
                SIMPLE_PACKET => self.simple(body).map(Some),
                PACKET => self.obsolete(body).map(Some),
                STATISTICS => self.statistics(body).map(|lost| (lost > 0).then_some((Record::Dropped(lost), 0..0))),
                _ => Some(None),
            };
            if let Some(step) = step.ok_or(CaptureError::Corrupt { offset: start })? {
                return Ok(step);
            }
        }
    }

    /// A section header: its byte order tells that of its own length.
    fn section<R: Read>(
        &mut self,
        input: &mut Input<R>,
        length: [u8; 4],
        start: u64,
        record: &mut Vec<u8>,
    ) -> Result<(), CaptureError> {
        let mut magic = [0; 4];
        if fill(input, &mut magic, start)? < magic.len() {
            return Err(CaptureError::Torn { offset: start });
        }
        self.order = [Order::Little, Order::Big]
            .into_iter()
            .find(|order| Cursor::new(&magic).u32(*order) == Some(BYTE_ORDER))
            .ok_or(CaptureError::Corrupt { offset: start })?;
        self.interfaces.clear();
        let length = Cursor::new(&length).u32(self.order).unwrap_or_default();
        self.body(input, length, 16, start, record).map(|_| ())
    }

    /// The rest of a block of which `known` bytes, its trailing length among them, are no body.
    fn body<'a, R: Read>(
        &self,
        input: &mut Input<R>,
        length: u32,
        known: usize,
        start: u64,
        record: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], CaptureError> {
        let corrupt = CaptureError::Corrupt { offset: start };
        let total = length as usize;
        if total > MAX_RECORD + 1024 {
            return Err(corrupt);
        }
        let Some(size) = total.checked_sub(known) else { return Err(corrupt) };
        record.clear();
        // Blocks are padded to 32 bits; writers that forget it in the length still pad the file.
        let padding = size.next_multiple_of(4) - size;
        let came = input
            .read(size + padding + 4, record)
            .map_err(|error| CaptureError::Io { offset: start, source: shared(error) })?;
        if came < size + padding + 4 {
            return Err(CaptureError::Torn { offset: start });
        }
        let trailer = record.get(size + padding..).and_then(|rest| Cursor::new(rest).u32(self.order));
        if trailer != Some(length) {
            return Err(corrupt);
        }
        Ok(record.get(..size).unwrap_or_default())
    }

    fn interface(&mut self, body: &[u8]) -> Option<()> {
        let mut cursor = Cursor::new(body);
        let link = cursor.u16(self.order)?;
        cursor.take(2)?;
        let snaplen = cursor.u32(self.order)?;
        let mut interface = Interface { link, snaplen, resolution: 6, offset: 0, dropped: 0 };
        options(cursor, self.order, |code, value| match (code, value) {
            (9, [resolution, ..]) => interface.resolution = *resolution,
            (14, value) => {
                interface.offset = Cursor::new(value).u64(self.order).map_or(0, u64::cast_signed);
            }
            _ => {}
        });
        // Far more than any machine has; the file could name one in every 20 bytes.
        (self.interfaces.len() < 1 << 16).then(|| self.interfaces.push(interface))
    }

    fn enhanced(&mut self, body: &[u8]) -> Option<Step> {
        let mut cursor = Cursor::new(body);
        let interface = cursor.u32(self.order)? as usize;
        self.packet(interface, cursor, body.len())
    }

    /// The packet block that the enhanced one replaced.
    fn obsolete(&mut self, body: &[u8]) -> Option<Step> {
        let mut cursor = Cursor::new(body);
        let interface = usize::from(cursor.u16(self.order)?);
        cursor.take(2)?;
        self.packet(interface, cursor, body.len())
    }

    fn packet(&mut self, interface: usize, mut cursor: Cursor<'_>, total: usize) -> Option<Step> {
        let (high, low) = (cursor.u32(self.order)?, cursor.u32(self.order)?);
        let (captured, length) = (cursor.u32(self.order)? as usize, cursor.u32(self.order)? as usize);
        let start = total - cursor.rest().len();
        cursor.take(captured)?;
        let ticks = u64::from(high) << 32 | u64::from(low);
        let interface = self.interfaces.get(interface);
        self.last = interface.map_or(self.last, |interface| interface.nanos(ticks));
        let frame = Frame {
            at: self.last,
            link: interface.map(|interface| interface.link),
            missing: length.saturating_sub(captured),
        };
        Some((Record::Frame(frame), start..start + captured))
    }

    /// A simple packet has no time of its own: it happened after the one before it.
    fn simple(&self, body: &[u8]) -> Option<Step> {
        let mut cursor = Cursor::new(body);
        let length = cursor.u32(self.order)? as usize;
        let interface = self.interfaces.first();
        let limit = interface.map_or(0, |interface| interface.snaplen as usize);
        let captured = length.min(if limit == 0 { usize::MAX } else { limit }).min(cursor.rest().len());
        let link = interface.map(|interface| interface.link);
        Some((Record::Frame(Frame { at: self.last, link, missing: length - captured }), 4..4 + captured))
    }

    /// Frames dropped by the interface and the system since the last such block.
    fn statistics(&mut self, body: &[u8]) -> Option<u64> {
        let mut cursor = Cursor::new(body);
        let interface = cursor.u32(self.order)? as usize;
        cursor.take(8)?;
        let mut dropped = 0_u64;
        options(cursor, self.order, |code, value| {
            if matches!(code, 5 | 7) {
                let count = Cursor::new(value).u64(self.order).unwrap_or_default();
                // All ones is how writers say that they do not know.
                dropped = dropped.saturating_add(if count == u64::MAX { 0 } else { count });
            }
        });
        let Some(interface) = self.interfaces.get_mut(interface) else { return Some(0) };
        let more = dropped.saturating_sub(interface.dropped);
        interface.dropped = interface.dropped.max(dropped);
        Some(more)
    }
}

impl Interface {
    fn nanos(&self, ticks: u64) -> u64 {
        let exponent = u32::from(self.resolution & 0x7f);
        let ticks = u128::from(ticks);
        let nanos = if self.resolution & 0x80 != 0 {
            (ticks * 1_000_000_000).checked_shr(exponent).unwrap_or(0)
        } else {
            10_u128.checked_pow(exponent).map_or(0, |per_second| ticks * 1_000_000_000 / per_second)
        };
        let offset = i128::from(self.offset) * 1_000_000_000;
        u64::try_from(nanos.cast_signed() + offset).unwrap_or(if offset < 0 { 0 } else { u64::MAX })
    }
}

fn options(mut cursor: Cursor<'_>, order: Order, mut each: impl FnMut(u16, &[u8])) {
    while let (Some(code), Some(length)) = (cursor.u16(order), cursor.u16(order)) {
        let length = usize::from(length);
        let Some(value) = cursor.take(length) else { return };
        if code == 0 {
            return;
        }
        each(code, value);
        if cursor.take(length.next_multiple_of(4) - length).is_none() {
            return;
        }
    }
}

fn fill<R: Read>(input: &mut Input<R>, to: &mut [u8], start: u64) -> Result<usize, CaptureError> {
    input.fill(to).map_err(|error| CaptureError::Io { offset: start, source: shared(error) })
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
