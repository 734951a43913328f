//! Who goes on when more comes than can be handled: fair shares among tunnels, peers and strangers.
//!
//! A worker that is behind takes a batch of many packets, charges each to an [`Account`] and lets as many go
//! on as it can handle: those whose accounts have used least so far. An account that stays below its share
//! is always among them; the others end up with equal shares of what is left. What an account has used
//! fades with a half-life of [`HALF_LIFE_MS`].
//!
//! Accounts share a fixed table of buckets by a keyed hash. Two that meet in one bucket share one share, for as
//! long as the key lasts: [`KEY_HALF_LIVES`] half-lives. What anybody can send has buckets of its own: however many
//! sources and SPIs a flood invents, each class of it has the share of one tunnel.

mod account;

pub use account::{Account, Stranger};

use std::net::IpAddr;

/// In which the memory of what an account has used fades to half, milliseconds.
pub const HALF_LIFE_MS: u64 = 16;
/// How long a key lasts, in half-lives.
const KEY_HALF_LIVES: u32 = 64;
/// Buckets of known accounts.
const BUCKETS: usize = 4096;
/// A class of strangers is split by source into so many parts of one share.
const PARTS: usize = 16;
/// The most packets of a batch.
pub const BATCH: usize = 1024;

/// What the accounts of one bucket have used.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    used: u32,
    /// When `used` was right, in half-lives.
    at: u32,
}

/// What one packet of a batch was charged.
#[derive(Clone, Copy, Debug)]
struct Charge {
    bucket: u16,
    cost: u32,
    /// What its bucket has used with it.
    rank: u32,
}

/// The shares of one worker.
#[derive(Debug)]
pub struct FairShare {
    buckets: Box<[Bucket]>,
    keys: [u64; 2],
    /// Of the numbers that keys are made of.
    random: u64,
    /// When the key was changed, in half-lives.
    keyed_at: u32,
    /// Ticks of a half-life.
    half_life: u64,
    /// Now, in half-lives.
    at: u32,
    charges: Vec<Charge>,
    /// Room to order the charges.
    order: Vec<u64>,
    /// The position from which on the batch is dropped.
    limit: u64,
}

impl FairShare {
    /// Nothing used yet. `seed` must be one that nobody guesses.
    #[must_use]
    pub fn new(seed: u64, ticks_per_ms: u64) -> Self {
        let mut new = Self {
            buckets: vec![Bucket::default(); BUCKETS + Stranger::COUNT * PARTS].into(),
            keys: [0; 2],
            random: seed,
            keyed_at: 0,
            half_life: (HALF_LIFE_MS * ticks_per_ms).max(1),
            at: 0,
            charges: Vec::with_capacity(BATCH),
            order: Vec::with_capacity(BATCH),
            limit: 0,
        };
        new.change_key();
        new
    }

    /// Begins a batch at time `now`, in ticks.
    pub fn begin(&mut self, now: u64) {
        self.charges.clear();
        self.at = u32::try_from((now / self.half_life) & u64::from(u32::MAX)).unwrap_or(0);
        if self.at.wrapping_sub(self.keyed_at) >= KEY_HALF_LIVES {
            self.change_key();
        }
    }

    /// Charges the next packet of the batch, of `len` bytes; a packet beyond [`BATCH`] is not taken.
    pub fn offer(&mut self, account: &Account, len: usize) {
        if self.charges.len() == BATCH {
            return;
        }
        let (bucket, parts) = self.bucket(account);
        let cost = cost(len).saturating_mul(parts);
        let slot = &mut self.buckets[usize::from(bucket)];
        let age = self.at.wrapping_sub(slot.at);
        // What was used under another key was another account's.
        let stale = age > self.at.wrapping_sub(self.keyed_at);
        let before = if stale { 0 } else { slot.used.checked_shr(age).unwrap_or(0) };
        let rank = before.saturating_add(cost);
        *slot = Bucket { used: rank, at: self.at };
        self.charges.push(Charge { bucket, cost, rank });
    }

    /// Decides about the batch: `room` packets go on, and the others are not charged.
    pub fn decide(&mut self, room: usize) {
        if room >= self.charges.len() {
            self.limit = u64::MAX;
            return;
        }
        self.order.clear();
        self.order.extend(self.charges.iter().zip(0..).map(|(charge, place)| position(charge, place)));
        self.limit = *self.order.select_nth_unstable(room).1;
        for (charge, place) in self.charges.iter().zip(0..) {
            if position(charge, place) >= self.limit {
                let slot = &mut self.buckets[usize::from(charge.bucket)];
                slot.used = slot.used.saturating_sub(charge.cost);
            }
        }
    }

    /// True if the packet that was offered in this place, from 0, goes on.
    #[inline]
    #[must_use]
    pub fn goes_on(&self, place: u16) -> bool {
        self.charges.get(usize::from(place)).is_some_and(|charge| position(charge, place) < self.limit)
    }

    /// Where an account is charged, and into how many parts its share is split.
    #[inline]
    fn bucket(&self, account: &Account) -> (u16, u32) {
        let (tag, address) = account.identity();
        let (high, low) = halves(address);
        let mixed = fold(tag ^ high ^ self.keys[0], low ^ self.keys[1]);
        let hash = fold(mixed ^ self.keys[1], 0x9e37_79b9_7f4a_7c15);
        let below = |limit: usize| usize::try_from(hash >> 32).unwrap_or(0) % limit;
        let (bucket, parts) = match account {
            Account::Stranger(class, _) => (BUCKETS + *class as usize * PARTS + below(PARTS), PARTS),
            _ => (below(BUCKETS), 1),
        };
        (u16::try_from(bucket).unwrap_or(0), u32::try_from(parts).unwrap_or(1))
    }

    #[cold]
    fn change_key(&mut self) {
        self.keyed_at = self.at;
        for key in &mut self.keys {
            // SplitMix64.
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *key = z ^ (z >> 31);
        }
    }
}

/// Where a packet stands in the order of its batch; packets of equal rank in the order they came.
#[inline]
fn position(charge: &Charge, place: u16) -> u64 {
    u64::from(charge.rank) << 16 | u64::from(place)
}

/// The time that a packet takes: something for itself, and for its length as much again at a kilobyte.
#[inline]
fn cost(len: usize) -> u32 {
    4 + u32::try_from(len / 256).unwrap_or(u32::MAX - 4)
}

/// Both halves of a product, combined.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let (low, high) = halves128(u128::from(a) * u128::from(b));
    low ^ high
}

#[inline]
fn halves(address: Option<IpAddr>) -> (u64, u64) {
    let bits = match address {
        None => 0,
        Some(IpAddr::V4(v4)) => u128::from(v4.to_bits()),
        Some(IpAddr::V6(v6)) => v6.to_bits(),
    };
    let (low, high) = halves128(bits);
    (high, low)
}

#[inline]
fn halves128(value: u128) -> (u64, u64) {
    let low = u64::try_from(value & u128::from(u64::MAX)).unwrap_or(0);
    (low, u64::try_from(value >> 64).unwrap_or(0))
}

#[cfg(test)]
mod tests;
