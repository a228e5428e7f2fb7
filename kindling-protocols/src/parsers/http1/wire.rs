//! Start lines and header sections on bytes: one pass, nothing copied.
//!
//! [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112) sections 2 to 6.

use memchr::memchr;
use smallvec::SmallVec;

use crate::{
    Reject,
    parsers::http1::{Config, name::Name},
};

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It goes on past the input.
    Incomplete,
    /// It is none.
    Reject(Reject),
}

impl From<Reject> for Fault {
    fn from(reject: Reject) -> Self {
        Self::Reject(reject)
    }
}

/// A range of the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u16,
    pub(super) end: u16,
}

impl Range {
    fn new(start: usize, end: usize) -> Self {
        // Longer heads are rejected.
        let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Self { start: short(start), end: short(end) }
    }

    pub(super) fn of(self, head: &[u8]) -> &[u8] {
        head.get(self.start.into()..self.end.into()).unwrap_or_default()
    }
}

/// `GET /index.html HTTP/1.1`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine {
    pub(super) method: Range,
    pub(super) target: Range,
    pub(super) minor: u8,
}

/// `HTTP/1.1 200 OK`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine {
    pub(super) minor: u8,
    pub(super) status: u16,
}

/// What a header section says about the message's end, and where the values worth keeping are.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) kept: SmallVec<[(Name, Range); 8]>,
    pub(super) length: Length,
    pub(super) coding: Coding,
    /// `Connection: upgrade`
    pub(super) upgrade: bool,
    /// `Connection: close`
    pub(super) close: bool,
    /// Whether any value goes on over a line end.
    pub(super) folded: bool,
}

/// All `Content-Length` fields together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Length {
    #[default]
    Absent,
    Exact(u64),
    /// Not a number, too large, or two that differ (RFC 9112 section 6.3 rule 5).
    Bad,
}

/// The last coding of all `Transfer-Encoding` fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    #[default]
    Identity,
    Chunked,
    Other,
}

/// A line without its end (CRLF, or the bare LF of RFC 9112 section 2.2), and where the next one starts.
pub(super) fn line(input: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = input.get(at..)?;
    let end = memchr(b'\n', rest)?;
    let line = rest.get(..end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), at + end + 1))
}

