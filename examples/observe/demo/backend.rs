//! The shop's backend: knows products, takes orders, counts slowly, and has trouble with payments.

use std::{
    io,
    net::TcpStream,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use super::http;

pub(super) fn connection(stream: TcpStream) -> io::Result<()> {
    http::answer(stream, |method, target, body| match (method, target.split('/').nth(1).unwrap_or_default()) {
        ("GET", "catalog") => {
            work(3);
            let number = target.rsplit('/').next().unwrap_or_default();
            (200, format!(r#"{{"product":"{number}","text":"{}"}}"#, "a fine thing ".repeat(40)))
        }
        ("POST", "orders") => {
            work(12);
            (201, format!(r#"{{"order":{}}}"#, body.len()))
        }
        ("GET", "reports") => {
            work(350);
            (200, format!(r#"{{"rows":[{}0]}}"#, "1,".repeat(2000)))
        }
        ("POST", "payments") => {
            work(5);
            if PAYMENTS.fetch_add(1, Ordering::Relaxed) % 4 == 3 {
                (200, r#"{"paid":true}"#.to_owned())
            } else {
                (503, r#"{"error":"the bank does not answer"}"#.to_owned())
            }
        }
        _ => (404, "{}".to_owned()),
    })
}

/// Stands for work.
fn work(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

static PAYMENTS: AtomicU32 = AtomicU32::new(0);
