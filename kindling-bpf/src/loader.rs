//! Loading and attaching the programs.

use std::{
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::PathBuf,
};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Map, MapData, PerCpuArray, RingBuf},
    programs::{CgroupAttachMode, Program, ProgramError},
};

use crate::{
    Path,
    custom::AttachPoint,
    error::{Detail, StartError, missing},
    sys, targets,
};

/// An object of the user's, with where its programs go.
pub(crate) struct UserObject {
    pub(crate) bytes: Vec<u8>,
    pub(crate) attach: Vec<(String, AttachPoint)>,
}

/// Our object, loaded but not attached.
pub(crate) struct Loaded {
    pub(crate) ebpf: Ebpf,
    pub(crate) ring: RingBuf<MapData>,
    pub(crate) losses: PerCpuArray<MapData, u64>,
    pub(crate) users: Vec<Ebpf>,
}

/// Create the maps and load the programs of `path`, and the objects of the user beside them.
///
/// `cookies`: whether the kernel lets such programs number sockets (5.12).
pub(crate) fn load(path: Path, ring_bytes: u32, cookies: bool, users: &[UserObject]) -> Result<Loaded, StartError> {
    sys::raise_memlock();
    let btf = Btf::from_sys_fs().map_err(|e| StartError::NoBtf(Detail::new(&e)))?;
    let object =
        path.object().ok_or_else(|| StartError::NoPath { reason: "no programs for this architecture".into() })?;
    let mut ebpf = EbpfLoader::new()
        .btf(Some(&btf))
        .map_max_entries("kindling_ring", ring_bytes)
        .override_global("kindling_cookies", &u32::from(cookies), false)
        .load(object)
        .map_err(|e| StartError::refused("the maps", &e))?;
    for (name, program) in ebpf.programs_mut() {
        let optional = matches!(program, Program::CgroupSockAddr(_));
        match load_ours(name, program, &btf) {
            Err(error) if optional => {
                tracing::info!(%error, name, "senders of datagrams on unconnected sockets stay unknown")
            }
            done => done.map_err(|e| StartError::refused(format!("the program {name}"), &e))?,
        }
    }
    let users = load_users(&mut ebpf, &btf, users)?;
    let ring = ebpf.take_map("kindling_ring").ok_or_else(|| missing("kindling_ring"))?;
    let ring = RingBuf::try_from(ring).map_err(|e| StartError::refused("the ring", &e))?;
    let losses = ebpf.take_map("kindling_losses").ok_or_else(|| missing("kindling_losses"))?;
    let losses = PerCpuArray::try_from(losses).map_err(|e| StartError::refused("the loss counters", &e))?;
    Ok(Loaded { ebpf, ring, losses, users })
}

