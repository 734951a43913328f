//! Choosing SPIs.

use crate::ids::{SlotBits, Spi};
use std::collections::VecDeque;

/// Hands out SPIs: the slot that has been free longest, under a random generation other than its last.
///
/// The agent's, beside the tables: an SPI is allocated when the reservation is asked for and released
/// when its slot was freed in every snapshot.
#[derive(Debug)]
pub struct SpiAllocator {
    bits: SlotBits,
    free: VecDeque<u32>,
    generations: Vec<u32>,
}

impl SpiAllocator {
    /// All slots free.
    #[must_use]
    pub fn new(bits: SlotBits) -> Self {
        let slots = 1u32 << (32 - bits.generation_bits());
        Self { bits, free: (0..slots).collect(), generations: vec![0; bits.slots()] }
    }

    /// An SPI, with `random` as the source of its generation; `None` if every slot is taken.
    pub fn allocate(&mut self, random: u32) -> Option<Spi> {
        let slot = self.free.pop_front()?;
        let last = self.generations.get_mut(slot as usize)?;
        // Generations 1..=max: with at least 8 slot bits that keeps clear of the reserved SPIs.
        let max = u32::MAX >> (32 - self.bits.generation_bits());
        let mut generation = random % max + 1;
        if generation == *last {
            generation = generation % max + 1;
        }
        *last = generation;
        Spi::from_parts(self.bits, slot, generation)
    }

    /// Returns the slot of an SPI that no table names any more.
    pub fn release(&mut self, spi: Spi) {
        if let Ok(slot) = u32::try_from(spi.slot(self.bits)) {
            self.free.push_back(slot);
        }
    }

    /// The number of free slots.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn slots_are_unique_and_generations_change() {
        let bits = SlotBits::new(8).expect("in range");
        let mut allocator = SpiAllocator::new(bits);
        let first: Vec<_> = (0..256).map(|_| allocator.allocate(0x00ff_fffe).expect("free")).collect();
        assert_eq!(first.iter().map(|spi| spi.slot(bits)).collect::<BTreeSet<_>>().len(), 256);
        assert_eq!(allocator.allocate(0), None);
        allocator.release(first[7]);
        let again = allocator.allocate(0x00ff_fffe).expect("released");
        assert_eq!(again.slot(bits), first[7].slot(bits));
        assert_ne!(again, first[7]);
    }
}
