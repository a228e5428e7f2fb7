//! redis-server with redis-cli.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use kindling::bpf::Path;
use serde_json::Value;

use crate::servers::{Observe, Seen, Server, paths};

/// A server that keeps nothing.
pub(crate) fn start(more: &[&str]) -> Server {
    Server::start("redis-server", |folder, port| {
        let folder = folder.display().to_string();
        let port = port.to_string();
        let fixed = ["--bind", "127.0.0.1", "--port", &port, "--dir", &folder, "--save", "", "--appendonly", "no"];
        fixed.iter().chain(more).map(|&argument| argument.to_owned()).collect()
    })
}

fn cli(server: &Server) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-h", "127.0.0.1", "-p", &server.port.to_string()]);
    command
}

/// How often each command was called, as the server counts.
pub(crate) fn calls(server: &Server) -> BTreeMap<String, u64> {
    let output = cli(server).args(["INFO", "commandstats"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let call = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    text.lines().filter_map(call).collect()
}

/// What `observe` sees of the server while redis-cli runs each of `commands`.
fn session(path: Path, server: &Server, options: &[&str], commands: &[&str]) -> (Seen, String) {
    let pid = server.pid();
    let observe = Observe::start(path, &[&["--pid", &pid], options].concat());
    let said = commands.iter().map(|command| {
        let output = cli(server).args(command.split(' ')).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let said = said.collect();
    (observe.stop().whole(), said)
}

fn rows(exchanges: &[Value]) -> Vec<(&str, &str, &str, &str)> {
    exchanges
        .iter()
        .map(|e| (text(e, "operation"), text(e, "resource"), text(e, "status"), text(e, "outcome")))
        .collect()
}

fn text<'a>(exchange: &'a Value, name: &str) -> &'a str {
    exchange[name].as_str().unwrap_or("-")
}

#[test]
fn commands_and_errors() {
    for path in paths() {
        let server = start(&[]);
        let commands = [
            "SET greeting hello",
            "GET greeting",
            "GET nothing",
            "INCR greeting",
            "BOGUS x",
            "HSET user:4711 name Ann",
            "LPUSH greeting x",
            "PING",
        ];
        let (seen, said) = session(path, &server, &["--raw"], &commands);
        assert!(said.contains("hello") && said.contains("ERR value is not an integer"), "{said}");
        let wanted = [
            ("SET", "greeting", "OK", "complete"),
            ("GET", "greeting", "OK", "complete"),
            ("GET", "nothing", "OK", "complete"),
            ("INCR", "greeting", "ERR", "complete"),
            ("_OTHER", "-", "ERR", "complete"),
            ("HSET", "user:4711", "OK", "complete"),
            ("LPUSH", "greeting", "WRONGTYPE", "complete"),
            ("PING", "-", "OK", "complete"),
        ];
        assert_eq!(rows(&seen.exchanges), wanted, "{path}");
        let clean = |e: &Value| e["protocol"] == "redis" && e["quality"] == Value::Array(vec![]);
        assert!(seen.exchanges.iter().all(clean), "{path}: {}", seen.text);
        assert_eq!(seen.exchanges[1]["attributes"]["redis.hit"], true, "{path}");
        assert_eq!(seen.exchanges[2]["attributes"]["redis.hit"], false, "{path}");
        assert!(["hello", "Ann", "BOGUS"].iter().all(|content| !seen.text.contains(content)), "{path}");
    }
}

/// All in one write, on one connection.
#[test]
fn a_transaction_in_a_pipeline() {
    for path in paths() {
        let server = start(&[]);
        let observe = Observe::start(path, &["--raw", "--pid", &server.pid()]);
        let mut client = cli(&server).arg("--pipe").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = "SET visits 1\r\nMULTI\r\nINCR visits\r\nINCR visits\r\nEXEC\r\nGET visits\r\n";
        client.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let said = String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap();
        // Its own ECHO, which ends the session, it does not count.
        assert!(said.contains("errors: 0, replies: 6"), "{said}");
        let seen = observe.stop().whole();
        let operations: Vec<_> = rows(&seen.exchanges).into_iter().map(|row| (row.0, row.2, row.3)).collect();
        let wanted = ["SET", "MULTI", "INCR", "INCR", "EXEC", "GET", "ECHO"].map(|name| (name, "OK", "complete"));
        assert_eq!(operations, wanted, "{path}: {}", seen.text);
        assert_eq!(seen.exchanges[4]["attributes"]["db.operation.batch.size"], 2, "{path}");
    }
}

/// redis-cli asks for a description of all commands first, some 170 kB in three writes with thousands of elements, of which the server's side
/// shows the beginnings only. What follows is paired rightly as soon as there was silence, and nothing is paired wrongly.
#[test]
fn after_a_reply_too_long_to_be_seen() {
    for path in paths() {
        let server = start(&[]);
        let lines = "(echo SET a b; echo GET a; sleep 0.5; echo GET a; echo INCR a; echo LPUSH a x)";
        let script = format!("{lines} | redis-cli -p {} >/dev/null; sleep 0.4", server.port);
        let arguments = ["--raw", "--pid", &server.pid(), "--", "sh", "-c", &script];
        let seen = Observe::start(path, &arguments).wait(Duration::from_secs(60)).whole();
        let side = |side: &str| {
            let of_side = seen.exchanges.iter().filter(|e| e["side"] == side && e["outcome"] == "complete");
            rows(&of_side.cloned().collect::<Vec<_>>())
                .iter()
                .map(|row| format!("{} {}", row.0, row.2))
                .collect::<Vec<_>>()
        };
        let wanted =
            ["COMMAND DOCS OK", "SET OK", "GET OK", "GET OK", "INCR ERR", "LPUSH WRONGTYPE"].map(str::to_owned);
        assert_eq!(side("client"), wanted, "{path}");
        assert!(side("server").ends_with(&wanted[3..]), "{path}: {:?}", side("server"));
        assert!(side("server").iter().all(|row| wanted.contains(row)), "{path}: {:?}", side("server"));
    }
}

#[test]
fn passwords_are_never_shown() {
    const SECRETS: [&str; 3] = ["correct-horse", "battery-staple", "zebra-crossing"];
    for path in paths() {
        for options in [&[][..], &["--raw"]] {
            let server = start(&["--requirepass", SECRETS[0]]);
            let commands = [
                "PING",
                "AUTH battery-staple",
                "AUTH nobody battery-staple",
                "HELLO 3 AUTH default correct-horse",
                "--no-auth-warning -a battery-staple PING",
                "--no-auth-warning -a correct-horse CONFIG SET maxmemory 0 masterauth zebra-crossing",
                "--no-auth-warning -a correct-horse ACL SETUSER bob on >zebra-crossing ~* +@all",
                "--no-auth-warning --user bob -a zebra-crossing MIGRATE 127.0.0.1 1 k 0 10 AUTH zebra-crossing",
                "--no-auth-warning --user bob -a zebra-crossing SET k v",
            ];
            let (seen, said) = session(path, &server, options, &commands);
            assert!(said.contains("NOAUTH") && said.contains("WRONGPASS") && said.contains("OK"), "{said}");
            for secret in SECRETS {
                assert!(!seen.text.contains(secret), "{path}, {options:?}: {}", seen.text);
            }
            let wanted = [
                ("PING", "NOAUTH"),
                ("AUTH", "WRONGPASS"),
                ("AUTH", "WRONGPASS"),
                ("HELLO", "OK"),
                ("AUTH", "WRONGPASS"),
                ("PING", "NOAUTH"),
                ("AUTH", "OK"),
                ("CONFIG SET", "OK"),
                ("AUTH", "OK"),
                ("ACL SETUSER", "OK"),
                ("AUTH", "OK"),
                ("MIGRATE", "OK"),
                ("AUTH", "OK"),
                ("SET", "OK"),
            ];
            let seen: Vec<_> = rows(&seen.exchanges).into_iter().map(|row| (row.0, row.2)).collect::<Vec<_>>();
            assert_eq!(seen, wanted, "{path}: {said}");
        }
    }
}

/// Ends what it holds.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn published_messages_are_one_way_to_the_subscriber() {
    for path in paths() {
        let server = start(&[]);
        let observe = Observe::start(path, &["--raw", "--pid", &server.pid()]);
        let mut subscriber =
            Ended(cli(&server).args(["SUBSCRIBE", "news", "weather"]).stdout(Stdio::piped()).spawn().unwrap());
        let mut heard = BufReader::new(subscriber.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Of each confirmation: the kind, the channel, the count.
        assert!(heard.by_ref().any(|line| line == "2"));
        for message in ["first", "second", "third"] {
            let output = cli(&server).args(["PUBLISH", "news", message]).output().unwrap();
            assert_eq!(output.stdout, b"1\n");
        }
        assert!(heard.by_ref().any(|line| line == "third"));
        let output = cli(&server).args(["PUBLISH", "nowhere", "x"]).output().unwrap();
        assert_eq!(output.stdout, b"0\n");
        drop(subscriber);
        let seen = observe.stop().whole();
        let all = rows(&seen.exchanges);
        let published: Vec<_> = all.iter().filter(|row| row.0 == "PUBLISH").map(|row| (row.1, row.3)).collect();
        assert_eq!(
            published,
            [("news", "complete"), ("news", "complete"), ("news", "complete"), ("nowhere", "complete")]
        );
        let pushed = seen.exchanges.iter().filter(|e| e["outcome"] == "one_way").count();
        assert_eq!((pushed as u64, seen.number("exchanges", "one_way")), (3, 3), "{path}: {all:?}");
        let subscribed: Vec<_> = all.iter().filter(|row| row.0 == "SUBSCRIBE").collect();
        assert!(subscribed.len() == 1 && subscribed[0].3 == "complete", "{path}: {all:?}");
        assert_eq!(all.len(), 4 + 3 + 1, "{path}: {all:?}");
        assert!(!seen.text.contains("second"), "{path}");
    }
}
