//! A small shop as four processes: a front that speaks HTTP, the backend and the store it calls, and a client.
//!
//! All are this program again with a hidden first argument. They talk over loopback, on ports the kernel picks, and end when their standard
//! input does, so whatever becomes of their parent nothing stays behind.

mod backend;
mod client;
mod front;
mod http;
mod store;

use std::{
    env,
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    thread,
};

/// The running shop.
pub(crate) struct Shop {
    client: Child,
    /// Held back until somebody watches.
    start: Option<ChildStdin>,
    servers: Vec<Child>,
    pub(crate) front: SocketAddr,
}

impl Shop {
    /// Start all processes; the client waits for [`open`](Self::open).
    pub(crate) fn new() -> io::Result<Self> {
        let (store, store_address) = server("store", &[])?;
        let (backend, backend_address) = server("backend", &[])?;
        let (front, address) = server("front", &[backend_address, store_address])?;
        let mut client = part("client", &[address]).stdin(Stdio::piped()).spawn()?;
        let start = client.stdin.take();
        Ok(Self { client, start, servers: vec![store, backend, front], front: address })
    }

    /// The processes.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        [&self.client].into_iter().chain(&self.servers).map(Child::id)
    }

    /// Let the client in. It stays for some eight seconds.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        self.start.as_mut().map_or(Ok(()), |start| start.write_all(b"\n"))
    }

    /// Whether the client has gone.
    pub(crate) fn closed(&mut self) -> io::Result<bool> {
        Ok(self.client.try_wait()?.is_some())
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for child in [&mut self.client].into_iter().chain(&mut self.servers) {
            // Its own children it has none, and it may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// If this process is a part of the shop: play it. `system` is the whole shop, watched by nobody.
pub(crate) fn play() -> Option<ExitCode> {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some(PART) {
        return None;
    }
    let name = arguments.next().unwrap_or_default();
    let addresses: Vec<SocketAddr> = arguments.filter_map(|argument| argument.parse().ok()).collect();
    let played = match (&*name, &*addresses) {
        ("store", []) => serve(store::connection),
        ("backend", []) => serve(backend::connection),
        ("front", &[backend, store]) => serve(move |stream| front::connection(stream, backend, store)),
        ("client", &[front]) => client::visit(front),
        ("system", []) => system(),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    Some(played.map_or_else(
        |error| {
            eprintln!("demo, {name}: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    ))
}

fn system() -> io::Result<()> {
    let mut shop = Shop::new()?;
    shop.open()?;
    shop.client.wait().map(drop)
}

fn part(name: &str, addresses: &[SocketAddr]) -> Command {
    let program = env::current_exe().unwrap_or_else(|_| OsStr::new("/proc/self/exe").into());
    let mut command = Command::new(program);
    command.args([PART, name]).args(addresses.iter().map(SocketAddr::to_string));
    command
}

/// Start a server and learn its address.
fn server(name: &str, addresses: &[SocketAddr]) -> io::Result<(Child, SocketAddr)> {
    let mut child = part(name, addresses).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    let address = line.trim().parse().map_err(|_| io::Error::other(format!("the demo's {name} did not start")))?;
    Ok((child, address))
}

/// Accept connections, say where, and let `connection` answer each in a thread of its own, until standard input ends.
fn serve(connection: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let name = env::args().nth(2).unwrap_or_default();
    let accept = move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let connection = connection.clone();
            // A client that goes away in the middle is no reason to stop.
            let answer = move || drop(stream.set_nodelay(true).and_then(|()| connection(stream)));
            // Threads bear the part's name, so that what they do can be told apart.
            let _ = thread::Builder::new().name(format!("{name}-{number}")).spawn(answer);
        }
    };
    thread::spawn(accept);
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

const PART: &str = "__demo";
