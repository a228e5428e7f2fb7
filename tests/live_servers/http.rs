//! nginx with curl and with a client that pipelines.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    nginx::{self, BIG, asked, log, rows},
    servers::{Observe, Seen, Server, paths},
};

/// Run curl under `observe` of it and of `server`.
fn curl(path: kindling::bpf::Path, server: &Server, arguments: &[String]) -> Seen {
    let pid = server.pid();
    // The shell leaves the server the time to come back from its last call.
    let mut command = vec!["--pid", &pid, "--", "sh", "-c", "\"$@\" >&2 || exit; sleep 0.4", "sh", "curl", "-sS"];
    command.extend(arguments.iter().map(String::as_str));
    Observe::start(path, &command).wait(Duration::from_secs(60)).whole()
}

/// `-o /dev/null` and the URL, for each of `names`.
fn get(server: &Server, names: &[&str]) -> Vec<String> {
    names
        .iter()
        .flat_map(|name| ["-o".into(), "/dev/null".into(), format!("http://{}{name}", server.address())])
        .collect()
}

fn flows(seen: &Seen, side: &str) -> usize {
    let of = |e: &&Value| e["side"] == side && e["transport"] == "tcp";
    seen.exchanges.iter().filter(of).map(|e| e["flow"].as_str()).collect::<BTreeSet<_>>().len()
}

#[test]
fn one_connection_of_curl_with_every_kind_of_answer() {
    for path in paths() {
        let server = nginx::start();
        let mut arguments = get(&server, &["/plain", "/page", "/zipped", "/missing", "/broken", "/behind", "/plain"]);
        arguments.push("--compressed".into());
        arguments.extend(["--next", "-sS", "-I"].map(str::to_owned));
        arguments.extend(get(&server, &["/plain", "/missing", "/page"]));
        let seen = curl(path, &server, &arguments);
        let truth = log(&server);
        let wanted = [
            ("GET", "/plain", "200"),
            ("GET", "/page", "200"),
            ("GET", "/zipped", "200"),
            ("GET", "/missing", "404"),
            ("GET", "/broken", "503"),
            ("GET", "/behind", "200"),
            ("GET", "/plain", "200"),
            ("HEAD", "/plain", "200"),
            ("HEAD", "/missing", "404"),
            ("HEAD", "/page", "200"),
        ];
        assert_eq!(asked(&truth), wanted);
        for side in ["client", "server"] {
            assert_eq!(rows(&seen.exchanges, side), truth, "{path}, {side}");
            assert_eq!(flows(&seen, side), 1, "{path}, {side}");
        }
        // nginx asked its backend, itself, over a Unix socket.
        let unix: Vec<_> = seen.exchanges.iter().filter(|e| e["transport"] == "unix").collect();
        assert_eq!(unix.len(), 2, "{path}: {}", seen.text);
        assert!(unix.iter().all(|e| e["resource"] == "/inner" && e["outcome"] == "complete"), "{path}: {unix:?}");
        // Of a Unix socket the kernel keeps no count of bytes that would tell a new one from an old one.
        let clean = |e: &&Value| e["transport"] == "unix" || e["quality"] == Value::Array(vec![]);
        assert_eq!(seen.exchanges.iter().find(|e| !clean(e)), None, "{path}");
        assert_eq!(seen.number("exchanges", "opened"), 2 * wanted.len() as u64 + 2, "{path}");
    }
}

#[test]
fn an_upload_of_ten_megabytes_after_100_continue() {
    for path in paths() {
        let server = nginx::start();
        let file = server.folder.path().join("ten");
        fs::write(&file, vec![b'u'; TEN]).unwrap();
        let put = |name: &str| format!("http://{}/dav/{name}", server.address());
        let expect = ["-o", "/dev/null", "-H", "Expect: 100-continue", "-T"].map(str::to_owned);
        let mut arguments = [&expect[..], &[file.display().to_string(), put("sized")]].concat();
        // And without a length told before.
        arguments.extend(["--next", "-sS", "-H", "Transfer-Encoding: chunked"].map(str::to_owned));
        arguments.extend([&expect[..], &[file.display().to_string(), put("chunked")]].concat());
        // And one that is answered before it is read.
        arguments.extend(["--next", "-sS", "-o", "/dev/null", "--data-binary"].map(str::to_owned));
        arguments.extend([format!("@{}", file.display()), format!("http://{}/plain", server.address())]);
        let seen = curl(path, &server, &arguments);
        for name in ["sized", "chunked"] {
            let stored = fs::metadata(server.folder.path().join("www/dav").join(name)).unwrap().len();
            assert_eq!(stored, TEN as u64, "{path}");
        }
        let truth = log(&server);
        assert_eq!(
            asked(&truth),
            [("PUT", "/dav/sized", "201"), ("PUT", "/dav/chunked", "201"), ("POST", "/plain", "200")]
        );
        for side in ["client", "server"] {
            let seen = rows(&seen.exchanges, side);
            assert_eq!(asked(&seen), asked(&truth), "{path}, {side}");
            for (seen, known) in seen.iter().zip(&truth).take(2) {
                assert!(seen.3 >= TEN as u64 && seen.3 == known.3, "{path}, {side}: {seen:?}, not {known:?}");
                assert_eq!(seen.4, known.4, "{path}, {side}: {seen:?}");
            }
        }
        let size = |name: &str| {
            let of = |e: &Value| e["resource"] == name && e["side"] == "server";
            seen.exchanges.iter().find(|e| of(e)).unwrap()["attributes"]["http.request.body.size"].as_u64()
        };
        assert_eq!(size("/dav/sized"), Some(TEN as u64), "{path}");
        assert!(size("/dav/chunked") >= Some(TEN as u64), "{path}");
    }
}

