//! The shop's visitors: some look around, one buys, one wants the figures.

use std::{
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::http::Client;

/// Wait to be let in, and stay for eight seconds.
pub(super) fn visit(front: SocketAddr) -> io::Result<()> {
    if io::stdin().read_line(&mut String::new())? == 0 {
        return Ok(());
    }
    let end = Instant::now() + Duration::from_secs(8);
    let visitors = [
        visitor("looks", front, end, 230, |n| match n % 3 {
            0 => ("GET", "/".to_owned(), ""),
            _ => ("GET", format!("/products/{}?session=8f14e45f", 100 + n % 7), ""),
        }),
        visitor("buys", front, end, 310, |n| match n % 3 {
            0 => ("POST", "/cart".to_owned(), r#"{"product":104}"#),
            1 => ("POST", "/checkout".to_owned(), r#"{"address":"12 Secret Street"}"#),
            _ => ("POST", "/payments".to_owned(), r#"{"card":"4111111111111111"}"#),
        }),
        visitor("counts", front, end, 900, |_| ("GET", "/reports/daily".to_owned(), "")),
    ];
    for visitor in visitors {
        let Ok(done) = visitor?.join() else { return Err(io::Error::other("a visitor panicked")) };
        done?;
    }
    Ok(())
}

type Request = (&'static str, String, &'static str);

fn visitor(
    name: &str,
    front: SocketAddr,
    end: Instant,
    pause: u64,
    request: impl Fn(u32) -> Request + Send + 'static,
) -> io::Result<thread::JoinHandle<io::Result<()>>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let mut shop = Client::new(front);
        let mut number = 0;
        while Instant::now() < end {
            let (method, target, body) = request(number);
            shop.ask(method, &target, body)?;
            number += 1;
            thread::sleep(Duration::from_millis(pause));
        }
        Ok(())
    })
}
