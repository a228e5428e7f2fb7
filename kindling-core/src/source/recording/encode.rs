//! Events to bytes; `decode` is the other way, in the same order.

use std::{net::SocketAddr, time::Duration};

use super::format::{Content, MAX_BODY, tag};
use crate::{
    event::{
        Cause, CloseReason, Closed, ConnectFailed, Custom, Event, Exited, FlowStats, Gap, Lost, LostClass, Opened,
        Renamed, Segment, Started, Vantage,
    },
    id::{Direction, Endpoint, FlowId, Hierarchy, Offsets, Origin, Role, Task, Transport},
    time::{Clock, Timestamp},
};

/// Appends values to a body.
#[derive(Debug)]
pub(super) struct Encoder<'a>(pub(super) &'a mut Vec<u8>);

impl Encoder<'_> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn text(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.bytes(bytes);
    }

    pub(super) fn origin(&mut self, index: u32, origin: &Origin) {
        let Origin { boot, host, source } = origin;
        self.u32(index);
        self.bytes(&boot.to_le_bytes());
        self.text(host.as_bytes());
        self.text(source.as_bytes());
    }

    /// Tag, length and fields.
    pub(super) fn event(&mut self, event: &Event, content: Content) {
        let start = self.0.len();
        self.bytes(&[0; 6]);
        let tag = self.fields(event, content);
        let length = self.0.len() - start - 6;
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if let Some(head) = self.0.get_mut(start..start + 6) {
            let (tag_at, length_at) = head.split_at_mut(2);
            tag_at.copy_from_slice(&tag.to_le_bytes());
            length_at.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn fields(&mut self, event: &Event, content: Content) -> u16 {
        self.time(event.at());
        match event {
            Event::Opened(e) => self.opened(e),
            Event::Segment(e) => self.segment(e, content),
            Event::Gap(e) => self.gap(e),
            Event::Closed(e) => self.closed(e),
            Event::ConnectFailed(e) => self.connect_failed(e),
            Event::Started(e) => self.started(e),
            Event::Renamed(e) => self.renamed(e),
            Event::Exited(e) => self.exited(e),
            Event::Tick(_) => tag::TICK,
            Event::Clock(e) => self.clock(*e),
            Event::Custom(e) => self.custom(e),
            Event::Lost(e) => self.lost(e),
        }
    }

    fn opened(&mut self, event: &Opened) -> u16 {
        let Opened {
            at: _,
            flow,
            transport,
            offsets,
            local,
            remote,
            role,
            vantage,
            netns,
            midstream,
            first_out,
            first_in,
            connect,
            task,
        } = event;
        self.u64(flow.0);
        self.transport(*transport);
        self.u8(match offsets {
            Offsets::Tcp => 1,
            Offsets::Counted => 2,
            Offsets::Datagram => 3,
        });
        self.endpoint(local);
        self.endpoint(remote);
        self.u8(match role {
            Role::Unknown => 0,
            Role::Client => 1,
            Role::Server => 2,
        });
        self.u8(match vantage {
            Vantage::Socket => 0,
            Vantage::Wire => 1,
        });
        self.u32(*netns);
        self.u8((*midstream).into());
        for first in [first_out, first_in] {
            self.option(first.as_ref(), |this, first| this.u64(*first));
        }
        self.option(connect.as_ref(), |this, connect| this.duration(*connect));
        self.task(task.as_ref());
        tag::OPENED
    }

    fn segment(&mut self, event: &Segment, content: Content) -> u16 {
        let Segment { at: _, flow, direction, offset, data, len, task } = event;
        self.u64(flow.0);
        self.direction(*direction);
        self.u64(*offset);
        self.u64(*len);
        self.task(task.as_ref());
        let keep = match content {
            Content::Full => MAX_DATA,
            Content::Heads(bytes) => (bytes as usize).min(MAX_DATA),
        };
        self.text(data.get(..keep).unwrap_or(data));
        tag::SEGMENT
    }

    fn gap(&mut self, event: &Gap) -> u16 {
        let Gap { at: _, flow, direction, offset, len, cause } = event;
        self.u64(flow.0);
        self.direction(*direction);
        self.u64(*offset);
        self.u64(*len);
        self.u8(match cause {
            Cause::NotTargeted => 1,
            Cause::Unhooked => 2,
            Cause::Lost => 3,
        });
        tag::GAP
    }

    fn closed(&mut self, event: &Closed) -> u16 {
        let Closed { at: _, flow, reason, stats } = event;
        self.u64(flow.0);
        self.u8(match reason {
            CloseReason::Closed => 1,
            CloseReason::Reset => 2,
            CloseReason::Idle => 3,
            CloseReason::SourceEnded => 4,
        });
        self.option(stats.as_ref(), |this, stats| {
            let FlowStats { rtt, rtt_variation, retransmits, bytes_out, bytes_in } = stats;
            this.duration(*rtt);
            this.duration(*rtt_variation);
            this.u32(*retransmits);
            this.u64(*bytes_out);
            this.u64(*bytes_in);
        });
        tag::CLOSED
    }

    fn connect_failed(&mut self, event: &ConnectFailed) -> u16 {
        let ConnectFailed { at: _, flow, transport, local, remote, errno, after, task } = event;
        self.flow(*flow);
        self.transport(*transport);
        self.endpoint(local);
        self.endpoint(remote);
        self.bytes(&errno.to_le_bytes());
        self.duration(*after);
        self.task(task.as_ref());
        tag::CONNECT_FAILED
    }

    fn started(&mut self, event: &Started) -> u16 {
        let Started { at: _, task, parent, boot_start } = event;
        self.task(Some(task));
        self.u32(*parent);
        self.u64(*boot_start);
        tag::STARTED
    }

    fn renamed(&mut self, event: &Renamed) -> u16 {
        let Renamed { at: _, task, before, exec } = event;
        self.task(Some(task));
        self.text(before.as_bytes());
        self.option(exec.as_ref(), |this, exec| this.text(exec.as_bytes()));
        tag::RENAMED
    }

    fn exited(&mut self, event: &Exited) -> u16 {
        let Exited { at: _, task, status } = event;
        self.task(Some(task));
        self.bytes(&status.to_le_bytes());
        tag::EXITED
    }

    fn clock(&mut self, clock: Clock) -> u16 {
        let Clock { mono: _, wall, boot } = clock;
        self.u64(wall);
        self.u64(boot);
        tag::CLOCK
    }

    fn custom(&mut self, event: &Custom) -> u16 {
        let Custom { at: _, tag, data, flow, task } = event;
        self.u16(*tag);
        self.flow(*flow);
        self.task(task.as_ref());
        self.text(data);
        tag::CUSTOM
    }

    fn lost(&mut self, event: &Lost) -> u16 {
        let Lost { class, count, cpu, since, until: _ } = event;
        self.u8(match class {
            LostClass::RingSegment => 1,
            LostClass::RingFlow => 2,
            LostClass::RingProcess => 3,
            LostClass::RingCustom => 4,
            LostClass::Recursion => 5,
            LostClass::Decode => 6,
            LostClass::HandOver => 7,
            LostClass::Table => 8,
            LostClass::Frame => 9,
        });
        self.u64(*count);
        self.option(cpu.as_ref(), |this, cpu| this.u32(*cpu));
        self.time(*since);
        tag::LOST
    }

    fn time(&mut self, at: Timestamp) {
        self.u64(at.as_nanos());
    }

    fn duration(&mut self, duration: Duration) {
        self.u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    fn option<T: ?Sized>(&mut self, value: Option<&T>, some: impl FnOnce(&mut Self, &T)) {
        self.u8(value.is_some().into());
        if let Some(value) = value {
            some(self, value);
        }
    }

    fn flow(&mut self, flow: Option<FlowId>) {
        self.option(flow.as_ref(), |this, flow| this.u64(flow.0));
    }

    fn direction(&mut self, direction: Direction) {
        self.u8(match direction {
            Direction::Out => 1,
            Direction::In => 2,
        });
    }

    fn transport(&mut self, transport: Transport) {
        self.u8(match transport {
            Transport::Tcp => 1,
            Transport::Udp => 2,
            Transport::Unix => 3,
        });
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        match endpoint {
            Endpoint::Unknown => self.u8(0),
            Endpoint::Inet(SocketAddr::V4(address)) => {
                self.u8(1);
                self.bytes(&address.ip().octets());
                self.u16(address.port());
            }
            Endpoint::Inet(SocketAddr::V6(address)) => {
                self.u8(2);
                self.bytes(&address.ip().octets());
                self.u16(address.port());
                self.u32(address.flowinfo());
                self.u32(address.scope_id());
            }
            Endpoint::Unix(name) => {
                self.u8(3);
                self.text(name.as_bytes());
            }
            Endpoint::Unnamed(inode) => {
                self.u8(4);
                self.u64(*inode);
            }
        }
    }

    fn task(&mut self, task: Option<&Task>) {
        self.option(task, |this, task| {
            let Task { pid, tid, ns_pid, ns_tid, comm, cgroup } = task;
            for id in [pid, tid, ns_pid, ns_tid] {
                this.u32(*id);
            }
            this.text(comm.as_bytes());
            this.u64(cgroup.id);
            this.u8(match cgroup.hierarchy {
                Hierarchy::V2 => 0,
                Hierarchy::Cpu => 1,
                Hierarchy::Memory => 2,
                Hierarchy::Pids => 3,
            });
        });
    }
}

/// Payload kept of one segment, so that it fits a block; no call moves as much at once.
const MAX_DATA: usize = MAX_BODY - (1 << 16);