/// The verifier gives up with EAGAIN when a signal comes, so it is asked again.
fn patiently(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    for _ in 0..20 {
        match load() {
            Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == std::io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
    load()
}

fn load_ours(name: &str, program: &mut Program, btf: &Btf) -> Result<(), ProgramError> {
    patiently(|| load_one_of_ours(name, program, btf))
}

fn load_one_of_ours(name: &str, program: &mut Program, btf: &Btf) -> Result<(), ProgramError> {
    match program {
        Program::BtfTracePoint(p) => p.load(tracepoint(name), btf),
        Program::RawTracePoint(p) => p.load(),
        Program::Iter(p) => p.load("task", btf),
        Program::CgroupSockAddr(p) => p.load(),
        _ => Ok(()),
    }
}

/// Attach everything; processes are followed before sockets are.
pub(crate) fn attach(ebpf: &mut Ebpf) -> Result<(), StartError> {
    for (name, program) in ebpf.programs_mut() {
        let done = match program {
            Program::BtfTracePoint(p) => p.attach().map(drop),
            Program::RawTracePoint(p) => p.attach(tracepoint(name)).map(drop),
            Program::CgroupSockAddr(p) => {
                // By a link, which never stands in the way of others; `Single` is aya's word for no flags.
                // Without it the peers of unconnected sockets are unknown; capabilities say so.
                if let Some(root) = targets::unified_mount().and_then(|path| std::fs::File::open(path).ok())
                    && let Err(error) = p.attach(root, CgroupAttachMode::Single)
                {
                    tracing::info!(%error, "senders of datagrams on unconnected sockets stay unknown");
                }
                Ok(())
            }
            _ => Ok(()),
        };
        done.map_err(|e| StartError::refused(format!("to attach {name}"), &e))?;
    }
    Ok(())
}

/// File descriptors of all loaded programs, to read their counters.
pub(crate) fn program_fds(ebpf: &Ebpf) -> Vec<OwnedFd> {
    let fds = ebpf.programs().filter_map(|(_, program)| program.fd().ok()?.as_fd().try_clone_to_owned().ok());
    fds.collect()
}

/// aya does not look at the rest of a section's name, so the target of each program is told here.
fn tracepoint(program: &str) -> &'static str {
    match program {
        "kindling_send" => "sock_send_length",
        "kindling_recv" => "sock_recv_length",
        "kindling_enter" => "sys_enter",
        "kindling_leave" => "sys_exit",
        "kindling_state" => "inet_sock_set_state",
        "kindling_destroy" => "tcp_destroy_sock",
        "kindling_fork" => "sched_process_fork",
        "kindling_rename" => "task_rename",
        "kindling_exec" => "sched_process_exec",
        "kindling_exit" => "sched_process_exit",
        _ => "",
    }
}

/// Maps that users' objects share with ours, by name.
const SHARED: [&str; 6] =
    ["kindling_ring", "kindling_config", "kindling_losses", "kindling_pids", "kindling_ports", "kindling_cgroup"];

fn load_users(ours: &mut Ebpf, btf: &Btf, users: &[UserObject]) -> Result<Vec<Ebpf>, StartError> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    // aya shares maps by path only, so they get one for as long as this takes, on a file system that nobody else sees.
    let mount = sys::private_bpffs().map_err(StartError::Share)?;
    let pinned = |name: &str| PathBuf::from(format!("/proc/self/fd/{}/{name}", mount.as_raw_fd()));
    for name in SHARED {
        let map = ours.map_mut(name).ok_or_else(|| missing(name))?;
        pin(map, &pinned(name)).map_err(|e| StartError::refused(format!("to share {name}"), &e))?;
    }
    let mut loaded = Vec::new();
    for (index, user) in users.iter().enumerate() {
        let mut loader = EbpfLoader::new();
        loader.btf(Some(btf));
        for name in SHARED {
            loader.map_pin_path(name, pinned(name));
        }
        let mut ebpf =
            loader.load(&user.bytes).map_err(|e| StartError::Object { index, reason: Detail::new(&e).to_string() })?;
        for (name, point) in &user.attach {
            let program = ebpf
                .program_mut(name)
                .ok_or_else(|| StartError::Object { index, reason: format!("it has no program {name}") })?;
            load_user(program, point, btf)
                .map_err(|e| StartError::Object { index, reason: format!("program {name}: {}", Detail::new(&e)) })?;
        }
        loaded.push(ebpf);
    }
    Ok(loaded)
}

fn pin(map: &Map, path: &std::path::Path) -> Result<(), aya::pin::PinError> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data) => data.pin(path),
        _ => Ok(()),
    }
}

fn load_user(program: &mut Program, point: &AttachPoint, btf: &Btf) -> Result<(), ProgramError> {
    match (program, point) {
        (Program::BtfTracePoint(p), AttachPoint::BtfTracepoint(name)) => p.load(name, btf),
        (Program::RawTracePoint(p), AttachPoint::RawTracepoint(_)) => p.load(),
        (Program::TracePoint(p), AttachPoint::Tracepoint(..)) => p.load(),
        (Program::FEntry(p), AttachPoint::Fentry(name)) => p.load(name, btf),
        (Program::FExit(p), AttachPoint::Fexit(name)) => p.load(name, btf),
        (Program::KProbe(p), AttachPoint::Kprobe(_)) => p.load(),
        (Program::UProbe(p), AttachPoint::Uprobe { .. }) => p.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Attach the programs of a user's object, which are loaded.
pub(crate) fn attach_user(index: usize, ebpf: &mut Ebpf, attach: &[(String, AttachPoint)]) -> Result<(), StartError> {
    for (name, point) in attach {
        let failed =
            |e: ProgramError| StartError::Object { index, reason: format!("program {name}: {}", Detail::new(&e)) };
        let Some(program) = ebpf.program_mut(name) else { continue };
        match (program, point) {
            (Program::BtfTracePoint(p), _) => p.attach().map(drop),
            (Program::RawTracePoint(p), AttachPoint::RawTracepoint(name)) => p.attach(name).map(drop),
            (Program::TracePoint(p), AttachPoint::Tracepoint(category, name)) => p.attach(category, name).map(drop),
            (Program::FEntry(p), _) => p.attach().map(drop),
            (Program::FExit(p), _) => p.attach().map(drop),
            (Program::KProbe(p), AttachPoint::Kprobe(function)) => p.attach(function, 0).map(drop),
            (Program::UProbe(p), AttachPoint::Uprobe { binary, function }) => {
                p.attach(function.as_str(), binary, aya::programs::uprobe::UProbeScope::AllProcesses).map(drop)
            }
            _ => Err(ProgramError::UnexpectedProgramType),
        }
        .map_err(failed)?;
    }
    Ok(())
}
