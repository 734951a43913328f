//! One datagram of which fragments are missing.

use arrayvec::ArrayVec;

use super::fragment::{DatagramKey, Place, Source};
use crate::drop_reason::DropReason;

/// Fragments of one datagram: [`super::MAX_BYTES`] in pieces for the smallest MTU of IPv4 (RFC 791), and some.
pub const MAX_FRAGMENTS: usize = 32;

/// A held fragment.
#[derive(Debug)]
pub struct Piece<B> {
    /// Where it belongs.
    pub(super) place: Place,
    /// Its packet.
    pub(super) buffer: B,
}

#[derive(Debug)]
pub(super) struct Datagram<S, B> {
    pub(super) key: DatagramKey<S>,
    /// Of a peer.
    pub(super) known: bool,
    pub(super) deadline: u64,
    /// Datagrams of the same source, this one included.
    pub(super) siblings: usize,
    /// In order; no two overlap.
    pub(super) pieces: ArrayVec<Piece<B>, MAX_FRAGMENTS>,
    /// Why fragments still to come are refused.
    refused: Option<DropReason>,
    /// Bytes in all pieces.
    bytes: u16,
    /// Length of the whole, once the last fragment is here.
    total: Option<u16>,
}

impl<S: Copy, B> Datagram<S, B> {
    pub(super) fn new(key: DatagramKey<S>, known: bool, deadline: u64) -> Self {
        let pieces = ArrayVec::new();
        Self { key, known, deadline, siblings: 1, pieces, refused: None, bytes: 0, total: None }
    }

    pub(super) fn source(&self) -> Source {
        self.key.source()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.total == Some(self.bytes)
    }

    /// Puts a fragment into its place. Any error but [`DropReason::FragmentDuplicate`] condemns the whole.
    pub(super) fn add(&mut self, piece: Piece<B>) -> Result<(), (Piece<B>, DropReason)> {
        match self.place(&piece.place) {
            Ok(at) => {
                self.bytes += piece.place.len();
                if !piece.place.more {
                    self.total = Some(piece.place.end);
                }
                self.pieces.insert(at, piece);
                Ok(())
            }
            Err(reason) => Err((piece, reason)),
        }
    }

    fn place(&self, place: &Place) -> Result<usize, DropReason> {
        if let Some(reason) = self.refused {
            return Err(reason);
        }
        let at = self.pieces.partition_point(|piece| piece.place.start < place.start);
        let next = self.pieces.get(at).map(|piece| &piece.place);
        if next.is_some_and(|next| next.same_range(place)) {
            return Err(DropReason::FragmentDuplicate);
        }
        let before = at.checked_sub(1).map(|before| &self.pieces[before].place);
        let overlaps = before.is_some_and(|before| before.end > place.start)
            || next.is_some_and(|next| next.start < place.end);
        // Nothing lies behind the end, and there is one end only.
        let last = self.pieces.last().map_or(0, |piece| piece.place.end);
        let beyond = match (self.total, place.more) {
            (Some(total), true) => place.end >= total,
            (Some(_), false) => true,
            (None, true) => false,
            (None, false) => last > place.end,
        };
        if overlaps || beyond {
            return Err(DropReason::FragmentOverlap);
        }
        if self.pieces.is_full() {
            return Err(DropReason::FragmentInvalid);
        }
        Ok(at)
    }

    /// Gives up what is held, and everything that is still to come.
    pub(super) fn refuse(&mut self, reason: DropReason) -> impl Iterator<Item = B> + use<'_, S, B> {
        self.refused = Some(reason);
        self.total = None;
        self.bytes = 0;
        self.pieces.drain(..).map(|piece| piece.buffer)
    }
}
