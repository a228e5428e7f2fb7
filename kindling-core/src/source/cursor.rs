//! Reading a slice from the front, never past its end.

/// What is left of a slice; every method answers `None` where that is too short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(&'a [u8]);

/// The byte order of a file that says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self, order: Order) -> Option<u16> {
        self.array().map(if order == Order::Little { u16::from_le_bytes } else { u16::from_be_bytes })
    }

    pub(super) fn u32(&mut self, order: Order) -> Option<u32> {
        self.array().map(if order == Order::Little { u32::from_le_bytes } else { u32::from_be_bytes })
    }

    pub(super) fn u64(&mut self, order: Order) -> Option<u64> {
        self.array().map(if order == Order::Little { u64::from_le_bytes } else { u64::from_be_bytes })
    }

    pub(super) fn be16(&mut self) -> Option<u16> {
        self.u16(Order::Big)
    }

    pub(super) fn be32(&mut self) -> Option<u32> {
        self.u32(Order::Big)
    }
}
