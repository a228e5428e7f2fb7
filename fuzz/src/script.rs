//! What happens on a few flows, in a form that a fuzzer can mutate and a transcript can be written in.
//!
//! A script is steps, each an operation byte (`code | flow << 4 | server << 6`) and its operands. Every byte string is a script: operands that
//! are cut short are taken as far as they go. Only the standard library is used here, as the chore that writes the seeds includes this file.

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A flow opens: what it is.
    Open(Shape),
    /// A side says these bytes, of which `hidden` more were not captured.
    Say { bytes: Vec<u8>, hidden: u16 },
    /// Bytes of a side go missing, and nobody says so.
    Miss(u32),
    /// Bytes of a side are announced as not shown, for the cause with this number.
    Gap { len: u32, cause: u8 },
    /// A side's bytes from `back` ago are seen again, changed or not.
    Again { back: u16, bytes: Vec<u8> },
    /// This many tenths of milliseconds pass.
    Wait(u16),
    /// The flow ends, for the reason with this number.
    End(u8),
    /// The next step's event carries an earlier time, by this many tenths of milliseconds.
    Late(u8),
}

/// What a flow is, as bits: `transport` in the lowest two (TCP, UDP, Unix), then midstream, role (two bits), wire, first bytes unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The bits.
    pub bits: u8,
    /// The server's port.
    pub port: u16,
}

/// A step of a flow, and the side it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Which flow, of four.
    pub flow: u8,
    /// Whether it is about the server's bytes.
    pub server: bool,
    /// What happens.
    pub step: Step,
}

/// Write a script.
pub fn encode(acts: &[Act]) -> Vec<u8> {
    let mut out = Vec::new();
    for act in acts {
        let (code, operands) = operands(&act.step);
        out.push(code | (act.flow & 3) << 4 | u8::from(act.server) << 6);
        out.extend(operands);
    }
    out
}

fn operands(step: &Step) -> (u8, Vec<u8>) {
    let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat();
    match step {
        Step::Say { bytes, hidden: 0 } => (0, sized(bytes)),
        Step::Say { bytes, hidden } => (1, [&hidden.to_le_bytes()[..], &sized(bytes)].concat()),
        Step::Open(shape) => (2, [&[shape.bits][..], &shape.port.to_le_bytes()].concat()),
        Step::Miss(len) => (3, len.to_le_bytes().to_vec()),
        Step::Gap { len, cause } => (4, [&[*cause][..], &len.to_le_bytes()].concat()),
        Step::Again { back, bytes } => (5, [&back.to_le_bytes()[..], &sized(bytes)].concat()),
        Step::Wait(time) => (6, time.to_le_bytes().to_vec()),
        Step::End(reason) => (7, vec![*reason]),
        Step::Late(time) => (8, vec![*time]),
    }
}

/// Read a script; codes that are not used say bytes.
pub fn decode(mut script: &[u8]) -> Vec<Act> {
    let input = &mut script;
    let mut acts = Vec::new();
    while let Some(byte) = take(input, 1).first().copied() {
        let step = match byte & 15 {
            1 => {
                let hidden = u16::from_le_bytes(array(input));
                Step::Say { bytes: sized(input), hidden }
            }
            2 => {
                let [bits, low, high] = array(input);
                Step::Open(Shape { bits, port: u16::from_le_bytes([low, high]) })
            }
            3 => Step::Miss(u32::from_le_bytes(array(input))),
            4 => {
                let [cause] = array(input);
                Step::Gap { len: u32::from_le_bytes(array(input)), cause }
            }
            5 => {
                let back = u16::from_le_bytes(array(input));
                Step::Again { back, bytes: sized(input) }
            }
            6 => Step::Wait(u16::from_le_bytes(array(input))),
            7 => Step::End(array::<1>(input)[0]),
            8 => Step::Late(array::<1>(input)[0]),
            _ => Step::Say { bytes: sized(input), hidden: 0 },
        };
        acts.push(Act { flow: byte >> 4 & 3, server: byte >> 6 & 1 == 1, step });
    }
    acts
}

fn sized(input: &mut &[u8]) -> Vec<u8> {
    let len = u16::from_le_bytes(array(input));
    take(input, usize::from(len)).to_vec()
}

fn array<const N: usize>(input: &mut &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    let there = take(input, N);
    bytes[..there.len()].copy_from_slice(there);
    bytes
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(len.min(input.len()));
    *input = rest;
    taken
}
