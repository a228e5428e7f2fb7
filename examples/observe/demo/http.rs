//! As much HTTP/1.1 as the shop needs.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

/// A request or an answer: its first line and its body.
pub(super) struct Message {
    pub(super) line: String,
    pub(super) body: Vec<u8>,
}

/// Read a message; `None` at the end of the connection.
pub(super) fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<Message>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut field = String::new();
        from.read_line(&mut field)?;
        match field.trim_end().split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(Message { line: line.trim_end().to_owned(), body }))
}

/// Answer every request of a connection with the status and the body that `handle` gives for its method, target and body.
pub(super) fn answer(stream: TcpStream, mut handle: impl FnMut(&str, &str, &[u8]) -> (u16, String)) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream)? {
        let mut words = request.line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (status, body) = handle(method, target, &request.body);
        let head = format!("HTTP/1.1 {status} {}\r\nServer: demo\r\nContent-Type: application/json", reason(status));
        let text = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(text.as_bytes())?;
    }
    Ok(())
}

/// A connection to a server, made when it is first needed and kept.
pub(super) struct Client {
    server: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(super) const fn new(server: SocketAddr) -> Self {
        Self { server, stream: None }
    }

    /// Ask, and give status and body of the answer.
    pub(super) fn ask(&mut self, method: &str, target: &str, body: &str) -> io::Result<(u16, String)> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.server)?;
            stream.set_nodelay(true)?;
            self.stream = Some(BufReader::new(stream));
        }
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: demo", self.server);
        let text = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(text.as_bytes())?;
        let answer = read(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = answer.line.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.unwrap_or_default(), String::from_utf8_lossy(&answer.body).into_owned()))
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        404 => "Not Found",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}
