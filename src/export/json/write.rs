//! Appending JSON to a buffer, without building a tree first.

use std::{fmt::Display, io::Write as _};

use kindling_core::{Endpoint, text};

/// An object being written. Keys are constants of ours or of protocols and need no escapes beyond those of [`quoted`].
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    pub(super) fn null(&mut self, key: &str) {
        self.key(key).extend_from_slice(b"null");
    }

    pub(super) fn bool(&mut self, key: &str, value: bool) {
        self.key(key).extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(super) fn number(&mut self, key: &str, value: impl Display) {
        // Writing to a buffer in memory cannot fail, here and below.
        let _ = write!(self.key(key), "{value}");
    }

    pub(super) fn number_or_null(&mut self, key: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.number(key, value),
            None => self.null(key),
        }
    }

    /// A number of 64 bits as text: many readers of JSON keep 53 of them.
    pub(super) fn hex(&mut self, key: &str, value: u64, digits: usize) {
        let _ = write!(self.key(key), "\"{value:0digits$x}\"");
    }

    /// A constant that needs no escapes.
    pub(super) fn string(&mut self, key: &str, value: &str) {
        self.text(key, Some(value.as_bytes()));
    }

    pub(super) fn text(&mut self, key: &str, value: Option<&[u8]>) {
        match value {
            Some(bytes) => quoted(bytes, self.key(key)),
            None => self.null(key),
        }
    }

    pub(super) fn endpoint(&mut self, key: &str, value: &Endpoint) {
        match value {
            Endpoint::Unknown => self.null(key),
            Endpoint::Inet(address) => {
                let _ = write!(self.key(key), "\"{address}\"");
            }
            // Its text form is escaped already.
            other => escaped(&other.to_string(), self.key(key)),
        }
    }

    pub(super) fn object<'b>(&'b mut self, key: &str) -> Object<'b> {
        Object::begin(self.key(key))
    }

    pub(super) fn array<'b>(&'b mut self, key: &str) -> Array<'b> {
        let out = self.key(key);
        out.push(b'[');
        Array { out, empty: true }
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        quoted(key.as_bytes(), self.out);
        self.out.push(b':');
        self.out
    }
}

/// An array of texts being written.
pub(super) struct Array<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl Array<'_> {
    pub(super) fn text(&mut self, value: &[u8]) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        quoted(value, self.out);
    }

    pub(super) fn end(self) {
        self.out.push(b']');
    }
}

/// Bytes as a string. Most are plain text, which is copied; the rest takes the form of [`text::escape`] first.
fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    // Without a way out of the loop it is done for many bytes at once.
    let plain = |ok, &b: &u8| ok & matches!(b, b' '..=b'~') & (b != b'"') & (b != b'\\');
    if bytes.iter().fold(true, plain) {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
    } else {
        escaped(&text::escape(bytes), out);
    }
}

/// Text without control characters as a string.
fn escaped(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        quoted(bytes, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn bytes_read_back_as_their_escaped_form() {
        assert_eq!(string(b"GET"), "GET");
        assert_eq!(string(b"say \"hi\""), "say \"hi\"");
        assert_eq!(string(b"a\\b\n\xff"), "a\\\\b\\x0a\\xff");
        assert_eq!(string("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_json_string(bytes: Vec<u8>) {
            prop_assert_eq!(string(&bytes), text::escape(&bytes));
        }
    }
}