#[test]
fn a_file_by_sendfile_is_counted_and_not_copied() {
    for path in paths() {
        let server = nginx::start();
        let seen = curl(path, &server, &get(&server, &["/big", "/plain", "/big", "/plain"]));
        let truth = log(&server);
        let paths = ["/big", "/plain", "/big", "/plain"];
        assert_eq!(asked(&truth), paths.map(|name| ("GET", name, "200")));
        for side in ["client", "server"] {
            assert_eq!(rows(&seen.exchanges, side), truth, "{path}, {side}");
        }
        assert!(truth[0].4 > BIG as u64);
        let moved = seen.number("bytes", "advanced");
        assert!(moved > 4 * BIG as u64, "{path}: {}", seen.ledger);
        assert!(seen.number("bytes", "captured") < moved / 4, "{path}: {}", seen.ledger);
        assert_eq!(seen.number("bytes", "lost") + seen.number("bytes", "rejected"), 0, "{path}: {}", seen.ledger);
    }
}

#[test]
fn pipelined_requests_get_their_own_answers_in_order() {
    for path in paths() {
        let server = nginx::start();
        let observe = Observe::start(path, &["--pid", &server.pid()]);
        let requests = [
            "GET /plain",
            "HEAD /page",
            "GET /missing",
            "GET /page",
            "POST /plain",
            "GET /broken",
            "GET /behind",
            "GET /plain",
        ];
        let all: String = requests
            .iter()
            .map(|request| {
                let (fields, body) =
                    if request.starts_with("POST") { ("Content-Length: 5\r\n", "12345") } else { ("", "") };
                format!("{request} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
            })
            .collect();
        let last = "GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut client = TcpStream::connect(server.address()).unwrap();
        // Twice: at once, and cut where no message ends.
        client.write_all(all.as_bytes()).unwrap();
        for piece in all.as_bytes().chunks(29) {
            client.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        client.write_all(last.as_bytes()).unwrap();
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).unwrap();
        // nginx waits for it before it writes its log.
        drop(client);
        let seen = observe.stop().whole();
        let truth = log(&server);
        let statuses = ["200", "200", "404", "200", "200", "503", "200", "200"];
        let wanted = requests.into_iter().zip(statuses).map(|(request, status)| {
            let (method, path) = request.split_once(' ').unwrap();
            (method, path, status)
        });
        let wanted: Vec<_> = wanted.clone().chain(wanted).chain([("GET", "/plain", "200")]).collect();
        assert_eq!(asked(&truth), wanted, "{path}");
        let rows = rows(&seen.exchanges, "server");
        for (seen, known) in rows.iter().zip(&truth) {
            // nginx does not count a body that it throws away.
            let body = if seen.0 == "POST" { 5 } else { 0 };
            assert_eq!((seen.3, seen.4), (known.3 + body, known.4), "{path}: {seen:?}");
        }
        assert_eq!(asked(&rows), wanted, "{path}");
        assert_eq!(rows.iter().map(|row| row.4).sum::<u64>(), answers.len() as u64, "{path}");
        assert_eq!(flows(&seen, "server"), 1, "{path}");
    }
}

#[test]
fn a_client_that_goes_away_is_no_answer() {
    for path in paths() {
        let server = nginx::start();
        let observe = Observe::start(path, &["--pid", &server.pid()]);
        // Half a request, and a whole one beside it.
        let mut half = TcpStream::connect(server.address()).unwrap();
        half.write_all(b"GET /plain HTTP/1.1\r\nHost:").unwrap();
        let whole = Command::new("curl").args(["-sS", &format!("http://{}/plain", server.address())]).output().unwrap();
        assert_eq!(whole.stdout, b"plain\n");
        drop(half);
        let seen = observe.stop().whole();
        let complete = rows(&seen.exchanges, "server");
        assert_eq!(asked(&complete), [("GET", "/plain", "200")], "{path}");
        assert_eq!(seen.number("exchanges", "complete"), 1, "{path}: {}", seen.ledger);
    }
}

const TEN: usize = 10 << 20;
