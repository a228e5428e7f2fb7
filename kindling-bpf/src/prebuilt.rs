//! The capture paths, and their programs as they were built by `cargo xtask bpf`.

use std::fmt;

/// A capture path: how bytes are seen. Both make the same events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Path {
    /// Tracepoints of the socket layer, `sock_send_length` and `sock_recv_length`.
    ///
    /// # Minimum kernel version
    /// 6.3
    Sockets,
    /// Raw tracepoints of all system calls, `sys_enter` and `sys_exit`; every system call of every process pays for it.
    ///
    /// # Minimum kernel version
    /// 5.8 for the ring buffer; tested from 5.10
    Syscalls,
}

impl Path {
    /// A stable lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::Syscalls => "syscalls",
        }
    }

    /// The programs, if they are built for this architecture.
    pub(crate) const fn object(self) -> Option<&'static [u8]> {
        object(self)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// ELF wants eight bytes of alignment; `include_bytes` promises one.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

#[cfg(target_arch = "x86_64")]
const fn object(path: Path) -> Option<&'static [u8]> {
    static SOCKETS: &Aligned<[u8]> = &Aligned(*include_bytes!("../prebuilt/x86_64/sockets.bpf.o"));
    static SYSCALLS: &Aligned<[u8]> = &Aligned(*include_bytes!("../prebuilt/x86_64/syscalls.bpf.o"));
    Some(match path {
        Path::Sockets => &SOCKETS.0,
        Path::Syscalls => &SYSCALLS.0,
    })
}

#[cfg(not(target_arch = "x86_64"))]
const fn object(_: Path) -> Option<&'static [u8]> {
    None
}
