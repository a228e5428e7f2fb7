//! dnsmasq with dig, and with a resolver that asks two servers from one socket.

use std::{
    net::UdpSocket,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use kindling::bpf::Path;
use serde_json::{Value, json};

use crate::{
    resolver,
    servers::{Observe, Seen, Server, paths},
};

/// A server that knows these names and asks nobody.
fn start(records: &[&str]) -> Server {
    Server::start("dnsmasq", |folder, port| {
        let port = format!("--port={port}");
        let pid = format!("--pid-file={}", folder.join("pid").display());
        let fixed = ["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"];
        let more = ["--listen-address=127.0.0.1", "--user=root", "--local=/test/", &port, &pid];
        fixed.iter().chain(&more).chain(records).map(|&argument| argument.to_owned()).collect()
    })
}

/// Run a command under `observe` of it and of the servers.
fn traced(path: Path, servers: &[&Server], command: &[String]) -> Seen {
    let mut arguments: Vec<String> = servers.iter().flat_map(|server| ["--pid".to_owned(), server.pid()]).collect();
    arguments.extend(["--", "sh", "-c", "\"$@\" >&2 || exit; sleep 0.4", "sh"].map(str::to_owned));
    arguments.extend(command.iter().cloned());
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    Observe::start(path, &arguments).wait(Duration::from_secs(60)).whole()
}

fn row(e: &Value) -> (&str, &str, &str, &str) {
    let text = |name: &str| e[name].as_str().unwrap_or("-");
    (text("transport"), text("operation"), text("resource"), text("status"))
}

#[test]
fn dig_over_udp_and_tcp() {
    let records = [
        "--host-record=host.test,10.1.2.3,fd00::7",
        "--txt-record=text.test,some text",
        "--srv-host=_ldap._tcp.test,host.test,389",
    ];
    for path in paths() {
        let server = start(&records);
        let questions = [
            ("host.test", "A", false),
            ("host.test", "AAAA", false),
            ("missing.test", "A", false),
            ("text.test", "TXT", false),
            ("_ldap._tcp.test", "SRV", false),
            ("host.test", "A", true),
            ("missing.test", "AAAA", true),
        ];
        // One dig asks them all, one after the other.
        let mut command = ["dig", "+tries=1", "@127.0.0.1", "-p", &server.port.to_string()].map(str::to_owned).to_vec();
        for (name, kind, tcp) in questions {
            command.extend([name, kind, if tcp { "+tcp" } else { "+notcp" }].map(str::to_owned));
        }
        let seen = traced(path, &[&server], &command);
        for side in ["client", "server"] {
            let of_side: Vec<_> = seen.exchanges.iter().filter(|e| e["side"] == side).collect();
            let rows: Vec<_> = of_side.iter().map(|e| row(e)).collect();
            let wanted = questions.map(|(name, kind, tcp)| {
                let status = if name == "missing.test" { "NXDOMAIN" } else { "NOERROR" };
                (if tcp { "tcp" } else { "udp" }, kind, name, status)
            });
            assert_eq!(rows, wanted, "{path}, {side}: {}", seen.text);
            assert!(of_side.iter().all(|e| e["outcome"] == "complete" && e["protocol"] == "dns"), "{path}, {side}");
            let peer = server.address();
            assert!(
                of_side.iter().all(|e| e["server"] == *peer && e["client"] != Value::Null),
                "{path}: {}",
                seen.text
            );
        }
    }
}

#[test]
fn answers_show_with_their_addresses() {
    for path in paths() {
        let server = start(&["--host-record=host.test,10.1.2.3,fd00::7"]);
        let observe = Observe::start(path, &["--raw", "--pid", &server.pid()]);
        for kind in ["A", "AAAA"] {
            let mut dig = Command::new("dig");
            dig.args(["+short", "@127.0.0.1", "-p", &server.port.to_string(), "host.test", kind]);
            let output = dig.output().unwrap();
            assert!(output.stdout == b"10.1.2.3\n" || output.stdout == b"fd00::7\n", "{output:?}");
        }
        let seen = observe.stop().whole();
        let answers: Vec<_> = seen.exchanges.iter().map(|e| &e["attributes"]["dns.answers"]).collect();
        assert_eq!(answers, [&json!(["10.1.2.3"]), &json!(["fd00::7"])], "{path}: {}", seen.text);
    }
}

#[test]
fn one_socket_with_two_servers_and_one_id_at_once() {
    for path in paths() {
        // The two know different answers to the same question.
        let servers =
            [["--address=/test/10.0.0.1"], ["--host-record=same.test,10.0.0.2"]].map(|records| start(&records));
        let [a, b] = servers.each_ref().map(Server::address);
        let mut command = vec!["env".to_owned(), format!("{}=both {a} {b}", resolver::WORK)];
        command.extend(resolver::command());
        let mut arguments = vec!["--raw", "--", "sh", "-c", "\"$@\" >&2", "sh"];
        arguments.extend(command.iter().map(String::as_str));
        let seen = Observe::start(path, &arguments).wait(Duration::from_secs(60)).whole();
        assert_eq!(seen.exchanges.len(), 100, "{path}: {}", seen.text);
        for exchange in &seen.exchanges {
            assert_eq!((&exchange["outcome"], &exchange["side"]), (&json!("complete"), &json!("client")), "{path}");
            let first = exchange["server"] == *a;
            assert!(first || exchange["server"] == *b, "{path}: {exchange}");
            let even = exchange["attributes"]["dns.id"].as_u64().unwrap() % 2 == 0;
            let (name, status, answers) = match (first, even) {
                (true, true) => ("same.test", "NOERROR", json!(["10.0.0.1"])),
                (true, false) => ("host.test", "NOERROR", json!(["10.0.0.1"])),
                (false, true) => ("same.test", "NOERROR", json!(["10.0.0.2"])),
                (false, false) => ("missing.test", "NXDOMAIN", Value::Null),
            };
            assert_eq!(row(exchange), ("udp", "A", name, status), "{path}: {exchange}");
            assert_eq!(exchange["attributes"]["dns.answers"], answers, "{path}: {exchange}");
        }
        let mut ids: Vec<_> =
            seen.exchanges.iter().map(|e| (e["server"].as_str(), e["attributes"]["dns.id"].as_u64())).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 100, "{path}");
    }
}

