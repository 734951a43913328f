//! Outbound: laying an ESP packet out around an inner packet (RFC 4303 section 3.3).

use super::layout::CipherKind;
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

/// Lays the packet out in `frame`, which is exactly `template.layout.sealed_len(inner.padded)` bytes long
/// and holds the inner packet (its hop limit already decremented) at `template.layout.headroom()`.
///
/// The explicit IV of an AEAD or of counter mode is written: the sequence number, which never repeats under a
/// key (RFC 4106 section 3.1, RFC 3686 section 3.1). That of CBC is the caller's, at `spans.iv`, and must be unpredictable.
#[inline]
pub fn encap(
    frame: &mut [u8],
    template: &OuterTemplate,
    peer_spi: u32,
    seq: SeqNo,
    inner: Inner,
) -> Result<EspSpans, DropReason> {
    // 1. Where everything goes.
    let layout = &template.layout;
    let (inner_len, padded) = (usize::from(inner.len), usize::from(inner.padded.max(inner.len)));
    let pad_len = layout.pad_len(padded);
    let spans = spans(template, padded + pad_len + ESP_TRAILER_LEN).ok_or(DropReason::NoRoom)?;
    if frame.len() != usize::from(spans.end) {
        return Err(DropReason::NoRoom);
    }
    // 2. Padding of both kinds, pad length and next header behind the inner packet. The buffer may hold what is
    //    left of other packets.
    let (tfc, behind) = frame[layout.headroom() + inner_len..].split_at_mut(padded - inner_len);
    if !tfc.is_empty() {
        tfc.fill(0);
    }
    match behind.first_chunk_mut::<16>() {
        // Of one size, whatever the padding's: what is too much is where the tag goes.
        Some(chunk) if pad_len < 16 => chunk.copy_from_slice(&PADDING[..16]),
        _ => behind[..pad_len].copy_from_slice(&PADDING[..pad_len]),
    }
    #[expect(clippy::cast_possible_truncation, reason = "padding is shorter than a block")]
    behind[pad_len..pad_len + ESP_TRAILER_LEN].copy_from_slice(&[pad_len as u8, inner.next_header]);
    // 3. The outer IP header, and UDP if the path has a NAT.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the identification is 16 bits of the sequence number"
    )]
    template.write(frame, spans.end, seq.0 as u16, inner.marks);
    // 4. SPI and sequence number.
    let header = &mut frame[usize::from(spans.esp)..usize::from(spans.cipher)];
    let (esp, iv) = header.split_at_mut(ESP_HEADER_LEN);
    esp[..4].copy_from_slice(&peer_spi.to_be_bytes());
    esp[4..].copy_from_slice(&seq.low().to_be_bytes());
    // 5. The explicit IV of a counter mode.
    if layout.geometry.kind != CipherKind::EncryptThenMac {
        iv.copy_from_slice(&seq.0.to_be_bytes());
    }
    Ok(spans)
}

/// The spans of a packet whose encrypted part has `cipher_len` bytes; `None` above 65,535 bytes.
#[inline]
fn spans(template: &OuterTemplate, cipher_len: usize) -> Option<EspSpans> {
    let geometry = &template.layout.geometry;
    let esp = u16::from(template.layout.outer_len);
    let iv = esp + 8;
    let cipher = iv + u16::from(geometry.iv_len);
    let cipher_len = u16::try_from(cipher_len).ok()?;
    let tag = cipher.checked_add(cipher_len)?;
    let end = tag.checked_add(u16::from(geometry.icv_len))?;
    Some(EspSpans { esp, iv, cipher, cipher_len, tag, end })
}

#[cfg(test)]
mod tests;
