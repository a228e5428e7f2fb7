//! One folder a protocol.

pub mod dns;
pub mod http1;
pub mod redis;
