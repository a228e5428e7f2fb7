//! The conformance kit: transcripts of conversations, and the laws every protocol must keep when they are cut, dropped and shuffled.
//!
//! ```
//! use kindling_protocols::{Registry, testing::{Transcript, laws}};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::builtin();
//! let transcript = Transcript::parse("greeting", "# protocol: none\n>>>\nhello\\r\\n\n===> exchanges\n")?;
//! laws::check_all(&registry, &transcript)?;
//! # Ok(()) }
//! ```
//!
//! The format, line by line:
//!
//! ```text
//! # protocol: http1            facts: protocol, transport (tcp, udp, unix), port, midstream (true), vantage (client, server, observer), content (raw)
//! >>>                          a segment from the client; the lines below are its bytes, with \r \n \t \\ \xNN; line ends of the file are ignored
//! GET / HTTP/1.1\r\n\r\n
//! <<<                          a segment from the server
//! ><> server 120               120 bytes from the server are missing
//! ~~~ server 120               120 bytes from the server moved but were not captured
//! --- 5ms                      time passes (us, ms, s); each segment takes 200 us by itself
//! === close                    the flow ends (close, reset); without it the source ends
//! ===> exchanges               what must come out, in any order, one a line, columns separated by tabs:
//! complete  GET  /  200  -     outcome, operation, resource, status, error; then name=value for attributes, key, side, quality and byte counts
//! ```

pub mod laws;
mod run;
mod transcript;

pub use self::{
    run::{Run, run},
    transcript::{Step, Transcript, TranscriptError},
};
