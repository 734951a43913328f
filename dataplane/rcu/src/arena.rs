//! A bounded arena on huge pages, for key schedules.
//!
//! Ten thousand key schedules scattered over a heap of 4 KiB pages cost a TLB miss each; on 2 MiB
//! pages they do not. The memory is kept out of core dumps and, as far as the limits allow, out of
//! swap; what is freed is zeroed. The agent allocates and frees, under a lock; workers only read.

mod blocks;
mod map;

use std::{
    alloc::{GlobalAlloc, Layout},
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
    sync::{Arc, Mutex, PoisonError},
};

use blocks::Blocks;
use map::Map;
pub use map::Pages;

/// Every block starts on a cache line.
pub const ALIGN: usize = 64;

/// A shared handle to one arena; the memory is unmapped after the last handle and box are gone.
///
/// It is also a [`GlobalAlloc`], so that a crate that knows nothing of it can place its objects
/// here through that trait.
#[derive(Clone)]
pub struct Arena {
    inner: Arc<Inner>,
}

struct Inner {
    map: Map,
    blocks: Mutex<Blocks>,
}

/// Why an arena or a box could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArenaError {
    /// The kernel refused the mapping.
    #[error("cannot map {bytes} bytes for the arena: {errno}")]
    Map {
        /// The size asked for, rounded up to 2 MiB.
        bytes: usize,
        /// The kernel's answer.
        errno: rustix::io::Errno,
    },
    /// No room for this block.
    #[error("the arena is full: {used} of {capacity} bytes are in use, {wanted} more are wanted")]
    Full {
        /// Bytes in use.
        used: usize,
        /// Bytes in all.
        capacity: usize,
        /// Bytes wanted.
        wanted: usize,
    },
    /// The type wants more than [`ALIGN`].
    #[error("an alignment of {0} bytes is more than the arena gives")]
    Alignment(usize),
}

impl Arena {
    /// Maps at least `capacity` bytes: from free huge pages if there are enough, else from
    /// transparent ones.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Map`] when not even ordinary memory is granted.
    pub fn new(capacity: usize) -> Result<Arena, ArenaError> {
        Ok(Arena::on(Map::new(capacity)?))
    }

    /// As [`new`](Self::new), but leaves reserved huge pages to others.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn transparent(capacity: usize) -> Result<Arena, ArenaError> {
        Ok(Arena::on(Map::transparent(capacity)?))
    }

    fn on(map: Map) -> Arena {
        let blocks = Mutex::new(Blocks::new(map.len()));
        Arena { inner: Arc::new(Inner { map, blocks }) }
    }

    /// Moves `value` into the arena.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Full`], or [`ArenaError::Alignment`] for a type that wants more than [`ALIGN`].
    pub fn boxed<T>(&self, value: T) -> Result<ArenaBox<T>, ArenaError> {
        let layout = Layout::new::<T>();
        let at = self.alloc_raw(layout)?.cast::<T>();
        // SAFETY: the block is fresh, large enough and aligned for `T`.
        unsafe { at.write(value) };
        Ok(ArenaBox { at, arena: self.clone(), _owns: PhantomData })
    }

    /// What backs the memory.
    #[must_use]
    pub fn pages(&self) -> Pages {
        self.inner.map.pages()
    }

    /// Whether the memory is locked against swapping (the limit on locked memory may forbid it).
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.inner.map.is_locked()
    }

    /// Bytes in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.inner.map.len()
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.with_blocks(|blocks| blocks.used())
    }

    /// A zeroed block for `layout`.
    fn alloc_raw(&self, layout: Layout) -> Result<NonNull<u8>, ArenaError> {
        if layout.align() > ALIGN {
            return Err(ArenaError::Alignment(layout.align()));
        }
        let wanted = layout.size();
        let offset = self.with_blocks(|blocks| {
            blocks.take(wanted).ok_or(ArenaError::Full {
                used: blocks.used(),
                capacity: self.capacity(),
                wanted,
            })
        })?;
        // SAFETY: `take` gives offsets of blocks that lie wholly inside the map.
        Ok(unsafe { self.inner.map.base().add(offset) })
    }

    /// Zeroes the block and gives it back.
    ///
    /// # Safety
    ///
    /// `at` came from `alloc_raw` of this arena with this `layout`, and nobody uses it any more.
    unsafe fn free_raw(&self, at: NonNull<u8>, layout: Layout) {
        // SAFETY: the block was taken for `layout.size()` bytes and is unused, by this function's contract.
        unsafe { wipe(at, layout.size()) };
        let offset = at.as_ptr().addr() - self.inner.map.base().as_ptr().addr();
        self.with_blocks(|blocks| blocks.give(offset, layout.size()));
    }

    fn with_blocks<R>(&self, f: impl FnOnce(&mut Blocks) -> R) -> R {
        f(&mut self.inner.blocks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// SAFETY: `alloc` gives a fresh block that fits `layout`, or null; blocks do not overlap and stay
// mapped while a handle exists, which the caller keeps; neither function unwinds.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.alloc_raw(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if let Some(at) = NonNull::new(at) {
            // SAFETY: passed on from the caller.
            unsafe { self.free_raw(at, layout) }
        }
    }
}

/// Overwrites the block for `len` bytes with zeros, in a way the compiler keeps.
///
/// # Safety
///
/// `at` is the start of a block taken for `len` bytes, which nobody refers to any more.
unsafe fn wipe(at: NonNull<u8>, len: usize) {
    let words = len.max(1).div_ceil(ALIGN) * (ALIGN / size_of::<u64>());
    for word in 0..words {
        // SAFETY: blocks are aligned to `ALIGN` and whole multiples of it, by this function's contract.
        unsafe { at.cast::<u64>().add(word).write_volatile(0) };
    }
}

/// A value in an [`Arena`]; dropped, zeroed and given back when the box is.
pub struct ArenaBox<T> {
    at: NonNull<T>,
    arena: Arena,
    _owns: PhantomData<T>,
}

// SAFETY: it owns its `T` as a `Box` does, and the arena may be used on any thread.
unsafe impl<T: Send> Send for ArenaBox<T> {}
// SAFETY: as for `Send`; shared, it gives only `&T`.
unsafe impl<T: Sync> Sync for ArenaBox<T> {}

impl<T> Deref for ArenaBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `at` holds a live `T` owned by this box.
        unsafe { self.at.as_ref() }
    }
}

impl<T> DerefMut for ArenaBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: `at` holds a live `T` owned by this box, which is borrowed mutably.
        unsafe { self.at.as_mut() }
    }
}

impl<T> Drop for ArenaBox<T> {
    fn drop(&mut self) {
        /// Frees the block also when the value's own drop unwinds.
        struct Free<'a, T>(&'a ArenaBox<T>);
        impl<T> Drop for Free<'_, T> {
            fn drop(&mut self) {
                // SAFETY: the block came from `alloc_raw` with this layout, its value is dropped.
                unsafe { self.0.arena.free_raw(self.0.at.cast(), Layout::new::<T>()) };
            }
        }
        let at = self.at;
        let _free = Free(self);
        // SAFETY: `at` holds a live `T` that is not used again.
        unsafe { at.drop_in_place() };
    }
}

impl<T> fmt::Debug for ArenaBox<T> {
    /// Never the content: it may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaBox").field("bytes", &size_of::<T>()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("pages", &self.pages())
            .field("locked", &self.is_locked())
            .field("used", &self.used())
            .field("capacity", &self.capacity())
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
