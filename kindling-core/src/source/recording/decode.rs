//! Bytes to events, in the order in which `encode` writes them.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use bytes::Bytes;

use super::format::tag;
use crate::{
    event::{
        Cause, CloseReason, Closed, ConnectFailed, Custom, Event, Exited, FlowStats, Gap, Lost, LostClass, Opened,
        Renamed, Segment, Started, Vantage,
    },
    id::{Cgroup, Direction, Endpoint, FlowId, Hierarchy, Offsets, Origin, Role, Task, Transport},
    source::cursor::{Cursor, Order},
    text::{Comm, Text},
    time::{Clock, Timestamp},
};

/// Takes values from the front of a body; `None` is too short, or a value this version does not know.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    cursor: Cursor<'a>,
    /// The block the body lies in: payloads are slices of it.
    block: &'a Bytes,
}

/// What one event of a body is.
#[expect(clippy::large_enum_variant, reason = "taken apart at once; nearly all are events")]
#[derive(Debug)]
pub(super) enum Decoded {
    /// Read; `true` if it had further fields.
    Event(Event, bool),
    /// Of a kind, or with a value, that this version does not know.
    Unknown(Timestamp),
}

impl<'a> Decoder<'a> {
    pub(super) const fn new(body: &'a [u8], block: &'a Bytes) -> Self {
        Self { cursor: Cursor::new(body), block }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.cursor.is_empty()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.cursor.u8()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.cursor.u16(Order::Little)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.cursor.u32(Order::Little)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.cursor.u64(Order::Little)
    }

    pub(super) fn origin(&mut self) -> Option<(u32, Origin)> {
        let index = self.u32()?;
        let boot = u128::from_le_bytes(self.cursor.array()?);
        Some((index, Origin { boot, host: self.text()?, source: self.text()? }))
    }

    /// The next event; `None` if the lengths do not fit.
    pub(super) fn event(&mut self) -> Option<Decoded> {
        let tag = self.u16()?;
        let length = self.u32()?;
        let fields = self.cursor.take(usize::try_from(length).ok()?)?;
        let mut inner = Decoder::new(fields, self.block);
        let at = inner.time()?;
        Some(match inner.fields(tag, at) {
            Some(event) => Decoded::Event(event, !inner.is_empty()),
            None => Decoded::Unknown(at),
        })
    }

    fn fields(&mut self, tag: u16, at: Timestamp) -> Option<Event> {
        Some(match tag {
            tag::OPENED => Event::Opened(self.opened(at)?),
            tag::SEGMENT => Event::Segment(self.segment(at)?),
            tag::GAP => Event::Gap(self.gap(at)?),
            tag::CLOSED => Event::Closed(self.closed(at)?),
            tag::CONNECT_FAILED => Event::ConnectFailed(self.connect_failed(at)?),
            tag::STARTED => {
                Event::Started(Started { at, task: self.task()??, parent: self.u32()?, boot_start: self.u64()? })
            }
            tag::RENAMED => Event::Renamed(Renamed {
                at,
                task: self.task()??,
                before: self.comm()?,
                exec: self.option(Self::text)?,
            }),
            tag::EXITED => Event::Exited(Exited { at, task: self.task()??, status: self.i32()? }),
            tag::TICK => Event::Tick(at),
            tag::CLOCK => Event::Clock(Clock { mono: at, wall: self.u64()?, boot: self.u64()? }),
            tag::CUSTOM => {
                let (tag, flow, task) = (self.u16()?, self.flow()?, self.task()?);
                Event::Custom(Custom { at, tag, data: self.data()?, flow, task })
            }
            tag::LOST => Event::Lost(self.lost(at)?),
            _ => return None,
        })
    }

    fn opened(&mut self, at: Timestamp) -> Option<Opened> {
        Some(Opened {
            at,
            flow: FlowId(self.u64()?),
            transport: self.transport()?,
            offsets: match self.u8()? {
                1 => Offsets::Tcp,
                2 => Offsets::Counted,
                3 => Offsets::Datagram,
                _ => return None,
            },
            local: self.endpoint()?,
            remote: self.endpoint()?,
            role: match self.u8()? {
                0 => Role::Unknown,
                1 => Role::Client,
                2 => Role::Server,
                _ => return None,
            },
            vantage: match self.u8()? {
                0 => Vantage::Socket,
                1 => Vantage::Wire,
                _ => return None,
            },
            netns: self.u32()?,
            midstream: self.bool()?,
            first_out: self.option(Self::u64)?,
            first_in: self.option(Self::u64)?,
            connect: self.option(Self::duration)?,
            task: self.task()?,
        })
    }

    fn segment(&mut self, at: Timestamp) -> Option<Segment> {
        let (flow, direction) = (FlowId(self.u64()?), self.direction()?);
        let (offset, len, task) = (self.u64()?, self.u64()?, self.task()?);
        let data = self.data()?;
        // A segment holds a prefix of what moved.
        (data.len() as u64 <= len).then_some(Segment { at, flow, direction, offset, data, len, task })
    }

