//! The traits whose methods most programs call, without their names.

pub use kindling_core::{EventIteratorExt as _, EventStreamExt as _, Visit as _};

pub use crate::pipeline::Control as _;
