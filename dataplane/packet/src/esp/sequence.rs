//! Sequence numbers: issuing them outbound, inferring the high half inbound.

use crate::drop_reason::DropReason;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An ESP sequence number; without ESN only the low half is used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct SeqNo(pub u64);

impl SeqNo {
    /// The half that travels in the header.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
    pub fn low(self) -> u32 {
        self.0 as u32
    }

    /// The half that does not travel but is authenticated with ESN.
    #[inline]
    #[must_use]
    pub fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    fn from_halves(high: u32, low: u32) -> Self {
        Self(u64::from(high) << 32 | u64::from(low))
    }

    /// The full number of a packet whose header says `low`, given the highest `top` authenticated so far
    /// and the size of the replay window (RFC 4303 appendix A2.2). `None` if it could only lie before
    /// the first or after the last sequence number.
    #[inline]
    #[must_use]
    pub fn infer(low: u32, top: Self, window: u32) -> Option<Self> {
        let bottom = top.low().wrapping_sub(window - 1);
        let high = if top.low() >= window - 1 {
            // Case A: the window lies in one subspace.
            if low >= bottom { Some(top.high()) } else { top.high().checked_add(1) }
        } else {
            // Case B: the window reaches back into the subspace before.
            if low >= bottom { top.high().checked_sub(1) } else { Some(top.high()) }
        };
        high.map(|high| Self::from_halves(high, low)).filter(|seq| seq.0 != 0)
    }
}

/// A sequence number for one packet to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Issued {
    /// The number; never issued twice.
    pub seq: SeqNo,
    /// True when the soft limit was reached and a rekey is due; again now and then while there is none.
    pub soft_limit: bool,
}

/// Numbers after which a soft limit is told again: the word of it may get lost.
const REMIND: u64 = 1 << 20;

/// Issues sequence numbers 1, 2, 3 .. to the last one, then refuses (RFC 4303 section 3.3.3).
///
/// Written only by the SA's owner; anyone may read.
#[derive(Debug)]
pub struct SequenceCounter {
    used: AtomicU64,
    soft: u64,
    last: u64,
}

impl SequenceCounter {
    /// Starts at 1; ends at 2^32-1, or 2^64-1 with ESN. The soft limit is at 7/8 of the 32-bit space
    /// (about 2^61 packets short of the end with ESN).
    #[must_use]
    pub fn new(esn: bool) -> Self {
        let last = if esn { u64::MAX } else { u64::from(u32::MAX) };
        Self { used: AtomicU64::new(0), soft: last - last / 8, last }
    }

    /// The next number, or [`DropReason::SequenceExhausted`].
    #[inline]
    pub fn issue(&self) -> Result<Issued, DropReason> {
        let used = self.used.load(Relaxed);
        if used >= self.last {
            return Err(DropReason::SequenceExhausted);
        }
        let seq = used + 1;
        self.used.store(seq, Relaxed);
        Ok(Issued { seq: SeqNo(seq), soft_limit: self.is_due(seq) })
    }

    #[inline]
    fn is_due(&self, seq: u64) -> bool {
        seq >= self.soft && (seq - self.soft).is_multiple_of(REMIND)
    }

    /// The last number issued; 0 before the first.
    #[must_use]
    pub fn used(&self) -> SeqNo {
        SeqNo(self.used.load(Relaxed))
    }

    /// True if a number with this low half was issued lately: whoever quotes it saw one of the last million
    /// packets, or guessed well.
    #[must_use]
    pub fn issued_lately(&self, low: u32) -> bool {
        const LATELY: u64 = 1 << 20;
        let used = self.used();
        let ago = u64::from(used.low().wrapping_sub(low));
        ago < LATELY && ago < used.0
    }

    /// Continues after `seq`, for tests near the end of the space and for takeover.
    pub fn resume_after(&self, seq: SeqNo) {
        self.used.store(seq.0, Relaxed);
    }
}

#[cfg(test)]
mod tests;
