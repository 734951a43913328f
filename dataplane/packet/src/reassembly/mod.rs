//! Reassembly of fragments that are addressed to us (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! Fragments are held as they came, in buffers of whatever type `B`; when the last one is here, the packet is
//! written in one go. Everything is bounded and allocated at the start:
//!
//! - [`MAX_BYTES`] and [`MAX_FRAGMENTS`] per datagram, [`Limits::per_source`] datagrams of one source, a total,
//!   and [`Limits::patience`];
//! - a source that reaches its bound loses its own oldest datagram; one that holds less than others takes a
//!   place of whoever holds most; strangers have half of the places and never take one of a known peer;
//! - fragments that overlap refuse the whole datagram, those still to come too (RFC 5722); exact duplicates are
//!   dropped alone (RFC 8200); a first fragment too short for its upper-layer header is refused (RFC 1858,
//!   RFC 7112).

mod assemble;
mod datagram;
mod fragment;

use std::cmp::Reverse;

pub use assemble::Complete;
use datagram::Datagram;
pub use datagram::{MAX_FRAGMENTS, Piece};
use fragment::Source;
pub use fragment::{Fragment, MAX_BYTES};

use crate::drop_reason::DropReason;

/// Bounds of a [`Reassembly`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Datagrams in all; strangers have half of them.
    pub datagrams: usize,
    /// Datagrams of one IPv4 address or IPv6 /64.
    pub per_source: usize,
    /// How long a datagram may take from its first fragment on, in the caller's units of time. RFC 8200 allows
    /// up to 60 seconds.
    pub patience: u64,
}

/// Datagrams that lack fragments. `S` is the scope within which fragments belong together, a VRF for instance.
#[derive(Debug)]
pub struct Reassembly<S, B> {
    datagrams: Vec<Datagram<S, B>>,
    limits: Limits,
    /// Fragments in all datagrams.
    held: usize,
    /// No datagram expires before.
    next_expiry: u64,
}

impl<S: Copy + PartialEq, B> Reassembly<S, B> {
    /// Allocates everything that it will ever hold.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let datagrams = Vec::with_capacity(limits.datagrams);
        Self { datagrams, limits, held: 0, next_expiry: u64::MAX }
    }

    /// How many fragments are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Adds a fragment whose bytes are in `buffer`; `known` if its source is a peer. The last one that was missing
    /// completes the packet. Every buffer that ends here without a packet is given to `refuse` with the reason.
    pub fn insert(
        &mut self,
        fragment: Fragment<S>,
        known: bool,
        buffer: B,
        now: u64,
        refuse: &mut impl FnMut(B, DropReason),
    ) -> Option<Complete<B>> {
        let found = self.datagrams.iter().position(|datagram| datagram.key == fragment.key);
        let Some(at) = found.or_else(|| self.open(&fragment, known, now, refuse)) else {
            refuse(buffer, DropReason::ReassemblyFull);
            return None;
        };
        let datagram = &mut self.datagrams[at];
        match datagram.add(Piece { place: fragment.place, buffer }) {
            Ok(()) => self.held += 1,
            Err((piece, DropReason::FragmentDuplicate)) => {
                refuse(piece.buffer, DropReason::FragmentDuplicate);
            }
            Err((piece, reason)) => {
                refuse(piece.buffer, reason);
                self.held -= datagram.pieces.len();
                datagram.refuse(reason).for_each(|buffer| refuse(buffer, reason));
            }
        }
        if !self.datagrams[at].is_complete() {
            return None;
        }
        let done = self.remove(at);
        Some(Complete { key_is_v4: done.key.src.is_ipv4(), pieces: done.pieces })
    }

    /// Gives up datagrams that have waited too long.
    pub fn expire(&mut self, now: u64, refuse: &mut impl FnMut(B, DropReason)) {
        if now < self.next_expiry {
            return;
        }
        while let Some(at) = self.datagrams.iter().position(|datagram| datagram.deadline <= now) {
            self.discard(at, DropReason::ReassemblyTimeout, refuse);
        }
        self.next_expiry = self.datagrams.iter().map(|datagram| datagram.deadline).min().unwrap_or(u64::MAX);
    }

    /// Begins a datagram, where another may have to go for it.
    fn open(
        &mut self,
        fragment: &Fragment<S>,
        known: bool,
        now: u64,
        refuse: &mut impl FnMut(B, DropReason),
    ) -> Option<usize> {
        let source = fragment.key.source();
        if let Some(victim) = self.victim(source, known)? {
            self.discard(victim, DropReason::ReassemblyFull, refuse);
        }
        let deadline = now.saturating_add(self.limits.patience);
        self.next_expiry = self.next_expiry.min(deadline);
        self.datagrams.push(Datagram::new(fragment.key, known, deadline));
        self.recount(source);
        Some(self.datagrams.len() - 1)
    }

    /// Who goes for a new datagram of `source`: `None` if it is that one itself, `Some(None)` if nobody.
    #[expect(clippy::option_option, reason = "a refusal is neither somebody nor nobody")]
    fn victim(&self, source: Source, known: bool) -> Option<Option<usize>> {
        let Limits { datagrams, per_source, .. } = self.limits;
        let own = self.datagrams.iter().filter(|d| d.source() == source).count();
        if own >= per_source.max(1) {
            return self.oldest(|d| d.source() == source).map(Some);
        }
        let strangers = self.datagrams.iter().filter(|d| !d.known).count();
        let room = if known { datagrams - self.datagrams.len() } else { self.room_for_strangers(strangers) };
        if room > 0 {
            return Some(None);
        }
        if known && strangers > 0 {
            return self.oldest(|d| !d.known).map(Some);
        }
        // The longest row gives way, if it stays no shorter than that of the newcomer. What one takes of
        // another so it cannot lose to it again.
        let longest = self.datagrams.iter().filter(|d| d.known == known).map(|d| d.siblings).max()?;
        if longest <= own + 1 {
            return None;
        }
        self.oldest(|d| d.known == known && d.siblings == longest).map(Some)
    }

    fn room_for_strangers(&self, strangers: usize) -> usize {
        let in_all = self.limits.datagrams - self.datagrams.len();
        in_all.min(self.limits.datagrams.div_ceil(2).saturating_sub(strangers))
    }

    fn oldest(&self, of: impl Fn(&Datagram<S, B>) -> bool) -> Option<usize> {
        let candidates = self.datagrams.iter().enumerate().filter(|(_, datagram)| of(datagram));
        candidates.max_by_key(|(_, datagram)| Reverse(datagram.deadline)).map(|(at, _)| at)
    }

    fn discard(&mut self, at: usize, reason: DropReason, refuse: &mut impl FnMut(B, DropReason)) {
        self.remove(at).pieces.into_iter().for_each(|piece| refuse(piece.buffer, reason));
    }

    fn remove(&mut self, at: usize) -> Datagram<S, B> {
        let datagram = self.datagrams.swap_remove(at);
        self.held -= datagram.pieces.len();
        self.recount(datagram.source());
        datagram
    }

    /// Notes with each datagram of a source how many it has: nobody counts pairs when there is no room.
    fn recount(&mut self, source: Source) {
        let count = self.datagrams.iter().filter(|d| d.source() == source).count();
        self.datagrams.iter_mut().filter(|d| d.source() == source).for_each(|d| d.siblings = count);
    }
}

#[cfg(test)]
mod tests;
