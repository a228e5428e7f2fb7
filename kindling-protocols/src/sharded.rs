//! Several engines side by side, one a thread, with the results of one.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use kindling_core::{Batch, Directive, Event, Exchange, FlowId, Ledger};

use crate::{engine::Engine, limits::Limits, registry::Registry};

/// Several [`Engine`]s, each with a share of the flows and, but for the first, a thread of its own.
///
/// Results come out in the order of the events that caused them, then by id, and are the same for every number of shards. Two things are
/// each shard's own: what a protocol learns on one connection for others, and the limits of [`Limits`], which are divided.
pub struct Sharded {
    first: Engine,
    workers: Vec<Worker>,
    out: VecDeque<Exchange>,
    directives: VecDeque<Directive>,
    yielded: Yield,
    rest: Ledger,
}

struct Worker {
    work: Option<Sender<Work>>,
    done: Receiver<(Yield, Ledger)>,
    thread: Option<JoinHandle<()>>,
}

enum Work {
    Batch(Arc<Batch>),
    End,
}

/// What one shard made of a batch: results with the index of the event that caused them.
#[derive(Default)]
struct Yield {
    exchanges: Vec<(usize, Exchange)>,
    directives: Vec<(usize, Directive)>,
}

impl Sharded {
    /// `shards` engines (at least one) that know the protocols of `registry`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn new(shards: usize, registry: &Registry, limits: &Limits) -> std::io::Result<Self> {
        let shards = shards.max(1);
        let mut own = limits.clone();
        own.max_flows = limits.max_flows.div_ceil(shards);
        own.max_buffered = limits.max_buffered.div_ceil(shards as u64);
        let engine = || Engine::new(registry.clone(), own.clone());
        let workers = (1..shards).map(|index| Worker::start(engine(), index, shards)).collect::<Result<_, _>>()?;
        Ok(Self {
            first: engine(),
            workers,
            out: VecDeque::new(),
            directives: VecDeque::new(),
            yielded: Yield::default(),
            rest: Ledger::default(),
        })
    }

    /// Take in the events of a batch; returns when all shards are through with it.
    pub fn handle_batch(&mut self, batch: &Arc<Batch>) {
        self.all(|| Work::Batch(batch.clone()));
    }

    /// The source has ended: everything that waits comes out.
    pub fn handle_end(&mut self) {
        self.all(|| Work::End);
    }

    /// The next exchange that ended.
    pub fn poll_exchange(&mut self) -> Option<Exchange> {
        self.out.pop_front()
    }

    /// The next wish for the source.
    pub fn poll_directive(&mut self) -> Option<Directive> {
        self.directives.pop_front()
    }

    /// The account of everything so far, over all shards.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let mut sum = self.first.ledger().clone();
        sum += &self.rest;
        sum
    }

    fn all(&mut self, work: impl Fn() -> Work) {
        for worker in &mut self.workers {
            worker.send(work());
        }
        let shards = self.workers.len() + 1;
        work().run(&mut self.first, 0, shards, &mut self.yielded);
        self.rest = Ledger::default();
        for worker in &mut self.workers {
            let (mut yielded, ledger) = worker.receive();
            self.rest += &ledger;
            self.yielded.exchanges.append(&mut yielded.exchanges);
            self.yielded.directives.append(&mut yielded.directives);
        }
        self.yielded.exchanges.sort_by_key(|(index, exchange)| (*index, exchange.id));
        self.yielded.directives.sort_by_key(|(index, directive)| (*index, directive.flow, directive.direction));
        self.out.extend(self.yielded.exchanges.drain(..).map(|(_, exchange)| exchange));
        self.directives.extend(self.yielded.directives.drain(..).map(|(_, directive)| directive));
    }
}

impl fmt::Debug for Sharded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharded").field("shards", &(self.workers.len() + 1)).finish_non_exhaustive()
    }
}

impl Worker {
    fn start(mut engine: Engine, index: usize, shards: usize) -> std::io::Result<Self> {
        let (work, todo) = channel::<Work>();
        let (finished, done) = channel();
        let thread = std::thread::Builder::new().name(format!("kindling-shard-{index}")).spawn(move || {
            for work in todo {
                let mut yielded = Yield::default();
                work.run(&mut engine, index, shards, &mut yielded);
                if finished.send((yielded, engine.ledger().clone())).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { work: Some(work), done, thread: Some(thread) })
    }

    fn send(&mut self, work: Work) {
        // A worker that is gone has panicked; `receive` says so.
        if let Some(sender) = &self.work {
            let _ = sender.send(work);
        }
    }

    fn receive(&mut self) -> (Yield, Ledger) {
        if let Ok(done) = self.done.recv() {
            return done;
        }
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        (Yield::default(), Ledger::default())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, whoever waited for its results has been told.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn run(self, engine: &mut Engine, index: usize, shards: usize, yielded: &mut Yield) {
        match self {
            Self::Batch(batch) => {
                engine.handle_origin(&batch.origin);
                for (place, event) in batch.events.iter().enumerate() {
                    if concerns(event, index, shards) {
                        engine.handle_event(event);
                    } else {
                        engine.handle_time(event.at());
                    }
                    collect(engine, place, yielded);
                }
            }
            Self::End => {
                engine.handle_end();
                collect(engine, 0, yielded);
            }
        }
    }
}

fn collect(engine: &mut Engine, place: usize, yielded: &mut Yield) {
    while let Some(exchange) = engine.poll_exchange() {
        yielded.exchanges.push((place, exchange));
    }
    while let Some(directive) = engine.poll_directive() {
        yielded.directives.push((place, directive));
    }
}

/// Whether shard `index` handles `event`: those of its flows, clocks, and for the first what concerns no flow.
fn concerns(event: &Event, index: usize, shards: usize) -> bool {
    match event {
        Event::Clock(_) | Event::Tick(_) => true,
        _ => event.flow().map_or(0, |flow| shard_of(flow, shards)) == index,
    }
}

/// Which shard has a flow. Fixed, so that a replay divides the work alike.
fn shard_of(flow: FlowId, shards: usize) -> usize {
    ((flow.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize) % shards
}
