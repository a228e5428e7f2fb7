//! What HTTP/1 hands over when the connection changes hands.

use bytes::Bytes;
use kindling_core::Details;
use kindling_protocols::{
    Content, Context, Parse, Probe, Protocol, Registry, Role, Sender, Span, Spec, Verdict,
    parsers::http1::Http1,
    testing::{Run, Transcript},
};

/// Shows the note it was left, once for all that each side says at a time.
struct Guest<const WEBSOCKET: bool>;

impl<const WEBSOCKET: bool> Protocol for Guest<WEBSOCKET> {
    type Config = ();
    type State = Vec<u8>;
    type Shared = ();
    type Message = (Bytes, Bytes);
    type Key = ();
    type Open = ();
    type Summary = (Bytes, Bytes);
    const SPEC: &'static Spec = &Spec::new(if WEBSOCKET { "websocket" } else { "http2" });

    fn detect(_: &Probe<'_>) -> Verdict {
        Verdict::No
    }

    fn parse(cx: &mut Context<'_, Self>, input: &Bytes) -> Parse<Self::Message> {
        Parse::Message((Bytes::copy_from_slice(cx.state), input.clone()), Span::of(input.len()))
    }

    fn role(_: &Context<'_, Self>, _: &Self::Message) -> Role<(), ()> {
        Role::OneWay
    }

    fn fold(summary: &mut Self::Summary, _: Sender, message: &Self::Message) {
        *summary = message.clone();
    }

    fn details((note, said): &Self::Summary, _: Content) -> Details {
        Details { operation: said[..].into(), resource: note[..].into(), ..Details::default() }
    }

    fn adopt(state: &mut Vec<u8>, note: &[u8]) {
        *state = note.to_vec();
    }
}

/// What the guests said, and the note they were left.
fn talk(text: &str) -> Vec<(String, String)> {
    let registry = Registry::new().with::<Http1>().with::<Guest<true>>().with::<Guest<false>>();
    let transcript = Transcript::parse("upgrade", &format!("# protocol: http1\n# port: 80\n{text}")).unwrap();
    let run = Run::of(&registry, &transcript).unwrap();
    let guests = run.exchanges.iter().filter(|exchange| exchange.protocol != "http1");
    guests.map(|e| (e.details.operation.to_string(), e.details.resource.to_string().replace("\\x0a", "\n"))).collect()
}

#[test]
fn a_websocket_learns_what_was_asked_and_chosen() {
    let text = r"
>>>
GET /chat?x=1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: x\r\n\r\n
<<<
HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\nfrom the server
>>>
from the client
";
    let note = ":method: GET\n:path: /chat?x=1\nhost: h\nsec-websocket-protocol: b\nsec-websocket-extensions: permessage-deflate\n";
    assert_eq!(talk(text), [("from the server", note), ("from the client", note)].map(|(a, b)| (a.into(), b.into())));
}

#[test]
fn http2_learns_the_settings_sent_along() {
    let text = r"
>>>
GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n
>>>
early
<<<
HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n
";
    let note = ":method: GET\n:path: /a\nhost: h\nhttp2-settings: AAMAAABk\n";
    assert_eq!(talk(text), [("early".to_owned(), note.to_owned())]);
}

#[test]
fn what_nobody_reads_stays_unread() {
    let text = r"
>>>
GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n
<<<
HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nGET / HTTP/1.1\r\n\r\n
";
    assert_eq!(talk(text), []);
}
