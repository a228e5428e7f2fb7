//! Seeds for the fuzz targets, made from the protocols' transcripts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kindling_core::{
    CloseReason, Direction, Event, Role, Segment, Transport,
    source::recording::{Options, Writer},
};
use kindling_protocols::{
    Sender,
    testing::{Step as Said, Transcript},
};

use crate::script::{Act, Shape, Step, encode};

/// Write `fuzz/corpus`, one folder a target.
pub(crate) fn write() -> Result<(), String> {
    let transcripts = transcripts()?;
    let mut seeds = Vec::new();
    for transcript in &transcripts {
        let script = encode(&acts(transcript, 0));
        seeds.push((transcript.protocol.clone(), transcript.name.clone(), script.clone()));
        seeds.push(("engine".into(), transcript.name.clone(), script));
        seeds.push(("recording".into(), transcript.name.clone(), recording(transcript)?));
        seeds.push(("pcap".into(), transcript.name.clone(), capture(transcript)));
    }
    // Several flows at once, step by step in turn.
    for (index, group) in transcripts.chunks(4).enumerate() {
        let flows: Vec<_> = (0..).zip(group).map(|(flow, transcript)| acts(transcript, flow)).collect();
        let longest = flows.iter().map(Vec::len).max().unwrap_or_default();
        let turns = (0..longest).flat_map(|turn| flows.iter().filter_map(move |flow| flow.get(turn).cloned()));
        seeds.push(("engine".into(), format!("together-{index}"), encode(&turns.collect::<Vec<_>>())));
    }
    for tag in RECORD_TAGS {
        seeds.push(("records".into(), format!("tag-{tag}"), records(tag)));
    }
    for (target, name, bytes) in &seeds {
        let folder = root().join("fuzz/corpus").join(target);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        fs::write(folder.join(name), bytes).map_err(|e| format!("{name}: {e}"))?;
    }
    println!("{} seeds from {} transcripts in fuzz/corpus", seeds.len(), transcripts.len());
    Ok(())
}

fn transcripts() -> Result<Vec<Transcript>, String> {
    let parsers = root().join("kindling-protocols/src/parsers");
    let mut found = Vec::new();
    for folder in entries(&parsers)? {
        for file in entries(&folder.join("fixtures")).unwrap_or_default() {
            if file.extension().is_some_and(|is| is == "t") {
                let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
                let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                found.push(Transcript::parse(&name, &text).map_err(|e| e.to_string())?);
            }
        }
    }
    if found.is_empty() { Err(format!("no transcripts under {}", parsers.display())) } else { Ok(found) }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// A transcript as steps of one flow.
fn acts(transcript: &Transcript, flow: u8) -> Vec<Act> {
    let transport = match transcript.transport {
        Transport::Udp => 1,
        Transport::Unix => 2,
        _ => 0,
    };
    let role = match (transcript.vantage, transcript.midstream) {
        (None, true) => 2,
        (Some(Sender::Server), _) => 1,
        _ => 0,
    };
    let wire = u8::from(transcript.vantage.is_none());
    let bits = transport | u8::from(transcript.midstream) << 2 | role << 3 | wire << 5;
    let open = Act { flow, server: false, step: Step::Open(Shape { bits, port: transcript.port }) };
    let steps = transcript.steps.iter().map(|said| {
        let (server, step) = match said {
            Said::Say(sender, bytes) => (*sender == Sender::Server, Step::Say { bytes: bytes.to_vec(), hidden: 0 }),
            Said::Hide(sender, len) => (
                *sender == Sender::Server,
                Step::Say { bytes: Vec::new(), hidden: u16::try_from(*len).unwrap_or(u16::MAX) },
            ),
            Said::Miss(sender, len) => (*sender == Sender::Server, Step::Miss(u32::try_from(*len).unwrap_or(u32::MAX))),
            Said::Wait(time) => (false, Step::Wait(u16::try_from(time.as_micros() / 100).unwrap_or(u16::MAX))),
            Said::End(reason) => (false, Step::End(u8::from(*reason == CloseReason::Reset))),
            // A step of a newer kind: nothing happens for as long as nothing can.
            _ => (false, Step::Wait(0)),
        };
        Act { flow, server, step }
    });
    [open].into_iter().chain(steps).collect()
}

fn recording(transcript: &Transcript) -> Result<Vec<u8>, String> {
    let mut writer = Writer::new(Vec::new(), Options::default()).map_err(|e| e.to_string())?;
    writer.write(&transcript.batch()).map_err(|e| e.to_string())?;
    writer.finish().map_err(|e| e.to_string())
}

/// A transcript as a capture of IPv4 packets without link layer; checksums are zero.
fn capture(transcript: &Transcript) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4u32.to_le_bytes());
    file.extend([2u16, 4].iter().flat_map(|n| n.to_le_bytes()));
    file.extend([0u32, 0, 0xffff, LINKTYPE_RAW].iter().flat_map(|n| n.to_le_bytes()));
    let mut serving = false;
    for event in transcript.events() {
        match event {
            Event::Opened(opened) => serving = opened.role == Role::Server,
            Event::Segment(segment) => {
                let packet = packet(transcript, &segment, (segment.direction == Direction::Out) == serving);
                let micros = segment.at.as_nanos() / 1_000;
                let len = packet.len() as u32;
                let head = [(micros / 1_000_000) as u32, (micros % 1_000_000) as u32, len, len];
                file.extend(head.iter().flat_map(|n| n.to_le_bytes()));
                file.extend(packet);
            }
            _ => {}
        }
    }
    file
}

