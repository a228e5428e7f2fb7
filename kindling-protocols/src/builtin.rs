//! The protocols of this crate, in the order in which detection asks them.

use crate::registry::Registry;

pub(crate) fn register(registry: Registry) -> Registry {
    registry
}
