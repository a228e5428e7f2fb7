//! Short byte strings: names and values that come from processes and the wire, so not always UTF-8.

use std::fmt;

use smallvec::SmallVec;

/// A short byte string, kept inline up to 24 bytes.
///
/// It owns its bytes, so that keeping one does not pin the batch it was cut from. [`Display`](fmt::Display) escapes what is not
/// printable UTF-8 as `\xNN` (and the backslash as `\\`), so two different values never print alike.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(SmallVec<[u8; 24]>);

impl Text {
    /// The empty string.
    #[must_use]
    pub const fn new() -> Self {
        Self(SmallVec::new_const())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Append bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Bytes held outside of the value itself.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        if self.0.spilled() { self.0.capacity() } else { 0 }
    }

    /// Keep at most `len` bytes; says whether any went.
    pub fn truncate(&mut self, len: usize) -> bool {
        let cut = self.0.len() > len;
        self.0.truncate(len);
        cut
    }
}

/// By copying, which `SmallVec` does byte by byte.
impl Clone for Text {
    fn clone(&self) -> Self {
        Self::from(self.as_bytes())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self(SmallVec::from_slice(bytes))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s.as_bytes());
        Ok(())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(self.as_bytes()))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", escape(self.as_bytes()))
    }
}

/// Bytes as text: printable UTF-8 as it is, `\\` for a backslash, `\xNN` for the rest.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                // Bidirectional overrides and other format characters can make a terminal show something else.
                c if c.is_control() || invisible(c) => {
                    let mut utf8 = [0; 4];
                    for byte in c.encode_utf8(&mut utf8).bytes() {
                        let _ = write!(out, "\\x{byte:02x}");
                    }
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The command name of a thread: up to 15 bytes, as the kernel keeps it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Comm([u8; 16]);

impl Comm {
    /// From the kernel's zero-terminated form.
    #[must_use]
    pub const fn from_kernel(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The name without its terminator.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(self.0.len());
        self.0.get(..end).unwrap_or_default()
    }
}

impl From<&[u8]> for Comm {
    /// Cut to 15 bytes, as the kernel does.
    fn from(name: &[u8]) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().take(15).zip(name) {
            *to = *from;
        }
        Self(bytes)
    }
}

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(self.as_bytes()))
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_printable_is_escaped() {
        assert_eq!(Text::from(&b"a\xff\n\\\xc3\xa9"[..]).to_string(), "a\\xff\\x0a\\\\\u{e9}");
        assert_eq!(Text::from("\u{202e}x").to_string(), "\\xe2\\x80\\xaex");
    }

    #[test]
    fn comm_ends_at_zero() {
        assert_eq!(Comm::from_kernel(*b"nginx\0garbage\0\0\0").as_bytes(), b"nginx");
        assert_eq!(Comm::from(&b"a-name-longer-than-15"[..]).as_bytes(), b"a-name-longer-t");
    }
}
