//! The shop's front: answers from the store where it can, else asks the backend.

use std::{
    io,
    net::{SocketAddr, TcpStream},
};

use super::{http, store};

pub(super) fn connection(stream: TcpStream, backend: SocketAddr, store: SocketAddr) -> io::Result<()> {
    let mut backend = http::Client::new(backend);
    let mut store = store::Client::new(store);
    http::answer(stream, |method, target, body| {
        // Whatever goes wrong behind it, the front says so and goes on.
        page(method, target, body, &mut backend, &mut store).unwrap_or_else(|error| (502, error.to_string()))
    })
}

fn page(
    method: &str,
    target: &str,
    body: &[u8],
    backend: &mut http::Client,
    store: &mut store::Client,
) -> io::Result<(u16, String)> {
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    let body = String::from_utf8_lossy(body);
    let mut parts = path.split('/').skip(1);
    match (method, parts.next().unwrap_or_default(), parts.next()) {
        ("GET", "", _) => {
            store.ask(&["INCR", "visits"])?;
            Ok((200, r#"{"shop":"open"}"#.to_owned()))
        }
        ("GET", "products", Some(number)) => {
            let key = format!("product:{number}");
            if let Some(product) = store.ask(&["GET", &key])? {
                return Ok((200, product));
            }
            let (status, product) = backend.ask("GET", &format!("/catalog/{number}"), "")?;
            store.ask(&["SET", &key, &product])?;
            Ok((status, product))
        }
        ("POST", "cart", _) => {
            let length = store.ask(&["RPUSH", "cart:1001", &body])?;
            Ok((200, format!(r#"{{"items":{}}}"#, length.unwrap_or_default())))
        }
        ("POST", "checkout", _) => {
            let answer = backend.ask("POST", "/orders", &body)?;
            store.ask(&["DEL", "cart:1001"])?;
            Ok(answer)
        }
        ("POST", "payments", _) => match backend.ask("POST", "/payments", &body)? {
            (200, answer) => Ok((200, answer)),
            (_, answer) => Ok((502, answer)),
        },
        ("GET", "reports", _) => backend.ask("GET", path, ""),
        _ => Ok((404, "{}".to_owned())),
    }
}
