//! Which parts of the arena are free.

use std::collections::BTreeMap;

use super::ALIGN;

/// Block bookkeeping by offset; the memory itself is not touched.
///
/// A freed block goes to a list of its exact size: key schedules come in a handful of sizes, so
/// that searching and joining blocks would buy nothing.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Everything from here to `end` was never given out.
    next: usize,
    end: usize,
    used: usize,
    /// Offsets of free blocks, by block size.
    free: BTreeMap<usize, Vec<usize>>,
}

impl Blocks {
    /// All of `len` bytes free.
    pub(super) fn new(len: usize) -> Blocks {
        Blocks { next: 0, end: len, used: 0, free: BTreeMap::new() }
    }

    /// Bytes given out, whole blocks.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// The offset of a block of at least `bytes`, or nothing when the arena is full.
    pub(super) fn take(&mut self, bytes: usize) -> Option<usize> {
        let size = block_size(bytes)?;
        let offset = self.free.get_mut(&size).and_then(Vec::pop).or_else(|| self.carve(size))?;
        self.used += size;
        Some(offset)
    }

    /// Takes back the block at `offset` that was taken for `bytes`.
    pub(super) fn give(&mut self, offset: usize, bytes: usize) {
        let Some(size) = block_size(bytes) else { return };
        self.used -= size;
        self.free.entry(size).or_default().push(offset);
    }

    fn carve(&mut self, size: usize) -> Option<usize> {
        if size > self.end - self.next {
            return None;
        }
        let offset = self.next;
        self.next += size;
        Some(offset)
    }
}

/// `bytes` in whole cache lines, at least one.
fn block_size(bytes: usize) -> Option<usize> {
    bytes.max(1).checked_next_multiple_of(ALIGN)
}
