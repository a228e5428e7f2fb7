//! A protocol of your own, complete in one file, registered beside the built-in ones.
//!
//! `cargo run --example add_protocol` runs a built-in conversation through the engine and prints what came out. It needs no kernel
//! and no privileges. `cargo test --example add_protocol` holds the protocol against the laws of the conformance kit.
//!
//! The protocol is a small RPC, "courier". Answers carry the id of their call, so they may come in any order:
//!
//! ```text
//! frame = "CR" · version u8 (1) · kind u8 · id u32 · length u32 · body      numbers are big-endian
//!   1 call    body = name length u8 · name · arguments
//!   2 reply   body = result
//!   3 error   body = code u16 · message
//!   4 cast    body as of a call; nobody answers it, its id means nothing
//! ```

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use kindling::{
    Content, Details, Output, Pipeline, Registry, Text, Visit,
    export::text::{Account, HEADINGS, Line},
    protocols::{
        Context, Needed, Pair, Parse, Probe, Protocol, Reject, Role, Sender, Span, Spec, Verdict, testing::Transcript,
    },
};

/// The protocol. It is never built: all it has are functions.
struct Courier;

/// A frame, as far as it is of interest. Arguments, results and messages are content and stay where they are.
enum Frame {
    Call { id: u32, name: Text },
    Reply { id: u32 },
    Error { id: u32, code: u16 },
    Cast { name: Text },
}

/// What is kept of an exchange.
#[derive(Default)]
struct Summary {
    name: Text,
    status: Option<Text>,
    error: Option<Text>,
}

impl Protocol for Courier {
    type Config = ();
    type State = ();
    type Shared = ();
    type Message = Frame;
    type Key = u32;
    type Open = ();
    type Summary = Summary;

    const SPEC: &'static Spec =
        &Spec::new("courier").ports(&[7400]).deadline(Duration::from_secs(30)).max_head(HEAD + 256).heads_only();

    fn detect(probe: &Probe<'_>) -> Verdict {
        match *probe.head {
            [b'C', b'R', 1, 1 | 4, ..] if probe.may_be_from(Sender::Client) => Verdict::Match(Sender::Client),
            [b'C', b'R', 1, 2 | 3, ..] if probe.may_be_from(Sender::Server) => Verdict::Match(Sender::Server),
            [] | [b'C'] | [b'C', b'R'] | [b'C', b'R', 1] => Verdict::Maybe,
            _ => Verdict::No,
        }
    }

    fn parse(_: &mut Context<'_, Self>, input: &Bytes) -> Parse<Frame> {
        let Some((head, body)) = input.split_first_chunk::<HEAD>() else {
            return Parse::Incomplete(Needed::until(HEAD, input.len()));
        };
        let [b'C', b'R', 1, kind, i0, i1, i2, i3, l0, l1, l2, l3] = *head else {
            return Parse::Reject(Reject::Malformed);
        };
        let (id, length) = (u32::from_be_bytes([i0, i1, i2, i3]), u32::from_be_bytes([l0, l1, l2, l3]));
        let (frame, used) = match kind {
            1 | 4 => match name(body, length) {
                Ok((name, used)) if kind == 1 => (Frame::Call { id, name }, used),
                Ok((name, used)) => (Frame::Cast { name }, used),
                Err(stop) => return stop,
            },
            2 => (Frame::Reply { id }, 0),
            3 if length < 2 => return Parse::Reject(Reject::Length),
            3 => match body.first_chunk() {
                Some(code) => (Frame::Error { id, code: u16::from_be_bytes(*code) }, 2),
                None => return Parse::Incomplete(Needed::until(2, body.len())),
            },
            _ => return Parse::Reject(Reject::Malformed),
        };
        // The rest of the body need not be seen: it may be long, cut short by the capture, or lost.
        Parse::Message(frame, Span::of(HEAD + used).skipping(u64::from(length) - used as u64))
    }

    fn role(_: &Context<'_, Self>, frame: &Frame) -> Role<u32, ()> {
        match frame {
            Frame::Call { id, .. } => Role::opens(Pair::Id(*id), ()),
            Frame::Reply { id } | Frame::Error { id, .. } => Role::closes(Pair::Id(*id)),
            Frame::Cast { .. } => Role::OneWay,
        }
    }

