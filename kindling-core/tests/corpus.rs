//! Every capture of the corpus, compared byte for byte with what tshark says was on the wire.
//!
//! The corpus is taken from `KINDLING_CORPUS`, by default `../shared/corpus` beside the workspace. Without it, or without tshark, the test says
//! so and does nothing; in CI (`CI` set) that is a failure.

#![expect(clippy::disallowed_methods, reason = "the corpus is a folder of files")]

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use kindling_core::{
    Direction, Event, FlowId, LostClass, Offsets,
    source::{
        pcap::{Capture, Options},
        recording::{self, Reader, Writer},
    },
};

/// Bytes by transport, sender and receiver.
type Account = BTreeMap<(&'static str, String, String), u64>;

/// Captures whose account differs from tshark's, and why. None may be listed that agrees.
const DIFFERENT: &[(&str, &str)] = &[];

#[test]
fn every_capture_gives_the_bytes_that_tshark_sees() {
    let Some(folder) = corpus() else { return };
    let captures = captures(&folder);
    assert!(captures.len() > 50, "{} holds only {} captures", folder.display(), captures.len());
    let (mut wrong, mut bytes) = (Vec::new(), 0);
    let chunks = captures.chunks(captures.len().div_ceil(2));
    std::thread::scope(|scope| {
        let threads: Vec<_> = chunks.map(|paths| scope.spawn(move || compare(paths))).collect();
        for thread in threads {
            let (differences, compared) = thread.join().unwrap();
            wrong.extend(differences);
            bytes += compared;
        }
    });
    eprintln!("{} captures, {bytes} bytes of payload", captures.len());
    assert!(bytes > 1 << 20, "only {bytes} bytes were compared");
    assert!(wrong.is_empty(), "{} of {} captures differ:\n{}", wrong.len(), captures.len(), wrong.join("\n"));
}

#[test]
fn every_capture_yields_sound_events() {
    let Some(folder) = corpus() else { return };
    for path in captures(&folder) {
        let mut next: HashMap<(FlowId, Direction), u64> = HashMap::new();
        let mut open: HashMap<FlowId, Offsets> = HashMap::new();
        let mut latest = None;
        for event in Capture::new(fs::File::open(&path).unwrap(), Options::default()).unwrap().events(&path) {
            assert!(latest <= Some(event.at()), "{}: time goes back: {event:?}", path.display());
            latest = Some(event.at());
            let (flow, direction, offset, len) = match &event {
                Event::Opened(opened) => {
                    assert_eq!(open.insert(opened.flow, opened.offsets), None, "{}: opened twice", path.display());
                    for (direction, first) in [(Direction::Out, opened.first_out), (Direction::In, opened.first_in)] {
                        first.map(|first| next.insert((opened.flow, direction), first));
                    }
                    continue;
                }
                Event::Closed(closed) => {
                    assert!(open.remove(&closed.flow).is_some(), "{}: closed, not open", path.display());
                    continue;
                }
                Event::Segment(s) => (s.flow, s.direction, s.offset, s.len),
                Event::Gap(g) => (g.flow, g.direction, g.offset, g.len),
                _ => continue,
            };
            let expected = next.insert((flow, direction), offset + len).unwrap_or(offset);
            assert!(open.contains_key(&flow), "{}: {event:?} of a flow that is not open", path.display());
            assert_eq!(offset, expected, "{}: {event:?} does not follow what was before", path.display());
        }
        assert!(open.is_empty(), "{}: flows left open", path.display());
    }
}

#[test]
fn every_capture_survives_a_recording() {
    let Some(folder) = corpus() else { return };
    for path in captures(&folder) {
        let capture = || Capture::new(fs::File::open(&path).unwrap(), Options::default()).unwrap();
        let mut writer = Writer::new(Vec::new(), recording::Options::default()).unwrap();
        for batch in capture() {
            writer.write(&batch.unwrap()).unwrap();
        }
        let recording = writer.finish().unwrap();
        let read: Vec<_> = Reader::new(&recording[..]).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, capture().map(Result::unwrap).collect::<Vec<_>>(), "{}", path.display());
    }
}

trait Events {
    fn events(self, path: &Path) -> Vec<Event>;
}

impl<R: std::io::Read> Events for Capture<R> {
    fn events(self, path: &Path) -> Vec<Event> {
        self.flat_map(|batch| batch.unwrap_or_else(|error| panic!("{}: {error}", path.display())).events).collect()
    }
}

