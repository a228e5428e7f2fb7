//! What was seen, for programs and for people: [`json`] lines, lines of [`text`], a [`table`] by endpoint.
//!
//! An exporter takes exchanges by reference, keeps bounded memory and writes to any [`Write`](std::io::Write) or
//! [`Formatter`](std::fmt::Formatter); it opens nothing by itself.

pub mod histogram;
pub mod json;
pub mod table;
pub mod text;
