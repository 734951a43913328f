//! Longest-prefix match: a persistent, compressed multibit trie.
//!
//! Each node covers six address bits. A bitmap says which of the 63 prefixes of length 0..=5 inside the
//! node have a value, another which of the 64 subtrees exist; the values and the child nodes themselves
//! are packed arrays, found by counting bits. A lookup therefore makes one dependent load per six bits,
//! and a change copies one small array per level (the path), leaving every older snapshot as it was.

mod map;

pub use map::PrefixMap;

use std::ops::ControlFlow;
use std::sync::Arc;

/// Address bits per level.
const STRIDE: u32 = 6;

/// An address as a bit string.
pub trait Bits: Copy + Eq {
    /// Its length: 32 or 128.
    const LEN: u8;
    /// The zero address.
    const ZERO: Self;
    /// The six bits of level `depth`, zero-filled beyond the end.
    fn chunk(self, depth: u32) -> u32;
    /// The address with the bits of `chunk` set at level `depth`.
    #[must_use]
    fn with_chunk(self, depth: u32, chunk: u32) -> Self;
}

impl Bits for u32 {
    const LEN: u8 = 32;
    const ZERO: Self = 0;

    #[inline]
    fn chunk(self, depth: u32) -> u32 {
        (u64::from(self) << 32 << (STRIDE * depth) >> 58) as u32
    }

    fn with_chunk(self, depth: u32, chunk: u32) -> Self {
        self | (u64::from(chunk) << 58 >> (STRIDE * depth) >> 32) as u32
    }
}

impl Bits for u128 {
    const LEN: u8 = 128;
    const ZERO: Self = 0;

    #[inline]
    fn chunk(self, depth: u32) -> u32 {
        (self << (STRIDE * depth) >> 122) as u32
    }

    fn with_chunk(self, depth: u32, chunk: u32) -> Self {
        self | (u128::from(chunk) << 122 >> (STRIDE * depth))
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

#[derive(Clone, Debug)]
struct Node<V> {
    value_map: u64,
    child_map: u64,
    children: Arc<[Node<V>]>,
    values: Arc<[V]>,
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self { value_map: 0, child_map: 0, children: Arc::default(), values: Arc::default() }
    }
}

/// Prefixes of one family with a value each.
#[derive(Clone, Debug)]
pub struct Trie<A, V> {
    root: Node<V>,
    len: usize,
    family: std::marker::PhantomData<A>,
}

impl<A, V> Default for Trie<A, V> {
    fn default() -> Self {
        Self { root: Node::default(), len: 0, family: std::marker::PhantomData }
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
            let matches = node.value_map & ANCESTORS[(chunk & 63) as usize];
            if matches != 0 {
                best = Some((node, matches.ilog2()));
            }
            let Some(child) = node.child(chunk) else { break };
            node = child;
            depth += 1;
        }
        let (node, position) = best?;
        node.values.get(rank(node.value_map, position))
    }

    /// The value of exactly this prefix.
    #[must_use]
    pub fn exact(&self, address: A, len: u8) -> Option<&V> {
        let mut node = &self.root;
        let mut depth = 0;
        let mut left = u32::from(len);
        while left >= STRIDE {
            node = node.child(address.chunk(depth))?;
            depth += 1;
            left -= STRIDE;
        }
        node.value(bit_of(address, depth, left))
    }

    /// Visits every prefix, shorter before longer ones that they contain, until `visit` breaks.
    pub fn try_for_each<B>(&self, mut visit: impl FnMut(A, u8, &V) -> ControlFlow<B>) -> ControlFlow<B> {
        self.root.walk(A::ZERO, 0, Within::ALL, &mut visit)
    }
}

impl<A: Bits, V> Trie<A, V> {
    /// Visits every prefix inside `address`/`len`, itself among them, until `visit` breaks.
    pub fn try_for_each_within<B>(
        &self,
        address: A,
        len: u8,
        mut visit: impl FnMut(A, u8, &V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let (mut node, mut base, mut depth, mut left) = (&self.root, A::ZERO, 0, u32::from(len.min(A::LEN)));
        while left >= STRIDE {
            let chunk = address.chunk(depth);
            let Some(child) = node.child(chunk) else { return ControlFlow::Continue(()) };
            (node, base) = (child, base.with_chunk(depth, chunk));
            (depth, left) = (depth + 1, left - STRIDE);
        }
        let within = Within { chunk: address.chunk(depth), left };
        node.walk(base, depth, within, &mut visit)
    }
}

/// Part of a node: what begins with the first `left` bits (0..=5) of `chunk`.
#[derive(Clone, Copy)]
struct Within {
    chunk: u32,
    left: u32,
}

impl Within {
    const ALL: Self = Self { chunk: 0, left: 0 };

