//! kindling
