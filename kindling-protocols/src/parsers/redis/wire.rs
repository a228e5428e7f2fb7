//! How values are written. <https://redis.io/docs/latest/develop/reference/protocol-spec/>
//!
//! Every value starts with a line: a byte that says its type, and for most the value itself, a length or a count.

use memchr::memchr;
use nom::bytes::{complete::take_while_m_n, streaming::tag};

use crate::parse::{Needed, Reject};

/// The line a value starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    /// The whole value, but for `nil`.
    Line(Scalar, &'a [u8]),
    Nil,
    /// This many bytes and a line end follow.
    Bulk(Scalar, u64),
    /// So many values follow; a map counts both its keys and its values.
    Many(Group, u64),
    /// Chunks follow, an empty one last.
    Chunked,
    /// A chunk of this many bytes; of none: the last.
    Chunk(u64),
    /// Values follow, [`Head::End`] after them.
    Unbounded(Group),
    /// What an unbounded group ends with.
    End,
}

/// A type without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Simple,
    Error,
    Integer,
    Double,
    Boolean,
    BigNumber,
    Bulk,
    BulkError,
    Verbatim,
}

/// A type with parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Array,
    Set,
    Map,
    Push,
    /// Stands before a value, and is none.
    Attribute,
}

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Incomplete(Needed),
    Reject(Reject),
}

impl From<nom::Err<()>> for Stop {
    fn from(error: nom::Err<()>) -> Self {
        match error {
            nom::Err::Incomplete(nom::Needed::Size(bytes)) => Self::Incomplete(Needed::more(bytes.get())),
            nom::Err::Incomplete(nom::Needed::Unknown) => Self::Incomplete(Needed::Unknown),
            nom::Err::Error(()) | nom::Err::Failure(()) => MALFORMED,
        }
    }
}

/// Most bytes of one string: eight times what a server allows unless `proto-max-bulk-len` is raised.
pub(super) const MAX_BULK: u64 = 4 << 30;

/// Most parts of one group, as the server's own limit (`INT_MAX`).
pub(super) const MAX_PARTS: u64 = i32::MAX as u64;

/// The head at the start of `input`, and how many bytes it has. The first `seen` bytes hold no line end.
pub(super) fn head(input: &[u8], seen: usize) -> Result<(Head<'_>, usize), Stop> {
    let Some((&lead, rest)) = input.split_first() else { return Err(Stop::Incomplete(Needed::more(1))) };
    let scalar = match lead {
        b'+' => Scalar::Simple,
        b'-' => Scalar::Error,
        b':' => Scalar::Integer,
        b'$' => Scalar::Bulk,
        b'*' => return group(Group::Array, rest),
        b',' => Scalar::Double,
        b'#' => Scalar::Boolean,
        b'(' => Scalar::BigNumber,
        b'!' => Scalar::BulkError,
        b'=' => Scalar::Verbatim,
        b'%' => return group(Group::Map, rest),
        b'~' => return group(Group::Set, rest),
        b'>' => return group(Group::Push, rest),
        b'|' => return group(Group::Attribute, rest),
        b';' => {
            let (length, used) = number(rest, MAX_BULK)?;
            return Ok((Head::Chunk(length.ok_or(MALFORMED)?), 1 + used));
        }
        b'_' => return literal(rest, b"\r\n", Head::Nil),
        b'.' => return literal(rest, b"\r\n", Head::End),
        _ => return Err(MALFORMED),
    };
    match scalar {
        Scalar::Bulk if rest.first() == Some(&b'?') => literal(rest, b"?\r\n", Head::Chunked),
        Scalar::Bulk | Scalar::BulkError | Scalar::Verbatim => {
            let (length, used) = number(rest, MAX_BULK)?;
            Ok((length.map_or(Head::Nil, |length| Head::Bulk(scalar, length)), 1 + used))
        }
        _ => {
            let (line, used) = line(rest, seen.saturating_sub(1))?;
            Ok((Head::Line(scalar, checked(scalar, line)?), 1 + used))
        }
    }
}

/// The length of the string at the start of `input`, which has to be one and not nil, and how many bytes its head has.
pub(super) fn string(input: &[u8]) -> Result<(u64, usize), Stop> {
    // Nearly all arguments are shorter than a hundred bytes.
    match *input {
        [b'$', ones @ b'0'..=b'9', b'\r', b'\n', ..] => Ok((u64::from(ones - b'0'), 4)),
        [b'$', tens @ b'0'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Ok((u64::from(tens - b'0') * 10 + u64::from(ones - b'0'), 5))
        }
        _ => match head(input, 0)? {
            (Head::Bulk(Scalar::Bulk, length), used) => Ok((length, used)),
            _ => Err(MALFORMED),
        },
    }
}

/// What the line of a simple value says of its type: a number has digits, a truth value is `t` or `f`.
fn checked(scalar: Scalar, line: &[u8]) -> Result<&[u8], Stop> {
    let fits = match scalar {
        Scalar::Integer => {
            let digits = line.strip_prefix(b"-").or_else(|| line.strip_prefix(b"+")).unwrap_or(line);
            (1..=20).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        }
        Scalar::Double | Scalar::BigNumber => {
            !line.is_empty() && line.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
        }
        Scalar::Boolean => matches!(line, b"t" | b"f"),
        _ => true,
    };
    if fits { Ok(line) } else { Err(MALFORMED) }
}

