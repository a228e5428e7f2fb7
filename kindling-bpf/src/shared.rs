//! The maps that user space and programs share: configuration, budgets, targets.

use std::{
    collections::{HashMap as StdHashMap, HashSet},
    io::Read as _,
    os::fd::AsFd as _,
    sync::atomic::Ordering,
};

use aya::{
    Ebpf, Pod,
    maps::{HashMap, Map, MapData},
    programs::Iter,
};
use kindling_core::{Direction, Directive};
use parking_lot::Mutex;
use zerocopy::FromBytes as _;

use crate::{
    error::{StartError, missing},
    loader,
    record::Process,
    sys::Mapping,
    targets::{self, CgroupKey, Target},
};

/// Byte offsets into `struct kindling_config`.
mod config {
    pub(super) const TARGETS: usize = 0;
    pub(super) const SELF: usize = 4;
    pub(super) const HIERARCHY: usize = 8;
    pub(super) const PAYLOAD: usize = 12;
    pub(super) const WAKE: usize = 16;
    pub(super) const ARMED: usize = 20;
    pub(super) const PIDNS: usize = 24;
    pub(super) const MMSG: usize = 28;
}

/// `KINDLING_TARGETS_*`.
mod kinds {
    pub(super) const ALL: u32 = 0x01;
    pub(super) const PIDS: u32 = 0x02;
    pub(super) const PORTS: u32 = 0x04;
    pub(super) const CGROUPS: u32 = 0x10;
}

/// What a probe is told once, at its start.
pub(crate) struct Settings {
    pub(crate) payload: u32,
    pub(crate) wake: u32,
    pub(crate) hierarchy: u32,
    pub(crate) mmsg: bool,
}

/// Everything that is changed while the probe runs.
pub(crate) struct Shared {
    config: Mapping,
    budgets: Mapping,
    targets: Mutex<TargetMaps>,
}

struct TargetMaps {
    pids: HashMap<MapData, u32, u32>,
    ports: HashMap<MapData, u32, u32>,
    cgroups: HashMap<MapData, CgroupKey, u32>,
    /// What named the processes, since the programs' table has room for the stronger name only.
    named: Named,
    ebpf: Ebpf,
}

/// Processes named alone, and with their descendants.
#[derive(Default)]
struct Named {
    alone: HashSet<u32>,
    roots: HashSet<u32>,
}

impl Shared {
    /// Take the shared maps out of a loaded object, and the process iterator (loaded, not attached), which needs the whole object.
    pub(crate) fn new(mut ebpf: Ebpf) -> Result<Self, StartError> {
        let config = mapping(&ebpf, "kindling_config", PAGE)?;
        let budgets = mapping(&ebpf, "kindling_budget", BUDGETS * BUDGET)?;
        let targets = TargetMaps {
            pids: hash(&mut ebpf, "kindling_pids")?,
            ports: hash(&mut ebpf, "kindling_ports")?,
            cgroups: hash(&mut ebpf, "kindling_cgroup")?,
            named: Named::default(),
            ebpf,
        };
        Ok(Self { config, budgets, targets: Mutex::new(targets) })
    }

    /// Attach the programs.
    pub(crate) fn attach(&self) -> Result<(), StartError> {
        loader::attach(&mut self.targets.lock().ebpf)
    }

    pub(crate) fn configure(&self, settings: &Settings) {
        let set = |at, value| self.config.u32(at).store(value, Ordering::Relaxed);
        set(config::PAYLOAD, settings.payload);
        set(config::WAKE, settings.wake);
        set(config::HIERARCHY, settings.hierarchy);
        set(config::MMSG, u32::from(settings.mmsg));
        set(config::PIDNS, targets::pid_namespace());
    }

    /// Ask to be woken when enough waits in the ring.
    pub(crate) fn arm(&self) {
        self.config.u32(config::ARMED).store(1, Ordering::Relaxed);
    }

    /// Trace everything.
    pub(crate) fn add_all(&self) {
        self.config.u32(config::TARGETS).fetch_or(kinds::ALL, Ordering::Relaxed);
    }

    /// Leave this process out.
    pub(crate) fn leave_self_out(&self) -> Result<(), StartError> {
        let mut maps = self.targets.lock();
        let own = std::process::id();
        let found = maps.processes()?.into_iter().find(|p| p.ns_pid == own);
        let pid = found.ok_or(StartError::NoProcess { pid: own })?.pid;
        self.config.u32(config::SELF).store(pid, Ordering::Relaxed);
        Ok(())
    }

