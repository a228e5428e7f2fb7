//! What `observe` and `replay` print: lines, a table and the account, or JSON lines.

use std::io::{self, BufWriter, Stdout, Write};

use clap::Args;
use kindling::{
    Clock, Content, Ledger, Limits, Output, Pipeline,
    export::{
        json,
        table::Table,
        text::{Account, HEADINGS, Line, Missing, Refused},
    },
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::outcome::Failure;

/// How to print.
#[derive(Args, Clone, Debug)]
pub(crate) struct Style {
    /// Print JSON lines: a header, one object an exchange, the ledger (docs/json.md)
    #[arg(long)]
    json: bool,
    /// Show what was said: request targets with query strings, keys, statements. Credentials stay masked
    #[arg(long)]
    raw: bool,
    /// Print the summary only
    #[arg(long)]
    summary: bool,
}

impl Style {
    /// Limits with the content that is asked for.
    pub(crate) fn limits(&self) -> Limits {
        // A table of endpoints has no use for attributes.
        Limits::default().content(self.content()).attributes(self.json && !self.summary)
    }

    fn content(&self) -> Content {
        if self.raw { Content::Raw } else { Content::Safe }
    }
}

/// Print everything that comes out of `pipeline`, then the table and the account. What is printed before an error is complete: a source that
/// fails gives what it had before.
pub(crate) fn print<S, E>(style: &Style, pipeline: &mut Pipeline<S>) -> Result<(), Failure>
where
    Pipeline<S>: Iterator<Item = Result<Output, E>>,
    E: Into<Failure>,
{
    let mut report = Report::new(style)?;
    let mut failure = None;
    while let Some(output) = pipeline.next() {
        match output {
            Ok(output) => report.output(&output, pipeline.clock())?,
            Err(error) => failure = Some(error.into()),
        }
    }
    report.finish(pipeline.ledger())?;
    failure.map_or(Ok(()), Err)
}

/// Prints outputs as they come.
struct Report {
    form: Form,
    table: Table,
    summary: bool,
}

enum Form {
    Text { out: BufWriter<Stdout>, titled: bool },
    Json(json::Lines<BufWriter<Stdout>>),
}

impl Report {
    fn new(style: &Style) -> io::Result<Self> {
        let out = BufWriter::with_capacity(1 << 16, io::stdout());
        let form = if style.json {
            Form::Json(json::Lines::new(out, style.content())?)
        } else {
            Form::Text { out, titled: false }
        };
        Ok(Self { form, table: Table::default(), summary: style.summary })
    }

    /// Print `output`, whose instants `clock` maps to wall time.
    fn output(&mut self, output: &Output, clock: Clock) -> io::Result<()> {
        match (&mut self.form, output) {
            (form, Output::Tick(_)) => form.flush().and_then(|()| still_read()),
            (Form::Json(_), Output::Exchange(_)) if self.summary => Ok(()),
            (Form::Json(lines), Output::Exchange(exchange)) => lines.exchange(exchange),
            (Form::Text { out, titled }, output) => {
                if let Output::Exchange(exchange) = output {
                    self.table.add(exchange);
                }
                if self.summary {
                    return Ok(());
                }
                if matches!(output, Output::Exchange(_)) && !std::mem::replace(titled, true) {
                    writeln!(out, "{HEADINGS}")?;
                }
                match output {
                    Output::Exchange(exchange) => writeln!(out, "{}", Line(exchange)),
                    Output::ConnectFailed(failed) => writeln!(out, "{}", Refused(failed, clock)),
                    Output::Lost(lost) => writeln!(out, "{}", Missing(lost, clock)),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Print the table and the account.
    fn finish(mut self, ledger: &Ledger) -> io::Result<()> {
        match &mut self.form {
            Form::Json(lines) => lines.ledger(ledger)?,
            Form::Text { out, titled } => {
                let gap = if *titled { "\n" } else { "" };
                if self.table.is_empty() {
                    writeln!(out, "{gap}no exchanges")?;
                } else {
                    writeln!(out, "{gap}{}", self.table)?;
                }
                writeln!(out, "\n{}", Account(ledger))?;
            }
        }
        self.form.flush()
    }
}

impl Form {
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Text { out, .. } => out.flush(),
            Self::Json(lines) => lines.flush(),
        }
    }
}

/// Whether somebody still reads the output; a program that only writes now and then would notice late.
fn still_read() -> io::Result<()> {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec::default()))?;
    let [stdout] = &polled;
    if stdout.revents().contains(PollFlags::ERR) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}
