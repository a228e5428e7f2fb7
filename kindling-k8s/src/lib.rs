//! Placeholder docs, replaced below.