    /// Add one target.
    pub(crate) fn add(&self, target: &Target) -> Result<(), StartError> {
        let mut maps = self.targets.lock();
        let kind = match target {
            Target::Process(pid) => {
                let process = maps.process(*pid)?;
                if !maps.insert(&process, PID_TARGET)? {
                    return Err(StartError::NoProcess { pid: *pid });
                }
                maps.named.alone.insert(process.pid);
                kinds::PIDS
            }
            Target::Tree(pid) => {
                let root = maps.process(*pid)?;
                // From now on the programs add children as they are forked; the loop finds those that are there already.
                if !maps.insert(&root, PID_DESCENDANTS)? {
                    return Err(StartError::NoProcess { pid: *pid });
                }
                maps.named.roots.insert(root.pid);
                self.config.u32(config::TARGETS).fetch_or(kinds::PIDS, Ordering::Relaxed);
                maps.adopt_descendants(root.pid)?;
                kinds::PIDS
            }
            Target::Cgroup(path) => {
                let key = targets::cgroup(path)?;
                maps.cgroups.insert(key, 1, 0).map_err(|e| StartError::refused("another cgroup as a target", &e))?;
                kinds::CGROUPS << key.hierarchy
            }
            Target::Port(port) => {
                let port = u32::from(*port);
                maps.ports.insert(port, 1, 0).map_err(|e| StartError::refused("another port as a target", &e))?;
                kinds::PORTS
            }
        };
        self.config.u32(config::TARGETS).fetch_or(kind, Ordering::Relaxed);
        Ok(())
    }

    /// Take one target away; a tree goes with the descendants it has now, save those that have another name. What was no target is
    /// no error.
    pub(crate) fn remove(&self, target: &Target) -> Result<(), StartError> {
        let mut maps = self.targets.lock();
        match target {
            Target::Process(pid) => {
                let pid = maps.process(*pid)?.pid;
                if maps.named.alone.remove(&pid) && maps.kind(pid) == Some(PID_TARGET) {
                    let _ = maps.pids.remove(&pid);
                }
            }
            Target::Tree(pid) => {
                let root = maps.process(*pid)?.pid;
                if maps.named.roots.remove(&root) {
                    maps.leave_descendants(root)?;
                }
            }
            Target::Cgroup(path) => {
                let _ = maps.cgroups.remove(&targets::cgroup(path)?);
            }
            Target::Port(port) => {
                let _ = maps.ports.remove(&u32::from(*port));
            }
        }
        Ok(())
    }

    /// Follow a directive. Another flow's budget in the same place is given up: that flow is back at the default.
    pub(crate) fn budget(&self, directive: &Directive) {
        let flow = directive.flow.0;
        let slot = usize::try_from(flow % BUDGETS as u64).unwrap_or(0) * BUDGET;
        let owner = self.budgets.u64(slot);
        let index = usize::from(directive.direction == Direction::In);
        let word = |field: usize, index: usize| self.budgets.u32(slot + 8 + field * 8 + index * 4);
        if owner.load(Ordering::Relaxed) != flow {
            // No flow has number 0, so a program that looks now finds nothing that is for it.
            owner.store(0, Ordering::Release);
            word(0, 1 - index).store(u32::MAX, Ordering::Relaxed);
            word(2, 1 - index).store(0, Ordering::Relaxed);
        }
        word(0, index).store(directive.per_segment, Ordering::Relaxed);
        match directive.skip_to {
            Some(to) => {
                let low = u32::try_from(to & u64::from(u32::MAX)).unwrap_or_default();
                word(1, index).store(low, Ordering::Relaxed);
                word(2, index).store(1, Ordering::Release);
            }
            None => word(2, index).store(0, Ordering::Relaxed),
        }
        owner.store(flow, Ordering::Release);
    }
}

impl TargetMaps {
    /// The process that is `pid` here.
    fn process(&mut self, pid: u32) -> Result<Process, StartError> {
        let Self { pids, named, .. } = self;
        // The programs take out what has exited, and its number may be another one's by now.
        named.alone.retain(|pid| pids.get(pid, 0).is_ok());
        named.roots.retain(|pid| pids.get(pid, 0).is_ok());
        let found = self.processes()?.into_iter().find(|p| p.ns_pid == pid);
        found.ok_or(StartError::NoProcess { pid })
    }

    fn kind(&self, pid: u32) -> Option<u32> {
        self.pids.get(&pid, 0).ok()
    }

