//! The load: this test binary, started again, so that it is a process apart from the one that watches.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

/// Requests on one connection; the last says that it is the last.
pub(crate) const PER_CONNECTION: u64 = 20;

/// A generator at work on one server.
pub(crate) struct Generator {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Generator {
    pub(crate) fn start(address: &str) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "generator::generate", "--nocapture"]).env(TARGET, address);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Make `requests` more requests; each must get its own answer.
    pub(crate) fn run(&mut self, requests: u64) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{requests}").unwrap();
        let answered = self.stdout.by_ref().lines().find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("answered ").map(|count| count.parse::<u64>().unwrap())
        });
        assert_eq!(answered, Some(requests), "of the generator");
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // Its work is done, or the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What request `number` asks for, and the status it gets.
pub(crate) fn plan(number: u64) -> (&'static str, &'static str) {
    [("/found", "200"), ("/made", "201"), ("/missing", "404")][(number % 3) as usize]
}

/// Not a test: the entry of the generator.
#[test]
fn generate() {
    let Ok(address) = std::env::var(TARGET) else { return };
    let mut number = 0;
    for line in std::io::stdin().lock().lines() {
        let requests: u64 = line.unwrap().parse().unwrap();
        assert_eq!(requests % PER_CONNECTION, 0);
        // Each takes every other connection.
        let worker = |thread: u64| {
            let address = address.clone();
            let connections = (thread..requests / PER_CONNECTION).step_by(THREADS as usize);
            let converse = move |connection| converse(&address, number + connection * PER_CONNECTION);
            thread::spawn(move || connections.map(converse).sum::<u64>())
        };
        let workers: Vec<_> = (0..THREADS).map(worker).collect();
        let answered: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        println!("\nanswered {answered}");
        number += requests;
    }
}

/// One connection, whose first request has the number `first`; says how many answers were right.
fn converse(address: &str, first: u64) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answers = Answers::default();
    let last = first + PER_CONNECTION - 1;
    let right = (first..=last).filter(|&number| {
        let (path, status) = plan(number);
        let connection = if number == last { "close" } else { "keep-alive" };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {number}\r\nConnection: {connection}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let head = answers.next(&mut stream);
        head.starts_with(&format!("HTTP/1.1 {status} ")) && head.contains(&format!("\r\nX-Request-Id: {number}\r\n"))
    });
    let right = right.count() as u64;
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the server keeps the connection");
    right
}

/// Answers of one connection.
#[derive(Default)]
struct Answers(Vec<u8>);

impl Answers {
    /// The head of the next one, whose body is read as well.
    fn next(&mut self, stream: &mut TcpStream) -> String {
        loop {
            if let Some(head) = self.0.windows(4).position(|window| window == b"\r\n\r\n") {
                let text = String::from_utf8(self.0[..head + 4].to_vec()).unwrap();
                let length = text.split_once("Content-Length: ").unwrap().1.split("\r\n").next().unwrap();
                let end = head + 4 + length.parse::<usize>().unwrap();
                if self.0.len() >= end {
                    self.0.drain(..end);
                    return text;
                }
            }
            let mut chunk = [0; 2048];
            let len = stream.read(&mut chunk).unwrap();
            assert!(len > 0, "the server closed the connection");
            self.0.extend(&chunk[..len]);
        }
    }
}

const TARGET: &str = "KINDLING_TEST_LOAD";
const THREADS: u64 = 2;
