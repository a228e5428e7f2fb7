//! The demonstration: a client and a server on loopback, in a process of their own, and a server that stops listening now and then.
//!
//! A socket filter on the server's end throws away what arrives, as a lossy network would, so the client's kernel really sends again. It
//! takes no privilege and no network namespace, and ends with its socket: whatever becomes of this process, nothing stays behind.

use std::{
    env,
    ffi::OsStr,
    io::{self, Read, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use socket2::{SockFilter, SockRef};

/// This program again, to play the demonstration.
pub(crate) fn command() -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(PLAY);
    Ok(command)
}

/// If this process is to play it: do.
pub(crate) fn play() -> Option<ExitCode> {
    if env::args_os().nth(1).as_deref() != Some(OsStr::new(PLAY)) {
        return None;
    }
    Some(match converse() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the demonstration failed: {error}");
            ExitCode::FAILURE
        }
    })
}

fn converse() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    let ears = server.try_clone()?;
    let serving = thread::spawn(move || serve(server));
    for deaf in [false, true, false, true] {
        let path = if deaf { "/unheard" } else { "/heard" };
        if deaf {
            SockRef::from(&ears).attach_filter(&[KEEP_NOTHING])?;
        }
        write!(client, "GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n")?;
        if deaf {
            thread::sleep(DEAF);
            SockRef::from(&ears).detach_filter()?;
        }
        client.read_exact(&mut [0; ANSWER.len()])?;
    }
    drop(client);
    serving.join().unwrap_or_else(|_| Err(io::Error::other("the server panicked")))
}

/// Answer each request until the client goes.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        request.extend(piece.iter().take(read));
        if request.ends_with(b"\r\n\r\n") {
            stream.write_all(ANSWER)?;
            request.clear();
        }
    }
}

/// `BPF_RET | BPF_K` of 0: of each packet keep so many bytes.
const KEEP_NOTHING: SockFilter = SockFilter::new(6, 0, 0, 0);
/// Linux waits some 200 ms for an acknowledgement.
const DEAF: Duration = Duration::from_millis(500);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const PLAY: &str = "__play";
