//! Owned packet buffers.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::slice;

use arrayvec::ArrayVec;
use dpdk_sys::{
    SHIM_MBUF_BUF_ADDR, SHIM_MBUF_BUF_LEN, SHIM_MBUF_DATA_LEN, SHIM_MBUF_DATA_OFF,
    SHIM_MBUF_F_RX_IP_CKSUM_BAD, SHIM_MBUF_F_RX_IP_CKSUM_GOOD, SHIM_MBUF_F_RX_IP_CKSUM_MASK,
    SHIM_MBUF_F_RX_L4_CKSUM_MASK, SHIM_MBUF_F_RX_L4_CKSUM_NONE, SHIM_MBUF_F_RX_RSS_HASH, SHIM_MBUF_MARK,
    SHIM_MBUF_NB_SEGS, SHIM_MBUF_OL_FLAGS, SHIM_MBUF_PKT_LEN, SHIM_MBUF_PORT, SHIM_MBUF_REFCNT,
    SHIM_MBUF_RSS_HASH, rte_mbuf,
};

/// Bytes before the packet in a fresh buffer: room for outer headers.
pub const HEADROOM: usize = dpdk_sys::SHIM_HEADROOM as usize;

/// A packet in a buffer of a [`crate::Mempool`], owned: whoever has it may change it, and dropping it
/// gives the buffer back.
///
/// ```text
///   |<- headroom ->|<------ data ------>|<- tailroom ->|
///   buffer()       span().start         span().end
/// ```
/// `data` is the first segment. Packets longer than a buffer come as a chain: [`Mbuf::is_contiguous`] is
/// false then, and [`Mbuf::linearize`] brings them into one piece where they fit.
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: an `Mbuf` is the only handle of its buffer, and pools take buffers back from any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// # Safety
    /// `raw` came from a pool or a driver and nothing else will use it; its pool is never freed.
    pub(crate) unsafe fn from_raw(raw: NonNull<rte_mbuf>) -> Self {
        Self(raw)
    }

    /// Reads the field of type `T` at `offset`, one of `SHIM_MBUF_*`.
    #[inline(always)]
    fn field<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: the offsets are those of the C compiler (checked when EAL started), their widths are
        // asserted in the shim, and the buffer is ours.
        unsafe { self.0.as_ptr().cast::<u8>().add(offset as usize).cast::<T>().read() }
    }

    #[inline(always)]
    fn set_field<T: Copy>(&mut self, offset: u32, value: T) {
        // SAFETY: as in `field`, and `&mut self` makes us the only one to touch it.
        unsafe { self.0.as_ptr().cast::<u8>().add(offset as usize).cast::<T>().write(value) }
    }

    /// Bytes of the first segment: of the packet, when it is contiguous.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.field::<u16>(SHIM_MBUF_DATA_LEN))
    }

    /// True when the first segment holds no byte.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all segments.
    #[must_use]
    #[inline]
    pub fn packet_len(&self) -> usize {
        self.field::<u32>(SHIM_MBUF_PKT_LEN) as usize
    }

    /// True when the packet is one segment.
    #[must_use]
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.segments() == 1
    }

    /// Segments of the packet, 1 or more.
    #[must_use]
    #[inline]
    pub fn segments(&self) -> u16 {
        self.field(SHIM_MBUF_NB_SEGS)
    }

    /// Bytes before the packet.
    #[must_use]
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.field::<u16>(SHIM_MBUF_DATA_OFF))
    }

    /// Bytes after the first segment's data, in its buffer.
    #[must_use]
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.buffer_len() - self.headroom() - self.len()
    }

    #[inline(always)]
    fn buffer_len(&self) -> usize {
        usize::from(self.field::<u16>(SHIM_MBUF_BUF_LEN))
    }

    #[inline(always)]
    fn buffer_start(&self) -> *mut u8 {
        self.field(SHIM_MBUF_BUF_ADDR)
    }

    /// Where the data lies in [`Mbuf::buffer_mut`].
    #[must_use]
    #[inline]
    pub fn span(&self) -> Range<usize> {
        let start = self.headroom();
        start..start + self.len()
    }

    /// The first segment's data.
    #[must_use]
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: DPDK keeps data_off + data_len <= buf_len of an allocated, initialized buffer, which
        // is ours for as long as `self` is borrowed.
        unsafe { slice::from_raw_parts(self.buffer_start().add(self.headroom()), self.len()) }
    }

    /// The first segment's data, to be changed in place.
    #[must_use]
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        debug_assert_eq!(self.field::<u16>(SHIM_MBUF_REFCNT), 1, "a shared buffer");
        // SAFETY: as in `data`; the reference count is 1, so no other mbuf shows these bytes.
        unsafe { slice::from_raw_parts_mut(self.buffer_start().add(self.headroom()), self.len()) }
    }

    /// The whole buffer: headroom, data and tailroom.
    #[must_use]
    #[inline]
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        debug_assert_eq!(self.field::<u16>(SHIM_MBUF_REFCNT), 1, "a shared buffer");
        // SAFETY: `buf_len` bytes at `buf_addr` are this buffer's, mapped and so initialized.
        unsafe { slice::from_raw_parts_mut(self.buffer_start(), self.buffer_len()) }
    }

    /// Says where the packet lies in [`Mbuf::buffer_mut`] after a stage moved both of its ends.
    ///
    /// # Errors
    /// [`NoRoom`] when the packet is a chain or the span is not within the buffer; nothing changes then.
    #[inline]
    pub fn set_span(&mut self, span: Range<usize>) -> Result<(), NoRoom> {
        if span.start > span.end || span.end > self.buffer_len() || !self.is_contiguous() {
            return Err(NoRoom);
        }
        self.set_field(SHIM_MBUF_DATA_OFF, narrow(span.start));
        self.set_lengths(span.len());
        Ok(())
    }

    /// Sets both lengths of a contiguous packet.
    #[inline]
    fn set_lengths(&mut self, length: usize) {
        let length = narrow(length);
        self.set_field(SHIM_MBUF_DATA_LEN, length);
        self.set_field(SHIM_MBUF_PKT_LEN, u32::from(length));
    }

    /// Adds `count` bytes before the packet and returns them, with whatever they held before.
    ///
    /// # Errors
    /// [`NoRoom`] when the headroom is shorter.
    #[inline]
    pub fn prepend(&mut self, count: usize) -> Result<&mut [u8], NoRoom> {
        let start = self.headroom().checked_sub(count).ok_or(NoRoom)?;
        let length = self.len() + count;
        let total = self.packet_len() + count;
        self.set_field(SHIM_MBUF_DATA_OFF, narrow(start));
        self.set_field(SHIM_MBUF_DATA_LEN, narrow(length));
        self.set_field(SHIM_MBUF_PKT_LEN, narrow32(total));
        Ok(&mut self.data_mut()[..count])
    }

    /// Removes `count` bytes from the packet's start.
    ///
    /// # Errors
    /// [`NoRoom`] when the first segment is shorter.
    #[inline]
    pub fn adj(&mut self, count: usize) -> Result<(), NoRoom> {
        let length = self.len().checked_sub(count).ok_or(NoRoom)?;
        let (start, total) = (self.headroom() + count, self.packet_len() - count);
        self.set_field(SHIM_MBUF_DATA_OFF, narrow(start));
        self.set_field(SHIM_MBUF_DATA_LEN, narrow(length));
        self.set_field(SHIM_MBUF_PKT_LEN, narrow32(total));
        Ok(())
    }

    /// Adds `count` bytes after a contiguous packet and returns them, with whatever they held before.
    ///
    /// # Errors
    /// [`NoRoom`] when the tailroom is shorter, or the packet is a chain.
    #[inline]
    pub fn append(&mut self, count: usize) -> Result<&mut [u8], NoRoom> {
        if count > self.tailroom() || !self.is_contiguous() {
            return Err(NoRoom);
        }
        let length = self.len();
        self.set_lengths(length + count);
        Ok(&mut self.data_mut()[length..])
    }

    /// Removes `count` bytes from the end of a contiguous packet.
    ///
    /// # Errors
    /// [`NoRoom`] when the packet is shorter, or a chain.
    #[inline]
    pub fn trim(&mut self, count: usize) -> Result<(), NoRoom> {
        if !self.is_contiguous() {
            return Err(NoRoom);
        }
        let length = self.len().checked_sub(count).ok_or(NoRoom)?;
        self.set_lengths(length);
        Ok(())
    }

    /// Appends a copy of `bytes`.
    ///
    /// # Errors
    /// As [`Mbuf::append`].
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.append(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Brings a chain into its first segment. Slow: it copies.
    ///
    /// # Errors
    /// [`NoRoom`] when the packet is longer than one buffer; it stays a chain.
    pub fn linearize(&mut self) -> Result<(), NoRoom> {
        // SAFETY: the buffer and its chain are ours.
        if unsafe { dpdk_sys::shim_mbuf_linearize(self.0.as_ptr()) } == 0 { Ok(()) } else { Err(NoRoom) }
    }

    /// Makes `tail` the last segments of this packet.
    ///
    /// # Errors
    /// `tail` again, when the chain would have more segments than a driver can count.
    pub fn chain(&mut self, tail: Self) -> Result<(), Self> {
        let tail = ManuallyDrop::new(tail);
        // SAFETY: both packets are ours; on success `tail` belongs to this chain and is not dropped.
        match unsafe { dpdk_sys::shim_mbuf_chain(self.0.as_ptr(), tail.0.as_ptr()) } {
            0 => Ok(()),
            _ => Err(ManuallyDrop::into_inner(tail)),
        }
    }

    /// The hash by which the NIC chose the queue, where it gave one.
    #[must_use]
    #[inline]
    pub fn rss_hash(&self) -> Option<u32> {
        let flags: u64 = self.field(SHIM_MBUF_OL_FLAGS);
        (flags & u64::from(SHIM_MBUF_F_RX_RSS_HASH) != 0).then(|| self.field(SHIM_MBUF_RSS_HASH))
    }

    /// What the device found of the checksum of the IPv4 header; `None` if it did not look.
    #[must_use]
    #[inline]
    pub fn ipv4_checksum(&self) -> Option<bool> {
        let flags: u64 = self.field(SHIM_MBUF_OL_FLAGS);
        match flags & u64::from(SHIM_MBUF_F_RX_IP_CKSUM_MASK) {
            found if found == u64::from(SHIM_MBUF_F_RX_IP_CKSUM_GOOD) => Some(true),
            found if found == u64::from(SHIM_MBUF_F_RX_IP_CKSUM_BAD) => Some(false),
            _ => None,
        }
    }

    /// True if the device says that the TCP or UDP checksum is unfinished: its sender left it to a device that
    /// the packet never saw.
    #[must_use]
    #[inline]
    pub fn is_checksum_unfinished(&self) -> bool {
        let flags: u64 = self.field(SHIM_MBUF_OL_FLAGS);
        flags & u64::from(SHIM_MBUF_F_RX_L4_CKSUM_MASK) == u64::from(SHIM_MBUF_F_RX_L4_CKSUM_NONE)
    }

    /// A word that stays with the buffer until somebody changes it, through queues and pools; 0 in a new pool.
    #[must_use]
    #[inline]
    pub fn mark(&self) -> u32 {
        self.field(SHIM_MBUF_MARK)
    }

    /// Changes [`Mbuf::mark`].
    #[inline]
    pub fn set_mark(&mut self, mark: u32) {
        self.set_field(SHIM_MBUF_MARK, mark);
    }

    /// The port it was received on; meaningless for an allocated one.
    #[must_use]
    #[inline]
    pub fn port(&self) -> u16 {
        self.field(SHIM_MBUF_PORT)
    }

    /// Asks the cache for the first bytes of the packet. Reads the mbuf itself: prefetch that one burst
    /// position earlier with [`Mbuf::prefetch_header`].
    #[inline]
    pub fn prefetch_data(&self) {
        prefetch_line(self.buffer_start().wrapping_add(self.headroom()));
    }

    /// Asks the cache for the mbuf itself.
    #[inline]
    pub fn prefetch_header(&self) {
        prefetch_line(self.0.as_ptr().cast());
    }

    /// Gives back all buffers at once: cheaper than dropping them one by one.
    #[inline]
    pub fn free_bulk<const N: usize>(mbufs: &mut ArrayVec<Self, N>) {
        let count = mbufs.len();
        // SAFETY: the length is set to 0 first, so that these buffers are freed here and only here; an
        // `Mbuf` is one pointer.
        unsafe {
            mbufs.set_len(0);
            dpdk_sys::rte_pktmbuf_free_bulk(mbufs.as_mut_ptr().cast(), narrow32(count));
        }
    }
}

