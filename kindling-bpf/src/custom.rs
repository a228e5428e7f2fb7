//! Probes of the user's own.

use std::path::PathBuf;

use kindling_core::Event;

/// Where a program of a user's object is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachPoint {
    /// A raw tracepoint with typed arguments: section `tp_btf/..`, for instance `tcp_retransmit_skb`.
    BtfTracepoint(String),
    /// A raw tracepoint: section `raw_tp/..`.
    RawTracepoint(String),
    /// A tracepoint by category and name: section `tp/..`.
    Tracepoint(String, String),
    /// The entry of a kernel function: section `fentry/..`. Not every kernel allows it.
    Fentry(String),
    /// The exit of a kernel function: section `fexit/..`.
    Fexit(String),
    /// The entry or, for a section `kretprobe/..`, the exit of a kernel function. Not every kernel has kprobes.
    Kprobe(String),
    /// The entry or, for a section `uretprobe/..`, the exit of a function in a binary, in every process.
    Uprobe {
        /// The executable or library.
        binary: PathBuf,
        /// The function's name.
        function: String,
    },
}

/// A user's record made typed.
///
/// ```
/// use kindling_bpf::Decode;
///
/// struct Retransmit {
///     state: u32,
/// }
///
/// impl Decode for Retransmit {
///     const TAG: u16 = 0x8001;
///
///     fn decode(data: &[u8]) -> Option<Self> {
///         let state = data.get(..4)?.try_into().ok()?;
///         Some(Self { state: u32::from_ne_bytes(state) })
///     }
/// }
/// assert_eq!(Retransmit::decode(&[7, 0, 0, 0, 0, 0, 0, 0]).unwrap().state, u32::from_le(7));
/// ```
pub trait Decode: Sized {
    /// The record's tag, from 0x8000.
    const TAG: u16;

    /// From the record's body, what follows the header; `None` if it is no such record.
    fn decode(data: &[u8]) -> Option<Self>;

    /// From an event of the stream; `None` if it is another one.
    fn from_event(event: &Event) -> Option<Self> {
        match event {
            Event::Custom(custom) if custom.tag == Self::TAG => Self::decode(&custom.data),
            _ => None,
        }
    }
}
