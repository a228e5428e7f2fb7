//! System calls and shared memory: the one place of this crate with `unsafe`.
#![expect(unsafe_code, reason = "system calls, and memory shared with the kernel")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64},
    time::Duration,
};

/// Whether there is a process `pid`, be it one that exited and was not waited for.
pub(crate) fn exists(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: no pointers, and signal 0 only looks.
    let found = unsafe { libc::kill(pid, 0) } == 0;
    found || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Nanoseconds of a clock (`libc::CLOCK_*`).
pub(crate) fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place to write a timespec to.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Memory of a map that the kernel shares.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is only ever reached through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Map `len` bytes of `map`.
    pub(crate) fn new(map: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// The word at byte `offset`.
    pub(crate) fn u32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.len, "inside the mapping");
        // SAFETY: inside the mapping and aligned (checked above; a mapping starts at a page), alive as long as `self`.
        unsafe { self.start.add(offset).cast().as_ref() }
    }

    /// The double word at byte `offset`.
    pub(crate) fn u64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len, "inside the mapping");
        // SAFETY: as for `u32`.
        unsafe { self.start.add(offset).cast().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length and every reference into it is gone.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A counter that can be polled.
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(Self)
    }

    /// Make it readable.
    pub(crate) fn set(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes from a live buffer of eight bytes. It cannot fail short of an overflow, which leaves it readable.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Make it unreadable.
    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: reads into a live buffer of eight bytes. It fails only if it was clear already.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd as _;
        self.0.as_fd()
    }
}

/// Waits for one of a few descriptors, edge-triggered: a ring is reported when the kernel wakes us for it and not before,
/// so that records which are not worth a wake-up stay unnoticed until the next poll.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new(watched: &[BorrowedFd<'_>]) -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        for fd in watched {
            let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET).cast_unsigned(), u64: 0 };
            // SAFETY: both descriptors are open and `event` is alive during the call.
            let done =
                unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) };
            if done < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self(epoll))
    }

    /// Wait until something is reported or `timeout` has passed.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let millis = i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        // SAFETY: room for one event is given. A signal ends the wait early, which does no harm.
        unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, millis) };
    }
}

/// How often the kernel skipped a program because it was running on that processor already (`bpf_prog_info.recursion_misses`).
pub(crate) fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    const MISSES: usize = 208;
    #[repr(C)]
    struct InfoByFd {
        fd: u32,
        len: u32,
        info: u64,
    }
    // Zero but for what the kernel fills in: every pointer in it is null, so it writes nowhere else.
    let mut info = [0u64; 32];
    let mut attr = InfoByFd {
        fd: program.as_raw_fd().cast_unsigned(),
        len: u32::try_from(size_of_val(&info)).unwrap_or_default(),
        info: info.as_mut_ptr().expose_provenance() as u64,
    };
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    // SAFETY: the attribute names a live buffer and its true length.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw mut attr,
            u32::try_from(size_of::<InfoByFd>()).unwrap_or_default(),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info.get(MISSES / 8).copied().unwrap_or(0))
}

/// Kinds of programs that [`load_nothing`] tries.
#[derive(Clone, Copy)]
pub(crate) enum Trial {
    /// `BPF_PROG_TYPE_RAW_TRACEPOINT`.
    RawTracepoint,
    /// `BPF_PROG_TYPE_TRACING` with this attach type and BTF id.
    Tracing(u32, u32),
}

/// Load a program that does nothing, to see whether it is allowed.
pub(crate) fn load_nothing(trial: Trial) -> io::Result<()> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    let (kind, attach, btf_id) = match trial {
        Trial::RawTracepoint => (17u32, 0u32, 0u32),
        Trial::Tracing(attach, btf_id) => (26, attach, btf_id),
    };
    // r0 = 0; exit
    let instructions = [0x0000_0000_0000_00b7_u64, 0x0000_0000_0000_0095_u64];
    let license = c"GPL";
    let mut attr = [0u64; 16];
    attr[0] = u64::from(kind) | 2 << 32;
    attr[1] = instructions.as_ptr().expose_provenance() as u64;
    attr[2] = license.as_ptr().expose_provenance() as u64;
    // prog_ifindex, expected_attach_type
    attr[8] = u64::from(attach) << 32;
    // attach_btf_id is the u32 at byte 108.
    attr[13] = u64::from(btf_id) << 32;
    // SAFETY: the attribute names live buffers; fields beyond those set are zero.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            attr.as_mut_ptr(),
            u32::try_from(size_of_val(&attr)).unwrap_or_default(),
        )
    };
    owned(i32::try_from(fd).unwrap_or(-1)).map(drop)
}

/// A bpf file system of our own, mounted nowhere: it goes with its descriptor.
pub(crate) fn private_bpffs() -> io::Result<OwnedFd> {
    const FSCONFIG_CMD_CREATE: libc::c_int = 6;
    // SAFETY: the names are terminated strings; the other arguments are numbers.
    let context = owned(i32::try_from(unsafe { libc::syscall(libc::SYS_fsopen, c"bpf".as_ptr(), 1) }).unwrap_or(-1))?;
    // SAFETY: this command takes neither key nor value.
    let done = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            std::ptr::null::<u8>(),
            std::ptr::null::<u8>(),
            0,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes no pointers.
    owned(i32::try_from(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, 0) }).unwrap_or(-1))
}

/// Magic number of the file system that `path` is on.
pub(crate) fn file_system(path: &std::path::Path) -> io::Result<i64> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: a terminated path and room for the answer.
    if unsafe { libc::statfs(path.as_ptr(), stat.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zero is a valid value, and the kernel has filled it in.
    Ok(unsafe { stat.assume_init() }.f_type)
}

/// Ask for no limit on locked memory, which kernels before 5.11 count maps against. It may be refused: then creating a map says so.
pub(crate) fn raise_memlock() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a valid limit.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}
