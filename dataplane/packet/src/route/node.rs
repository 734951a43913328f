//! One node of the trie and what hangs below it.

use super::{ANCESTORS, Bits, STRIDE, position};
use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A prefix and its value.
#[derive(Clone, Debug)]
pub(super) struct Leaf<A, V> {
    pub(super) address: A,
    pub(super) len: u8,
    pub(super) value: V,
}

impl<A: Bits, V> Leaf<A, V> {
    fn is(&self, address: A, len: u8) -> bool {
        (self.address, self.len) == (address, len)
    }
}

/// Six address bits.
///
/// Every node but the root has two prefixes at least: a subtree of one is a leaf of its parent.
#[derive(Clone, Debug)]
pub(super) struct Node<A, V> {
    /// Which of the 63 prefixes that end here (0..=5 bits into the node) have a value.
    values: u64,
    /// Which of the 64 subtrees are nodes.
    nodes: u64,
    /// Which are one prefix alone.
    leaves: u64,
    children: Option<Arc<[Line<A, V>]>>,
    /// The values in the order of their positions, then the leaves.
    entries: Arc<[Leaf<A, V>]>,
}

/// A node on a cache line of its own.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Line<A, V>(Node<A, V>);

const _: () = assert!(size_of::<Line<u32, u64>>() == 64 && size_of::<Line<u128, u64>>() == 64);

impl<A, V> Default for Node<A, V> {
    fn default() -> Self {
        Self { values: 0, nodes: 0, leaves: 0, children: None, entries: Arc::from([]) }
    }
}

/// What a step of a lookup led to.
pub(super) enum Step<'t, A, V> {
    /// Go on there.
    Down(&'t Node<A, V>),
    /// Nothing but this lies ahead.
    Leaf(&'t Leaf<A, V>),
    /// Nothing lies ahead.
    End,
}

impl<A, V> Node<A, V> {
    /// The position of the longest prefix that ends here and begins `chunk`.
    #[inline]
    pub(super) fn longest(&self, chunk: u32) -> Option<u32> {
        let matches = self.values & ANCESTORS[(chunk & 63) as usize];
        (matches != 0).then(|| matches.ilog2())
    }

    /// Where `chunk` leads.
    #[inline]
    pub(super) fn step(&self, chunk: u32) -> Step<'_, A, V> {
        if self.nodes >> chunk & 1 != 0 {
            let children = self.children.as_deref().unwrap_or_default();
            return children.get(rank(self.nodes, chunk)).map_or(Step::End, |line| Step::Down(&line.0));
        }
        if self.leaves >> chunk & 1 != 0 {
            return self.entries.get(self.leaf_at(chunk)).map_or(Step::End, Step::Leaf);
        }
        Step::End
    }

    /// The value at a position that has one.
    #[inline]
    pub(super) fn value(&self, position: u32) -> Option<&V> {
        if self.values >> position & 1 == 0 {
            return None;
        }
        self.entries.get(rank(self.values, position)).map(|entry| &entry.value)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.values | self.nodes | self.leaves == 0
    }

    /// The index of a leaf among the entries.
    #[inline]
    fn leaf_at(&self, chunk: u32) -> usize {
        self.values.count_ones() as usize + rank(self.leaves, chunk)
    }

    /// The values with their positions.
    fn valued(&self) -> impl Iterator<Item = (u32, &Leaf<A, V>)> {
        ones(self.values).zip(self.entries.iter())
    }

    /// The chunks that lead on.
    fn chunks(&self) -> impl Iterator<Item = u32> {
        ones(self.nodes | self.leaves)
    }
}

/// A visitor of prefixes.
pub(super) trait Visit<A, V, B>: FnMut(A, u8, &V) -> ControlFlow<B> {}

impl<A, V, B, F: FnMut(A, u8, &V) -> ControlFlow<B>> Visit<A, V, B> for F {}

