//! What can go wrong when a probe starts, and what to do about it.

use std::{io, path::PathBuf};

/// Why a probe could not start, or a target could not be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Nothing was named to be traced.
    #[error("no targets: name processes, cgroups or ports, or say `Targets::all()`")]
    NoTargets,
    /// There is no such process, or it is in a pid namespace that cannot be seen from here.
    #[error("no process {pid} in this pid namespace: it has ended, or its number is another one here")]
    NoProcess {
        /// The number as given.
        pid: u32,
    },
    /// The path is no cgroup.
    #[error("{} is no cgroup directory: give one below /sys/fs/cgroup", path.display())]
    NoCgroup {
        /// The path as given.
        path: PathBuf,
        /// What looking at it said.
        #[source]
        source: io::Error,
    },
    /// The cgroup is in a v1 hierarchy whose controller is not one that tasks are told by.
    #[error("{} is in a v1 hierarchy without cpu, memory or pids controller: give the container's cgroup in one of these", path.display())]
    Hierarchy {
        /// The path as given.
        path: PathBuf,
    },
    /// The kernel has no type information.
    #[error(
        "the kernel gives no type information at /sys/kernel/btf/vmlinux: it needs CONFIG_DEBUG_INFO_BTF=y and a mounted sysfs"
    )]
    NoBtf(#[source] Detail),
    /// A privilege is missing.
    #[error("missing {capability}: run with it (for instance `setcap cap_bpf,cap_perfmon+ep`) or as root")]
    Privilege {
        /// The capability's name.
        capability: &'static str,
    },
    /// Neither capture path works here.
    #[error("no capture path works on this kernel: {reason}")]
    NoPath {
        /// Why not.
        reason: String,
    },
    /// A program or a map was refused.
    #[error("the kernel refused {what}")]
    Refused {
        /// Which one.
        what: String,
        /// What it said.
        #[source]
        source: Detail,
    },
    /// A user's object cannot be used.
    #[error("object {index}: {reason}")]
    Object {
        /// The how-manieth `.object(..)`, from 0.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// Maps could not be shared with a user's object.
    #[error("maps cannot be shared with a user's object: this takes a bpf file system, so CAP_SYS_ADMIN")]
    Share(#[source] io::Error),
    /// The operating system refused something ordinary.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The probe was dropped; its handle changes nothing any more.
    #[error("the probe has ended")]
    Ended,
}

/// What a lower layer said, as text with its causes.
#[derive(Debug)]
pub struct Detail(String);

impl Detail {
    pub(crate) fn new(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(text)
    }
}

impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Detail {}

impl StartError {
    pub(crate) fn refused(what: impl Into<String>, error: &dyn std::error::Error) -> Self {
        Self::Refused { what: what.into(), source: Detail::new(error) }
    }

    pub(crate) const fn system(what: &'static str, source: io::Error) -> Self {
        Self::System { what, source }
    }
}

/// A map that the object should have and has not.
pub(crate) fn missing(name: &str) -> StartError {
    StartError::Refused {
        what: format!("the map {name}"),
        source: Detail::new(&io::Error::from(io::ErrorKind::NotFound)),
    }
}

/// The probe's reader has ended, and with it its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reader of the probe has ended")]
#[non_exhaustive]
pub struct ReaderEnded;
