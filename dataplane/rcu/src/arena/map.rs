//! The memory behind an arena.

use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap};

use super::ArenaError;

/// A huge page.
const HUGE: usize = 2 << 20;

/// What backs an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Reserved 2 MiB pages.
    Huge,
    /// Ordinary memory that the kernel may back with 2 MiB pages.
    Transparent,
}

/// A private anonymous mapping in whole, aligned 2 MiB pieces; unmapped when dropped.
#[derive(Debug)]
pub(super) struct Map {
    base: NonNull<u8>,
    len: usize,
    pages: Pages,
    locked: bool,
}

// SAFETY: it owns plain memory that is not tied to a thread, and hands out only its address.
unsafe impl Send for Map {}
// SAFETY: as for `Send`.
unsafe impl Sync for Map {}

impl Map {
    /// At least `capacity` bytes on reserved huge pages, or on transparent ones.
    pub(super) fn new(capacity: usize) -> Result<Map, ArenaError> {
        let len = whole_pages(capacity)?;
        match map(len, MapFlags::HUGETLB | MapFlags::HUGE_2MB) {
            Ok(base) => Ok(Map::protect(base, len, Pages::Huge)),
            Err(_) => Map::transparent(capacity),
        }
    }

    /// At least `capacity` bytes on transparent huge pages.
    pub(super) fn transparent(capacity: usize) -> Result<Map, ArenaError> {
        let len = whole_pages(capacity)?;
        let slack = len.checked_add(HUGE).ok_or(too_large(capacity))?;
        let start = map(slack, MapFlags::empty()).map_err(|errno| ArenaError::Map { bytes: len, errno })?;
        let head = start.as_ptr().align_offset(HUGE);
        let tail = HUGE - head;
        // SAFETY: `head` is below `HUGE`, so that the aligned base and `len` bytes lie in the mapping.
        let base = unsafe { start.add(head) };
        // SAFETY: both ends are page-aligned parts of the fresh mapping that nobody uses.
        unsafe {
            unmap(start, head);
            unmap(base.add(len), tail);
            // Advice: without it the pages are small, and nothing else changes.
            let _ = madvise(base.as_ptr().cast(), len, Advice::LinuxHugepage);
        }
        Ok(Map::protect(base, len, Pages::Transparent))
    }

    /// Keeps the fresh mapping out of core dumps, children and, if allowed, swap.
    fn protect(base: NonNull<u8>, len: usize, pages: Pages) -> Map {
        let at = base.as_ptr().cast();
        // SAFETY: the range is our own mapping, which no one uses yet; a refusal changes nothing.
        let locked = unsafe {
            let _ = madvise(at, len, Advice::LinuxDontDump);
            let _ = madvise(at, len, Advice::LinuxDontFork);
            mlock(at, len).is_ok()
        };
        Map { base, len, pages, locked }
    }

    /// The first byte, on a 2 MiB boundary.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes, a multiple of 2 MiB.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn pages(&self) -> Pages {
        self.pages
    }

    pub(super) fn is_locked(&self) -> bool {
        self.locked
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and boxes in it keep the arena, and so this map, alive.
        unsafe { unmap(self.base, self.len) };
    }
}

/// `bytes` in whole huge pages, at least one.
fn whole_pages(bytes: usize) -> Result<usize, ArenaError> {
    bytes.max(1).checked_next_multiple_of(HUGE).ok_or(too_large(bytes))
}

fn too_large(bytes: usize) -> ArenaError {
    ArenaError::Map { bytes, errno: rustix::io::Errno::NOMEM }
}

/// `len` zeroed bytes of private memory.
fn map(len: usize, flags: MapFlags) -> rustix::io::Result<NonNull<u8>> {
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory in use.
    let at = unsafe { mmap_anonymous(ptr::null_mut(), len, prot, MapFlags::PRIVATE | flags) }?;
    NonNull::new(at.cast()).ok_or(rustix::io::Errno::NOMEM)
}

/// Unmaps `len` bytes, none if zero.
///
/// # Safety
///
/// The range is a part of our own mapping that nobody uses.
unsafe fn unmap(at: NonNull<u8>, len: usize) {
    if len > 0 {
        // SAFETY: by this function's contract. Failing would only leak address space.
        let _ = unsafe { munmap(at.as_ptr().cast(), len) };
    }
}