    fn gap(&mut self, at: Timestamp) -> Option<Gap> {
        let (flow, direction) = (FlowId(self.u64()?), self.direction()?);
        let (offset, len) = (self.u64()?, self.u64()?);
        let cause = match self.u8()? {
            1 => Cause::NotTargeted,
            2 => Cause::Unhooked,
            3 => Cause::Lost,
            _ => return None,
        };
        Some(Gap { at, flow, direction, offset, len, cause })
    }

    fn closed(&mut self, at: Timestamp) -> Option<Closed> {
        let flow = FlowId(self.u64()?);
        let reason = match self.u8()? {
            1 => CloseReason::Closed,
            2 => CloseReason::Reset,
            3 => CloseReason::Idle,
            4 => CloseReason::SourceEnded,
            _ => return None,
        };
        let stats = self.option(|this| {
            Some(FlowStats {
                rtt: this.duration()?,
                rtt_variation: this.duration()?,
                retransmits: this.u32()?,
                bytes_out: this.u64()?,
                bytes_in: this.u64()?,
            })
        })?;
        Some(Closed { at, flow, reason, stats })
    }

    fn connect_failed(&mut self, at: Timestamp) -> Option<ConnectFailed> {
        Some(ConnectFailed {
            at,
            flow: self.flow()?,
            transport: self.transport()?,
            local: self.endpoint()?,
            remote: self.endpoint()?,
            errno: self.i32()?,
            after: self.duration()?,
            task: self.task()?,
        })
    }

    fn lost(&mut self, until: Timestamp) -> Option<Lost> {
        let class = match self.u8()? {
            1 => LostClass::RingSegment,
            2 => LostClass::RingFlow,
            3 => LostClass::RingProcess,
            4 => LostClass::RingCustom,
            5 => LostClass::Recursion,
            6 => LostClass::Decode,
            7 => LostClass::HandOver,
            8 => LostClass::Table,
            9 => LostClass::Frame,
            _ => return None,
        };
        Some(Lost { class, count: self.u64()?, cpu: self.option(Self::u32)?, since: self.time()?, until })
    }

    fn i32(&mut self) -> Option<i32> {
        self.u32().map(u32::cast_signed)
    }

    fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.u64().map(Timestamp::from_nanos)
    }

    fn duration(&mut self) -> Option<Duration> {
        self.u64().map(Duration::from_nanos)
    }

    fn slice(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.cursor.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<Text> {
        self.slice().map(Text::from)
    }

    fn comm(&mut self) -> Option<Comm> {
        self.slice().map(Comm::from)
    }

    fn data(&mut self) -> Option<Bytes> {
        self.slice().map(|slice| self.block.slice_ref(slice))
    }

    fn option<T>(&mut self, some: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.bool()? { some(self).map(Some) } else { Some(None) }
    }

    fn flow(&mut self) -> Option<Option<FlowId>> {
        self.option(|this| this.u64().map(FlowId))
    }

    fn direction(&mut self) -> Option<Direction> {
        match self.u8()? {
            1 => Some(Direction::Out),
            2 => Some(Direction::In),
            _ => None,
        }
    }

    fn transport(&mut self) -> Option<Transport> {
        match self.u8()? {
            1 => Some(Transport::Tcp),
            2 => Some(Transport::Udp),
            3 => Some(Transport::Unix),
            _ => None,
        }
    }

    fn endpoint(&mut self) -> Option<Endpoint> {
        Some(match self.u8()? {
            0 => Endpoint::Unknown,
            1 => {
                let address = Ipv4Addr::from(self.cursor.array::<4>()?);
                Endpoint::Inet(SocketAddr::new(address.into(), self.u16()?))
            }
            2 => {
                let address = Ipv6Addr::from(self.cursor.array::<16>()?);
                Endpoint::Inet(SocketAddrV6::new(address, self.u16()?, self.u32()?, self.u32()?).into())
            }
            3 => Endpoint::Unix(self.text()?),
            4 => Endpoint::Unnamed(self.u64()?),
            _ => return None,
        })
    }

    fn task(&mut self) -> Option<Option<Task>> {
        self.option(|this| {
            let (pid, tid, ns_pid, ns_tid) = (this.u32()?, this.u32()?, this.u32()?, this.u32()?);
            let comm = this.comm()?;
            let id = this.u64()?;
            let hierarchy = match this.u8()? {
                0 => Hierarchy::V2,
                1 => Hierarchy::Cpu,
                2 => Hierarchy::Memory,
                3 => Hierarchy::Pids,
                _ => return None,
            };
            Some(Task { pid, tid, ns_pid, ns_tid, comm, cgroup: Cgroup { id, hierarchy } })
        })
    }
}