/// Two of one id are told apart at the servers too: each is asked by one client.
#[test]
fn two_servers_and_their_client_agree() {
    for path in paths() {
        let servers =
            [["--address=/test/10.0.0.1"], ["--host-record=same.test,10.0.0.2"]].map(|records| start(&records));
        let [a, b] = servers.each_ref().map(Server::address);
        let mut command = vec!["env".to_owned(), format!("{}=both {a} {b}", resolver::WORK)];
        command.extend(resolver::command());
        let seen = traced(path, &servers.each_ref(), &command);
        let side = |side: &str| {
            let of_side = seen.exchanges.iter().filter(|e| e["side"] == side);
            let mut rows: Vec<_> = of_side
                .map(|e| (e["client"].as_str(), e["server"].as_str(), e["attributes"]["dns.id"].as_u64(), row(e)))
                .collect();
            rows.sort_unstable();
            rows
        };
        assert_eq!(side("client").len(), 100, "{path}: {}", seen.text);
        assert_eq!(side("client"), side("server"), "{path}");
    }
}

#[test]
fn silence_is_unanswered_at_the_end_of_the_flow() {
    for path in paths() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port().to_string();
        let script = format!("dig +tries=1 +timeout=1 @127.0.0.1 -p {port} nobody.test A >&2");
        let observe = Observe::start(path, &["--", "sh", "-c", &script]);
        // dig fails, and so does what runs it.
        let seen = observe.wait_for(Duration::from_secs(30), 9).whole();
        let rows: Vec<_> = seen.exchanges.iter().map(|e| (row(e), e["outcome"].as_str())).collect();
        assert_eq!(rows, [(("udp", "A", "nobody.test", "-"), Some("unanswered"))], "{path}: {}", seen.text);
    }
}

/// The client keeps its socket and does nothing: only ticks can tell that the time is over.
#[test]
fn silence_is_unanswered_after_the_deadline_by_ticks_alone() {
    for path in paths() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut command = ["--raw", "--", "sh", "-c", "exec \"$@\" >&2", "sh", "env"].map(str::to_owned).to_vec();
        command.push(format!("{}=silence {} 60", resolver::WORK, silent.local_addr().unwrap()));
        command.extend(resolver::command());
        let arguments: Vec<_> = command.iter().map(String::as_str).collect();
        let start = Instant::now();
        let observe = Observe::start(path, &arguments);
        while !observe.printed().contains("unanswered") {
            assert!(start.elapsed() < DEADLINE + Duration::from_secs(10), "{path}: {}", observe.printed());
            thread::sleep(Duration::from_millis(50));
        }
        assert!(start.elapsed() > DEADLINE, "{path}: {:?}", start.elapsed());
        // Ends the child as well.
        let seen = observe.stop().whole();
        let rows: Vec<_> = seen.exchanges.iter().map(|e| (row(e), e["outcome"].as_str())).collect();
        assert_eq!(rows, [(("udp", "A", "nobody.test", "-"), Some("unanswered"))], "{path}: {}", seen.text);
        // It was told by the time, not by the end.
        assert!(!seen.exchanges[0]["quality"].as_array().unwrap().contains(&json!("cut")), "{path}: {}", seen.text);
    }
}

/// Of the protocol.
const DEADLINE: Duration = Duration::from_secs(10);
