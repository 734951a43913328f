//! Identifications of the packets that we fragment as their source.

use std::hash::{BuildHasher, RandomState};

/// Rounds of a Feistel network that nobody tells from a random permutation (Luby and Rackoff).
const ROUNDS: u8 = 4;

/// Counts through the identifications in an order that only its key knows: none repeats before all others were
/// used, and nobody foresees the next (RFC 7739 section 5.2).
#[derive(Debug)]
pub(super) struct Identifications {
    key: RandomState,
    count: u32,
}

impl Identifications {
    /// With a key of its own.
    pub(super) fn new() -> Self {
        Self { key: RandomState::new(), count: 0 }
    }

    pub(super) fn next(&mut self) -> u32 {
        self.count = self.count.wrapping_add(1);
        self.permute(self.count)
    }

    fn permute(&self, count: u32) -> u32 {
        let [a, b, c, d] = count.to_be_bytes();
        let halves = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let (left, right) = (0..ROUNDS).fold(halves, |(left, right), round| {
            let [x, y, ..] = self.key.hash_one((round, right)).to_be_bytes();
            (right, left ^ u16::from_be_bytes([x, y]))
        });
        u32::from(left) << 16 | u32::from(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_repeats_and_each_worker_has_its_own_order() {
        let (mut one, mut other) = (Identifications::new(), Identifications::new());
        let (a, b): (Vec<_>, Vec<_>) = (0..100_000).map(|_| (one.next(), other.next())).unzip();
        let mut sorted = a.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), a.len());
        let steps = a.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) < 1 << 16).count();
        assert!(steps < 20, "{steps} steps are small");
        assert!(a.iter().zip(&b).filter(|(a, b)| a == b).count() < 10);
    }
}
