//! Single-producer single-consumer rings of fixed slots between two processes that do not trust each other.
//!
//! Indices count slots since the session began and never wrap in practice (64 bit). Each side keeps its own
//! index privately and only publishes it; the other side's is read once, checked, and used from the copy:
//!
//! ```text
//! last head seen <= head <= tail <= head + slots
//! ```
//!
//! An index outside these bounds ends the session.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::layout::RingLayout;
use crate::memory::Mapping;

/// The peer published an index that no honest peer can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("index {found} is outside {low}..={high}")]
pub struct IndexError {
    pub found: u64,
    pub low: u64,
    pub high: u64,
}

fn check(found: u64, low: u64, high: u64) -> Result<u64, IndexError> {
    if (low..=high).contains(&found) { Ok(found) } else { Err(IndexError { found, low, high }) }
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct Producer {
    memory: Arc<Mapping>,
    layout: RingLayout,
    tail: u64,
    head_seen: u64,
}

impl Producer {
    pub(crate) fn new(memory: Arc<Mapping>, layout: RingLayout) -> Self {
        Self { memory, layout, tail: 0, head_seen: 0 }
    }

    /// Slots that can be written now. Reads the consumer's index only when the ring looks full.
    pub(crate) fn room(&mut self) -> Result<u64, IndexError> {
        let full_at = self.head_seen + self.layout.slots;
        if self.tail == full_at {
            let head = self.memory.load(self.layout.head(), Ordering::Acquire);
            self.head_seen = check(head, self.head_seen, self.tail)?;
        }
        Ok(self.head_seen + self.layout.slots - self.tail)
    }

    /// Writes `parts` one after the other into the next slot and publishes it. All but the last are multiples
    /// of 8 bytes; together they fit the slot. `Ok(false)`: the ring is full.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) -> Result<bool, IndexError> {
        if self.room()? == 0 {
            return Ok(false);
        }
        let slot = self.layout.slot(self.tail);
        let mut at = 0;
        for part in parts {
            assert!(at + part.len() <= self.layout.slot_len, "message longer than its slot");
            self.memory.copy_in(slot + at, part);
            at += part.len();
        }
        self.tail += 1;
        self.memory.store(self.layout.tail(), self.tail, Ordering::Release);
        Ok(true)
    }
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct Consumer {
    memory: Arc<Mapping>,
    layout: RingLayout,
    head: u64,
    tail_seen: u64,
}

impl Consumer {
    pub(crate) fn new(memory: Arc<Mapping>, layout: RingLayout) -> Self {
        Self { memory, layout, head: 0, tail_seen: 0 }
    }

    /// Whether a slot can be read. Reads the producer's index only when the ring looks empty.
    pub(crate) fn ready(&mut self) -> Result<bool, IndexError> {
        if self.head == self.tail_seen {
            let tail = self.memory.load(self.layout.tail(), Ordering::Acquire);
            self.tail_seen = check(tail, self.tail_seen, self.head + self.layout.slots)?;
        }
        Ok(self.head != self.tail_seen)
    }

    /// Copies bytes of the front slot, which the peer may still be changing.
    pub(crate) fn copy(&self, at: usize, into: &mut [u8]) {
        assert!(at + into.len() <= self.layout.slot_len, "outside the slot");
        self.memory.copy_out(self.layout.slot(self.head) + at, into);
    }

    /// Gives the front slot back, overwriting its first `wipe` bytes with zeros.
    pub(crate) fn release(&mut self, wipe: usize) {
        self.memory.wipe(self.layout.slot(self.head), wipe.min(self.layout.slot_len));
        self.head += 1;
        self.memory.store(self.layout.head(), self.head, Ordering::Release);
    }

    pub(crate) fn slot_len(&self) -> usize {
        self.layout.slot_len
    }
}

#[cfg(test)]
mod tests;
