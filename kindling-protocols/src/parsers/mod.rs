//! One folder a protocol.

pub mod http1;
pub mod redis;
