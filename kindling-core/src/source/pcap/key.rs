//! What identifies a flow of a capture.

use std::net::{Ipv6Addr, SocketAddr};

use crate::id::{Endpoint, FlowId};

/// Two endpoints in an order of their own, so that both directions have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    addresses: [u128; 2],
    ports: [u16; 2],
}

impl Key {
    /// The key of a packet from the first address and port to the second, and which of its ends sent it.
    pub(super) fn new(addresses: [u128; 2], ports: [u16; 2]) -> (Self, usize) {
        let ([from, to], [from_port, to_port]) = (addresses, ports);
        if (from, from_port) <= (to, to_port) {
            (Self { addresses, ports }, 0)
        } else {
            (Self { addresses: [to, from], ports: [to_port, from_port] }, 1)
        }
    }

    pub(super) fn endpoint(&self, side: usize) -> Endpoint {
        let address = self.addresses.get(side).copied().unwrap_or_default();
        let port = self.ports.get(side).copied().unwrap_or_default();
        Endpoint::from(SocketAddr::new(Ipv6Addr::from_bits(address).into(), port))
    }
}

/// Numbers flows in the order in which they were seen.
#[derive(Debug, Default)]
pub(super) struct FlowIds(u64);

impl FlowIds {
    pub(super) const fn take(&mut self) -> FlowId {
        self.0 += 1;
        FlowId(self.0)
    }
}
