//! ESP packets that came before the keys of their SA: a rekey answers faster than it installs.

use std::collections::VecDeque;

use packet::InterfaceId;

/// One packet that waits.
#[derive(Debug)]
pub struct EarlyPacket<B> {
    /// Starts at the outer IP header.
    pub packet: B,
    /// Where it came in.
    pub interface: InterfaceId,
    /// What its header says.
    pub spi: u32,
    /// When to give up.
    pub deadline: u64,
}

/// The bounded hold of one worker. It names SPIs only, so that it holds up no reclamation.
#[derive(Debug)]
pub(super) struct EarlyPackets<B> {
    packets: VecDeque<EarlyPacket<B>>,
    capacity: usize,
    patience: u64,
    /// The newest snapshot seen.
    seen: u64,
    /// How many have not been looked at under it; they are the oldest.
    unchecked: usize,
}

impl<B> EarlyPackets<B> {
    /// Packets of one SPI, so that one peer cannot fill the hold.
    const PER_SPI: usize = 16;

    /// Holds at most `capacity` packets, each for `patience` units of time.
    #[must_use]
    pub(super) fn new(capacity: usize, patience: u64) -> Self {
        Self { packets: VecDeque::with_capacity(capacity), capacity, patience, seen: 0, unchecked: 0 }
    }

    /// When the patience for a packet that comes `now` ends.
    #[must_use]
    pub(super) fn deadline(&self, now: u64) -> u64 {
        now.saturating_add(self.patience)
    }

    /// Takes a packet, or gives it back when there is no room for it.
    ///
    /// # Errors
    ///
    /// The packet itself.
    pub(super) fn hold(&mut self, early: EarlyPacket<B>) -> Result<(), EarlyPacket<B>> {
        let of_spi = self.packets.iter().filter(|held| held.spi == early.spi).count();
        if self.packets.len() >= self.capacity || of_spi >= Self::PER_SPI {
            return Err(early);
        }
        self.packets.push_back(early);
        Ok(())
    }

    /// The next packet that is worth another look: each is once after the tables changed.
    pub(super) fn due(&mut self, version: u64) -> Option<EarlyPacket<B>> {
        if self.seen != version {
            self.seen = version;
            self.unchecked = self.packets.len();
        }
        self.unchecked = self.unchecked.checked_sub(1)?;
        self.packets.pop_front()
    }

    /// The oldest packet whose patience ended.
    pub(super) fn expired(&mut self, now: u64) -> Option<EarlyPacket<B>> {
        let at = self.packets.iter().position(|early| early.deadline <= now)?;
        self.unchecked -= usize::from(at < self.unchecked);
        self.packets.remove(at)
    }

    /// How many packets wait.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// True if none waits.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn early(packet: u32, spi: u32, deadline: u64) -> EarlyPacket<u32> {
        EarlyPacket { packet, interface: InterfaceId(1), spi, deadline }
    }

    #[test]
    fn is_bounded_in_number_per_spi_and_in_time() {
        let mut hold = EarlyPackets::new(20, 100);
        let of_one = (0..20).filter(|i| hold.hold(early(*i, 0x1000, 105)).is_ok()).count();
        assert_eq!(of_one, EarlyPackets::<u32>::PER_SPI);
        let of_another = (0..9).filter(|i| hold.hold(early(*i, 0x2000, hold.deadline(50))).is_ok()).count();
        assert_eq!(of_another, 4);
        assert!(hold.expired(104).is_none());
        assert_eq!(std::iter::from_fn(|| hold.expired(105)).count(), 16);
        assert_eq!(hold.len(), 4);
    }

    #[test]
    fn packets_are_due_once_per_snapshot() {
        let mut hold = EarlyPackets::new(4, 100);
        hold.hold(early(1, 0x1000, 9)).expect("room");
        hold.hold(early(2, 0x1000, 5)).expect("room");
        let first = hold.due(1).expect("new snapshot");
        assert_eq!(first.packet, 1);
        hold.hold(first).expect("room");
        assert_eq!(hold.expired(5).map(|e| e.packet), Some(2));
        assert!(hold.due(1).is_none(), "looked at before");
        assert_eq!(hold.due(2).map(|e| e.packet), Some(1));
    }
}
