//! Writing the packet of which all fragments are here.

use arrayvec::ArrayVec;

use super::datagram::{MAX_FRAGMENTS, Piece};
use crate::drop_reason::DropReason;
use crate::headers::checksum;

/// ECN codepoints (RFC 3168 section 5).
const ECN_MASK: u8 = 3;
const NOT_ECT: u8 = 0;
const CE: u8 = 3;

/// All fragments of a datagram, in order.
#[derive(Debug)]
pub struct Complete<B> {
    pub(super) key_is_v4: bool,
    pub(super) pieces: ArrayVec<Piece<B>, MAX_FRAGMENTS>,
}

impl<B> Complete<B> {
    /// Length of the packet, bytes.
    #[must_use]
    pub fn packet_len(&self) -> usize {
        let head = self.pieces.first().map_or(0, |piece| piece.place.head);
        let end = self.pieces.last().map_or(0, |piece| piece.place.end);
        usize::from(head) + usize::from(end)
    }

    /// Length of the largest fragment as it came, bytes.
    #[must_use]
    pub fn largest_fragment(&self) -> u16 {
        self.pieces.iter().map(|piece| piece.place.data + piece.place.len()).max().unwrap_or(0)
    }

    /// How many fragments it has.
    #[must_use]
    pub fn fragments(&self) -> usize {
        self.pieces.len()
    }

    /// Writes the packet to `out`, which is [`Complete::packet_len`] bytes long: the headers of the first
    /// fragment, unfragmented, with congestion that any of them met (RFC 3168 section 5.3).
    ///
    /// # Errors
    ///
    /// [`DropReason::EcnNotCapable`]: congestion was signalled on one fragment, and another cannot carry the
    /// signal. [`DropReason::FragmentInvalid`]: `out` or a buffer is not as long as it was.
    pub fn write(&self, bytes: impl Fn(&B) -> &[u8], out: &mut [u8]) -> Result<(), DropReason> {
        let (first, end) = match (self.pieces.first(), self.pieces.last()) {
            (Some(first), Some(last)) => (first, last.place.end),
            _ => return Err(DropReason::FragmentInvalid),
        };
        let head = usize::from(first.place.head);
        let (header, payload) = out.split_at_mut_checked(head).ok_or(DropReason::FragmentInvalid)?;
        for Piece { place, buffer } in &self.pieces {
            let from = usize::from(place.data);
            let data = bytes(buffer).get(from..from + usize::from(place.len()));
            let to = payload.get_mut(usize::from(place.start)..usize::from(place.end));
            let (data, to) = data.zip(to).ok_or(DropReason::FragmentInvalid)?;
            to.copy_from_slice(data);
        }
        let original = bytes(&first.buffer);
        header.copy_from_slice(original.get(..head).ok_or(DropReason::FragmentInvalid)?);
        let congested = self.congested(&bytes)?;
        if self.key_is_v4 {
            mend_ipv4(header, end, congested);
        } else {
            let next_header = original.get(head).ok_or(DropReason::FragmentInvalid)?;
            mend_ipv6(header, *next_header, end, congested);
        }
        Ok(())
    }

    /// True if the whole carries a congestion signal.
    fn congested(&self, bytes: impl Fn(&B) -> &[u8]) -> Result<bool, DropReason> {
        let ecn = |piece: &Piece<B>| {
            let class = match *bytes(&piece.buffer) {
                [_, class, ..] if self.key_is_v4 => class,
                [_, class, ..] => class >> 4,
                _ => 0,
            };
            class & ECN_MASK
        };
        let any = |codepoint| self.pieces.iter().any(|piece| ecn(piece) == codepoint);
        match (any(CE), any(NOT_ECT)) {
            (true, true) => Err(DropReason::EcnNotCapable),
            (congested, _) => Ok(congested),
        }
    }

    /// The buffers, for whatever is to be done with them.
    pub fn into_buffers(self) -> impl Iterator<Item = B> {
        self.pieces.into_iter().map(|piece| piece.buffer)
    }
}

/// Length, flags and checksum of a packet in one piece. DF told routers about the fragments, nobody about the
/// whole.
fn mend_ipv4(header: &mut [u8], payload: u16, congested: bool) {
    let total = u16::try_from(header.len()).unwrap_or(u16::MAX).saturating_add(payload);
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[6..8].fill(0);
    if congested {
        header[1] |= CE;
    }
    header[10..12].fill(0);
    let sum = checksum::checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Length, and the next header that the fragment header stood before.
fn mend_ipv6(header: &mut [u8], next_header: u8, payload: u16, congested: bool) {
    let extensions = u16::try_from(header.len() - 40).unwrap_or(u16::MAX);
    header[4..6].copy_from_slice(&payload.saturating_add(extensions).to_be_bytes());
    if congested {
        header[1] |= CE << 4;
    }
    // The field that said "fragment header": of the last header before it.
    let mut field = 6;
    let mut at = 40;
    while at + 1 < header.len() {
        field = at;
        at += (usize::from(header[at + 1]) + 1) * 8;
    }
    header[field] = next_header;
}
