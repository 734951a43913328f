//! The messages of the contract, one module per ring.
//!
//! A slot starts with a header and a body follows it:
//!
//! ```text
//!  0       2        4               8
//! +-------+--------+---------------+------------------
//! | kind  | zero   | body length   | body ...
//! +-------+--------+---------------+------------------
//! ```
//!
//! All integers are little endian. Bodies have one fixed length per kind.

pub mod codec;
pub mod command;
pub mod completion;
pub mod event;
pub mod id;
pub mod object;
pub mod packet;
pub mod record;
pub mod sa;
#[cfg(test)]
mod tests;

pub use codec::{DecodeError, Field};
pub use command::*;
pub use completion::*;
pub use event::*;
pub use id::*;
pub use object::*;
pub use packet::*;
pub use record::*;
pub use sa::*;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes before the body of a slot.
pub const HEADER_LEN: usize = 8;

/// A message that travels in slots of `SLOT_LEN` bytes.
pub trait Message: Sized {
    const SLOT_LEN: usize;

    fn kind(&self) -> u16;

    /// Writes header and body to the front of `slot` and returns the bytes used.
    ///
    /// # Panics
    /// If `slot` is shorter than `SLOT_LEN`.
    fn encode(&self, slot: &mut [u8]) -> usize;

    /// Reads a private copy of a slot, which may hold anything.
    fn decode(slot: &[u8]) -> Result<Self, DecodeError>;
}

/// The first bytes of a slot.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct SlotHeader {
    pub(crate) kind: codec::U16,
    pub(crate) reserved: codec::U16,
    pub(crate) body_len: codec::U32,
}

const _: () = assert!(size_of::<SlotHeader>() == HEADER_LEN);

impl SlotHeader {
    /// The bytes of the whole message, or the named error when that is more than `slot_len`.
    pub(crate) fn message_len(self, slot_len: usize) -> Result<usize, DecodeError> {
        let room = slot_len.saturating_sub(HEADER_LEN);
        match usize::try_from(self.body_len.get()) {
            Ok(len) if len <= room => Ok(HEADER_LEN + len),
            Ok(found) => Err(DecodeError::Length { expected: room, found }),
            Err(_) => Err(DecodeError::Length { expected: room, found: usize::MAX }),
        }
    }
}

pub(crate) fn put<T: Field>(kind: u16, body: &T, slot: &mut [u8]) -> usize {
    let wire = body.store();
    let len = size_of::<T::Wire>();
    let body_len = u32::try_from(len).unwrap_or(u32::MAX);
    let header = SlotHeader { kind: kind.into(), reserved: 0.into(), body_len: body_len.into() };
    slot[..HEADER_LEN].copy_from_slice(header.as_bytes());
    slot[HEADER_LEN..HEADER_LEN + len].copy_from_slice(wire.as_bytes());
    HEADER_LEN + len
}

pub(crate) fn split(slot: &[u8]) -> Result<(SlotHeader, &[u8]), DecodeError> {
    let (header, rest) = SlotHeader::read_from_prefix(slot)
        .map_err(|_| DecodeError::Length { expected: HEADER_LEN, found: slot.len() })?;
    if header.reserved.get() != 0 {
        return Err(DecodeError::Reserved { field: "slot header" });
    }
    let end = header.message_len(slot.len())?;
    Ok((header, &rest[..end - HEADER_LEN]))
}

pub(crate) fn take<T: Field>(body: &[u8]) -> Result<T, DecodeError> {
    let wire = T::Wire::read_from_bytes(body)
        .map_err(|_| DecodeError::Length { expected: size_of::<T::Wire>(), found: body.len() })?;
    T::load(wire)
}
