//! A chunked body ([RFC 9112](https://www.rfc-editor.org/rfc/rfc9112#section-7.1) section 7.1): headers are read, data is passed over.

use memchr::memchr;

use crate::{
    Reject,
    parsers::http1::{
        Config,
        message::End,
        wire::{MAX_LENGTH, line},
    },
};

/// How far a chunked body has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    /// Bytes of data so far.
    pub(super) size: u64,
    /// Status of the answer it belongs to; zero in a request.
    pub(super) status: u16,
    /// Trailer lines so far, once the last chunk has come.
    trailers: Option<usize>,
}

/// One step through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A chunk header of `consumed` bytes, then `skip` bytes of data and their line end; or some trailer lines.
    Passed {
        consumed: usize,
        skip: u64,
    },
    /// The end of the body, in the first so many bytes of the input.
    End(usize),
    Incomplete,
    Reject(Reject),
}

impl Chunked {
    pub(super) const fn new(status: u16) -> Self {
        Self { size: 0, status, trailers: None }
    }

    /// The next step at the start of `input`, of which `seen` bytes hold no line end.
    pub(super) fn step(&mut self, input: &[u8], seen: usize, config: &Config) -> Step {
        if self.trailers.is_some() {
            return self.trailers(input, 0, seen, config);
        }
        let from = seen.min(input.len());
        let Some(end) = input.get(from..).and_then(|rest| memchr(b'\n', rest)) else {
            return match input.first() {
                _ if input.len() > config.max_chunk_header => Step::Reject(Reject::Length),
                Some(digit) if !digit.is_ascii_hexdigit() => Step::Reject(Reject::Malformed),
                _ => Step::Incomplete,
            };
        };
        let consumed = from + end + 1;
        if consumed > config.max_chunk_header {
            return Step::Reject(Reject::Length);
        }
        match size(input) {
            Ok(0) => {
                self.trailers = Some(0);
                self.trailers(input, consumed, 0, config)
            }
            Ok(size) => {
                self.size = self.size.saturating_add(size);
                // The CRLF after the data is passed over with it: a capture that keeps only the start of each call lacks both.
                Step::Passed { consumed, skip: size + 2 }
            }
            Err(reject) => Step::Reject(reject),
        }
    }

    /// The end of the body, which has come.
    pub(super) fn end(&self) -> End {
        End { size: self.size, status: (self.status > 0).then_some(self.status) }
    }

    /// The same if what of `input` and the `hidden` bytes after it is left of a call is as long as the last chunk, and could be it.
    ///
    /// Servers send small bodies, and the last part of others, with one call that ends with the last chunk. Another chunk of so few bytes that
    /// would end the call as well cannot be told from it; five bytes are not even enough for one.
    pub(super) fn end_if_hidden(&self, input: &[u8], hidden: u64) -> Option<End> {
        let fits = input.len() as u64 + hidden == LAST_CHUNK.len() as u64 && LAST_CHUNK.starts_with(input);
        (hidden > 0 && self.trailers.is_none() && fits).then(|| self.end())
    }

    /// Lines up to an empty one, from `at` on.
    fn trailers(&mut self, input: &[u8], at: usize, seen: usize, config: &Config) -> Step {
        let mut next = at;
        let mut from = at.max(seen.min(input.len()));
        let mut count = self.trailers.unwrap_or_default();
        while let Some((_, after)) = line(input, from) {
            if matches!(input.get(next..after), Some(b"\n" | b"\r\n")) {
                return Step::End(after);
            }
            count += 1;
            next = after;
            from = after;
        }
        self.trailers = Some(count);
        if count > config.max_headers || input.len() - next > config.max_head {
            return Step::Reject(Reject::Length);
        }
        if next > 0 { Step::Passed { consumed: next, skip: 0 } } else { Step::Incomplete }
    }
}

