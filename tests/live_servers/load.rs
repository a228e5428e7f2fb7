//! wrk and redis-benchmark: their own counts, exactly.

use std::{collections::BTreeMap, process::Command, time::Duration};

use crate::{
    nginx,
    redis::{self, calls},
    servers::{Observe, paths},
};

/// Run wrk for a second with `connections`; says how many answers it got.
fn wrk(url: &str, connections: u64, fields: &[&str]) -> u64 {
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "-c", &connections.to_string(), "-d", "1s"]);
    fields.iter().for_each(|field| {
        command.args(["-H", field]);
    });
    let output = command.arg(url).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains("Socket errors"), "{text}");
    let line = text.lines().find(|line| line.contains(" requests in ")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn the_count_of_wrk_with_and_without_churn() {
    const CONNECTIONS: u64 = 8;
    for path in paths() {
        for (name, fields) in [("/plain", &[][..]), ("/churn", &[]), ("/plain", &["Connection: close"])] {
            let server = nginx::start();
            let observe = Observe::start(path, &["--summary", "--ring", "64", "--pid", &server.pid()]);
            let counted = wrk(&format!("http://{}{name}", server.address()), CONNECTIONS, fields);
            observe.rest();
            let peak = observe.peak();
            let seen = observe.stop().whole();
            eprintln!("{path} {name} {fields:?}: {counted} by wrk, peak {peak} KiB: {}", seen.ledger["exchanges"]);
            let (opened, complete) = (seen.number("exchanges", "opened"), seen.number("exchanges", "complete"));
            // What was in flight when wrk went away it does not count; nginx does.
            assert!((counted..=counted + CONNECTIONS).contains(&complete), "{path} {name}: {counted}, {}", seen.ledger);
            assert!((complete..=counted + CONNECTIONS).contains(&opened), "{path} {name}: {counted}, {}", seen.ledger);
            let logged = nginx::log(&server);
            assert_eq!(opened, logged.len() as u64, "{path} {name}: {}", seen.ledger);
            let answered = logged.iter().filter(|row| row.2 == "200").count();
            assert!(answered as u64 >= complete && counted > 100, "{path} {name}");
        }
    }
}

#[test]
fn the_count_of_a_pipelining_benchmark() {
    const REQUESTS: u64 = 20_000;
    for path in paths() {
        let server = redis::start(&[]);
        let observe = Observe::start(path, &["--ring", "64", "--pid", &server.pid()]);
        let port = server.port.to_string();
        let mut benchmark = Command::new("redis-benchmark");
        benchmark.args(["-h", "127.0.0.1", "-p", &port, "-P", "16", "-n", &REQUESTS.to_string(), "-c", "10"]);
        let output = benchmark.args(["-t", "get,set", "-q"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let seen = observe.stop().whole();
        let mut counts = BTreeMap::new();
        for exchange in &seen.exchanges {
            assert_eq!((&exchange["outcome"], &exchange["side"]), (&"complete".into(), &"server".into()), "{exchange}");
            *counts.entry(exchange["operation"].as_str().unwrap().to_lowercase()).or_insert(0) += 1;
        }
        assert_eq!((counts["get"], counts["set"]), (REQUESTS, REQUESTS), "{path}: {counts:?}");
        // Redis counts `config|get`, we the command.
        let mut known = calls(&server);
        let configs = known.remove("config|get").unwrap_or(0);
        known.insert("config".into(), configs);
        known.retain(|_, count| *count > 0);
        let seen_config = counts.iter().filter(|(name, _)| name.starts_with("config")).map(|(_, n)| n).sum::<u64>();
        assert_eq!(seen_config, configs, "{path}: {counts:?}");
        assert_eq!(counts.values().sum::<u64>(), known.values().sum::<u64>(), "{path}: {counts:?}, {known:?}");
    }
}

#[test]
fn a_value_of_three_megabytes() {
    const SIZE: u64 = 3 << 20;
    for path in paths() {
        let server = redis::start(&[]);
        let file = server.folder.path().join("big");
        std::fs::write(&file, vec![b'v'; 3 << 20]).unwrap();
        let script = format!(
            "redis-cli -p {0} -x SET big <{1} >/dev/null; redis-cli -p {0} GET big >/dev/null; redis-cli -p {0} GET none >/dev/null; sleep 0.4",
            server.port,
            file.display()
        );
        let command = ["--pid", &server.pid(), "--", "sh", "-c", &script];
        let seen = Observe::start(path, &command).wait(Duration::from_secs(60)).whole();
        for side in ["client", "server"] {
            let of_side = seen.exchanges.iter().filter(|e| e["side"] == side);
            let rows: Vec<_> = of_side
                .map(|e| (e["operation"].as_str(), e["request_bytes"].as_u64(), e["response_bytes"].as_u64()))
                .collect();
            // `*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$3145728\r\n..\r\n` and `+OK\r\n`.
            let wanted = [
                (Some("SET"), Some(SIZE + 4 + 9 + 9 + 10 + 2), Some(5)),
                (Some("GET"), Some(4 + 9 + 9), Some(SIZE + 10 + 2)),
                (Some("GET"), Some(4 + 9 + 10), Some(5)),
            ];
            assert_eq!(rows, wanted, "{path}, {side}: {}", seen.text);
        }
        // Four times that much moved, at both ends. How soon the kernel hears that values are skipped depends on the load.
        assert!(seen.number("bytes", "captured") < 3 * SIZE, "{path}: {}", seen.ledger);
    }
}
