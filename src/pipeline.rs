//! From batches of events to exchanges, in one step, as a stream or as an iterator.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use futures_core::{Stream, ready};
use kindling_core::{
    Batch, Clock, ConnectFailed, Custom, Directive, Event, Exchange, Exited, Ledger, Lost, Origin, Renamed, Started,
    Timestamp,
};
use kindling_protocols::{Engine, Limits, Registry};
use pin_project::pin_project;

/// The usual stages behind a source of batches: a [`Stream`] over a stream, an [`Iterator`] over an iterator.
///
/// Items are [`Output`]s, or `Result<Output, E>` where the source's are `Result<Batch, E>`. When the source has ended, or failed,
/// everything that still waits comes out, and then the [`ledger`](Self::ledger) is complete. Results are in the order of their events.
///
/// ```
/// use kindling::{Pipeline, Output};
/// # let source: Vec<kindling::Batch> = Vec::new();
/// let mut pipeline = Pipeline::new(source.into_iter());
/// for output in &mut pipeline {
///     if let Output::Exchange(exchange) = output {
///         println!("{} {}", exchange.details.operation, exchange.details.resource);
///     }
/// }
/// assert_eq!(pipeline.ledger().exchanges.pending, 0);
/// ```
///
/// Live and asynchronous, on whatever runtime is there:
///
/// ```no_run
/// # #[cfg(feature = "bpf")]
/// async fn watch(pid: u32) -> Result<(), Box<dyn std::error::Error>> {
///     use futures::TryStreamExt as _;
///     use kindling::{Output, Pipeline, bpf::{Probe, Targets}};
///
///     let probe = Probe::builder().targets(Targets::new().process(pid)).start()?;
///     let control = probe.control();
///     let mut outputs = Pipeline::new(probe).control(control);
///     while let Some(output) = outputs.try_next().await? {
///         if let Output::Exchange(exchange) = output {
///             println!("{} {}", exchange.details.operation, exchange.details.resource);
///         }
///     }
///     Ok(())
/// }
/// ```
#[pin_project]
#[must_use = "pipelines do nothing unless iterated or polled"]
pub struct Pipeline<S> {
    #[pin]
    source: S,
    stages: Stages,
}

impl<S> Pipeline<S> {
    /// All built-in protocols and default limits, fed by `source`: a stream or an iterator of [`Batch`] or `Result<Batch, E>`.
    pub fn new(source: S) -> Self {
        Self { source, stages: Stages::new(Engine::new(Registry::builtin(), Limits::default())) }
    }

    /// These protocols. Call it before the first item is taken: what was seen until now is forgotten.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.stages.registry = registry;
        self.stages.rebuild();
        self
    }

    /// These limits and modes. Call it before the first item is taken: what was seen until now is forgotten.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.stages.limits = limits;
        self.stages.rebuild();
        self
    }

    /// Hand the engine's wishes to `control`, so that the source copies no more payload than is read: for a live probe its control handle.
    /// Wishes name flows and not origins, so this is for a pipeline with one live source.
    pub fn control(mut self, control: impl Control + Send + 'static) -> Self {
        self.stages.control = Some(Box::new(control));
        self
    }

    /// The account so far.
    pub const fn ledger(&self) -> &Ledger {
        self.stages.engine.ledger()
    }

    /// The latest reading of the clocks of the origin that was heard last: it maps instants of its events to wall time.
    pub const fn clock(&self) -> Clock {
        self.stages.clock
    }

    /// The origin that was heard last.
    pub const fn origin(&self) -> &Arc<Origin> {
        &self.stages.origin
    }

    /// The source.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// The source, given back; what waits in the pipeline is dropped.
    pub fn into_source(self) -> S {
        self.source
    }
}

impl<S: Iterator<Item: Delivery>> Iterator for Pipeline<S> {
    type Item = <S::Item as Delivery>::Output;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(output) = self.stages.poll() {
                return Some(S::Item::output(output));
            }
            if self.stages.ended {
                return None;
            }
            if let Some(failure) = self.stages.handle_delivery(self.source.next()) {
                return Some(failure);
            }
        }
    }
}

impl<S: Stream<Item: Delivery>> Stream for Pipeline<S> {
    type Item = <S::Item as Delivery>::Output;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            if let Some(output) = this.stages.poll() {
                return Poll::Ready(Some(S::Item::output(output)));
            }
            if this.stages.ended {
                return Poll::Ready(None);
            }
            let delivery = ready!(this.source.as_mut().poll_next(cx));
            if let Some(failure) = this.stages.handle_delivery(delivery) {
                return Poll::Ready(Some(failure));
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Pipeline<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("source", &self.source)
            .field("engine", &self.stages.engine)
            .finish_non_exhaustive()
    }
}

