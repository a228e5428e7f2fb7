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
    if let Some(end) = key.iter().position(|b| b":/|.".contains(b))
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
    let digits = segment.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (word, _) = segment.split_at(segment.len() - digits);
    let letters = word.iter().all(|&b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_' | b'.' | b'~'));
    segment.len() <= 25
        && (version(segment) || (letters && digits <= 2 && (digits == 0 || !word.is_empty()) && !looks_hex(segment)))
}

fn version(segment: &[u8]) -> bool {
    let number =
        |rest: &[u8]| !rest.is_empty() && rest.len() <= 3 && rest.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    matches!(segment.split_first(), Some((b'v' | b'V', rest)) if number(rest))
}

fn looks_hex(segment: &[u8]) -> bool {
    segment.len() >= 6 && segment.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-')
}

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
