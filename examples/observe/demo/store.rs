//! The shop's store: as much of Redis as the front needs, and its client.

use std::{
    collections::HashMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{LazyLock, Mutex},
};

pub(super) fn connection(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(count) = header(&mut stream, '*')? {
        let words = (0..count).map(|_| bulk(&mut stream)).collect::<io::Result<Vec<_>>>()?;
        let words: Vec<_> = words.iter().map(|word| word.as_deref().unwrap_or_default()).collect();
        stream.get_mut().write_all(command(&words).as_bytes())?;
    }
    Ok(())
}

fn command(words: &[&str]) -> String {
    let mut values = VALUES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match *words {
        ["GET", key] => match values.get(key).and_then(|list| list.first()) {
            Some(value) => format!("${}\r\n{value}\r\n", value.len()),
            None => "$-1\r\n".to_owned(),
        },
        ["SET", key, value] => {
            values.insert(key.to_owned(), vec![value.to_owned()]);
            "+OK\r\n".to_owned()
        }
        ["INCR", key] => {
            let list = values.entry(key.to_owned()).or_insert_with(|| vec!["0".to_owned()]);
            let number = list.first().and_then(|value| value.parse::<u64>().ok()).unwrap_or_default() + 1;
            *list = vec![number.to_string()];
            format!(":{number}\r\n")
        }
        ["RPUSH", key, value] => {
            let list = values.entry(key.to_owned()).or_default();
            list.push(value.to_owned());
            format!(":{}\r\n", list.len())
        }
        ["DEL", key] => format!(":{}\r\n", usize::from(values.remove(key).is_some())),
        _ => "-ERR unknown command\r\n".to_owned(),
    }
}

/// A connection to the store, made when it is first needed and kept.
pub(super) struct Client {
    server: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(super) const fn new(server: SocketAddr) -> Self {
        Self { server, stream: None }
    }

    /// Ask, and give the answer's value if it has one.
    pub(super) fn ask(&mut self, words: &[&str]) -> io::Result<Option<String>> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.server)?;
            stream.set_nodelay(true)?;
            self.stream = Some(BufReader::new(stream));
        }
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text += &format!("${}\r\n{word}\r\n", word.len());
        }
        stream.get_mut().write_all(text.as_bytes())?;
        if stream.fill_buf()?.first() == Some(&b'$') {
            return bulk(stream);
        }
        let mut line = String::new();
        stream.read_line(&mut line)?;
        Ok(line.get(1..).map(|value| value.trim_end().to_owned()))
    }
}

/// The number of a line that begins with `kind`; `None` at the end of the connection.
fn header(from: &mut BufReader<TcpStream>, kind: char) -> io::Result<Option<i64>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let number = line.trim_end().strip_prefix(kind).and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn bulk(from: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let length = header(from, '$')?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    let mut bytes = vec![0; length + 2];
    from.read_exact(&mut bytes)?;
    bytes.truncate(length);
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

static VALUES: LazyLock<Mutex<HashMap<String, Vec<String>>>> = LazyLock::new(Mutex::default);
