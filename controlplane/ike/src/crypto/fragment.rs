//! Messages in fragments, each of which is sealed and opened by itself (RFC 7383).

use super::protect::{OpenError, Plain, SkCipher};
use super::{CryptoError, Secret};
use crate::wire::Message;
use crate::wire::iana::PayloadType;
use crate::wire::{EncodeError, GENERIC_HEADER_LEN, HEADER_LEN, Header, Payload, encode_chain};

/// Most fragments of a message, both ways.
pub const MAX_FRAGMENTS: u16 = 255;
/// Bytes of all fragments of a message at most: as many as of one that is not fragmented.
const MAX_TEXT: usize = 65_535;
/// Fragment number and total.
const NUMBERS_LEN: usize = 4;

/// One fragment, authentic and decrypted.
#[derive(Debug)]
pub(crate) struct Fragment {
    header: Header,
    first_inner: PayloadType,
    pub(crate) number: u16,
    total: u16,
    text: Secret,
}

impl SkCipher {
    /// As [`SkCipher::seal`], in as many datagrams of at most `budget` bytes as it takes; `iv` gives one for each.
    ///
    /// # Errors
    /// When it would take more than [`MAX_FRAGMENTS`].
    pub fn seal_within(
        &self,
        budget: usize,
        header: &Header,
        payloads: &[Payload],
        mut iv: impl FnMut() -> Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, CryptoError> {
        let mut text = Vec::with_capacity(512);
        let first_inner = encode_chain(payloads, &mut text)?;
        let whole =
            HEADER_LEN + GENERIC_HEADER_LEN + self.iv_len() + self.icv_len() + self.padded(text.len());
        if whole <= budget {
            let kind = (PayloadType::ENCRYPTED, first_inner);
            return Ok(vec![self.seal_text(header, kind, &[], text, &iv())?]);
        }
        let room = budget.saturating_sub(whole - self.padded(text.len()) + NUMBERS_LEN);
        let each = (room / self.block_len() * self.block_len()).saturating_sub(1);
        let total = if each == 0 { usize::MAX } else { text.len().div_ceil(each) };
        let Some(total) = u16::try_from(total).ok().filter(|total| *total <= MAX_FRAGMENTS) else {
            let (size, limit) = (text.len(), each * usize::from(MAX_FRAGMENTS));
            return Err(EncodeError::TooLong { what: "message in fragments", size, limit }.into());
        };
        (1..=total)
            .zip(text.chunks(each))
            .map(|(number, part)| {
                let first_inner = if number == 1 { first_inner } else { PayloadType::NONE };
                let numbers = [number.to_be_bytes(), total.to_be_bytes()].concat();
                let kind = (PayloadType::ENCRYPTED_FRAGMENT, first_inner);
                self.seal_text(header, kind, &numbers, part.to_vec(), &iv())
            })
            .collect()
    }

    fn padded(&self, len: usize) -> usize {
        (len + 1).next_multiple_of(self.block_len())
    }

    /// Opens a datagram that is a fragment.
    pub(crate) fn open_fragment(&self, datagram: &[u8]) -> Result<Fragment, OpenError> {
        let outer = Message::decode(datagram).map_err(OpenError::Outer)?;
        let sealed = outer.encrypted_fragment().ok_or(OpenError::NotEncrypted)?;
        // The fragment is the last payload: its body ends the datagram.
        let (aad, body) = datagram.split_at(datagram.len() - sealed.body.len());
        let text = self.decrypt(datagram, aad, body)?;
        let (first_inner, number, total) = (sealed.first_inner, sealed.number, sealed.total);
        Ok(Fragment { header: outer.header, first_inner, number, total, text })
    }
}

/// The fragments of one message that are there so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Assembly {
    /// What names the message.
    header: Option<Header>,
    first_inner: Option<PayloadType>,
    parts: Vec<Option<Secret>>,
}

impl Assembly {
    /// Takes a fragment; gives the message if it was the last one missing.
    ///
    /// A message in more fragments takes the place of the same one in fewer: its sender found that the path takes
    /// shorter ones only (RFC 7383 section 2.6). One with another name takes the place of any: nothing but the next
    /// message of a peer is waited for.
    pub(crate) fn add(&mut self, fragment: Fragment) -> Option<Plain> {
        let Fragment { header, first_inner, number, total, text } = fragment;
        if total > MAX_FRAGMENTS {
            return None;
        }
        let total = usize::from(total);
        if self.header != Some(header) || self.parts.len() < total {
            *self = Self { header: Some(header), first_inner: None, parts: vec![None; total] };
        }
        if self.parts.len() > total {
            return None;
        }
        if number == 1 {
            self.first_inner = Some(first_inner);
        }
        let held: usize = self.parts.iter().flatten().map(Secret::len).sum();
        let place = self.parts.get_mut(usize::from(number) - 1)?;
        if place.is_none() && held + text.len() <= MAX_TEXT {
            *place = Some(text);
        }
        let parts: Option<Vec<&[u8]>> =
            self.parts.iter().map(|part| part.as_ref().map(Secret::expose)).collect();
        let text = Secret::new(parts?.concat());
        let first_inner = std::mem::take(self).first_inner?;
        Some(Plain { header, first_inner, text })
    }
}

#[cfg(test)]
mod tests;
