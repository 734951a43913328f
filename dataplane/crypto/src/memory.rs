//! Where expanded keys live.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    marker::PhantomData,
    ptr::NonNull,
    sync::Arc,
};

/// A cache line, bytes.
const LINE: usize = 64;

/// A source of memory for key schedules: the standard allocator trait, so that the huge-page arena
/// of another crate fits without either knowing the other.
pub type KeyMemory = Arc<dyn GlobalAlloc + Send + Sync>;

/// Key memory from the ordinary heap.
#[must_use]
pub fn heap() -> KeyMemory {
    Arc::new(System)
}

/// The memory is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

/// Cache-line aligned, zeroed bytes in key memory; zeroized and given back when dropped.
pub(crate) struct Block {
    at: NonNull<u8>,
    layout: Layout,
    memory: KeyMemory,
}

// SAFETY: it owns plain memory that is not tied to a thread; the source is `Send + Sync`.
unsafe impl Send for Block {}
// SAFETY: as for `Send`; shared, it only gives its address.
unsafe impl Sync for Block {}

impl Block {
    /// At least `size` bytes, whole cache lines, aligned to at least one.
    pub(crate) fn new(size: usize, align: usize, memory: &KeyMemory) -> Result<Block, OutOfMemory> {
        let align = align.max(LINE);
        let layout = Layout::from_size_align(size.max(1), align).map_err(|_| OutOfMemory)?.pad_to_align();
        // SAFETY: the layout's size is not zero.
        let at = NonNull::new(unsafe { memory.alloc_zeroed(layout) }).ok_or(OutOfMemory)?;
        Ok(Block { at, layout, memory: Arc::clone(memory) })
    }

    /// The first byte.
    #[inline]
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.at
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        for word in 0..self.layout.size() / size_of::<u64>() {
            // SAFETY: the block is ours, aligned to a cache line and whole cache lines long, and no
            // reference to it outlives its owner.
            unsafe { self.at.cast::<u64>().add(word).write_volatile(0) };
        }
        // SAFETY: it came from this memory with this layout.
        unsafe { self.memory.dealloc(self.at.as_ptr(), self.layout) };
    }
}

/// A `T` in key memory.
pub(crate) struct Boxed<T> {
    block: Block,
    _owns: PhantomData<T>,
}

impl<T> Boxed<T> {
    /// Moves `value` into key memory.
    pub(crate) fn new(value: T, memory: &KeyMemory) -> Result<Boxed<T>, OutOfMemory> {
        let block = Block::new(size_of::<T>(), align_of::<T>(), memory)?;
        // SAFETY: the block is fresh, large enough and aligned for `T`.
        unsafe { block.start().cast::<T>().write(value) };
        Ok(Boxed { block, _owns: PhantomData })
    }

    /// The first byte of the value.
    pub(crate) fn block(&self) -> &Block {
        &self.block
    }
}

impl<T> std::ops::Deref for Boxed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the block holds a live `T` from `new` until this is dropped.
        unsafe { self.block.start().cast::<T>().as_ref() }
    }
}

impl<T> Drop for Boxed<T> {
    fn drop(&mut self) {
        // SAFETY: the block holds a live `T`, which is not used again; the bytes go with `block`.
        unsafe { self.block.start().cast::<T>().drop_in_place() };
    }
}
