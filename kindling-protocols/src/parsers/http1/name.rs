//! The header fields that are looked at.

/// A header field that is looked at, or a part of the start line kept beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Name {
    /// The method of the request line.
    Method,
    /// The target of the request line.
    Target,
    /// `Host`
    Host,
    /// `User-Agent`
    UserAgent,
    /// `Content-Type`
    ContentType,
    /// `Content-Length`
    ContentLength,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Connection`
    Connection,
    /// `Upgrade`
    Upgrade,
    /// `Expect`
    Expect,
    /// `HTTP2-Settings`, sent along with an upgrade to h2c.
    Http2Settings,
    /// `Sec-WebSocket-Protocol`
    WebSocketProtocol,
    /// `Sec-WebSocket-Extensions`
    WebSocketExtensions,
    /// `X-Request-ID`
    RequestId,
    /// `traceparent` of W3C Trace Context.
    Traceparent,
    /// `tracestate` of W3C Trace Context.
    Tracestate,
    /// `b3`, all of Zipkin's context in one field.
    B3,
    /// `X-B3-TraceId`
    B3TraceId,
    /// `X-B3-SpanId`
    B3SpanId,
    /// `X-B3-ParentSpanId`
    B3ParentSpanId,
    /// `X-B3-Sampled`
    B3Sampled,
    /// `X-B3-Flags`
    B3Flags,
    /// `uber-trace-id` of Jaeger.
    UberTraceId,
    /// `sw8` of SkyWalking.
    Sw8,
    /// `Pinpoint-TraceID`
    PinpointTraceId,
    /// `Pinpoint-SpanID`
    PinpointSpanId,
    /// `Pinpoint-pSpanID`
    PinpointParentSpanId,
    /// `Pinpoint-Sampled`
    PinpointSampled,
}

impl Name {
    /// All of them, in order.
    pub const ALL: [Self; 28] = [
        Self::Method,
        Self::Target,
        Self::Host,
        Self::UserAgent,
        Self::ContentType,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::Connection,
        Self::Upgrade,
        Self::Expect,
        Self::Http2Settings,
        Self::WebSocketProtocol,
        Self::WebSocketExtensions,
        Self::RequestId,
        Self::Traceparent,
        Self::Tracestate,
        Self::B3,
        Self::B3TraceId,
        Self::B3SpanId,
        Self::B3ParentSpanId,
        Self::B3Sampled,
        Self::B3Flags,
        Self::UberTraceId,
        Self::Sw8,
        Self::PinpointTraceId,
        Self::PinpointSpanId,
        Self::PinpointParentSpanId,
        Self::PinpointSampled,
    ];

    /// The field that `line` holds, if it is one that is looked at, and where its value starts.
    ///
    /// The first letter and the place of the colon come first: most lines end there, without a search.
    pub(super) fn split(line: &[u8]) -> Option<(Self, usize)> {
        let candidates: &[Self] = match line.first()?.to_ascii_lowercase() {
            b'b' => &[Self::B3],
            b'c' => &[Self::Connection, Self::ContentType, Self::ContentLength],
            b'e' => &[Self::Expect],
            b'h' => &[Self::Host, Self::Http2Settings],
            b'p' => &[Self::PinpointTraceId, Self::PinpointSpanId, Self::PinpointParentSpanId, Self::PinpointSampled],
            b's' => &[Self::Sw8, Self::WebSocketProtocol, Self::WebSocketExtensions],
            b't' => &[Self::Traceparent, Self::Tracestate, Self::TransferEncoding],
            b'u' => &[Self::UserAgent, Self::Upgrade, Self::UberTraceId],
            b'x' => &[
                Self::RequestId,
                Self::B3TraceId,
                Self::B3SpanId,
                Self::B3ParentSpanId,
                Self::B3Sampled,
                Self::B3Flags,
            ],
            _ => return None,
        };
        candidates.iter().find_map(|field| {
            let (name, rest) = line.split_at_checked(field.lower().len())?;
            let value = match rest.first()? {
                b':' => 1,
                // A blank before the colon is forbidden (RFC 9112 section 5.1), and seen.
                b' ' | b'\t' | b'\r' | b'\n' => {
                    let blanks = rest.len() - rest.trim_ascii_start().len();
                    (*rest.get(blanks)? == b':').then_some(blanks + 1)?
                }
                _ => return None,
            };
            same(name, field.lower().as_bytes()).then_some((*field, name.len() + value))
        })
    }

    /// In lower case, as HTTP/2 writes it and attributes do.
    #[must_use]
    pub const fn lower(self) -> &'static str {
        match self {
            Self::Method => ":method",
            Self::Target => ":path",
            Self::Host => "host",
            Self::UserAgent => "user-agent",
            Self::ContentType => "content-type",
            Self::ContentLength => "content-length",
            Self::TransferEncoding => "transfer-encoding",
            Self::Connection => "connection",
            Self::Upgrade => "upgrade",
            Self::Expect => "expect",
            Self::Http2Settings => "http2-settings",
            Self::WebSocketProtocol => "sec-websocket-protocol",
            Self::WebSocketExtensions => "sec-websocket-extensions",
            Self::RequestId => "x-request-id",
            Self::Traceparent => "traceparent",
            Self::Tracestate => "tracestate",
            Self::B3 => "b3",
            Self::B3TraceId => "x-b3-traceid",
            Self::B3SpanId => "x-b3-spanid",
            Self::B3ParentSpanId => "x-b3-parentspanid",
            Self::B3Sampled => "x-b3-sampled",
            Self::B3Flags => "x-b3-flags",
            Self::UberTraceId => "uber-trace-id",
            Self::Sw8 => "sw8",
            Self::PinpointTraceId => "pinpoint-traceid",
            Self::PinpointSpanId => "pinpoint-spanid",
            Self::PinpointParentSpanId => "pinpoint-pspanid",
            Self::PinpointSampled => "pinpoint-sampled",
        }
    }

    /// The attribute that holds it when a request carried it: `http.request.header.<key>` where no better name exists.
    #[must_use]
    pub const fn request_attribute(self) -> Option<&'static str> {
        Some(match self {
            Self::Method => "http.request.method",
            Self::UserAgent => "user_agent.original",
            Self::ContentType => "http.request.header.content-type",
            Self::Upgrade => "http.request.header.upgrade",
            Self::Expect => "http.request.header.expect",
            Self::RequestId => "http.request.header.x-request-id",
            Self::Traceparent => "http.request.header.traceparent",
            Self::Tracestate => "http.request.header.tracestate",
            Self::B3 => "http.request.header.b3",
            Self::B3TraceId => "http.request.header.x-b3-traceid",
            Self::B3SpanId => "http.request.header.x-b3-spanid",
            Self::B3ParentSpanId => "http.request.header.x-b3-parentspanid",
            Self::B3Sampled => "http.request.header.x-b3-sampled",
            Self::B3Flags => "http.request.header.x-b3-flags",
            Self::UberTraceId => "http.request.header.uber-trace-id",
            Self::Sw8 => "http.request.header.sw8",
            Self::PinpointTraceId => "http.request.header.pinpoint-traceid",
            Self::PinpointSpanId => "http.request.header.pinpoint-spanid",
            Self::PinpointParentSpanId => "http.request.header.pinpoint-pspanid",
            Self::PinpointSampled => "http.request.header.pinpoint-sampled",
            _ => return None,
        })
    }

    /// The attribute that holds it when an answer carried it.
    #[must_use]
    pub const fn response_attribute(self) -> Option<&'static str> {
        Some(match self {
            Self::ContentType => "http.response.header.content-type",
            Self::Upgrade => "http.response.header.upgrade",
            Self::RequestId => "http.response.header.x-request-id",
            Self::Traceparent => "http.response.header.traceparent",
            _ => return None,
        })
    }
}

/// Whether `name` is `lower` in any case: eight bytes at once, the last eight overlapping. Both have the same length, of at most 24.
fn same(name: &[u8], lower: &[u8]) -> bool {
    let words = |bytes: &[u8]| {
        let (first, last) = (bytes.first_chunk()?, bytes.last_chunk()?);
        let middle = bytes.get(8..16).and_then(<[u8]>::first_chunk).unwrap_or(last);
        Some([*first, *middle, *last].map(u64::from_le_bytes))
    };
    match (words(name), words(lower)) {
        (Some(name), Some(lower)) => name.map(lower_case) == lower,
        _ => name.eq_ignore_ascii_case(lower),
    }
}

/// Each byte in lower case. A byte's top bit tells whether it is a capital, from two additions that cannot carry into the next byte.
const fn lower_case(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    let low = word & (0x7f * EACH);
    let from_a = low + (0x80 - b'A' as u64) * EACH;
    let past_z = low + (0x7f - b'Z' as u64) * EACH;
    let capitals = !word & (from_a ^ past_z) & (0x80 * EACH);
    word | (capitals >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        for (line, name, value) in [
            ("host: h", Name::Host, 5),
            ("USER-AGENT:x", Name::UserAgent, 11),
            ("Sw8 \t: x", Name::Sw8, 6),
            ("Pinpoint-pSpanID:", Name::PinpointParentSpanId, 17),
            ("X-B3-ParentSpanId:1", Name::B3ParentSpanId, 18),
            ("Content-Length\r\n : 5", Name::ContentLength, 18),
        ] {
            assert_eq!(Name::split(line.as_bytes()), Some((name, value)), "{line}");
        }
        for line in
            ["", "hos", "host", "hosts: h", "host h: x", "cookie: a", ":method: x", "x-b3-flagz: 1", "\u{212a}: x"]
        {
            assert_eq!(Name::split(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn all_are_in_order() {
        assert!(Name::ALL.iter().enumerate().all(|(place, name)| *name as usize == place));
    }

    #[test]
    fn lower_case_is_that_of_the_standard_library() {
        for byte in 0..=u8::MAX {
            let word = [byte, 0, b'Z', 0xff, byte, b'a', 0x80, byte];
            assert_eq!(lower_case(u64::from_le_bytes(word)).to_le_bytes(), word.map(|b| b.to_ascii_lowercase()));
        }
        assert!(same(b"Sec-WebSocket-EXTENSIONS", b"sec-websocket-extensions"));
        for place in 0..24 {
            let mut name = *b"sec-websocket-extensions";
            name[place] = b'!';
            assert!(!same(&name, b"sec-websocket-extensions"), "{place}");
        }
    }

    #[test]
    fn every_name_is_found_under_its_first_letter() {
        for name in Name::ALL.into_iter().filter(|name| !name.lower().starts_with(':')) {
            let line = format!("{}: x", name.lower());
            assert_eq!(Name::split(line.as_bytes()), Some((name, name.lower().len() + 1)));
        }
    }
}
