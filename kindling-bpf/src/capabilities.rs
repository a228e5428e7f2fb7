//! What this kernel and these privileges allow, as data.

use std::{fmt, fs};

use aya::Btf;
use aya_obj::btf::BtfKind;

use crate::{
    error::{Detail, StartError},
    prebuilt::Path,
    sys::{self, Trial},
    targets,
};

/// One thing that a probe can use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Feature {
    /// A stable lower-case name.
    pub name: &'static str,
    /// What it is for, or what is lost without it.
    pub purpose: &'static str,
    /// Why it cannot be used here, and what to do about that; `None` if it can.
    pub missing: Option<String>,
}

/// What this kernel and these privileges allow. Nothing stays loaded.
#[derive(Clone, Debug)]
pub struct Capabilities {
    features: Vec<Feature>,
    kernel: (u32, u32),
}

impl Capabilities {
    /// Look. It loads and unloads programs that do nothing, which takes some tens of milliseconds, and raises the
    /// limit on locked memory, which kernels before 5.11 count programs against.
    #[must_use]
    pub fn detect() -> Self {
        // Or an old kernel refuses the trials for want of locked memory and it looks like want of privilege.
        sys::raise_memlock();
        let kernel = kernel();
        let btf = Btf::from_sys_fs().map_err(|e| Detail::new(&e).to_string());
        let caps = effective();
        let mut features = vec![
            Feature {
                name: "architecture",
                purpose: "the programs that come with this crate",
                missing: Path::Sockets
                    .object()
                    .is_none()
                    .then(|| format!("no programs are built for {}", std::env::consts::ARCH)),
            },
            Feature {
                name: "btf",
                purpose: "programs that fit any kernel",
                missing: btf
                    .as_ref()
                    .err()
                    .map(|e| format!("{e}: it needs CONFIG_DEBUG_INFO_BTF=y and a mounted sysfs")),
            },
            Feature { name: "cap_bpf", purpose: "loading programs", missing: lacks(caps, CAP_BPF, "CAP_BPF") },
            Feature {
                name: "cap_perfmon",
                purpose: "programs that read kernel memory",
                missing: lacks(caps, CAP_PERFMON, "CAP_PERFMON"),
            },
            Feature {
                name: "raw_tracepoints",
                purpose: "the system call path",
                missing: tried(sys::load_nothing(Trial::RawTracepoint), "raw tracepoint programs"),
            },
        ];
        let btf = btf.as_ref().ok();
        for (name, purpose, kind) in TRIALS {
            features.push(Feature { name, purpose, missing: trial(btf, *kind) });
        }
        features.push(Feature {
            name: "datagram_senders",
            purpose: "the peer of datagrams received on unconnected sockets, on the socket path",
            missing: match targets::unified_mount() {
                None => Some("no cgroup v2 hierarchy is mounted: mount one, for instance at /sys/fs/cgroup".into()),
                Some(_) => lacks(caps, CAP_NET_ADMIN, "CAP_NET_ADMIN"),
            },
        });
        Self { features, kernel }
    }

    /// Everything that was looked at.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Version of the running kernel, major and minor.
    #[must_use]
    pub const fn kernel(&self) -> (u32, u32) {
        self.kernel
    }

    /// The path a probe will use.
    #[must_use]
    pub fn path(&self) -> Option<Path> {
        [Path::Sockets, Path::Syscalls].into_iter().find(|path| self.obstacle(*path).is_none())
    }

    /// Why `path` cannot be used; `None` if it can.
    #[must_use]
    pub fn obstacle(&self, path: Path) -> Option<&Feature> {
        let needed: &[&str] = match path {
            Path::Sockets => &[
                "architecture",
                "btf",
                "cap_bpf",
                "cap_perfmon",
                "lifecycle",
                "process_iterator",
                "socket_tracepoints",
            ],
            Path::Syscalls => {
                &["architecture", "btf", "cap_bpf", "cap_perfmon", "lifecycle", "process_iterator", "raw_tracepoints"]
            }
        };
        self.features.iter().find(|f| f.missing.is_some() && needed.contains(&f.name))
    }

    pub(crate) fn choose(&self, wanted: Option<Path>) -> Result<Path, StartError> {
        let obstacle = match wanted.or_else(|| self.path()) {
            Some(path) => match self.obstacle(path) {
                None => return Ok(path),
                Some(obstacle) => obstacle,
            },
            None => match self.obstacle(Path::Syscalls) {
                Some(obstacle) => obstacle,
                None => return Ok(Path::Syscalls),
            },
        };
        let reason = obstacle.missing.clone().unwrap_or_default();
        Err(match obstacle.name {
            "cap_bpf" => StartError::Privilege { capability: "CAP_BPF" },
            "cap_perfmon" => StartError::Privilege { capability: "CAP_PERFMON" },
            "btf" => StartError::NoBtf(Detail::new(&std::io::Error::other(reason))),
            name => StartError::NoPath { reason: format!("{name}: {reason}") },
        })
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for feature in &self.features {
            match &feature.missing {
                None => writeln!(f, "{:<20} yes  {}", feature.name, feature.purpose)?,
                Some(why) => writeln!(f, "{:<20} no   {} ({why})", feature.name, feature.purpose)?,
            }
        }
        match self.path() {
            Some(path) => write!(f, "capture path: {path}"),
            None => f.write_str("capture path: none"),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Tracepoint(&'static str),
    Iterator(&'static str),
    Fentry(&'static str),
}

/// Programs that are tried.
const TRIALS: &[(&str, &str, Kind)] = &[
    ("lifecycle", "connections and processes", Kind::Tracepoint("inet_sock_set_state")),
    ("process_iterator", "targets by process", Kind::Iterator("task")),
    ("socket_tracepoints", "the socket path", Kind::Tracepoint("sock_send_length")),
    ("fentry", "users' probes on kernel functions; no path needs it", Kind::Fentry("tcp_sendmsg")),
];

fn trial(btf: Option<&Btf>, kind: Kind) -> Option<String> {
    const BPF_TRACE_RAW_TP: u32 = 23;
    const BPF_TRACE_FENTRY: u32 = 24;
    const BPF_TRACE_ITER: u32 = 28;
    let Some(btf) = btf else { return Some("no kernel type information".into()) };
    let (attach, name, of) = match kind {
        Kind::Tracepoint(name) => (BPF_TRACE_RAW_TP, format!("btf_trace_{name}"), BtfKind::Typedef),
        Kind::Iterator(name) => (BPF_TRACE_ITER, format!("bpf_iter_{name}"), BtfKind::Func),
        Kind::Fentry(name) => (BPF_TRACE_FENTRY, name.to_owned(), BtfKind::Func),
    };
    match btf.id_by_type_name_kind(&name, of) {
        Err(_) => Some(format!("this kernel has no {name}")),
        Ok(id) => tried(sys::load_nothing(Trial::Tracing(attach, id)), "such programs"),
    }
}

fn tried(result: std::io::Result<()>, what: &str) -> Option<String> {
    result.err().map(|e| format!("the kernel refuses {what}: {e}"))
}

fn lacks(effective: u64, bit: u32, name: &str) -> Option<String> {
    // CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON.
    let has = |bit: u32| effective & (1u64 << bit) != 0;
    let has = has(bit) || (bit != CAP_NET_ADMIN && has(CAP_SYS_ADMIN));
    (!has).then(|| format!("missing {name}: run with it, or as root"))
}

fn effective() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
