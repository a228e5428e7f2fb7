//! The protocols of this crate, in the order in which detection asks them.

use crate::registry::Registry;

impl Registry {
    /// Every protocol of this crate, with its default settings.
    #[must_use]
    pub fn builtin() -> Self {
        Self::new()
    }
}
