//! A running probe: from targets to batches of events.

use std::{
    fs,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread::JoinHandle,
    time::Duration,
};

use aya::Ebpf;
use futures_core::Stream;
use kindling_core::{Batch, Origin};

use crate::{
    Capabilities, Control, Path, Targets,
    custom::{AttachPoint, Decode},
    decode::{Check, Decoder},
    error::{ReaderEnded, StartError},
    handover::{HandOver, Taken},
    loader::{self, UserObject},
    losses::Losses,
    reader::{self, Counters, Reader},
    shared::{Settings, Shared},
    sys::EventFd,
    targets,
};

/// Programs attached to the kernel, and the batches of events they make.
///
/// Take batches with [`next_batch`](Self::next_batch), as an iterator with [`batches`](Self::batches), as a [`Stream`], or
/// wait for the descriptor of [`AsFd`] to be readable and take what is there. Whoever takes too slowly stops the reader, the
/// ring fills, and what does not fit is counted by the kernel and reported as [`Event::Lost`](kindling_core::Event::Lost).
///
/// Not seen: who sent a datagram that a socket without a fixed peer takes without asking for the sender (`recv`, `read`, no room
/// for a name). All these of a socket are one flow whose remote end is unknown.
///
/// Dropping it detaches and frees everything; so does the kernel when the process dies, whatever way.
///
/// ```no_run
/// use std::time::Duration;
/// use kindling_bpf::{Probe, Targets};
///
/// let probe = Probe::builder().targets(Targets::new().tree(4711)).start()?;
/// while let Some(batch) = probe.next_batch(Duration::from_secs(10))? {
///     println!("{} events", batch.events.len());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Probe {
    handover: Arc<HandOver>,
    control: Control,
    path: Path,
    stop: Arc<EventFd>,
    stopping: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
    /// Holds the programs and their links.
    shared: Option<Arc<Shared>>,
    users: Vec<Ebpf>,
}

/// How to start a [`Probe`].
#[must_use]
pub struct Builder {
    targets: Targets,
    path: Option<Path>,
    ring_bytes: u32,
    payload: u32,
    interval: Duration,
    idle_after: Duration,
    objects: Vec<UserObject>,
    checks: Vec<Check>,
    misplaced: Option<String>,
}

impl Probe {
    /// A builder with the defaults: no targets, the best path that works, a ring of 8 MiB, 16 KiB of payload a segment, polled
    /// every 10 ms.
    pub fn builder() -> Builder {
        Builder {
            targets: Targets::new(),
            path: None,
            ring_bytes: 8 << 20,
            payload: PAYLOAD,
            interval: Duration::from_millis(10),
            idle_after: Duration::from_secs(60),
            objects: Vec::new(),
            checks: Vec::new(),
            misplaced: None,
        }
    }

    /// The next batch, waiting for it up to `timeout`. `None` if none came, or at once if none will: the probe was stopped and
    /// everything was taken, which [`is_over`](Self::is_over) tells.
    ///
    /// # Errors
    /// If the reader thread has ended without being stopped.
    pub fn next_batch(&self, timeout: Duration) -> Result<Option<Batch>, ReaderEnded> {
        self.handover.take(timeout).map(|taken| match taken {
            Taken::Batch(batch) => Some(batch),
            Taken::Nothing | Taken::Over => None,
        })
    }

    /// Batches as an iterator that waits for each. It ends after [`stop`](Self::stop), which may come from another thread, once
    /// everything was taken; and after an error, which is the reader thread's end without that.
    pub fn batches(&self) -> impl Iterator<Item = Result<Batch, ReaderEnded>> + '_ {
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let batch = self.next_batch(Duration::MAX).transpose();
            failed = matches!(batch, Some(Err(_)));
            batch
        })
    }

    /// Whether the probe has ended and everything was taken.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.handover.is_over()
    }

    /// End it without losing what happened until now: the reader takes what is in the ring, settles the account of losses and ends.
    /// The batches that remain can still be taken, and should be, since the reader waits for room; after them iterator and stream
    /// end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.set();
    }

    /// A handle that changes the probe while it runs.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The capture path in use.
    #[must_use]
    pub const fn path(&self) -> Path {
        self.path
    }
}

/// Ends after [`stop`](Probe::stop), and otherwise only with an error, if the reader thread does.
impl Stream for Probe {
    type Item = Result<Batch, ReaderEnded>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.handover.poll(cx)
    }
}

/// Readable while a batch waits.
impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handover.fd()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop();
        self.handover.close();
        if let Some(reader) = self.reader.take() {
            // It panicked, if anything; there is nothing left to do about it here.
            let _ = reader.join();
        }
        self.users.clear();
        self.shared = None;
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("control", &self.control).finish_non_exhaustive()
    }
}

impl Builder {
    /// What to trace.
    pub fn targets(mut self, targets: Targets) -> Self {
        self.targets = targets;
        self
    }

    /// Use this capture path and no other; the default is the best that [`Capabilities::detect`] finds.
    pub const fn path(mut self, path: Path) -> Self {
        self.path = Some(path);
        self
    }

