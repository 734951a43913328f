//! Longest-prefix match: a persistent, compressed multibit trie.
//!
//! Each node covers six address bits. Three bitmaps say which of the 63 prefixes of length 0..=5 inside the
//! node have a value, which of the 64 subtrees are nodes, and which are one prefix alone; values and lone
//! prefixes, and the child nodes, are packed arrays, found by counting bits. A lookup therefore makes one
//! dependent load per six bits that it takes to tell prefixes apart, and a change copies two small arrays per
//! level (the path), leaving every older snapshot as it was.

mod map;
mod node;

pub use map::PrefixMap;

use node::{Leaf, Node, Step, bit_of};
use std::ops::ControlFlow;

/// Address bits per level.
const STRIDE: u32 = 6;

/// An address as a bit string.
pub trait Bits: Copy + Eq {
    /// Its length: 32 or 128.
    const LEN: u8;
    /// The six bits of level `depth`, zero-filled beyond the end.
    fn chunk(self, depth: u32) -> u32;
    /// True if the first `len` bits are those of `other`.
    fn agrees(self, other: Self, len: u8) -> bool;
}

impl Bits for u32 {
    const LEN: u8 = 32;

    #[inline]
    fn chunk(self, depth: u32) -> u32 {
        (u64::from(self) << 32 << (STRIDE * depth) >> 58) as u32
    }

    #[inline]
    fn agrees(self, other: Self, len: u8) -> bool {
        (self ^ other).checked_shr(u32::from(Self::LEN - len)).unwrap_or(0) == 0
    }
}

impl Bits for u128 {
    const LEN: u8 = 128;

    #[inline]
    fn chunk(self, depth: u32) -> u32 {
        (self << (STRIDE * depth) >> 122) as u32
    }

    #[inline]
    fn agrees(self, other: Self, len: u8) -> bool {
        (self ^ other).checked_shr(u32::from(Self::LEN - len)).unwrap_or(0) == 0
    }
}

/// For each six-bit string, the positions of its prefixes of length 0..=5; longer ones are higher.
static ANCESTORS: [u64; 64] = {
    let mut table = [0; 64];
    let mut chunk = 0;
    while chunk < 64 {
        let mut len = 0;
        while len < STRIDE {
            table[chunk] |= 1 << position(chunk as u64, len);
            len += 1;
        }
        chunk += 1;
    }
    table
};

/// The position in a node's value bitmap of the first `len` bits of `chunk`.
#[inline]
const fn position(chunk: u64, len: u32) -> u64 {
    (1 << len) - 1 + (chunk >> (STRIDE - len))
}

/// Prefixes of one family with a value each.
#[derive(Clone, Debug)]
pub struct Trie<A, V> {
    root: Node<A, V>,
    len: usize,
}

impl<A, V> Default for Trie<A, V> {
    fn default() -> Self {
        Self { root: Node::default(), len: 0 }
    }
}

impl<A: Bits, V> Trie<A, V> {
    /// The number of prefixes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no prefix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of the longest prefix that contains `address`.
    #[inline]
    #[must_use]
    pub fn lookup(&self, address: A) -> Option<&V> {
        let mut node = &self.root;
        let mut best = None;
        let mut depth = 0;
        loop {
            let chunk = address.chunk(depth);
            if let Some(position) = node.longest(chunk) {
                best = Some((node, position));
            }
            match node.step(chunk) {
                Step::Down(child) => node = child,
                Step::Leaf(leaf) if leaf.address.agrees(address, leaf.len) => return Some(&leaf.value),
                Step::Leaf(_) | Step::End => break,
            }
            depth += 1;
        }
        let (node, position) = best?;
        node.value(position)
    }

    /// The value of exactly this prefix.
    #[must_use]
    pub fn exact(&self, address: A, len: u8) -> Option<&V> {
        let mut node = &self.root;
        let mut depth = 0;
        let mut left = u32::from(len);
        while left >= STRIDE {
            match node.step(address.chunk(depth)) {
                Step::Down(child) => node = child,
                Step::Leaf(leaf) => {
                    return ((leaf.address, leaf.len) == (address, len)).then_some(&leaf.value);
                }
                Step::End => return None,
            }
            depth += 1;
            left -= STRIDE;
        }
        node.value(bit_of(address, depth, left))
    }

    /// Visits every prefix, shorter before longer ones that they contain, until `visit` breaks.
    pub fn try_for_each<B>(&self, mut visit: impl FnMut(A, u8, &V) -> ControlFlow<B>) -> ControlFlow<B> {
        self.root.walk(&mut visit)
    }

    /// Visits every prefix inside `address`/`len`, itself among them, until `visit` breaks.
    pub fn try_for_each_within<B>(
        &self,
        address: A,
        len: u8,
        mut visit: impl FnMut(A, u8, &V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.root.walk_within((address, len.min(A::LEN)), 0, &mut visit)
    }

    /// Visits every prefix that [`Trie::try_for_each`] visits after `address`/`len`, until `visit` breaks.
    pub fn try_for_each_after<B>(
        &self,
        address: A,
        len: u8,
        mut visit: impl FnMut(A, u8, &V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.root.walk_after((address, len.min(A::LEN)), 0, &mut visit)
    }
}

impl<A: Bits, V: Clone> Trie<A, V> {
    /// Puts a value for a prefix whose host bits are zero; returns the one it replaces.
    pub fn insert(&mut self, address: A, len: u8, value: V) -> Option<V> {
        let old = self.root.insert(Leaf { address, len: len.min(A::LEN), value }, 0);
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes a prefix; returns its value.
    pub fn remove(&mut self, address: A, len: u8) -> Option<V> {
        let len = len.min(A::LEN);
        let old = self.exact(address, len)?.clone(); // do not copy a path to nothing
        self.root.remove(address, len, 0);
        self.len -= 1;
        Some(old)
    }
}

#[cfg(test)]
mod tests;
