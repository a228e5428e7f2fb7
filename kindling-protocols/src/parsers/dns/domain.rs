//! Names of domains: labels one after the other, the last ones perhaps elsewhere. RFC 1035 section 3.1 and 4.1.4.

use kindling_core::Text;

/// The end of the name at `at`. A pointer ends it, and points to before it.
pub(super) fn skip(message: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=MAX_LABEL => at += 1 + usize::from(length),
            0xc0.. => {
                let target = pointer(message, at)?;
                return (FIRST..start).contains(&target).then_some(at + 2);
            }
            // Extended labels were given up by RFC 6891 section 5.
            _ => return None,
        }
        if at - start >= MAX_NAME {
            return None;
        }
    }
}

/// The name at `at` as text in lower case, without the last dot; `.` for the root. Dots and backslashes in labels are escaped, bytes that
/// do not print as `\DDD` (RFC 4343 section 2.1).
pub(super) fn text(message: &[u8], at: usize) -> Option<Text> {
    // Nearly every name is written as it stands, and put together here before it is allocated.
    let mut buffer = [0; MAX_NAME + 1];
    let mut free = buffer.iter_mut();
    let mut odd = false;
    labels(message, at, |label| {
        for &b in label.iter().chain(b".") {
            odd |= !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            if let Some(place) = free.next() {
                *place = b.to_ascii_lowercase();
            }
        }
        odd |= label.contains(&b'.');
    })?;
    let used = MAX_NAME + 1 - free.len();
    if !odd {
        // Without the last dot, unless it is all there is.
        return Some(if used == 0 { ".".into() } else { Text::from(buffer.get(..used - 1)?) });
    }
    let mut out = Text::new();
    labels(message, at, |label| {
        if !out.is_empty() {
            out.push(b".");
        }
        escaped(label, &mut out);
    })?;
    Some(out)
}

/// Takes the labels of the name at `at` one by one.
fn labels(message: &[u8], mut at: usize, mut take: impl FnMut(&[u8])) -> Option<()> {
    let (mut total, mut before) = (0, usize::MAX);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(()),
            1..=MAX_LABEL => {
                let next = at + 1 + usize::from(length);
                total += 1 + usize::from(length);
                if total >= MAX_NAME {
                    return None;
                }
                take(message.get(at + 1..next)?);
                at = next;
            }
            0xc0.. => {
                // Always to before the last one: no loops.
                let target = pointer(message, at)?;
                if target >= before.min(at) || target < FIRST {
                    return None;
                }
                (before, at) = (target, target);
            }
            _ => return None,
        }
    }
}

/// Where the pointer at `at` leads. RFC 1035 section 4.1.4.
fn pointer(message: &[u8], at: usize) -> Option<usize> {
    let pointer = message.get(at..)?.first_chunk().copied()?;
    Some(usize::from(u16::from_be_bytes(pointer) & 0x3fff))
}

fn escaped(label: &[u8], out: &mut Text) {
    for &b in label {
        match b {
            b'.' | b'\\' => out.push(&[b'\\', b]),
            0x21..=0x7e => out.push(&[b.to_ascii_lowercase()]),
            _ => out.push(&[b'\\', b'0' + b / 100, b'0' + b / 10 % 10, b'0' + b % 10]),
        }
    }
}

/// Where the first name stands: after the header.
const FIRST: usize = 12;
/// RFC 1035 section 2.3.4.
pub(super) const MAX_LABEL: u8 = 63;
pub(super) const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let text = |rest: &[u8], at: usize| {
            text(&[&[0; FIRST][..], rest].concat(), FIRST + at)
                .map(|name| String::from_utf8(name.as_bytes().to_vec()).unwrap())
        };
        assert_eq!(text(b"\x03wWw\x07example\x03com\0", 0).as_deref(), Some("www.example.com"));
        assert_eq!(text(b"\0", 0).as_deref(), Some("."));
        assert_eq!(text(b"\x03a.b\x04c\\ \xff\0", 0).as_deref(), Some("a\\.b.c\\\\\\032\\255"));
        assert_eq!(text(b"\x03com\0\x01a\xc0\x0c", 5).as_deref(), Some("a.com"));
        assert_eq!(text(b"\x01b\xc0\x0e\xc0\x0c", 0), None, "a pointer to itself");
        assert_eq!(text(b"\x01b\xc0\x0c", 0), None, "a loop");
        assert_eq!(text(b"\x01b\xc0\x0c\x01c\xc0\x0c", 4), None, "a loop behind a pointer");
        assert_eq!(text(b"\x01b\xc0\x20", 0), None, "a pointer ahead");
        assert_eq!(text(b"\x01b\xc0\x00", 0), None, "a pointer into the header");
        assert_eq!(text(b"\x05b", 0), None, "cut short");
        assert_eq!(text(b"\x41b\0", 0), None, "an extended label");
        assert_eq!(text(&[[1, b'a'].repeat(128), vec![0]].concat(), 0), None, "256 bytes");
    }
}