/// Asks the cache for all lines of a value that is read soon.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    prefetch_start(value, size_of::<T>());
}

/// Asks the cache for the first `bytes` bytes of a value that is read soon.
#[inline(always)]
pub fn prefetch_start<T>(value: &T, bytes: usize) {
    let start = ptr::from_ref(value).cast::<u8>();
    for line in 0..bytes.div_ceil(64) {
        prefetch_line(start.wrapping_add(64 * line));
    }
}

#[inline(always)]
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint and faults on no address.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Offsets and lengths within one buffer: at most 65,535 by its type.
#[inline(always)]
fn narrow(value: usize) -> u16 {
    debug_assert!(value <= usize::from(u16::MAX));
    #[expect(clippy::cast_possible_truncation, reason = "checked by the callers against buf_len, a u16")]
    let narrow = value as u16;
    narrow
}

#[inline(always)]
fn narrow32(value: usize) -> u32 {
    debug_assert!(u32::try_from(value).is_ok());
    #[expect(clippy::cast_possible_truncation, reason = "a packet's length fits the u32 it came from")]
    let narrow = value as u32;
    narrow
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the buffer is ours, and not used again.
        unsafe { dpdk_sys::shim_mbuf_free(self.0.as_ptr()) }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf")
            .field("headroom", &self.headroom())
            .field("len", &self.len())
            .field("tailroom", &self.tailroom())
            .field("segments", &self.segments())
            .finish()
    }
}

/// The buffer has no room for that, or the packet not that many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room in the packet buffer")]
pub struct NoRoom;

/// Takes the first `count` of `mbufs` as handed over to someone else, and moves the rest to the front.
///
/// # Safety
/// The first `count` buffers, at most `mbufs.len()`, now belong to another owner.
#[inline]
pub(crate) unsafe fn forget_front<const N: usize>(mbufs: &mut ArrayVec<Mbuf, N>, count: usize) {
    let rest = mbufs.len() - count;
    // SAFETY: `count + rest` elements are initialized; those given away are overwritten or cut off
    // without being dropped, as the caller promised they have another owner.
    unsafe {
        let start = mbufs.as_mut_ptr();
        ptr::copy(start.add(count), start, rest);
        mbufs.set_len(rest);
    }
}
