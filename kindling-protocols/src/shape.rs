//! What is left of a path or a key when its values are taken out: few enough to count by, and no content.

use kindling_core::Text;

/// The template of a URL path: the query goes, and every segment that looks like a value becomes `*`.
///
/// A segment stays if it reads like a name: at most 25 letters, `-`, `_`, `.` and `~`, with at most two digits, at its end or as a version (`v1`, `api2`).
#[must_use]
pub fn path(target: &[u8]) -> Text {
    let end = target.iter().position(|&b| matches!(b, b'?' | b'#')).unwrap_or(target.len());
    let mut out = Text::new();
    for (i, segment) in target.get(..end).unwrap_or_default().split(|&b| b == b'/').enumerate() {
        if i > 0 {
            out.push(b"/");
        }
        // A matrix parameter is a value as well: /a;session=1
        let name = segment.split(|&b| b == b';').next().unwrap_or_default();
        out.push(if is_name(name) { name } else { b"*" });
    }
    out
}

/// The shape of a key: what stands before its first `:`, `/`, `|` or `.`, if that reads like a name, then `*`.
#[must_use]
pub fn key(key: &[u8]) -> Text {
    let mut out = Text::new();
    if let Some(end) = key.iter().position(|&b| class(b) & SEPARATOR != 0)
        && let (name, [separator, ..]) = key.split_at(end)
        && is_name(name)
    {
        out.push(name);
        out.push(&[*separator]);
    }
    if !key.is_empty() {
        out.push(b"*");
    }
    out
}

fn is_name(segment: &[u8]) -> bool {
    if segment.len() > 25 {
        return false;
    }
    let (mut digits, mut hex) = (0, true);
    for &byte in segment {
        let class = class(byte);
        if class & DIGIT != 0 {
            digits += 1;
        } else if digits > 0 || class & WORD == 0 {
            // A digit inside, or a byte no name has.
            return version(segment);
        }
        hex &= class & HEX != 0 || byte == b'-';
    }
    let short = digits <= 2 && (digits == 0 || segment.len() > digits);
    (short && !(hex && segment.len() >= 6)) || version(segment)
}

fn version(segment: &[u8]) -> bool {
    let number =
        |rest: &[u8]| !rest.is_empty() && rest.len() <= 3 && rest.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    matches!(segment.split_first(), Some((b'v' | b'V', rest)) if number(rest))
}

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Letters and what joins words.
const WORD: u8 = 1;
const DIGIT: u8 = 2;
const HEX: u8 = 4;
/// What stands between the parts of a key.
const SEPARATOR: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphabetic() || matches!(b, b'-' | b'_' | b'.' | b'~') {
            classes[byte] |= WORD;
        }
        if b.is_ascii_digit() {
            classes[byte] |= DIGIT;
        }
        if b.is_ascii_hexdigit() {
            classes[byte] |= HEX;
        }
        if matches!(b, b':' | b'/' | b'|' | b'.') {
            classes[byte] |= SEPARATOR;
        }
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (target, template) in [
            ("/", "/"),
            ("/index.html?user=7", "/index.html"),
            ("/api/v1/users/123", "/api/v1/users/*"),
            ("/a/550e8400-e29b-41d4-a716-446655440000/b", "/a/*/b"),
            ("/deadbeef01", "/*"),
            ("/s3/my-bucket_a/", "/s3/my-bucket_a/"),
            ("/users/alice@example.com", "/users/*"),
            ("/cart;jsessionid=A1B2", "/cart"),
            ("*", "*"),
        ] {
            assert_eq!(path(target.as_bytes()), template, "{target}");
        }
    }

    #[test]
    fn keys() {
        for (raw, shape) in
            [("user:1234", "user:*"), ("user:alice:cart", "user:*"), ("secret-token", "*"), ("4711/b", "*"), ("", "")]
        {
            assert_eq!(key(raw.as_bytes()), shape, "{raw}");
        }
    }
}
