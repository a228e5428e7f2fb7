//! What is traced.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{error::StartError, sys};

/// One thing to trace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// A process, by its number in the caller's pid namespace.
    Process(u32),
    /// A process with its descendants, those included that are started later.
    Tree(u32),
    /// A cgroup directory with what is below it, down to 15 levels, v2 or the cpu, memory or pids hierarchy of v1.
    Cgroup(PathBuf),
    /// Every IP socket whose local or remote port this is.
    Port(u16),
}

/// The processes, cgroups and ports to trace. None is an error, not everything: that is [`Targets::all`].
///
/// The embedding process is left out unless [`include_self`](Self::include_self) is said.
///
/// ```
/// use kindling_bpf::Targets;
///
/// let targets = Targets::new().tree(4711).port(5432);
/// assert!(!targets.is_empty());
/// assert!(Targets::new().is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Targets {
    pub(crate) list: Vec<Target>,
    pub(crate) all: bool,
    pub(crate) own: bool,
}

impl Targets {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything on this machine.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Also the process `pid`, a number of the caller's pid namespace.
    pub fn process(self, pid: u32) -> Self {
        self.with(Target::Process(pid))
    }

    /// Also the process `pid` and its descendants, those included that are started later.
    pub fn tree(self, pid: u32) -> Self {
        self.with(Target::Tree(pid))
    }

    /// Also the tasks in the cgroup directory `path` and below it, down to 15 levels: what is deeper is not seen.
    pub fn cgroup(self, path: impl Into<PathBuf>) -> Self {
        self.with(Target::Cgroup(path.into()))
    }

    /// Also every IP socket whose local or remote port is `port`. The remote port of a UDP socket counts only where it is connected.
    pub fn port(self, port: u16) -> Self {
        self.with(Target::Port(port))
    }

    /// Also `target`.
    pub fn with(mut self, target: Target) -> Self {
        self.list.push(target);
        self
    }

    /// Do not leave the embedding process out. A program that writes its results to a socket then traces its own writing.
    pub fn include_self(mut self) -> Self {
        self.own = true;
        self
    }

    /// Whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && !self.all
    }
}

/// Whether all threads of the process `pid` are on their way out, or gone.
pub(crate) fn exiting(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return !sys::exists(pid) };
    let ends = |stat: &str| {
        let flags = stat.rsplit_once(')')?.1.split_whitespace().nth(6)?.parse::<u32>().ok()?;
        Some(flags & PF_EXITING != 0)
    };
    let gone = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat"));
        stat.map_or(true, |stat| ends(&stat).unwrap_or(false))
    };
    threads.flatten().all(gone)
}

/// Inode number of the caller's pid namespace.
pub(crate) fn pid_namespace() -> u32 {
    let inode = fs::metadata("/proc/self/ns/pid").map(|ns| ns.ino()).unwrap_or(0);
    u32::try_from(inode).unwrap_or(0)
}

/// Key of `kindling_cgroup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub(crate) struct CgroupKey {
    pub(crate) id: u64,
    pub(crate) hierarchy: u64,
}

#[expect(unsafe_code, reason = "plain old data without padding")]
// SAFETY: two u64, any bytes are valid.
unsafe impl aya::Pod for CgroupKey {}

/// What the programs know the cgroup directory `path` by.
pub(crate) fn cgroup(path: &Path) -> Result<CgroupKey, StartError> {
    let not = |source| StartError::NoCgroup { path: path.to_owned(), source };
    let directory = fs::metadata(path).map_err(not)?;
    let hierarchy = match sys::file_system(path).map_err(not)? {
        CGROUP2_SUPER_MAGIC => 0,
        CGROUP_SUPER_MAGIC => v1_hierarchy(path).ok_or_else(|| StartError::Hierarchy { path: path.to_owned() })?,
        _ => return Err(not(std::io::ErrorKind::InvalidInput.into())),
    };
    if !directory.is_dir() {
        return Err(not(std::io::ErrorKind::NotADirectory.into()));
    }
    Ok(CgroupKey { id: directory.ino(), hierarchy })
}

/// The hierarchy that tasks are reported by: v2 where it has the controllers that containers need, else the first of v1 that groups
/// anything.
pub(crate) fn reported_hierarchy() -> u32 {
    let mounts = cgroup_mounts();
    let controls = |m: &Mount| {
        let controllers = fs::read_to_string(m.path.join("cgroup.controllers")).unwrap_or_default();
        controllers.split_whitespace().any(|c| matches!(c, "cpu" | "memory" | "pids"))
    };
    if mounts.iter().any(|m| m.unified && controls(m)) {
        return 0;
    }
    let groups = |m: &Mount| {
        let entries = fs::read_dir(&m.path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_type().ok()).any(|kind| kind.is_dir())
    };
    let of = |h: u32| mounts.iter().filter(move |m| m.hierarchy() == Some(h));
    (1..=3).find(|&h| of(h).any(groups)).or_else(|| (1..=3).find(|&h| of(h).next().is_some())).unwrap_or(0)
}

/// Where cgroup v2 is mounted.
pub(crate) fn unified_mount() -> Option<PathBuf> {
    cgroup_mounts().into_iter().find(|m| m.unified).map(|m| m.path)
}

struct Mount {
    path: PathBuf,
    unified: bool,
    options: String,
}

impl Mount {
    fn hierarchy(&self) -> Option<u32> {
        let has = |name: &str| self.options.split(',').any(|option| option == name);
        let number = ["cpu", "memory", "pids"].into_iter().zip(1..).find(|(name, _)| has(name))?.1;
        (!self.unified).then_some(number)
    }
}

fn v1_hierarchy(path: &Path) -> Option<u64> {
    let path = path.canonicalize().ok()?;
    let mounts = cgroup_mounts();
    let mount = mounts.iter().filter(|m| path.starts_with(&m.path)).max_by_key(|m| m.path.as_os_str().len())?;
    mount.hierarchy().map(u64::from)
}

/// Lines of `/proc/self/mountinfo`: see proc_pid_mountinfo(5).
fn cgroup_mounts() -> Vec<Mount> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let parse = |line: &str| {
        let (mount, fs) = line.split_once(" - ")?;
        let mut fs = fs.split(' ');
        let unified = match fs.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let path = mount.split(' ').nth(4)?.into();
        let options = fs.nth(1)?.to_owned();
        Some(Mount { path, unified, options })
    };
    text.lines().filter_map(parse).collect()
}

/// A flag of `/proc/PID/stat`, set before the programs see an exit.
const PF_EXITING: u32 = 4;
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
const CGROUP_SUPER_MAGIC: i64 = 0x0027_e0eb;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_exiting() {
        assert!(!exiting(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !exiting(pid) {
            assert!(std::time::Instant::now() < deadline, "an unreaped process counts as alive");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.wait().unwrap();
        assert!(exiting(pid));
    }

    #[test]
    fn no_cgroup_is_said_so() {
        assert!(matches!(cgroup(Path::new("/nonexistent")), Err(StartError::NoCgroup { .. })));
        assert!(matches!(cgroup(Path::new("/proc")), Err(StartError::NoCgroup { .. })));
    }
}