/// What comes out of a [`Pipeline`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are exchanges, and a box for each would cost more than the space"
)]
pub enum Output {
    /// An exchange ended.
    Exchange(Exchange),
    /// Something was lost.
    Lost(Lost),
    /// A connection attempt failed.
    ConnectFailed(ConnectFailed),
    /// A process or thread started.
    Started(Started),
    /// A thread changed its name, or its process the program it runs.
    Renamed(Renamed),
    /// A process or thread ended.
    Exited(Exited),
    /// A record of a user's own probe.
    Custom(Custom),
    /// Time goes on: a moment to flush what was written.
    Tick(Timestamp),
}

/// Takes what the engine asks of a source.
pub trait Control {
    /// Follow `directive`, or ignore it.
    fn apply(&mut self, directive: &Directive);
}

impl<F: FnMut(&Directive)> Control for F {
    fn apply(&mut self, directive: &Directive) {
        self(directive);
    }
}

#[cfg(feature = "bpf")]
impl Control for kindling_bpf::Control {
    fn apply(&mut self, directive: &Directive) {
        Self::apply(self, directive);
    }
}

/// What a source yields: [`Batch`], or `Result<Batch, E>` of one that can fail. Sealed.
pub trait Delivery: sealed::Sealed {
    /// What the pipeline yields for it.
    type Output;
    /// What makes a source fail.
    type Error;

    #[doc(hidden)]
    fn batch(self) -> Result<Batch, Self::Error>;
    #[doc(hidden)]
    fn output(output: Output) -> Self::Output;
    #[doc(hidden)]
    fn failure(error: Self::Error) -> Self::Output;
}

impl Delivery for Batch {
    type Output = Output;
    type Error = Infallible;

    fn batch(self) -> Result<Batch, Infallible> {
        Ok(self)
    }

    fn output(output: Output) -> Output {
        output
    }

    fn failure(error: Infallible) -> Output {
        match error {}
    }
}

impl<E> Delivery for Result<Batch, E> {
    type Output = Result<Output, E>;
    type Error = E;

    fn batch(self) -> Self {
        self
    }

    fn output(output: Output) -> Result<Output, E> {
        Ok(output)
    }

    fn failure(error: E) -> Result<Output, E> {
        Err(error)
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}
    impl Sealed for kindling_core::Batch {}
    impl<E> Sealed for Result<kindling_core::Batch, E> {}
}

/// The pipeline without its source: batches in, outputs out.
struct Stages {
    registry: Registry,
    limits: Limits,
    engine: Engine,
    control: Option<Box<dyn Control + Send>>,
    /// The rest of the batch in work.
    events: vec::IntoIter<Event>,
    /// An event to be passed on after the exchanges that ended before it.
    passed: Option<Output>,
    origin: Arc<Origin>,
    clock: Clock,
    /// Origins heard before, each with the latest reading of its clocks.
    others: Vec<(Arc<Origin>, Clock)>,
    ended: bool,
}

impl Stages {
    fn new(engine: Engine) -> Self {
        Self {
            registry: Registry::builtin(),
            limits: Limits::default(),
            engine,
            control: None,
            events: Vec::new().into_iter(),
            passed: None,
            origin: Arc::default(),
            clock: Clock::default(),
            others: Vec::new(),
            ended: false,
        }
    }

    fn rebuild(&mut self) {
        self.engine = Engine::new(self.registry.clone(), self.limits.clone());
    }

    /// Take in what the source yields, its end included. An error of the source ends the pipeline only if the source ends after it.
    fn handle_delivery<D: Delivery>(&mut self, delivery: Option<D>) -> Option<D::Output> {
        match delivery.map(D::batch) {
            Some(Ok(batch)) => {
                self.engine.handle_origin(&batch.origin);
                self.hear(batch.origin);
                self.events = batch.events.into_iter();
                None
            }
            Some(Err(error)) => Some(D::failure(error)),
            None => {
                self.engine.handle_end();
                self.ended = true;
                None
            }
        }
    }

    /// The next result of what was taken in so far.
    fn poll(&mut self) -> Option<Output> {
        loop {
            if let Some(exchange) = self.engine.poll_exchange() {
                return Some(Output::Exchange(exchange));
            }
            if let Some(output) = self.passed.take() {
                return Some(output);
            }
            let event = self.events.next()?;
            self.engine.handle_event(&event);
            self.direct();
            self.passed = self.pass(event);
        }
    }

    fn direct(&mut self) {
        while let Some(directive) = self.engine.poll_directive() {
            if let Some(control) = &mut self.control {
                control.apply(&directive);
            }
        }
    }