impl<A: Bits, V> Node<A, V> {
    /// Visits all.
    pub(super) fn walk<B>(&self, visit: &mut impl Visit<A, V, B>) -> ControlFlow<B> {
        self.valued().try_for_each(|(_, entry)| visit(entry.address, entry.len, &entry.value))?;
        self.chunks().try_for_each(|chunk| match self.step(chunk) {
            Step::Down(child) => child.walk(visit),
            Step::Leaf(leaf) => visit(leaf.address, leaf.len, &leaf.value),
            Step::End => ControlFlow::Continue(()),
        })
    }

    /// Visits what lies inside `address`/`len`, which reaches into this node of level `depth` at least.
    pub(super) fn walk_within<B>(
        &self,
        (address, len): (A, u8),
        depth: u32,
        visit: &mut impl Visit<A, V, B>,
    ) -> ControlFlow<B> {
        let inside = |leaf: &Leaf<A, V>| leaf.len >= len && leaf.address.agrees(address, len);
        let left = u32::from(len) - STRIDE * depth;
        let within = |chunk: u32| (chunk ^ address.chunk(depth)) >> STRIDE.saturating_sub(left) == 0;
        self.valued()
            .filter(|(_, entry)| inside(entry))
            .try_for_each(|(_, entry)| visit(entry.address, entry.len, &entry.value))?;
        self.chunks().filter(|chunk| within(*chunk)).try_for_each(|chunk| match self.step(chunk) {
            Step::Down(child) if left > STRIDE => child.walk_within((address, len), depth + 1, visit),
            Step::Down(child) => child.walk(visit),
            Step::Leaf(leaf) if inside(leaf) => visit(leaf.address, leaf.len, &leaf.value),
            Step::Leaf(_) | Step::End => ControlFlow::Continue(()),
        })
    }

    /// Visits what comes after `address`/`len` in the order of [`Node::walk`]; this node of level `depth` is on
    /// the way there.
    pub(super) fn walk_after<B>(
        &self,
        (address, len): (A, u8),
        depth: u32,
        visit: &mut impl Visit<A, V, B>,
    ) -> ControlFlow<B> {
        let left = u32::from(len) - STRIDE * depth;
        if left < STRIDE {
            let from = bit_of(address, depth, left);
            let after = self.valued().filter(|(position, _)| *position > from);
            after.into_iter().try_for_each(|(_, entry)| visit(entry.address, entry.len, &entry.value))?;
        }
        let from = if left < STRIDE { None } else { Some(address.chunk(depth)) };
        self.chunks().filter(|chunk| Some(*chunk) >= from).try_for_each(|chunk| match self.step(chunk) {
            Step::Down(child) if Some(chunk) == from => child.walk_after((address, len), depth + 1, visit),
            Step::Down(child) => child.walk(visit),
            Step::Leaf(leaf) if order((leaf.address, leaf.len), (address, len)).is_gt() => {
                visit(leaf.address, leaf.len, &leaf.value)
            }
            Step::Leaf(_) | Step::End => ControlFlow::Continue(()),
        })
    }
}

