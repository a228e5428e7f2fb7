//! The types of replies.

use super::wire::{Group, Scalar};

/// The type of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum Kind {
    #[default]
    Nil,
    SimpleString,
    Error,
    Integer,
    BulkString,
    Array,
    Boolean,
    Double,
    BigNumber,
    BulkError,
    VerbatimString,
    Map,
    Set,
    Push,
}

impl Kind {
    /// The name in lower case: `bulk_string`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::SimpleString => "simple_string",
            Self::Error => "error",
            Self::Integer => "integer",
            Self::BulkString => "bulk_string",
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Double => "double",
            Self::BigNumber => "big_number",
            Self::BulkError => "bulk_error",
            Self::VerbatimString => "verbatim_string",
            Self::Map => "map",
            Self::Set => "set",
            Self::Push => "push",
        }
    }

    pub(super) const fn of(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Simple => Self::SimpleString,
            Scalar::Error => Self::Error,
            Scalar::Integer => Self::Integer,
            Scalar::Double => Self::Double,
            Scalar::Boolean => Self::Boolean,
            Scalar::BigNumber => Self::BigNumber,
            Scalar::Bulk => Self::BulkString,
            Scalar::BulkError => Self::BulkError,
            Scalar::Verbatim => Self::VerbatimString,
        }
    }

    pub(super) const fn of_group(group: Group) -> Self {
        match group {
            Group::Array | Group::Attribute => Self::Array,
            Group::Set => Self::Set,
            Group::Map => Self::Map,
            Group::Push => Self::Push,
        }
    }
}
