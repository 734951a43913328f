//! Bounded reading and checked writing of big-endian fields.

use super::error::{DecodeError, EncodeError};

/// A cursor over one structure; `what` names it in errors.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.bytes.split_at_checked(len).ok_or(DecodeError::Truncated {
            what: self.what,
            need: len,
            have: self.bytes.len(),
        })?;
        self.bytes = tail;
        Ok(head)
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A substructure whose length field, already read, counts the `read` bytes before this point too.
    pub(super) fn sub(&mut self, claimed: u16, read: usize, what: &'static str) -> Result<Self, DecodeError> {
        let claimed = usize::from(claimed);
        let actual = self.bytes.len() + read;
        let body = claimed.checked_sub(read).filter(|len| *len <= self.bytes.len());
        let len = body.ok_or(DecodeError::Length { what, claimed, actual })?;
        Ok(Self { bytes: self.take(len)?, what })
    }

    /// Refuses bytes after the last element.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Trailing { what: self.what, extra: self.bytes.len() })
    }
}

/// Narrows a length or count to its field.
pub(super) fn field<T: TryFrom<usize>>(
    size: usize,
    limit: usize,
    what: &'static str,
) -> Result<T, EncodeError> {
    T::try_from(size).map_err(|_| EncodeError::TooLong { what, size, limit })
}

/// Appends a 16-bit length of the `out[start..]` structure into the two bytes at `at`.
pub(super) fn patch_length(
    out: &mut [u8],
    start: usize,
    at: usize,
    what: &'static str,
) -> Result<(), EncodeError> {
    let len: u16 = field(out.len() - start, usize::from(u16::MAX), what)?;
    out[at..at + 2].copy_from_slice(&len.to_be_bytes());
    Ok(())
}
