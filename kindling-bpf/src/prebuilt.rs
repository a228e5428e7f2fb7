//! The programs as they were built by `cargo xtask bpf`.

use crate::Path;

/// ELF wants eight bytes of alignment; `include_bytes` promises one.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

#[cfg(target_arch = "x86_64")]
pub(crate) const fn object(path: Path) -> Option<&'static [u8]> {
    static SOCKETS: &Aligned<[u8]> = &Aligned(*include_bytes!("../prebuilt/x86_64/sockets.bpf.o"));
    static SYSCALLS: &Aligned<[u8]> = &Aligned(*include_bytes!("../prebuilt/x86_64/syscalls.bpf.o"));
    Some(match path {
        Path::Sockets => &SOCKETS.0,
        Path::Syscalls => &SYSCALLS.0,
    })
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) const fn object(_: Path) -> Option<&'static [u8]> {
    None
}
