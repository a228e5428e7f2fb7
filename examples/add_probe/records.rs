//! What `probe.bpf.c` writes, typed.

use kindling::bpf::Decode;

/// A TCP segment was sent again.
pub(crate) struct Retransmit {
    /// Of the connection, as in `include/net/tcp_states.h`.
    state: u32,
    /// How many its connection has sent again until now.
    pub(crate) total: u32,
}

/// A process was killed for want of memory.
pub(crate) struct OomKill {
    /// Size of its address space.
    pub(crate) pages: u64,
    /// How much it was offered to the killer or spared, from -1000 to 1000.
    pub(crate) score_adj: i32,
}

impl Retransmit {
    /// The state as `ss` names it.
    pub(crate) fn state(&self) -> &'static str {
        const STATES: [&str; 13] = [
            "?",
            "ESTAB",
            "SYN-SENT",
            "SYN-RECV",
            "FIN-WAIT-1",
            "FIN-WAIT-2",
            "TIME-WAIT",
            "UNCONN",
            "CLOSE-WAIT",
            "LAST-ACK",
            "LISTEN",
            "CLOSING",
            "NEW-SYN-RECV",
        ];
        usize::try_from(self.state).ok().and_then(|state| STATES.get(state).copied()).unwrap_or("?")
    }
}

impl Decode for Retransmit {
    const TAG: u16 = 0x8001;

    fn decode(data: &[u8]) -> Option<Self> {
        let (state, data) = data.split_first_chunk()?;
        let (total, _) = data.split_first_chunk()?;
        Some(Self { state: u32::from_ne_bytes(*state), total: u32::from_ne_bytes(*total) })
    }
}

impl Decode for OomKill {
    const TAG: u16 = 0x8002;

    fn decode(data: &[u8]) -> Option<Self> {
        let (pages, data) = data.split_first_chunk()?;
        let (score_adj, _) = data.split_first_chunk()?;
        Some(Self { pages: u64::from_ne_bytes(*pages), score_adj: i32::from_ne_bytes(*score_adj) })
    }
}
