//! Capture files: pcap and pcapng to events.
//!
//! [`Capture`] reads frames from any [`Read`], puts IP fragments together, and TCP streams by sequence number, so what comes out is what the
//! applications exchanged: every byte once, in order, with its sequence number as offset.
//!
//! ```no_run
//! use kindling_core::{Event, source::pcap::{Capture, Options}};
//!
//! let file = std::fs::File::open("trace.pcap")?;
//! for batch in Capture::new(file, Options::default())? {
//!     for event in batch?.events {
//!         if let Event::Segment(segment) = event {
//!             println!("{} {:?} {} bytes", segment.flow, segment.direction, segment.len);
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * Formats: pcap with micro- or nanoseconds in either byte order and Kuznetzov's modified one; pcapng with any number of sections and
//!   interfaces, any time resolution, enhanced, simple and obsolete packets.
//! * Links: Ethernet (802.1Q, 802.1ad, MPLS, PPPoE, SNAP), Linux cooked v1 and v2, raw IP, null and loopback, PPP.
//! * A flow's `local` end is the one that sent the SYN, else the one that spoke first.
//! * A TCP flow is announced when its SYN is answered, with the time that took; without a SYN at its first byte, and is then `midstream`.
//! * A SYN answered by RST is a [`ConnectFailed`](crate::ConnectFailed) with `ECONNREFUSED`. One never answered is one with `ETIMEDOUT` if it was
//!   sent again or waited for a second; of a younger one nothing is known and nothing is said.
//! * Bytes behind a hole wait until the hole is filled. A hole is given up, as a [`Gap`](crate::Gap), when the other end acknowledges bytes behind
//!   it (the capture missed them), after [`Options::hole_timeout`], for a limit, or when the flow ends. What waited carries the time it was released.
//! * Frames that cannot be read are a [`Lost`](crate::Lost) of class [`Frame`](crate::LostClass::Frame), as are frames that the capturing side says it dropped.
//! * Time never goes back: a frame stamped earlier than one before it gets that one's time.
//!
//! # Limits
//! Checksums are not verified: with offloading most captures on the sending host hold wrong ones. Tunnels (GRE, VXLAN, IP in IP) are not opened.
//! ICMP errors are not read.

mod account;
mod connection;
mod error;
mod file;
mod flows;
mod fragments;
mod frame;
mod half;
mod ip;
mod key;
mod link;
mod ng;
mod options;
mod out;
mod table;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

use std::{
    io::{BufReader, Read},
    sync::Arc,
};

pub use self::{
    account::Counters,
    error::{CaptureError, OpenError},
    options::Options,
};
use self::{
    file::{File, Magic},
    flows::Flows,
    frame::Record,
};
use crate::{event::Batch, id::Origin, source::into_stream::IntoStream};

/// Reads a capture file as batches of events.
///
/// Reading blocks, in the stream form too: a file is always ready, but a pipe is not.
#[derive(Debug)]
pub struct Capture<R> {
    file: File<BufReader<R>>,
    first: Option<Record>,
    origin: Arc<Origin>,
    flows: Flows,
    batch_events: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading,
    Failed(CaptureError),
    Ended,
}

impl<R: Read> Capture<R> {
    /// Open a capture.
    ///
    /// # Errors
    /// If the input is no capture, or one of a link type that cannot be read.
    pub fn new(input: R, options: Options) -> Result<Self, OpenError> {
        let mut file = File::open(BufReader::with_capacity(1 << 16, input))?;
        let mut state = State::Reading;
        let first = file.next().map_err(|error| state = State::Failed(error)).ok();
        let origin = options.origin.clone().unwrap_or_else(|| {
            let at = if let Some(Record::Frame(frame)) = &first { frame.at } else { 0 };
            Origin::new(digest(at, file.data()), "", "pcap")
        });
        let batch_events = options.batch_events.max(1);
        Ok(Self { file, first, origin: Arc::new(origin), flows: Flows::new(&options), batch_events, state })
    }

    /// Where its events come from.
    pub const fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// The account so far.
    pub const fn counters(&self) -> &Counters {
        &self.flows.counters
    }

    /// The same as a stream.
    pub const fn into_stream(self) -> IntoStream<Self> {
        IntoStream::new(self)
    }

    /// Read until a batch is full or the capture ends.
    fn advance(&mut self) {
        while matches!(self.state, State::Reading) && !self.full() {
            let record = match self.first.take() {
                Some(record) => Ok(record),
                None => self.file.next(),
            };
            match record {
                Ok(Record::Frame(frame)) => self.flows.handle(&frame, self.file.data()),
                Ok(Record::Dropped(count)) => self.flows.lost(count),
                Ok(Record::End) => {
                    self.flows.finish();
                    self.state = State::Ended;
                }
                Err(error) => self.state = State::Failed(error),
            }
        }
        if matches!(self.state, State::Failed(_)) {
            self.flows.finish();
        }
    }

    fn full(&self) -> bool {
        self.flows.out.events.len() >= self.batch_events || self.flows.out.payload() >= BATCH_BYTES
    }
}

impl<R: Read> Iterator for Capture<R> {
    type Item = Result<Batch, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance();
        if !self.flows.out.events.is_empty() {
            self.flows.report();
            return Some(Ok(Batch::new(self.origin.clone(), self.flows.out.take())));
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Failed(error) => Some(Err(error)),
            State::Reading | State::Ended => None,
        }
    }
}

/// Whether `start` is how a capture begins.
pub(super) fn detect(start: &[u8]) -> bool {
    Magic::of(start).is_some()
}

/// FNV-1a: a name for a capture, not a defence.
fn digest(at: u64, data: &[u8]) -> u128 {
    let bytes = at.to_le_bytes();
    bytes.iter().chain(data).fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

const BATCH_BYTES: usize = 256 << 10;