/// Which of two prefixes a walk visits first.
fn order<A: Bits>((a, a_len): (A, u8), (b, b_len): (A, u8)) -> Ordering {
    for depth in 0.. {
        let left = [a_len, b_len].map(|len| u32::from(len) - STRIDE * depth);
        let order = match left.map(|left| left < STRIDE) {
            [true, true] => return bit_of(a, depth, left[0]).cmp(&bit_of(b, depth, left[1])),
            [true, false] => Ordering::Less,
            [false, true] => Ordering::Greater,
            [false, false] => a.chunk(depth).cmp(&b.chunk(depth)),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

impl<A: Bits, V: Clone> Node<A, V> {
    /// Puts a prefix of at least `STRIDE * depth` bits; returns the value it replaces.
    pub(super) fn insert(&mut self, new: Leaf<A, V>, depth: u32) -> Option<V> {
        let left = u32::from(new.len) - STRIDE * depth;
        if left < STRIDE {
            let position = bit_of(new.address, depth, left);
            return self.put(new, position);
        }
        let chunk = new.address.chunk(depth);
        match self.step(chunk) {
            Step::Down(_) => self.child_mut(chunk)?.insert(new, depth + 1),
            Step::Leaf(leaf) if leaf.is(new.address, new.len) => {
                let at = self.leaf_at(chunk);
                Some(std::mem::replace(&mut Arc::make_mut(&mut self.entries)[at], new).value)
            }
            Step::Leaf(leaf) => {
                let mut child = Self::default();
                child.insert(leaf.clone(), depth + 1);
                child.insert(new, depth + 1);
                self.remove_leaf(chunk);
                self.insert_child(chunk, child);
                None
            }
            Step::End => {
                self.insert_leaf(chunk, new);
                None
            }
        }
    }

    /// Removes a prefix that is there, of at least `STRIDE * depth` bits.
    pub(super) fn remove(&mut self, address: A, len: u8, depth: u32) {
        let left = u32::from(len) - STRIDE * depth;
        if left < STRIDE {
            let position = bit_of(address, depth, left);
            self.entries = without(&self.entries, rank(self.values, position));
            self.values &= !(1 << position);
            return;
        }
        let chunk = address.chunk(depth);
        if self.leaves >> chunk & 1 != 0 {
            self.remove_leaf(chunk);
            return;
        }
        let Some(child) = self.child_mut(chunk) else { return };
        child.remove(address, len, depth + 1);
        if let Some(only) = child.only_entry() {
            self.remove_child(chunk);
            self.insert_leaf(chunk, only);
        }
    }

    fn only_entry(&self) -> Option<Leaf<A, V>> {
        match &*self.entries {
            [only] if self.nodes == 0 => Some(only.clone()),
            _ => None,
        }
    }

    fn put(&mut self, new: Leaf<A, V>, position: u32) -> Option<V> {
        let at = rank(self.values, position);
        if self.values >> position & 1 != 0 {
            return Some(std::mem::replace(&mut Arc::make_mut(&mut self.entries)[at], new).value);
        }
        self.entries = with(&self.entries, at, new);
        self.values |= 1 << position;
        None
    }

    fn child_mut(&mut self, chunk: u32) -> Option<&mut Self> {
        let at = rank(self.nodes, chunk);
        Arc::make_mut(self.children.as_mut()?).get_mut(at).map(|line| &mut line.0)
    }

    fn insert_leaf(&mut self, chunk: u32, leaf: Leaf<A, V>) {
        self.entries = with(&self.entries, self.leaf_at(chunk), leaf);
        self.leaves |= 1 << chunk;
    }

    fn remove_leaf(&mut self, chunk: u32) {
        self.entries = without(&self.entries, self.leaf_at(chunk));
        self.leaves &= !(1 << chunk);
    }

    fn insert_child(&mut self, chunk: u32, child: Self) {
        let children = self.children.as_deref().unwrap_or_default();
        self.children = Some(with(children, rank(self.nodes, chunk), Line(child)));
        self.nodes |= 1 << chunk;
    }

    fn remove_child(&mut self, chunk: u32) {
        let children = self.children.as_deref().unwrap_or_default();
        let left = without(children, rank(self.nodes, chunk));
        self.nodes &= !(1 << chunk);
        self.children = (self.nodes != 0).then_some(left);
    }
}

/// The position of the prefix that ends `left` bits (0..=5) into level `depth`.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "below 63")]
pub(super) fn bit_of<A: Bits>(address: A, depth: u32, left: u32) -> u32 {
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

fn with<T: Clone>(array: &[T], at: usize, value: T) -> Arc<[T]> {
    let (before, after) = array.split_at(at);
    before.iter().cloned().chain(std::iter::once(value)).chain(after.iter().cloned()).collect()
}

fn without<T: Clone>(array: &[T], at: usize) -> Arc<[T]> {
    let (before, after) = array.split_at(at);
    before.iter().chain(&after[1..]).cloned().collect()
}