/// The empty lines before a start line, which RFC 9112 section 2.2 says to ignore.
pub(super) fn leading_newlines(input: &[u8]) -> usize {
    input.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

/// Whether a head of which `from` bytes were searched before ends inside `input`.
pub(super) fn ends(input: &[u8], from: usize) -> bool {
    let mut at = from.saturating_sub(3);
    while let Some((_, next)) = line(input, at) {
        match input.get(next..) {
            Some([b'\n', ..] | [b'\r', b'\n', ..]) => return true,
            _ => at = next,
        }
    }
    false
}

/// RFC 9112 section 3, with any number of blanks between the parts. A target holds none: text in bodies would pass for request lines.
pub(super) fn request_line(line: &[u8]) -> Option<RequestLine> {
    let line = line.trim_ascii_end();
    let method = token(line);
    let (before, version) = line.split_at_checked(line.len().checked_sub(8)?)?;
    let minor = version_1(version)?;
    let target = before.get(method..)?;
    let parted = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    if method == 0 || method > MAX_METHOD || !parted(target.first()) || !parted(target.last()) {
        return None;
    }
    let start = method + target.len() - target.trim_ascii_start().len();
    let target = target.trim_ascii();
    if target.is_empty() || !is_visible(target) {
        return None;
    }
    Some(RequestLine { method: Range::new(0, method), target: Range::new(start, start + target.len()), minor })
}

/// RFC 9112 section 4. The reason, and the blank before it, may be missing.
pub(super) fn status_line(line: &[u8]) -> Option<StatusLine> {
    let (version, rest) = line.split_at_checked(8)?;
    let minor = version_1(version)?;
    let rest = rest.strip_prefix(b" ")?.trim_ascii_start();
    let (code, reason) = rest.split_at_checked(3)?;
    if !matches!(reason.first(), None | Some(b' ' | b'\t' | b'\r')) {
        return None;
    }
    let mut status = 0;
    for digit in code {
        status = status * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(StatusLine { minor, status })
}

/// The header section that starts at `at`, and where it ends; if not in `input`, what of it is there.
pub(super) fn fields(input: &[u8], mut at: usize, config: &Config) -> Result<(Fields, Option<usize>), Reject> {
    let mut fields = Fields::default();
    let mut lines = 0;
    loop {
        let Some((text, mut next)) = line(input, at) else { return Ok((fields, None)) };
        if text.is_empty() {
            return Ok((fields, Some(next)));
        }
        let mut end = at + text.len();
        // Obsolete folding (RFC 9112 section 5.2): a line that starts with a blank belongs to the one before.
        while let Some(b' ' | b'\t') = input.get(next) {
            let Some((more, after)) = line(input, next) else { return Ok((fields, None)) };
            end = next + more.len();
            next = after;
            fields.folded = true;
            lines += 1;
        }
        lines += 1;
        if lines > config.max_headers {
            return Err(Reject::Length);
        }
        fields.take(input.get(at..end).unwrap_or_default(), at);
        at = next;
    }
}

impl Fields {
    /// A line without a colon is no field and changes nothing: servers ignore it too.
    fn take(&mut self, field: &[u8], at: usize) {
        let Some((name, from)) = Name::split(field) else { return };
        let value = field.get(from..).unwrap_or_default();
        match name {
            Name::ContentLength => self.length(value),
            Name::TransferEncoding => self.coding(value),
            Name::Connection => {
                for option in words(value) {
                    self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                    self.close |= option.eq_ignore_ascii_case(b"close");
                }
            }
            _ if self.kept.len() < MAX_KEPT => {
                let start = at + from + value.len() - value.trim_ascii_start().len();
                self.kept.push((name, Range::new(start, start + value.trim_ascii().len())));
            }
            _ => {}
        }
    }

    /// RFC 9110 section 8.6: the same number several times is that number.
    fn length(&mut self, value: &[u8]) {
        for word in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
            self.length = match (self.length, number(word)) {
                (Length::Absent, Some(n)) => Length::Exact(n),
                (Length::Exact(have), Some(n)) if have == n => Length::Exact(n),
                _ => Length::Bad,
            };
        }
    }

    /// RFC 9112 section 6.1: only the last coding can be `chunked`.
    fn coding(&mut self, value: &[u8]) {
        for word in words(value) {
            let coding = word.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
            self.coding = if coding.eq_ignore_ascii_case(b"chunked") {
                Coding::Chunked
            } else if coding.eq_ignore_ascii_case(b"identity") {
                self.coding
            } else {
                Coding::Other
            };
        }
    }
}

/// The members of a list that are not empty.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

/// How many bytes of a token (RFC 9110 section 5.6.2) `input` starts with.
pub(super) fn token(input: &[u8]) -> usize {
    input.iter().take_while(|b| is_token(**b)).count()
}

const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'|' | b'~')
}

/// The minor version of `HTTP/1.x`.
fn version_1(version: &[u8]) -> Option<u8> {
    match version.strip_prefix(b"HTTP/1.")? {
        [digit @ b'0'..=b'9'] => Some(digit - b'0'),
        _ => None,
    }
}

/// Whether no blank or control character is in it. Without a short cut, so that it is vectorised.
pub(super) fn is_visible(text: &[u8]) -> bool {
    text.iter().fold(true, |all, &b| all & (b > b' ') & (b != 0x7f))
}

/// Lengths past [`MAX_LENGTH`] are none: no body is that long, and sums with them would overflow.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit).filter(|n| *n <= MAX_LENGTH)
    })
}

