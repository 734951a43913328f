//! What the stages need of a packet buffer: bytes with room before and after them.

use std::ops::Range;

use dpdk::Mbuf;

/// The buffer has no room for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room in the packet buffer")]
pub struct NoRoom;

/// An owned packet in one piece of memory: an [`Mbuf`], or a [`HeapBuffer`] where there is no DPDK.
pub trait Buffer: Sized + Send {
    /// The packet.
    fn data(&self) -> &[u8];

    /// The packet, to be changed in place.
    fn data_mut(&mut self) -> &mut [u8];

    /// Where the packet lies in its buffer.
    fn span(&self) -> Range<usize>;

    /// Moves the ends of the packet within its buffer; new bytes are whatever was there.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] when `span` is not within the buffer; nothing changes then.
    fn set_span(&mut self, span: Range<usize>) -> Result<(), NoRoom>;

    /// Brings a chained packet into one piece; true if it is in one piece now.
    fn make_contiguous(&mut self) -> bool;

    /// A number that stays with the packet until it is changed; 0 unless somebody set it.
    fn mark(&self) -> u32;

    /// Changes [`Buffer::mark`].
    fn set_mark(&mut self, mark: u32);

    /// What the device that received it found of the checksum of the IPv4 header; `None` if it did not look.
    fn ipv4_checksum(&self) -> Option<bool> {
        None
    }

    /// True if that device says that the TCP or UDP checksum is unfinished.
    fn is_checksum_unfinished(&self) -> bool {
        false
    }

    /// Asks the cache for the buffer's own fields.
    fn prefetch_header(&self) {}

    /// Asks the cache for the packet's first bytes.
    fn prefetch_data(&self) {}

    /// The packet's length, bytes.
    #[inline]
    fn len(&self) -> usize {
        self.span().len()
    }

    /// True for a packet of no bytes.
    #[inline]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `before` bytes in front of the packet and `after` behind it.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] when either does not fit; nothing changes then.
    #[inline]
    fn grow(&mut self, before: usize, after: usize) -> Result<(), NoRoom> {
        self.frame(0..self.len(), before, after)
    }

    /// Keeps only `part` of the packet, offsets from its present start, with `before` bytes in front of it and `after`
    /// behind it that are whatever is there.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] when the part is not within the packet, or what is around it not within the buffer; nothing
    /// changes then.
    #[inline(always)]
    fn frame(&mut self, part: Range<usize>, before: usize, after: usize) -> Result<(), NoRoom> {
        let span = self.span();
        if part.end > span.len() {
            return Err(NoRoom);
        }
        let start = (span.start + part.start).checked_sub(before).ok_or(NoRoom)?;
        self.set_span(start..span.start + part.end + after)
    }

    /// Keeps only `part` of the packet, offsets from its present start.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] when the part is not within the packet; nothing changes then.
    #[inline(always)]
    fn keep(&mut self, part: Range<usize>) -> Result<(), NoRoom> {
        self.frame(part, 0, 0)
    }
}

impl Buffer for Mbuf {
    #[inline]
    fn data(&self) -> &[u8] {
        Mbuf::data(self)
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        Mbuf::data_mut(self)
    }

    #[inline]
    fn span(&self) -> Range<usize> {
        Mbuf::span(self)
    }

    #[inline(always)]
    fn set_span(&mut self, span: Range<usize>) -> Result<(), NoRoom> {
        Mbuf::set_span(self, span).map_err(|_| NoRoom)
    }

    #[inline]
    fn make_contiguous(&mut self) -> bool {
        self.is_contiguous() || self.linearize().is_ok()
    }

    #[inline]
    fn mark(&self) -> u32 {
        Mbuf::mark(self)
    }

    #[inline]
    fn set_mark(&mut self, mark: u32) {
        Mbuf::set_mark(self, mark);
    }

    #[inline]
    fn ipv4_checksum(&self) -> Option<bool> {
        Mbuf::ipv4_checksum(self)
    }

    #[inline]
    fn is_checksum_unfinished(&self) -> bool {
        Mbuf::is_checksum_unfinished(self)
    }

    #[inline]
    fn prefetch_header(&self) {
        Mbuf::prefetch_header(self);
    }

    #[inline]
    fn prefetch_data(&self) {
        Mbuf::prefetch_data(self);
    }
}

/// A packet on the heap, for tests, fuzzing and benchmarks of the stages without DPDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeapBuffer {
    bytes: Vec<u8>,
    span: Range<usize>,
    mark: u32,
    /// What [`Buffer::ipv4_checksum`] says.
    pub ipv4_checksum: Option<bool>,
    /// What [`Buffer::is_checksum_unfinished`] says.
    pub checksum_unfinished: bool,
}

impl HeapBuffer {
    /// Room before and after the packet, bytes: as a packet buffer of DPDK has it.
    pub const ROOM: usize = 128;

    /// A copy of `packet` with room around it.
    #[must_use]
    pub fn new(packet: &[u8]) -> Self {
        let mut bytes = vec![0xee; packet.len() + 2 * Self::ROOM];
        let span = Self::ROOM..Self::ROOM + packet.len();
        bytes[span.clone()].copy_from_slice(packet);
        Self { bytes, span, mark: 0, ipv4_checksum: None, checksum_unfinished: false }
    }
}

impl Buffer for HeapBuffer {
    fn data(&self) -> &[u8] {
        &self.bytes[self.span.clone()]
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.span.clone()]
    }

    fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    fn set_span(&mut self, span: Range<usize>) -> Result<(), NoRoom> {
        if span.start > span.end || span.end > self.bytes.len() {
            return Err(NoRoom);
        }
        self.span = span;
        Ok(())
    }

    fn make_contiguous(&mut self) -> bool {
        true
    }

    fn mark(&self) -> u32 {
        self.mark
    }

    fn ipv4_checksum(&self) -> Option<bool> {
        self.ipv4_checksum
    }

    fn is_checksum_unfinished(&self) -> bool {
        self.checksum_unfinished
    }

    fn set_mark(&mut self, mark: u32) {
        self.mark = mark;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_keeps_within_its_bounds() {
        let mut buffer = HeapBuffer::new(b"packet");
        buffer.grow(2, 3).expect("room");
        assert_eq!(buffer.len(), 11);
        buffer.keep(2..8).expect("within");
        assert_eq!(buffer.data(), b"packet");
        assert_eq!(buffer.keep(0..7), Err(NoRoom));
        assert_eq!(buffer.grow(HeapBuffer::ROOM + 1, 0), Err(NoRoom));
        assert_eq!(buffer.grow(0, HeapBuffer::ROOM + 1), Err(NoRoom));
        assert_eq!(buffer.frame(2..7, 0, 0), Err(NoRoom));
        assert_eq!(buffer.frame(2..4, HeapBuffer::ROOM + 3, 0), Err(NoRoom));
        assert_eq!(buffer.data(), b"packet");
        buffer.frame(2..4, 1, 1).expect("room");
        assert_eq!(buffer.data(), b"acke");
    }
}