/// The differences, and how many bytes were compared.
fn compare(captures: &[PathBuf]) -> (Vec<String>, u64) {
    let (mut wrong, mut bytes) = (Vec::new(), 0);
    for path in captures {
        let (ours, theirs) = (ours(path), theirs(path));
        bytes += theirs.values().sum::<u64>();
        let listed = DIFFERENT.iter().any(|(name, _)| path.ends_with(name));
        if (ours == theirs) == listed {
            let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            let lines = keys.into_iter().filter(|key| ours.get(*key) != theirs.get(*key));
            let lines = lines.map(|key| format!("    {key:?}: {:?}, tshark {:?}", ours.get(key), theirs.get(key)));
            wrong.push(format!("{} (listed: {listed})\n{}", path.display(), lines.collect::<Vec<_>>().join("\n")));
        }
    }
    (wrong, bytes)
}

fn ours(path: &Path) -> Account {
    let capture = Capture::new(fs::File::open(path).unwrap(), Options::default()).unwrap();
    let mut flows = HashMap::new();
    let mut account = Account::new();
    for event in capture.events(path) {
        match event {
            Event::Opened(o) => {
                flows.insert(o.flow, (o.transport.name(), o.local.to_string(), o.remote.to_string()));
            }
            Event::Segment(segment) => {
                let (transport, local, remote) = flows[&segment.flow].clone();
                let key = match segment.direction {
                    Direction::Out => (transport, local, remote),
                    Direction::In => (transport, remote, local),
                };
                if segment.len > 0 {
                    *account.entry(key).or_default() += segment.len;
                }
            }
            Event::Lost(lost) => assert_eq!(lost.class, LostClass::Frame),
            _ => {}
        }
    }
    account
}

/// Distinct sequence numbers by connection and direction, and all datagram bytes.
fn theirs(path: &Path) -> Account {
    let fields = [
        "ip.src",
        "ipv6.src",
        "ip.dst",
        "ipv6.dst",
        "tcp.srcport",
        "tcp.dstport",
        "tcp.stream",
        "tcp.seq_raw",
        "tcp.len",
        "tcp.flags.syn",
        "udp.srcport",
        "udp.dstport",
        "udp.length",
    ];
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(path).args([
        "-T",
        "fields",
        "-E",
        "occurrence=f",
        "-Y",
        "(tcp or udp) and not icmp",
    ]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    let mut account = Account::new();
    let mut seen: HashMap<(String, String, String), Vec<(u32, u32)>> = HashMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let end = |v4: usize, v6: usize, port: &str| {
            if columns[v6].is_empty() { format!("{}:{port}", columns[v4]) } else { format!("[{}]:{port}", columns[v6]) }
        };
        if columns[10].is_empty() {
            let ends = (end(0, 1, columns[4]), end(2, 3, columns[5]));
            let (mut seq, len) = (columns[7].parse::<u32>().unwrap(), columns[8].parse::<u32>().unwrap_or(0));
            seq = seq.wrapping_add(u32::from(matches!(columns[9], "1" | "True")));
            if len > 0 {
                seen.entry((columns[6].to_owned(), ends.0, ends.1)).or_default().push((seq, len));
            }
        } else {
            let len = columns[12].parse::<u64>().unwrap() - 8;
            if len > 0 {
                *account.entry(("udp", end(0, 1, columns[10]), end(2, 3, columns[11]))).or_default() += len;
            }
        }
    }
    for ((_, from, to), ranges) in seen {
        *account.entry(("tcp", from, to)).or_default() += distinct(&ranges);
    }
    account
}

/// How many sequence numbers the ranges cover.
fn distinct(ranges: &[(u32, u32)]) -> u64 {
    let base = ranges[0].0;
    let mut ranges: Vec<(i64, i64)> = ranges
        .iter()
        .map(|(seq, len)| (i64::from(seq.wrapping_sub(base).cast_signed()), i64::from(*len)))
        .map(|(start, len)| (start, start + len))
        .collect();
    ranges.sort_unstable();
    let mut reached = i64::MIN;
    let mut covered = 0;
    for (start, end) in ranges {
        covered += (end - start.max(reached)).max(0);
        reached = reached.max(end);
    }
    covered.cast_unsigned()
}

fn corpus() -> Option<PathBuf> {
    let ci = std::env::var_os("CI").is_some();
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let folder = std::env::var_os("KINDLING_CORPUS").map_or(beside, PathBuf::from);
    let missing = if !folder.is_dir() {
        format!("no corpus at {}", folder.display())
    } else if Command::new("tshark").arg("--version").output().is_err() {
        "no tshark".to_owned()
    } else {
        return Some(folder);
    };
    assert!(!ci, "{missing}");
    eprintln!("skipped: {missing}");
    None
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
