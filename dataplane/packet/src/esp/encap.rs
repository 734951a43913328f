//! Outbound: laying an ESP packet out around an inner packet (RFC 4303 section 3.3).

use super::layout::{CipherKind, EspLayout};
use super::sequence::SeqNo;
use super::template::{InnerMarks, OuterTemplate};
use super::{ESP_HEADER_LEN, ESP_TRAILER_LEN, EspSpans};
use crate::drop_reason::DropReason;
use crate::flow::Flow;
use crate::headers::protocol;
use crate::plain::Facts;

/// The padding of RFC 4303 section 2.4: 1, 2, 3 and so on.
pub(super) static PADDING: [u8; 255] = {
    let mut bytes = [0; 255];
    let mut i = 0;
    while i < 255 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
        {
            bytes[i] = i as u8 + 1;
        }
        i += 1;
    }
    bytes
};

/// What [`encap`] needs to know of the inner packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inner {
    /// Total length, bytes.
    pub len: u16,
    /// Length with the padding of traffic flow confidentiality, bytes: at least `len` (RFC 4303 section 2.7).
    pub padded: u16,
    /// 4 or 41.
    pub next_header: u8,
    /// TOS and DF.
    pub marks: InnerMarks,
}

impl Inner {
    #[inline]
    fn new(len: u16, is_v4: bool, marks: InnerMarks) -> Self {
        let next_header = if is_v4 { protocol::IPV4 } else { protocol::IPV6 };
        Self { len, padded: len, next_header, marks }
    }
}

impl From<&Flow> for Inner {
    #[inline]
    fn from(flow: &Flow) -> Self {
        let Flow { traffic_class, dont_fragment, .. } = *flow;
        Self::new(flow.len, flow.dst.is_ipv4(), InnerMarks { traffic_class, dont_fragment })
    }
}

impl From<Facts> for Inner {
    #[inline]
    fn from(facts: Facts) -> Self {
        let (traffic_class, dont_fragment) = (facts.traffic_class(), facts.dont_fragment());
        Self::new(facts.len(), facts.is_v4(), InnerMarks { traffic_class, dont_fragment })
    }
}

/// Where the parts of a packet go that is to be laid out around an inner one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fit {
    /// Offsets from the start of the outer IP header.
    pub spans: EspSpans,
    pad_len: u8,
}

impl Fit {
    /// Around this inner packet. [`DropReason::NoRoom`] if the whole exceeds 65,535 bytes.
    #[inline(always)]
    pub fn around(inner: &Inner, layout: &EspLayout) -> Result<Self, DropReason> {
        let pad_len = layout.pad_len(inner.padded.into());
        let esp = u16::from(layout.outer_len);
        let cipher = esp + ESP_HEADER + u16::from(layout.geometry.iv_len);
        let tag = usize::from(cipher) + usize::from(inner.padded) + pad_len + ESP_TRAILER_LEN;
        let end = tag + usize::from(layout.geometry.icv_len);
        if end > usize::from(u16::MAX) || inner.padded < inner.len {
            return Err(DropReason::NoRoom);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most the end, and padding is shorter than a block"
        )]
        let (tag, end, pad_len) = (tag as u16, end as u16, pad_len as u8);
        let spans = EspSpans { esp, iv: esp + ESP_HEADER, cipher, cipher_len: tag - cipher, tag, end };
        Ok(Self { spans, pad_len })
    }

    /// Bytes in front of the inner packet.
    #[inline]
    #[must_use]
    pub fn before(&self) -> usize {
        self.spans.cipher.into()
    }

    /// Bytes behind the inner packet, which has `inner_len`.
    #[inline]
    #[must_use]
    pub fn behind(&self, inner_len: u16) -> usize {
        usize::from(self.spans.end - self.spans.cipher) - usize::from(inner_len)
    }
}

const ESP_HEADER: u16 = 8;
const _: () = assert!(ESP_HEADER as usize == ESP_HEADER_LEN);

/// Lays the packet out in `frame`, which is as long as `fit` says and holds the inner packet (its hop limit already
/// decremented) in its place.
///
/// The explicit IV of an AEAD or of counter mode is written: the sequence number, which never repeats under a
/// key (RFC 4106 section 3.1, RFC 3686 section 3.1). That of CBC is the caller's, at `spans.iv`, and must be unpredictable.
#[inline(always)]
pub fn encap(
    frame: &mut [u8],
    template: &OuterTemplate,
    peer_spi: u32,
    seq: SeqNo,
    inner: Inner,
    fit: &Fit,
) -> Result<(), DropReason> {
    let Fit { spans, pad_len } = *fit;
    if frame.len() != usize::from(spans.end) {
        return Err(DropReason::NoRoom);
    }
    // 1. Padding of both kinds, pad length and next header behind the inner packet. The buffer may hold what is
    //    left of other packets.
    let (front, behind) = frame.split_at_mut(usize::from(spans.cipher) + usize::from(inner.len));
    let (tfc, behind) = behind.split_at_mut(usize::from(inner.padded - inner.len));
    if !tfc.is_empty() {
        tfc.fill(0);
    }
    write_trailer(behind, pad_len, inner.next_header);
    // 2. The outer IP header, and UDP if the path has a NAT.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the identification is 16 bits of the sequence number"
    )]
    template.write(front, spans.end, seq.0 as u16, inner.marks);
    // 3. SPI and sequence number, and the explicit IV of a counter mode.
    let header = &mut front[usize::from(spans.esp)..];
    let (esp, rest) = header.split_first_chunk_mut::<ESP_HEADER_LEN>().ok_or(DropReason::NoRoom)?;
    *esp = (u64::from(peer_spi) << 32 | u64::from(seq.low())).to_be_bytes();
    if template.layout.geometry.kind != CipherKind::EncryptThenMac {
        *rest.first_chunk_mut().ok_or(DropReason::NoRoom)? = seq.0.to_be_bytes();
    }
    Ok(())
}

/// Padding, pad length and next header at the start of `out`.
#[inline]
fn write_trailer(out: &mut [u8], pad_len: u8, next_header: u8) {
    let at = usize::from(pad_len);
    match out.first_chunk_mut::<16>() {
        // Of one size, whatever the padding's: what is too much is where the tag goes.
        Some(chunk) if at < 16 => chunk.copy_from_slice(&PADDING[..16]),
        _ => out[..at].copy_from_slice(&PADDING[..at]),
    }
    out[at..at + ESP_TRAILER_LEN].copy_from_slice(&[pad_len, next_header]);
}

#[cfg(test)]
mod tests;
