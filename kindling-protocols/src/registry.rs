//! The table of protocols an engine knows.

use std::{any::Any, fmt, sync::Arc};

use crate::{
    flow::{AnyFlow, Flow, Start},
    parse::{Probe, Verdict},
    protocol::{Protocol, Spec},
};

/// The protocols an engine knows, in the order in which detection asks them.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    entries: Vec<Entry>,
}

/// One protocol behind function pointers.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) spec: &'static Spec,
    pub(crate) detect: fn(&Probe<'_>) -> Verdict,
    open: Open,
    shared: fn() -> Box<dyn Any + Send>,
    config: Config,
}

type Config = Arc<dyn Any + Send + Sync>;
type Open = fn(&Config, &Start) -> Option<Box<dyn AnyFlow>>;

impl Registry {
    /// No protocols.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// And `P`, with its default settings.
    #[must_use]
    pub fn with<P: Protocol>(self) -> Self {
        self.configured::<P>(P::Config::default())
    }

    /// And `P`, with these settings. A protocol of the same name is replaced in its place.
    #[must_use]
    pub fn configured<P: Protocol>(mut self, config: P::Config) -> Self {
        let entry = Entry {
            spec: P::SPEC,
            detect: P::detect,
            open: open::<P>,
            shared: || Box::new(P::Shared::default()),
            config: Arc::new(Arc::new(config)),
        };
        match self.entries.iter_mut().find(|other| other.spec.name == P::SPEC.name) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        self
    }

    /// Only the protocols of these names.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Self {
        self.entries.retain(|entry| names.contains(&entry.spec.name));
        self
    }

    /// The protocols' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|entry| entry.spec.name)
    }

    /// What each protocol says to `probe`, in order: a row of the detection matrix.
    pub fn verdicts(&self, probe: &Probe<'_>) -> Vec<(&'static str, Verdict)> {
        self.entries.iter().map(|entry| (entry.spec.name, (entry.detect)(probe))).collect()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Entry {
    pub(crate) fn open(&self, start: &Start) -> Option<Box<dyn AnyFlow>> {
        (self.open)(&self.config, start)
    }

    pub(crate) fn shared(&self) -> Box<dyn Any + Send> {
        (self.shared)()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec.name)
    }
}

fn open<P: Protocol>(config: &Config, start: &Start) -> Option<Box<dyn AnyFlow>> {
    let config = config.downcast_ref::<Arc<P::Config>>()?.clone();
    Some(Box::new(Flow::<P>::new(config, start)))
}