fn packet(transcript: &Transcript, segment: &Segment, by_server: bool) -> Vec<u8> {
    let (client, server) = (([10, 0, 0, 1], 40_000u16), ([10, 0, 0, 2], transcript.port));
    let (from, to) = if by_server { (server, client) } else { (client, server) };
    let udp = transcript.transport == Transport::Udp;
    let mut inner: Vec<u8> = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    if udp {
        inner.extend((8 + segment.data.len() as u16).to_be_bytes());
        inner.extend([0, 0]);
    } else {
        inner.extend((segment.offset as u32).to_be_bytes());
        inner.extend([0, 0, 0, 0, 0x50, TCP_PSH_ACK, 0xff, 0xff, 0, 0, 0, 0]);
    }
    inner.extend(&segment.data);
    let mut packet = vec![0x45, 0];
    packet.extend((20 + inner.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, if udp { 17 } else { 6 }, 0, 0]);
    packet.extend(from.0);
    packet.extend(to.0);
    packet.extend(inner);
    packet
}

/// Two records of a kind, in the form of the fuzz target: length with a mark that the record's own is to be set, record.
fn records(tag: u16) -> Vec<u8> {
    let len: u16 = 512;
    let mut record = vec![0; usize::from(len)];
    record[..2].copy_from_slice(&tag.to_ne_bytes());
    record[2..4].copy_from_slice(&3u16.to_ne_bytes());
    let one = [&(len | 1 << 15).to_le_bytes()[..], &record].concat();
    one.repeat(2)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Kindling's own (`kindling-bpf/bpf/records.h`) and one of a user's.
const RECORD_TAGS: [u16; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0x8001];
const LINKTYPE_RAW: u32 = 101;
const TCP_PSH_ACK: u8 = 0x18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::decode;

    #[test]
    fn a_script_reads_back_as_it_was_written() {
        let text = "# protocol: x\n# port: 80\n>>>\nGET\\r\\n\n<<<\nOK\n><> server 12\n--- 5ms\n=== reset\n";
        let script = acts(&Transcript::parse("t", text).unwrap(), 2);
        assert_eq!(script.len(), 6);
        assert_eq!(decode(&encode(&script)), script);
    }

    #[test]
    fn every_byte_string_is_a_script() {
        for byte in 0..=255u8 {
            for len in 0..6 {
                decode(&vec![byte; len]);
            }
        }
    }

    #[test]
    fn every_transcript_gives_a_capture_of_its_bytes() {
        for transcript in transcripts().unwrap() {
            let capture = kindling_core::source::Source::new(std::io::Cursor::new(capture(&transcript))).unwrap();
            let bytes = |event: &Event| match event {
                Event::Segment(segment) => segment.data.len(),
                _ => 0,
            };
            let read: usize = capture.flat_map(|batch| batch.unwrap().events).map(|event| bytes(&event)).sum();
            let written: usize = transcript.events().iter().map(bytes).sum();
            assert_eq!(read, written, "{}", transcript.name);
        }
    }
}
