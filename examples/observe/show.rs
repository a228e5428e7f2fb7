//! The demo: the shop, traced live where that is possible, else its recording.

use std::{process::ExitCode, time::Instant};

use kindling::{
    Pipeline,
    bpf::{Capabilities, Feature, Probe, Targets},
    source::recording,
};

use crate::{
    demo::Shop,
    live::{End, Live, Scope},
    outcome::{self, Failure},
    report::{self, Style},
    stop::Stop,
};

pub(crate) fn run(scope: &Scope, style: &Style) -> Result<ExitCode, Failure> {
    let stop = Stop::on_signals()?;
    let shop = Shop::new()?;
    let targets = shop.pids().fold(Targets::new(), Targets::process);
    match scope.start(targets) {
        Ok(probe) => live(probe, Open { shop, stop, until: scope.until() }, style),
        Err(failure) => {
            drop(shop);
            eprintln!("live tracing is not possible here: {}", outcome::chain(&*failure));
            eprintln!("{}", missing(&Capabilities::detect()));
            eprintln!("what follows is a recording of this demo, made elsewhere\n");
            replay(style)
        }
    }
}

fn live(probe: Probe, mut open: Open, style: &Style) -> Result<ExitCode, Failure> {
    let (path, control) = (probe.path(), probe.control());
    let front = open.shop.front;
    eprintln!("a shop of four processes (client > front at {front} > backend, store), traced on the {path} path\n");
    open.shop.open()?;
    report::print(style, &mut Pipeline::new(Live::new(probe, open)).limits(style.limits()).control(control))?;
    Ok(ExitCode::SUCCESS)
}

fn replay(style: &Style) -> Result<ExitCode, Failure> {
    let reader = recording::Reader::new(RECORDING)?;
    report::print(style, &mut Pipeline::new(reader).limits(style.limits()))?;
    Ok(ExitCode::SUCCESS)
}

fn missing(capabilities: &Capabilities) -> String {
    let missing = |feature: &Feature| {
        let why = feature.missing.as_ref()?;
        Some(format!("  {} ({}): {why}", feature.name, feature.purpose))
    };
    let lines: Vec<_> = capabilities.features().iter().filter_map(missing).collect();
    format!("not available:\n{}", lines.join("\n"))
}

/// Until the client has gone.
struct Open {
    shop: Shop,
    stop: Stop,
    until: Option<Instant>,
}

impl End for Open {
    fn over(&mut self) -> bool {
        let late = self.until.is_some_and(|until| Instant::now() >= until);
        // A client that cannot be asked is gone.
        late || self.stop.asked() || self.shop.closed().unwrap_or(true)
    }
}

const RECORDING: &[u8] = include_bytes!("demo.kindling");