fn group(group: Group, rest: &[u8]) -> Result<(Head<'_>, usize), Stop> {
    if rest.first() == Some(&b'?') {
        return literal(rest, b"?\r\n", Head::Unbounded(group));
    }
    let (count, used) = number(rest, MAX_PARTS)?;
    let parts = |n| if matches!(group, Group::Map | Group::Attribute) { 2 * n } else { n };
    Ok((count.map_or(Head::Nil, |n| Head::Many(group, parts(n))), 1 + used))
}

/// A line up to its end, which is `\r\n` and nothing else, and how many bytes both have. The first `seen` bytes hold no line end.
pub(super) fn line(rest: &[u8], seen: usize) -> Result<(&[u8], usize), Stop> {
    let from = rest.get(seen..).unwrap_or_default();
    let Some(end) = memchr(b'\n', from).map(|at| at + seen) else { return Err(Stop::Incomplete(Needed::Unknown)) };
    let line = rest.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(MALFORMED)?;
    Ok((line, end + 1))
}

/// A length or count and its line end; `-1` is none.
fn number(rest: &[u8], most: u64) -> Result<(Option<u64>, usize), Stop> {
    if let [digit @ b'0'..=b'9', b'\r', b'\n', ..] = *rest {
        return Ok((Some(u64::from(digit - b'0')), 3));
    }
    if rest.first() == Some(&b'-') {
        return literal(rest, b"-1\r\n", None).map(|(none, used)| (none, used - 1));
    }
    // As far as it goes: one that is too long is not waited for.
    let (end, digits) = take_while_m_n(0, MAX_DIGITS + 1, |b: u8| b.is_ascii_digit())(rest)?;
    let add = |sum: u64, digit: &u8| Some(sum * 10 + u64::from(digit - b'0')).filter(|sum| *sum <= most);
    let value = digits.iter().try_fold(0, add).filter(|_| digits.len() <= MAX_DIGITS);
    let value = value.ok_or(Stop::Reject(Reject::Length))?;
    match (digits, end) {
        (_, []) => Err(Stop::Incomplete(Needed::more(1))),
        ([], _) => Err(MALFORMED),
        _ => literal(end, b"\r\n", Some(value)).map(|(value, used)| (value, digits.len() + used - 1)),
    }
}

/// `value` if the bytes after the type are these; counts the type too.
fn literal<T>(rest: &[u8], bytes: &[u8], value: T) -> Result<(T, usize), Stop> {
    let (_, found) = tag(bytes)(rest)?;
    Ok((value, 1 + found.len()))
}

/// The decimal number that a whole argument or line is.
pub(super) fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0u32, |value, b| b.is_ascii_digit().then(|| value * 10 + u32::from(b - b'0')))
}

/// Digits of one length or count, zeroes before it included.
const MAX_DIGITS: usize = 20;

pub(super) const MALFORMED: Stop = Stop::Reject(Reject::Malformed);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        for (bytes, expected) in [
            (&b"+OK\r\n"[..], Head::Line(Scalar::Simple, b"OK")),
            (b"+\r\n", Head::Line(Scalar::Simple, b"")),
            (b":-12\r\n", Head::Line(Scalar::Integer, b"-12")),
            (b",inf\r\n", Head::Line(Scalar::Double, b"inf")),
            (b"#t\r\n", Head::Line(Scalar::Boolean, b"t")),
            (
                b"(3492890328409238509324850943850943825024385\r\n",
                Head::Line(Scalar::BigNumber, b"3492890328409238509324850943850943825024385"),
            ),
            (b"$0\r\n", Head::Bulk(Scalar::Bulk, 0)),
            (b"$536870912\r\n", Head::Bulk(Scalar::Bulk, 512 << 20)),
            (b"$-1\r\n", Head::Nil),
            (b"*-1\r\n", Head::Nil),
            (b"_\r\n", Head::Nil),
            (b"!21\r\n", Head::Bulk(Scalar::BulkError, 21)),
            (b"=15\r\n", Head::Bulk(Scalar::Verbatim, 15)),
            (b"*2\r\n", Head::Many(Group::Array, 2)),
            (b"%2\r\n", Head::Many(Group::Map, 4)),
            (b"|1\r\n", Head::Many(Group::Attribute, 2)),
            (b"~0\r\n", Head::Many(Group::Set, 0)),
            (b">3\r\n", Head::Many(Group::Push, 3)),
            (b"$?\r\n", Head::Chunked),
            (b";4\r\n", Head::Chunk(4)),
            (b"*?\r\n", Head::Unbounded(Group::Array)),
            (b".\r\n", Head::End),
        ] {
            assert_eq!(head(bytes, 0), Ok((expected, bytes.len())), "{}", bytes.escape_ascii());
            for cut in 0..bytes.len() {
                assert!(
                    matches!(head(&bytes[..cut], 0), Err(Stop::Incomplete(_))),
                    "{} at {cut}",
                    bytes.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn what_is_no_head() {
        for bytes in [
            &b"GET"[..],
            b"$x\r\n",
            b"$\r\n",
            b"$-2\r\n",
            b"$1\n",
            b"*1\r\r",
            b":\r\n",
            b":1a\r\n",
            b"#x\r\n",
            b"+OK\n",
            b"_x\r\n",
            b"$9223372036854775808\r\n",
            b"*99999999999999999999999999\r\n",
            b";-1\r\n",
            b"\0",
            b",\r\n",
        ] {
            assert!(matches!(head(bytes, 0), Err(Stop::Reject(_))), "{}", bytes.escape_ascii());
        }
    }
}