    /// What of an event users of the pipeline see.
    fn pass(&mut self, event: Event) -> Option<Output> {
        match event {
            Event::Lost(lost) => Some(Output::Lost(lost)),
            Event::ConnectFailed(failed) => Some(Output::ConnectFailed(failed)),
            Event::Started(started) => Some(Output::Started(started)),
            Event::Renamed(renamed) => Some(Output::Renamed(renamed)),
            Event::Exited(exited) => Some(Output::Exited(exited)),
            Event::Custom(custom) => Some(Output::Custom(custom)),
            Event::Tick(at) => Some(Output::Tick(at)),
            Event::Clock(clock) => {
                self.clock = clock;
                None
            }
            _ => None,
        }
    }

    /// What follows comes from `origin`.
    fn hear(&mut self, origin: Arc<Origin>) {
        if Arc::ptr_eq(&self.origin, &origin) || self.origin == origin {
            return;
        }
        let known = self.others.iter().position(|(other, _)| *other == origin);
        let clock = known.map_or_else(Clock::default, |place| self.others.swap_remove(place).1);
        let before = (std::mem::replace(&mut self.origin, origin), std::mem::replace(&mut self.clock, clock));
        self.others.push(before);
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, executor::block_on, stream};
    use kindling_core::{FlowId, LostClass, Opened, Segment, source::ReadError};

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn lost(millis: u64) -> Event {
        let (since, until) = (at(millis), at(millis));
        Event::Lost(Lost { class: LostClass::RingSegment, count: 3, cpu: None, since, until })
    }

    fn unread(millis: u64) -> Event {
        let direction = kindling_core::Direction::Out;
        let data = bytes::Bytes::from_static(b"\x00\x01");
        Event::Segment(Segment { at: at(millis), flow: FlowId(7), direction, offset: 0, data, len: 2, task: None })
    }

    fn batch(events: Vec<Event>) -> Batch {
        Batch::new(Arc::new(Origin::new(1, "h", "test")), events)
    }

    #[test]
    fn iterator_and_stream_give_the_same() {
        let batches = vec![batch(vec![lost(1), Event::Tick(at(2))]), batch(vec![unread(3), lost(4)])];
        let mut sync = Pipeline::new(batches.clone().into_iter());
        let outputs: Vec<_> = (&mut sync).collect();
        assert_eq!(outputs.len(), 3);
        assert!(matches!(&outputs[1], Output::Tick(time) if *time == at(2)));
        let streamed: Vec<_> = block_on(Pipeline::new(stream::iter(batches)).collect());
        assert_eq!(outputs, streamed);
        assert_eq!(sync.ledger().events_lost[&LostClass::RingSegment], 6);
        assert_eq!((sync.ledger().segments, sync.ledger().bytes.advanced), (1, 2));
        sync.ledger().check().unwrap();
    }

    #[test]
    fn an_error_passes_and_what_waits_still_comes_out() {
        let source = vec![Ok(batch(vec![Event::Opened(Opened::default()), unread(1)])), Err("torn")];
        let mut pipeline = Pipeline::new(source.into_iter());
        assert_eq!((&mut pipeline).collect::<Vec<_>>(), [Err("torn")]);
        assert_eq!(pipeline.ledger().flows, pipeline.ledger().flows_closed);
        assert_eq!(pipeline.next(), None);
    }

    #[test]
    fn each_origin_keeps_its_clock() {
        let clock = |wall| Event::Clock(Clock { mono: Timestamp::ZERO, wall, boot: 0 });
        let other = Arc::new(Origin::new(2, "other", "test"));
        let source = vec![batch(vec![clock(10)]), Batch::new(other, vec![clock(20)]), batch(vec![lost(1)])];
        let mut pipeline = Pipeline::new(source.into_iter());
        assert_eq!((&mut pipeline).count(), 1);
        assert_eq!((pipeline.clock().wall, pipeline.origin().boot), (10, 1));
    }

    #[test]
    fn origins_whose_clocks_have_nothing_in_common_do_not_hurry_each_other() {
        let say = |millis, direction, text: &'static [u8]| {
            let (data, len) = (bytes::Bytes::from_static(text), text.len() as u64);
            Event::Segment(Segment { at: at(millis), flow: FlowId(7), direction, offset: 0, data, len, task: None })
        };
        let request = say(1, kindling_core::Direction::Out, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = say(2, kindling_core::Direction::In, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let opened = Event::Opened(Opened { at: at(1), flow: FlowId(7), ..Opened::default() });
        let years_later = Arc::new(Origin::new(2, "other", "pcap"));
        let source = vec![
            batch(vec![opened, request]),
            Batch::new(years_later, vec![Event::Tick(at(1 << 40))]),
            batch(vec![answer]),
        ];
        let mut pipeline = Pipeline::new(source.into_iter());
        assert_eq!((&mut pipeline).count(), 2);
        assert_eq!((pipeline.ledger().exchanges.opened, pipeline.ledger().exchanges.complete), (1, 1));
    }

    #[test]
    fn it_can_be_sent_to_a_thread() {
        fn send<T: Send>() {}
        send::<Pipeline<vec::IntoIter<Result<Batch, ReadError>>>>();
    }
}