    /// True if the `len` first bits of `chunk` are such.
    fn holds(self, chunk: u32, len: u32) -> bool {
        len >= self.left && (chunk ^ self.chunk) >> (STRIDE - self.left) == 0
    }
}

impl<A: Bits, V: Clone> Trie<A, V> {
    /// Puts a value for a prefix whose host bits are zero; returns the one it replaces.
    pub fn insert(&mut self, address: A, len: u8, value: V) -> Option<V> {
        let old = self.root.insert(address, 0, u32::from(len.min(A::LEN)), value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes a prefix; returns its value.
    pub fn remove(&mut self, address: A, len: u8) -> Option<V> {
        self.exact(address, len)?; // do not copy a path to nothing
        let old = self.root.remove(address, 0, u32::from(len.min(A::LEN)));
        self.len -= usize::from(old.is_some());
        old
    }
}

impl<V> Node<V> {
    #[inline]
    fn child(&self, chunk: u32) -> Option<&Self> {
        if self.child_map >> chunk & 1 == 0 {
            return None;
        }
        self.children.get(rank(self.child_map, chunk))
    }

    fn value(&self, position: u32) -> Option<&V> {
        if self.value_map >> position & 1 == 0 {
            return None;
        }
        self.values.get(rank(self.value_map, position))
    }

    fn is_empty(&self) -> bool {
        self.value_map | self.child_map == 0
    }

    fn walk<A: Bits, B>(
        &self,
        base: A,
        depth: u32,
        within: Within,
        visit: &mut impl FnMut(A, u8, &V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for (position, value) in ones(self.value_map).zip(self.values.iter()) {
            let len = (position + 1).ilog2();
            let chunk = (position + 1 - (1 << len)) << (STRIDE - len);
            if !within.holds(chunk, len) {
                continue;
            }
            let total = u8::try_from(STRIDE * depth + len).unwrap_or(A::LEN);
            visit(base.with_chunk(depth, chunk), total, value)?;
        }
        for (chunk, child) in ones(self.child_map).zip(self.children.iter()) {
            if within.holds(chunk, STRIDE) {
                child.walk(base.with_chunk(depth, chunk), depth + 1, Within::ALL, visit)?;
            }
        }
        ControlFlow::Continue(())
    }
}

impl<V: Clone> Node<V> {
    fn insert<A: Bits>(&mut self, address: A, depth: u32, left: u32, value: V) -> Option<V> {
        if left < STRIDE {
            return self.put(bit_of(address, depth, left), value);
        }
        let chunk = address.chunk(depth);
        let at = rank(self.child_map, chunk);
        if self.child_map >> chunk & 1 == 0 {
            insert_at(&mut self.children, at, Self::default());
            self.child_map |= 1 << chunk;
        }
        Arc::make_mut(&mut self.children)[at].insert(address, depth + 1, left - STRIDE, value)
    }

    fn put(&mut self, position: u32, value: V) -> Option<V> {
        let at = rank(self.value_map, position);
        if self.value_map >> position & 1 != 0 {
            return Some(std::mem::replace(&mut Arc::make_mut(&mut self.values)[at], value));
        }
        insert_at(&mut self.values, at, value);
        self.value_map |= 1 << position;
        None
    }

    fn remove<A: Bits>(&mut self, address: A, depth: u32, left: u32) -> Option<V> {
        if left < STRIDE {
            let position = bit_of(address, depth, left);
            let old = self.value(position)?.clone();
            remove_at(&mut self.values, rank(self.value_map, position));
            self.value_map &= !(1 << position);
            return Some(old);
        }
        let chunk = address.chunk(depth);
        self.child(chunk)?;
        let at = rank(self.child_map, chunk);
        let child = &mut Arc::make_mut(&mut self.children)[at];
        let old = child.remove(address, depth + 1, left - STRIDE);
        if child.is_empty() {
            remove_at(&mut self.children, at);
            self.child_map &= !(1 << chunk);
        }
        old
    }
}

/// The position of the prefix that ends `left` bits into level `depth`.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "below 63")]
fn bit_of<A: Bits>(address: A, depth: u32, left: u32) -> u32 {
    position(u64::from(address.chunk(depth)), left) as u32
}

/// How many bits of `map` lie below `bit`: the index in the packed array.
#[inline]
fn rank(map: u64, bit: u32) -> usize {
    (map & ((1 << bit) - 1)).count_ones() as usize
}

/// The set bits of `map`, lowest first.
fn ones(mut map: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = map.trailing_zeros();
        map &= map.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

fn insert_at<T: Clone>(array: &mut Arc<[T]>, at: usize, value: T) {
    let (before, after) = array.split_at(at);
    *array = before.iter().cloned().chain(std::iter::once(value)).chain(after.iter().cloned()).collect();
}

fn remove_at<T: Clone>(array: &mut Arc<[T]>, at: usize) {
    let (before, after) = array.split_at(at);
    *array = before.iter().chain(&after[1..]).cloned().collect();
}

#[cfg(test)]
mod tests;