    fn fold(summary: &mut Summary, _: Sender, frame: &Frame) {
        match frame {
            Frame::Call { name, .. } | Frame::Cast { name } => summary.name = name.clone(),
            Frame::Reply { .. } => summary.status = Some("ok".into()),
            Frame::Error { code, .. } => {
                let code = Text::from(&*code.to_string());
                (summary.status, summary.error) = (Some(code.clone()), Some(code));
            }
        }
    }

    fn details(summary: &Summary, _: Content) -> Details {
        Details {
            operation: summary.name.clone(),
            resource: Text::new(),
            status: summary.status.clone(),
            error: summary.error.clone(),
        }
    }

    fn attributes(summary: &Summary, _: Content, visit: &mut dyn Visit) {
        visit.attribute("rpc.method", summary.name.clone().into());
    }

    fn key(id: &u32) -> Option<Text> {
        Some(Text::from(&*id.to_string()))
    }

    fn resync(_: &mut Context<'_, Self>, input: &[u8]) -> Option<usize> {
        // A start that is cut off by the end of what is there counts too.
        (0..input.len()).find(|&at| input[at..].starts_with(START) || START.starts_with(&input[at..]))
    }
}

/// The name at the start of a call's body, and how many bytes it takes.
fn name(body: &[u8], length: u32) -> Result<(Text, usize), Parse<Frame>> {
    let Some((&long, rest)) = body.split_first() else {
        return Err(if length == 0 { Parse::Reject(Reject::Length) } else { Parse::Incomplete(Needed::more(1)) });
    };
    let long = usize::from(long);
    if length as usize <= long {
        return Err(Parse::Reject(Reject::Length));
    }
    match rest.get(..long) {
        None => Err(Parse::Incomplete(Needed::until(long, rest.len()))),
        // It is shown in every mode, so it must be a name and not something else.
        Some(name) if name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'.') => Ok((name.into(), 1 + long)),
        Some(_) => Err(Parse::Reject(Reject::Malformed)),
    }
}

/// Run a built-in conversation through a protocol of one's own and print what came out.
#[derive(Parser)]
#[command(name = "add_protocol", after_help = CODES)]
struct Arguments {}

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    match run(&mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let transcript = Transcript::parse("courier", CONVERSATION)?;
    let registry = Registry::builtin().with::<Courier>();
    writeln!(out, "protocols: {}\n", registry.names().collect::<Vec<_>>().join(", "))?;
    // A probe, a recording or a capture would stand here.
    let mut pipeline = Pipeline::new([transcript.batch()].into_iter()).registry(registry);
    writeln!(out, "{HEADINGS}")?;
    for output in &mut pipeline {
        if let Output::Exchange(exchange) = output {
            writeln!(out, "{}", Line(&exchange))?;
        }
    }
    writeln!(out, "\n{}", Account(pipeline.ledger()))?;
    Ok(())
}

const CODES: &str = "Exit codes: 0 success, 1 failure, 2 wrong usage. A closed output pipe is no failure.";

const START: &[u8] = b"CR\x01";
const HEAD: usize = 12;

/// Answers out of order, one with a body that was not captured, an error, a cast, and a call that nobody answers.
const CONVERSATION: &str = r"# protocol: courier
# port: 7400
>>>
CR\x01\x01\x00\x00\x00\x01\x00\x00\x00\x1c\x0ausers.findalice@example.com
>>>
CR\x01\x01\x00\x00\x00\x02\x00\x00\x00\x13\x0dreports.build12345
--- 40ms
<<<
CR\x01\x02\x00\x00\x00\x02\x00\x00\x0f\xa0
~~~ server 4000
<<<
CR\x01\x03\x00\x00\x00\x01\x00\x00\x00\x0f\x01\x94no such alice
>>>
CR\x01\x04\x00\x00\x00\x00\x00\x00\x00\x0d\x0cmetrics.push
>>>
CR\x01\x01\x00\x00\x00\x03\x00\x00\x00\x0b\x0ausers.find
=== close
===> exchanges
complete	reports.build	-	ok	-	key=2
complete	users.find	-	404	404	key=1
one_way	metrics.push	-	-	-
unanswered	users.find	-	-	-
";

#[cfg(test)]
mod tests {
    use kindling::protocols::testing::laws;

    use super::*;

    #[test]
    fn it_keeps_the_laws() {
        let transcript = Transcript::parse("courier", CONVERSATION).unwrap();
        let registry = Registry::builtin().with::<Courier>();
        laws::check_all(&registry, &transcript).unwrap();
        laws::diagonal(&registry, &[transcript]).unwrap();
    }
}
