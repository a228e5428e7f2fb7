//! Repository chores; see `cargo xtask help`.
fn main() {}