    /// Trace a process, as `kind` at least. `false` if it is exiting.
    fn insert(&mut self, process: &Process, kind: u32) -> Result<bool, StartError> {
        let pid = process.pid;
        // The programs may write as well, and only the stronger kind.
        let flags = if kind == PID_TARGET { BPF_NOEXIST } else { 0 };
        if let Err(error) = self.pids.insert(pid, kind, flags)
            && self.kind(pid).is_none_or(|found| found < kind)
        {
            return Err(StartError::refused("another process as a target", &error));
        }
        // If its exit came before the insertion, nobody would take it out.
        let alive = !targets::exiting(process.ns_pid);
        if !alive {
            let _ = self.pids.remove(&pid);
        }
        Ok(alive)
    }

    fn adopt_descendants(&mut self, root: u32) -> Result<(), StartError> {
        loop {
            let mut added = false;
            for process in descendants(root, &self.processes()?) {
                if self.kind(process.pid) != Some(PID_DESCENDANTS) {
                    added |= self.insert(&process, PID_DESCENDANTS)?;
                }
            }
            if !added {
                return Ok(());
            }
        }
    }

    /// Take the tree of `root` away, save what is in another tree or named alone.
    fn leave_descendants(&mut self, root: u32) -> Result<(), StartError> {
        let tree = |root, processes: &[Process]| {
            std::iter::once(root).chain(descendants(root, processes).into_iter().map(|p| p.pid)).collect::<Vec<_>>()
        };
        loop {
            let processes = self.processes()?;
            let kept: HashSet<u32> = self.named.roots.iter().flat_map(|&root| tree(root, &processes)).collect();
            let mut changed = false;
            for pid in tree(root, &processes) {
                if kept.contains(&pid) || self.kind(pid) != Some(PID_DESCENDANTS) {
                    continue;
                }
                let left = match self.named.alone.contains(&pid) {
                    true => self.pids.insert(pid, PID_TARGET, BPF_EXIST),
                    false => self.pids.remove(&pid),
                };
                changed |= left.is_ok();
            }
            // Until then they may have had children.
            if !changed {
                return Ok(());
            }
        }
    }

    /// All processes of this pid namespace.
    fn processes(&mut self) -> Result<Vec<Process>, StartError> {
        let what = "the process iterator";
        let program: &mut Iter = self
            .ebpf
            .program_mut("kindling_tasks")
            .ok_or(StartError::Ended)?
            .try_into()
            .map_err(|e: aya::programs::ProgramError| StartError::refused(what, &e))?;
        let link = program.attach().and_then(|id| program.take_link(id)).map_err(|e| StartError::refused(what, &e))?;
        let mut rows = Vec::new();
        let mut file = link.into_file().map_err(|e| StartError::refused(what, &e))?;
        file.read_to_end(&mut rows).map_err(|e| StartError::system("read the process iterator", e))?;
        let rows = rows.chunks_exact(size_of::<Process>());
        Ok(rows.filter_map(|row| Process::read_from_bytes(row).ok()).collect())
    }
}

fn descendants(root: u32, processes: &[Process]) -> Vec<Process> {
    let mut children: StdHashMap<u32, Vec<Process>> = StdHashMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(*process);
    }
    let mut found = Vec::new();
    let mut look_at = vec![root];
    while let Some(pid) = look_at.pop() {
        // Taken out, so that the process that is its own parent ends the search.
        for child in children.remove(&pid).unwrap_or_default() {
            found.push(child);
            look_at.push(child.pid);
        }
    }
    found
}

fn mapping(ebpf: &Ebpf, name: &str, len: usize) -> Result<Mapping, StartError> {
    let Some(Map::Array(data)) = ebpf.map(name) else { return Err(missing(name)) };
    Mapping::new(data.fd().as_fd(), len).map_err(|e| StartError::system("map a table of the programs", e))
}

fn hash<K: Pod, V: Pod>(ebpf: &mut Ebpf, name: &str) -> Result<HashMap<MapData, K, V>, StartError> {
    let map = ebpf.take_map(name).ok_or_else(|| missing(name))?;
    HashMap::try_from(map).map_err(|e| StartError::refused(name, &e))
}

const PAGE: usize = 4096;
const BUDGETS: usize = 65536;
const BUDGET: usize = 32;
const PID_TARGET: u32 = 1;
const PID_DESCENDANTS: u32 = 2;
/// Flags of a map's update.
const BPF_NOEXIST: u64 = 1;
const BPF_EXIST: u64 = 2;
