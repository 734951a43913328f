//! The anti-replay window (RFC 4303 section 3.4.3) as a ring of words (the idea of RFC 6479).
//!
//! Two calls: [`ReplayWindow::check`] before decryption, so that replays cost nothing, and
//! [`ReplayWindow::mark`] after authentication, so that only genuine packets move the window. The
//! second one checks again: two copies of a packet may be in one crypto batch.
//!
//! Written only by the SA's owner, read by anyone: relaxed atomics that compile to plain moves.

use super::sequence::SeqNo;
use crate::drop_reason::DropReason;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What marking an authenticated packet did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The newest packet so far: the window moved. Only such a packet may tell that the peer moved.
    Advanced,
    /// A late packet, seen for the first time.
    Late,
}

/// A sliding window over the last `size` sequence numbers.
#[derive(Debug)]
pub struct ReplayWindow {
    top: AtomicU64,
    size: u32,
    mask: u64,
    ring: Box<[AtomicU64]>,
}

impl ReplayWindow {
    /// The smallest window, packets (RFC 4303 section 3.4.3 demands 32).
    pub const MIN: u32 = 32;
    /// The largest window, packets.
    pub const MAX: u32 = 32_768;
    /// The window where none is configured, packets.
    pub const DEFAULT: u32 = 1_024;

    /// A window of `size` packets; `None` outside [`ReplayWindow::MIN`]..=[`ReplayWindow::MAX`].
    #[must_use]
    pub fn new(size: u32) -> Option<Self> {
        if !(Self::MIN..=Self::MAX).contains(&size) {
            return None;
        }
        // The words a window can touch, wherever it starts within a word.
        let words = ((size as usize + 62) / 64 + 1).next_power_of_two();
        Some(Self {
            top: AtomicU64::new(0),
            size,
            mask: words as u64 - 1,
            ring: (0..words).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// The size in packets.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The highest authenticated sequence number; 0 before the first packet.
    #[inline]
    #[must_use]
    pub fn top(&self) -> SeqNo {
        SeqNo(self.top.load(Relaxed))
    }

    /// The full sequence number of a packet whose header says `low`.
    #[inline]
    pub fn infer(&self, low: u32, esn: bool) -> Result<SeqNo, DropReason> {
        if esn {
            SeqNo::infer(low, self.top(), self.size).ok_or(DropReason::SequenceInvalid)
        } else if low != 0 {
            Ok(SeqNo(u64::from(low)))
        } else {
            Err(DropReason::SequenceInvalid)
        }
    }

    /// Refuses what is too old or was seen; changes nothing.
    #[inline]
    pub fn check(&self, seq: SeqNo) -> Result<(), DropReason> {
        let top = self.top.load(Relaxed);
        if seq.0 > top {
            return Ok(());
        }
        if top - seq.0 >= u64::from(self.size) {
            return Err(DropReason::ReplayOld);
        }
        if self.word(seq).load(Relaxed) & bit(seq) != 0 {
            return Err(DropReason::ReplayDuplicate);
        }
        Ok(())
    }

    /// Checks again and records an authenticated packet. Only the owner may call it.
    #[inline]
    pub fn mark(&self, seq: SeqNo) -> Result<Verdict, DropReason> {
        self.check(seq)?;
        let top = self.top.load(Relaxed);
        let verdict = if seq.0 > top {
            self.clear_between(top, seq.0);
            self.top.store(seq.0, Relaxed);
            Verdict::Advanced
        } else {
            Verdict::Late
        };
        let word = self.word(seq);
        word.store(word.load(Relaxed) | bit(seq), Relaxed);
        Ok(verdict)
    }

    /// Empties the words that the move from `top` to `seq` enters.
    #[inline]
    fn clear_between(&self, top: u64, seq: u64) {
        let (from, to) = (top / 64, seq / 64);
        let steps = (to - from).min(self.mask + 1);
        for step in 0..steps {
            self.at(to - step).store(0, Relaxed);
        }
    }

    /// Where a packet is recorded: to be prefetched.
    #[inline]
    #[must_use]
    pub fn word(&self, seq: SeqNo) -> &AtomicU64 {
        self.at(seq.0 / 64)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked to the length of the ring")]
    fn at(&self, word: u64) -> &AtomicU64 {
        &self.ring[(word & self.mask) as usize]
    }
}

#[inline]
fn bit(seq: SeqNo) -> u64 {
    1 << (seq.0 % 64)
}

#[cfg(test)]
mod tests;