/// The number a chunk header starts with; extensions and blanks may follow it.
fn size(header: &[u8]) -> Result<u64, Reject> {
    let digits = header.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (digits, rest) = header.split_at(digits);
    if digits.is_empty() || !matches!(rest.first(), Some(b'\r' | b'\n' | b';' | b' ' | b'\t')) {
        return Err(Reject::Malformed);
    }
    digits
        .iter()
        .try_fold(0_u64, |sum, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            sum.checked_mul(16)?.checked_add(digit.into()).filter(|n| *n <= MAX_LENGTH)
        })
        .ok_or(Reject::Length)
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// All steps of a body that is there in full, and its data's size.
    fn walk(mut input: &[u8]) -> (Vec<Step>, u64) {
        let config = Config::default();
        let mut body = Chunked::new(0);
        let mut steps = Vec::new();
        loop {
            let step = body.step(input, 0, &config);
            steps.push(step);
            match step {
                Step::Passed { consumed, skip } => {
                    input = input.get(consumed + usize::try_from(skip).unwrap()..).unwrap_or_default();
                }
                _ => return (steps, body.size),
            }
        }
    }

    #[test]
    fn chunks_extensions_and_trailers() {
        let (steps, size) = walk(b"5\r\nhello\r\n0B;a=\"b\"\r\n 0123456789\r\n00\r\nA: b\r\nC: d\r\n\r\nnext");
        assert_eq!(
            steps,
            [Step::Passed { consumed: 3, skip: 7 }, Step::Passed { consumed: 10, skip: 13 }, Step::End(4 + 6 + 6 + 2)]
        );
        assert_eq!(size, 16);
    }

    #[test]
    fn bare_line_feeds_and_blanks() {
        assert_eq!(walk(b"1 \nx\r\n0\n\n").0, [Step::Passed { consumed: 3, skip: 3 }, Step::End(3)]);
    }

    #[test]
    fn trailers_come_in_pieces() {
        let config = Config::default();
        let mut body = Chunked::new(0);
        assert_eq!(body.step(b"0\r\nA: b\r\nC", 0, &config), Step::Passed { consumed: 9, skip: 0 });
        assert_eq!(body.step(b"C", 0, &config), Step::Incomplete);
        assert_eq!(body.step(b"C: d\r", 1, &config), Step::Incomplete);
        assert_eq!(body.step(b"C: d\r\n", 5, &config), Step::Passed { consumed: 6, skip: 0 });
        assert_eq!(body.step(b"\r", 0, &config), Step::Incomplete);
        assert_eq!(body.step(b"\r\n", 1, &config), Step::End(2));
    }

    #[test]
    fn what_is_no_chunk() {
        let config = Config::default();
        let step = |input: &[u8]| Chunked::new(0).step(input, 0, &config);
        for input in [&b"x"[..], b"\r\n", b"5x\r\n", b";\r\n", b" 5\r\n"] {
            assert_eq!(step(input), Step::Reject(Reject::Malformed), "{input:?}");
        }
        assert_eq!(step(b"7fffffffffffffff\r\n"), Step::Passed { consumed: 18, skip: MAX_LENGTH + 2 });
        for input in [&b"8000000000000000\r\n"[..], b"10000000000000000\r\n", &[b'0'; 5000]] {
            assert_eq!(step(input), Step::Reject(Reject::Length), "{:?}", input.get(..20));
        }
        for input in [&b""[..], b"5", b"5\r", b"5;ext"] {
            assert_eq!(step(input), Step::Incomplete, "{input:?}");
        }
    }

    #[test]
    fn a_flood_of_trailers_is_rejected() {
        let config = Config::default();
        let flood = [&b"0\r\n"[..], &b"a: b\r\n".repeat(config.max_headers + 1)].concat();
        assert_eq!(Chunked::new(0).step(&flood, 0, &config), Step::Reject(Reject::Length));
        let long = [&b"0\r\n"[..], &vec![b'a'; config.max_head + 1]].concat();
        assert_eq!(Chunked::new(0).step(&long, 0, &config), Step::Reject(Reject::Length));
    }
}