/// The longest head, whatever the settings say: places in it have 16 bits.
pub(super) const MAX_HEAD: usize = u16::MAX as usize;
/// The longest body.
pub(super) const MAX_LENGTH: u64 = i64::MAX as u64;
/// The longest method. The longest registered one has 17 bytes.
pub(super) const MAX_METHOD: usize = 32;
/// How many field values of one head are kept, repeated ones included.
const MAX_KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Option<(&str, &str, u8)> {
        let found = request_line(line.as_bytes())?;
        let text = |range: Range| std::str::from_utf8(range.of(line.as_bytes())).unwrap();
        Some((text(found.method), text(found.target), found.minor))
    }

    fn section(text: &str) -> Result<Fields, Reject> {
        fields(text.as_bytes(), 0, &Config::default()).map(|(fields, end)| {
            assert!(end.is_none_or(|end| end == text.len()));
            fields
        })
    }

    #[test]
    fn request_lines() {
        assert_eq!(request("GET / HTTP/1.1"), Some(("GET", "/", 1)));
        assert_eq!(request("MKCALENDAR  /a\tHTTP/1.0 "), Some(("MKCALENDAR", "/a", 0)));
        assert_eq!(request("OPTIONS * HTTP/1.1"), Some(("OPTIONS", "*", 1)));
        assert_eq!(request("x!# http://h/ HTTP/1.9"), Some(("x!#", "http://h/", 9)));
        for line in [
            "",
            "GET",
            "GET /",
            "GET HTTP/1.1",
            "GET  HTTP/1.1",
            "GET / HTTP/2.0",
            "GET / HTTP/1.10",
            "GET /HTTP/1.1",
            " GET / HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET /\x01 HTTP/1.1",
            "INVITE sip:b@h SIP/2.0",
            "DESCRIBE rtsp://h RTSP/1.0",
            "HTTP/1.1 200 OK",
        ] {
            assert_eq!(request(line), None, "{line}");
        }
    }

    #[test]
    fn status_lines() {
        let parse = |line: &str| status_line(line.as_bytes()).map(|s| (s.minor, s.status));
        assert_eq!(parse("HTTP/1.1 200 OK"), Some((1, 200)));
        assert_eq!(parse("HTTP/1.0 404"), Some((0, 404)));
        assert_eq!(parse("HTTP/1.1  503 "), Some((1, 503)));
        for line in [
            "HTTP/1.1",
            "HTTP/1.1 20",
            "HTTP/1.1 2040 x",
            "HTTP/1.1 abc",
            "HTTP/2.0 200",
            "HTTP/1.10 200",
            "http/1.1 200",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn lengths() {
        let length = |text: &str| section(text).unwrap().length;
        assert_eq!(length("Content-Length: 5\r\n\r\n"), Length::Exact(5));
        assert_eq!(length("content-length:5, 5\r\nCONTENT-LENGTH :5\n\n"), Length::Exact(5));
        assert_eq!(length("Content-Length: 9223372036854775807\r\n\r\n"), Length::Exact(MAX_LENGTH));
        for bad in [
            "5\r\nContent-Length: 6",
            "5, 6",
            "",
            "-1",
            "+5",
            "5x",
            "0x5",
            "5\r\n 6",
            "9223372036854775808",
            "99999999999999999999999",
        ] {
            assert_eq!(length(&format!("Content-Length: {bad}\r\n\r\n")), Length::Bad, "{bad}");
        }
    }

    #[test]
    fn codings() {
        let coding = |text: &str| section(text).unwrap().coding;
        assert_eq!(coding("\r\n"), Coding::Identity);
        assert_eq!(coding("Transfer-Encoding: Chunked\r\n\r\n"), Coding::Chunked);
        assert_eq!(coding("Transfer-Encoding: gzip,\r\n chunked\r\n\r\n"), Coding::Chunked);
        assert_eq!(coding("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"), Coding::Other);
        assert_eq!(coding("Transfer-Encoding: identity\r\n\r\n"), Coding::Identity);
        assert_eq!(coding("Transfer-Encoding: xchunked\r\n\r\n"), Coding::Other);
    }

    #[test]
    fn folded_values_are_kept_whole() {
        let text = "nonsense\r\nHost:\r\n\t example.com \r\nX: y\r\n\r\n";
        let found = section(text).unwrap();
        assert_eq!(found.kept.len(), 1);
        assert_eq!(found.kept[0].1.of(text.as_bytes()), b"example.com");
    }

    #[test]
    fn an_end_is_found_from_any_point() {
        for text in ["A: b\r\n\r\n", "A: b\n\n", "A: b\r\n\n", "A: b\n\r\n"] {
            for from in 0..text.len() - 1 {
                assert!(ends(text.as_bytes(), from), "{text:?} from {from}");
                assert!(!ends(&text.as_bytes()[..text.len() - 1], from), "{text:?} cut, from {from}");
            }
        }
    }

    #[test]
    fn a_flood_of_fields_is_rejected() {
        let limit = Config::default().max_headers;
        assert!(section(&("a: b\r\n".repeat(limit) + "\r\n")).is_ok());
        assert_eq!(section(&"a: b\r\n".repeat(limit + 1)).unwrap_err(), Reject::Length);
        assert_eq!(section(&("a: b\r\n".to_owned() + &" c\r\n".repeat(limit) + "\r\n")).unwrap_err(), Reject::Length);
    }
}