    /// Size of the ring: rounded up to a power of two, at least 64 KiB. It is locked memory.
    pub const fn ring_bytes(mut self, bytes: u32) -> Self {
        self.ring_bytes = bytes;
        self
    }

    /// Copy at most this many bytes of each segment, up to 16 KiB; 0 for lengths only. Directives go below it, not above.
    pub const fn payload(mut self, bytes: u32) -> Self {
        self.payload = if bytes < PAYLOAD { bytes } else { PAYLOAD };
        self
    }

    /// The longest an event waits before it is read, and how often a tick comes.
    pub const fn poll_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long a flow without an end of its own (datagrams, Unix sockets) lives without a byte.
    pub const fn idle_after(mut self, idle: Duration) -> Self {
        self.idle_after = idle;
        self
    }

    /// Load a BPF object of the user's beside ours. Its maps that bear the names of `kindling.bpf.h` are ours.
    ///
    /// Follow it with [`attach`](Self::attach) for each of its programs.
    pub fn object(mut self, bytes: &[u8]) -> Self {
        self.objects.push(UserObject { bytes: bytes.to_vec(), attach: Vec::new() });
        self
    }

    /// Attach `program` of the object named last.
    pub fn attach(mut self, program: impl Into<String>, point: AttachPoint) -> Self {
        let program = program.into();
        match self.objects.last_mut() {
            Some(object) => object.attach.push((program, point)),
            None => self.misplaced = Some(program),
        }
        self
    }

    /// Hold records of `D`'s tag against `D`: those it cannot decode count as lost.
    pub fn decode<D: Decode>(mut self) -> Self {
        self.checks.push((D::TAG, |data| D::decode(data).is_some()));
        self
    }

    /// Load, attach and start to read.
    ///
    /// # Errors
    /// [`StartError`] names what is missing or was refused.
    pub fn start(self) -> Result<Probe, StartError> {
        if self.targets.is_empty() {
            return Err(StartError::NoTargets);
        }
        if let Some(program) = self.misplaced {
            let reason = format!("`.attach({program:?}, ..)` comes before any `.object(..)`");
            return Err(StartError::Object { index: 0, reason });
        }
        let capabilities = Capabilities::detect();
        let path = capabilities.choose(self.path)?;
        let ring_bytes = self.ring_bytes.clamp(64 << 10, 1 << 30).next_power_of_two();
        let loaded = loader::load(path, ring_bytes, capabilities.kernel() >= (5, 12), &self.objects)?;
        let programs = loaded.users.iter().chain([&loaded.ebpf]).flat_map(loader::program_fds).collect();
        let mut users = loaded.users;
        let shared = Shared::new(loaded.ebpf)?;
        shared.configure(&Settings {
            payload: self.payload,
            wake: ring_bytes / 8,
            hierarchy: targets::reported_hierarchy(),
            // From 7.0 on a program may be skipped, and then the count of messages would be one short.
            mmsg: capabilities.kernel() < (7, 0),
        });
        if !self.targets.own {
            shared.leave_self_out()?;
        }
        let since = reader::now();
        shared.attach()?;
        for (index, (ebpf, object)) in users.iter_mut().zip(&self.objects).enumerate() {
            loader::attach_user(index, ebpf, &object.attach)?;
        }
        if self.targets.all {
            shared.add_all();
        }
        for target in &self.targets.list {
            shared.add(target)?;
        }
        let shared = Arc::new(shared);
        let counters = Arc::new(Counters::default());
        let handover = HandOver::new().map_err(|e| StartError::system("make an eventfd", e))?;
        let stop = Arc::new(EventFd::new().map_err(|e| StartError::system("make an eventfd", e))?);
        let stopping = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            ring: loaded.ring,
            capacity: usize::try_from(ring_bytes).unwrap_or(usize::MAX),
            shared: Arc::clone(&shared),
            losses: Losses::new(loaded.losses, since),
            decoder: Decoder::new(self.idle_after, self.checks),
            handover: Arc::clone(&handover),
            counters: Arc::clone(&counters),
            stop: Arc::clone(&stop),
            stopping: Arc::clone(&stopping),
            origin: Arc::new(origin()),
            interval: self.interval.max(Duration::from_millis(1)),
            programs,
        };
        let thread = std::thread::Builder::new().name("kindling-reader".into());
        let reader = thread.spawn(|| reader.run()).map_err(|e| StartError::system("start the reader thread", e))?;
        let control = Control::new(&shared, counters, path, self.interval);
        Ok(Probe { handover, control, path, stop, stopping, reader: Some(reader), shared: Some(shared), users })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("targets", &self.targets).field("path", &self.path).finish_non_exhaustive()
    }
}

fn origin() -> Origin {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let boot = read("/proc/sys/kernel/random/boot_id").trim().replace('-', "");
    let host = read("/proc/sys/kernel/hostname");
    Origin::new(u128::from_str_radix(&boot, 16).unwrap_or(0), host.trim(), "kernel")
}

/// Most payload of one segment.
const PAYLOAD: u32 = 16 << 10;
