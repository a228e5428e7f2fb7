//! Just enough of io_uring for one receive at a time, without a library.

use std::{
    os::fd::RawFd,
    sync::atomic::{AtomicU32, Ordering},
};

/// A ring of four entries.
pub(crate) struct Uring {
    fd: RawFd,
    rings: *mut u8,
    entries: *mut u8,
    params: Params,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    resv: [u32; 3],
    sq: [u32; 10],
    cq: [u32; 10],
}

impl Uring {
    /// `None` where the kernel has none or forbids it.
    pub(crate) fn new() -> Option<Self> {
        let mut params = Params::default();
        // SAFETY: `params` is what the call fills in.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, &raw mut params) };
        let fd = RawFd::try_from(fd).ok().filter(|&fd| fd >= 0)?;
        let map = |offset| {
            // SAFETY: a new mapping at the kernel's choice; both areas are smaller than this.
            let at = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    8192,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED | libc::MAP_POPULATE,
                    fd,
                    offset,
                )
            };
            assert_ne!(at, libc::MAP_FAILED);
            at.cast::<u8>()
        };
        Some(Self { fd, rings: map(0), entries: map(0x1000_0000), params })
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: offsets of the kernel's own, aligned and inside the mapping.
        unsafe { &*self.rings.add(offset as usize).cast::<AtomicU32>() }
    }

    /// Submit a receive and return at once.
    pub(crate) fn receive(&mut self, socket: RawFd, into: &mut [u8]) {
        const OP_RECV: u64 = 27;
        let mut entry = [0u64; 8];
        entry[0] = OP_RECV | (u64::from(socket.cast_unsigned()) << 32);
        entry[2] = into.as_mut_ptr().expose_provenance() as u64;
        entry[3] = into.len() as u64;
        let tail = self.word(self.params.sq[1]).load(Ordering::Acquire);
        let slot = tail & (self.params.sq_entries - 1);
        // SAFETY: the slot is one of the ring's entries, and free: only one receive is ever under way.
        unsafe { self.entries.add(slot as usize * 64).cast::<[u64; 8]>().write(entry) };
        self.word(self.params.sq[6] + slot * 4).store(slot, Ordering::Relaxed);
        self.word(self.params.sq[1]).store(tail + 1, Ordering::Release);
        // SAFETY: takes no pointers that are used.
        let done = unsafe { libc::syscall(libc::SYS_io_uring_enter, self.fd, 1, 0, 0, 0, 0) };
        assert_eq!(done, 1);
    }

    /// The result of the last receive, which must be there.
    pub(crate) fn result(&mut self) -> i32 {
        let head = self.word(self.params.cq[0]).load(Ordering::Acquire);
        assert_ne!(head, self.word(self.params.cq[1]).load(Ordering::Acquire), "no completion");
        let slot = head & (self.params.cq_entries - 1);
        let result = self.word(self.params.cq[5] + slot * 16 + 8).load(Ordering::Acquire);
        self.word(self.params.cq[0]).store(head + 1, Ordering::Release);
        result.cast_signed()
    }
}
