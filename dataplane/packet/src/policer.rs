//! The limits of a connection (RM-19): bytes per second in each direction, packets per second in both together.
//!
//! A connection's SAs may belong to several workers. Each limit is one token bucket, kept as the time at which
//! it will be full again; a worker borrows a quantum from it with one compare-and-exchange, and spends that
//! from a line of its own, which nobody else writes. So a packet costs no shared write, and over any
//! time t at most `rate × t + burst` is carried, and 1/64 of the burst and a packet more for each worker
//! that carries the connection.

use crate::drop_reason::DropReason;
use crate::sad::Direction;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Parts of a full bucket that a worker borrows at a time.
const QUANTA: u64 = 64;
/// A full bucket holds the largest packet at least, bytes.
const LARGEST_PACKET: u64 = 9216;
const NANOS: u128 = 1_000_000_000;
/// Fraction bits of [`Bucket::nanos_per_token`] and [`Policer::nanos_per_tick`].
const FRACTION: u32 = 32;

/// What a connection may carry; a limit of 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PolicerRates {
    /// Of inner packets in one direction, bit/s.
    pub bits_per_second: u64,
    /// In both directions together.
    pub packets_per_second: u32,
    /// How long a full bucket carries its rate, milliseconds.
    pub burst_ms: u32,
}

impl PolicerRates {
    /// The least and the most of each limit that is not 0.
    pub const BITS_PER_SECOND: std::ops::RangeInclusive<u64> = 64_000..=1_000_000_000_000;
    /// As above.
    pub const PACKETS_PER_SECOND: std::ops::RangeInclusive<u32> = 10..=1_000_000_000;
    /// The least and the most.
    pub const BURST_MS: std::ops::RangeInclusive<u32> = 1..=10_000;
}

/// The limits of one connection and what is left of them. Shared by all workers.
#[derive(Debug)]
pub struct Policer {
    rates: PolicerRates,
    nanos_per_tick: u64,
    bytes: Option<[Bucket; 2]>,
    packets: Option<Bucket>,
    /// By worker.
    credits: Box<[Credit]>,
}

/// A shared token bucket.
#[derive(Debug)]
#[repr(align(64))]
struct Bucket {
    /// When it is full, nanoseconds of the workers' clock; later by what was borrowed.
    full_at: AtomicU64,
    nanos_per_token: u64,
    /// Time in which an empty one fills, nanoseconds.
    depth: u64,
    /// Tokens borrowed at a time.
    quantum: u64,
}

/// What one worker has borrowed and not spent; it alone writes it.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Credit {
    bytes: [AtomicU64; 2],
    packets: AtomicU64,
}

impl Policer {
    /// Full buckets for `workers` workers, whose clock has so many ticks per second. The rates are within
    /// the ranges of [`PolicerRates`].
    #[must_use]
    pub fn new(rates: PolicerRates, workers: usize, ticks_per_second: u64) -> Self {
        let burst = u64::from(rates.burst_ms);
        let bytes = rates.bits_per_second / 8;
        let packets = u64::from(rates.packets_per_second);
        Self {
            rates,
            nanos_per_tick: saturate((NANOS << FRACTION) / u128::from(ticks_per_second.max(1))),
            bytes: (bytes != 0).then(|| {
                [Bucket::new(bytes, burst, LARGEST_PACKET), Bucket::new(bytes, burst, LARGEST_PACKET)]
            }),
            packets: (packets != 0).then(|| Bucket::new(packets, burst, 1)),
            credits: (0..workers).map(|_| Credit::default()).collect(),
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn rates(&self) -> PolicerRates {
        self.rates
    }

    /// Asks for one inner packet of `len` bytes at time `now`, in ticks; `worker` asks for itself only. Inbound
    /// this is asked for authentic packets only, or a stranger could use up what is the peer's.
    ///
    /// # Errors
    ///
    /// The drop reason of the limit that is reached; nothing is charged then.
    #[inline]
    pub fn admit(&self, direction: Direction, len: u16, worker: u16, now: u64) -> Result<(), DropReason> {
        let Some(credit) = self.credits.get(usize::from(worker)) else { return Ok(()) };
        let (len, way) = (u64::from(len), direction as usize);
        let bytes = self.bytes.as_ref().map(|buckets| (&buckets[way], &credit.bytes[way]));
        let packets = self.packets.as_ref().map(|bucket| (bucket, &credit.packets));
        if packets.is_some_and(|(bucket, credit)| !self.has(bucket, credit, 1, now)) {
            return Err(DropReason::PolicerPackets);
        }
        if bytes.is_some_and(|(bucket, credit)| !self.has(bucket, credit, len, now)) {
            return Err(DropReason::PolicerBandwidth);
        }
        packets.inspect(|(_, credit)| spend(credit, 1));
        bytes.inspect(|(_, credit)| spend(credit, len));
        Ok(())
    }

    /// True if the worker's credit covers `need`, borrowed if it has to be.
    #[inline]
    fn has(&self, bucket: &Bucket, credit: &AtomicU64, need: u64, now: u64) -> bool {
        let left = credit.load(Relaxed);
        if left >= need {
            return true;
        }
        let borrowed = bucket.borrow(need, scale(now, self.nanos_per_tick));
        credit.store(left + borrowed, Relaxed);
        borrowed != 0
    }
}

/// The owner of a credit takes from it what it was found to cover.
#[inline]
fn spend(credit: &AtomicU64, amount: u64) {
    credit.store(credit.load(Relaxed).saturating_sub(amount), Relaxed);
}

impl Bucket {
    fn new(rate: u64, burst_ms: u64, least: u64) -> Self {
        let nanos_per_token = saturate((NANOS << FRACTION).div_ceil(u128::from(rate)));
        let tokens = saturate(u128::from(rate) * u128::from(burst_ms) / 1000).max(least);
        Self {
            full_at: AtomicU64::new(0),
            nanos_per_token,
            // Room for what the cost of each quantum is rounded up.
            depth: scale(tokens, nanos_per_token).saturating_add(QUANTA),
            quantum: tokens.div_ceil(QUANTA),
        }
    }

    /// A quantum, or `need` where that is more; 0 if there is not so much. All or nothing: a bucket that is
    /// used up is written once a quantum, not once a packet.
    fn borrow(&self, need: u64, now: u64) -> u64 {
        let amount = need.max(self.quantum);
        let cost = scale(amount, self.nanos_per_token) + 1;
        let taken = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            let after = full_at.max(now) + cost;
            (after <= now.saturating_add(self.depth)).then_some(after)
        });
        if taken.is_ok() { amount } else { 0 }
    }
}

/// `amount` times a factor with [`FRACTION`] fraction bits.
#[inline]
fn scale(amount: u64, factor: u64) -> u64 {
    saturate((u128::from(amount) * u128::from(factor)) >> FRACTION)
}

#[inline]
fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
