//! The protocols of this crate, in the order in which detection asks them.

use crate::{
    parsers::{dns::Dns, http1::Http1, redis::Redis},
    registry::Registry,
};

impl Registry {
    /// Every protocol of this crate, with its default settings.
    #[must_use]
    pub fn builtin() -> Self {
        Self::new().with::<Http1>().with::<Redis>().with::<Dns>()
    }
}
