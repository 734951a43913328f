//! Inbound: finding the parts of an ESP packet and checking what was decrypted (RFC 4303 section 3.4).

use super::ecn;
use super::encap::PADDING;
use super::layout::EspGeometry;
use super::{ESP_HEADER_LEN, ESP_TRAILER_LEN, EspSpans};
use crate::drop_reason::DropReason;
use crate::flow::Flow;
use crate::headers::{self, protocol};
use crate::selectors::{Fit, SelectorPair, fit_inbound};

/// An ESP packet as it arrived, before its SA is known. Offsets count from the outer IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EspPacket {
    /// Our SPI as the peer wrote it.
    pub spi: u32,
    /// The low half of the sequence number.
    pub sequence_low: u32,
    /// Offset of the ESP header.
    pub esp: u16,
    /// End of the ESP packet.
    pub end: u16,
}

impl EspPacket {
    /// Reads the ESP header at `esp` of an outer packet; `end` is where IP or UDP says it ends.
    #[inline]
    pub fn parse(packet: &[u8], esp: u16, end: u16) -> Result<Self, DropReason> {
        let body = packet.get(usize::from(esp)..usize::from(end)).ok_or(DropReason::EspTruncated)?;
        let [a, b, c, d, e, f, g, h] =
            *body.first_chunk::<ESP_HEADER_LEN>().ok_or(DropReason::EspTruncated)?;
        Ok(Self {
            spi: u32::from_be_bytes([a, b, c, d]),
            sequence_low: u32::from_be_bytes([e, f, g, h]),
            esp,
            end,
        })
    }

    /// Where the cipher works, by the sizes of the SA's suite.
    #[inline]
    pub fn plan(&self, geometry: &EspGeometry) -> Result<EspSpans, DropReason> {
        let iv = self.esp.saturating_add(8);
        let cipher = iv.saturating_add(u16::from(geometry.iv_len));
        let tag = self.end.checked_sub(u16::from(geometry.icv_len)).ok_or(DropReason::EspTruncated)?;
        let cipher_len = tag.checked_sub(cipher).ok_or(DropReason::EspTruncated)?;
        if usize::from(cipher_len) < ESP_TRAILER_LEN {
            return Err(DropReason::EspTruncated);
        }
        if cipher_len & (u16::from(geometry.align) - 1) != 0 {
            return Err(DropReason::EspLength);
        }
        Ok(EspSpans { esp: self.esp, iv, cipher, cipher_len, tag, end: self.end })
    }
}

/// An inner packet that passed every check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Its offset from the outer IP header; its length is `flow.len`.
    pub offset: u16,
    /// Its headers, with the ECN field already decapsulated.
    pub flow: Flow,
    /// It is a fragment that the selectors alone do not judge: reassemble it, then check the whole.
    pub needs_whole: bool,
}

/// What a decrypted and authenticated packet carries. Offsets count from the outer IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload {
    /// Start of the inner packet.
    pub start: u16,
    /// Where the padding begins; the inner packet's own length may leave a tail before it that is traffic flow
    /// confidentiality padding.
    pub end: u16,
}

/// Finds the inner packet of a decrypted and authenticated one: padding and next header are right.
#[inline]
pub fn strip(packet: &[u8], spans: &EspSpans) -> Result<Payload, DropReason> {
    // 1. The trailer: padding within the encrypted part, its bytes 1, 2, 3 and so on.
    let plain =
        packet.get(usize::from(spans.cipher)..usize::from(spans.tag)).ok_or(DropReason::EspTruncated)?;
    let (rest, &[pad_len, next_header]) = plain.split_last_chunk::<2>().ok_or(DropReason::EspTruncated)?;
    let payload_len = rest.len().checked_sub(usize::from(pad_len)).ok_or(DropReason::EspPadding)?;
    if !ends_in_padding(rest, pad_len) {
        return Err(DropReason::EspPadding);
    }
    // 2. Tunnel mode carries IPv4 or IPv6; a dummy packet is to be discarded.
    let version = match next_header {
        protocol::IPV4 => 4,
        protocol::IPV6 => 6,
        protocol::NO_NEXT_HEADER => return Err(DropReason::EspDummy),
        _ => return Err(DropReason::EspNextHeader),
    };
    if payload_len == 0 || rest[0] >> 4 != version {
        return Err(DropReason::InnerInvalid);
    }
    Ok(Payload { start: spans.cipher, end: spans.tag - ESP_TRAILER_LEN_U16 - u16::from(pad_len) })
}

/// Checks the inner packet that [`strip`] found and makes it ready to forward.
///
/// `outer_class` is the TOS or traffic class of the outer header.
#[inline]
pub fn inspect(
    packet: &mut [u8],
    payload: Payload,
    outer_class: u8,
    selectors: &[SelectorPair],
) -> Result<Opened, DropReason> {
    let inner = packet
        .get_mut(usize::from(payload.start)..usize::from(payload.end))
        .ok_or(DropReason::EspTruncated)?;
    // 1. Its headers.
    let mut flow = Flow::parse(inner).map_err(|_| DropReason::InnerInvalid)?;
    // 2. The peer may send only what was negotiated.
    let fit = fit_inbound(selectors, &flow);
    if fit == Fit::Differs {
        return Err(DropReason::InnerSelector);
    }
    // 3. Congestion met on the way.
    flow.traffic_class = carry_congestion(inner, flow.traffic_class, outer_class)?;
    Ok(Opened { offset: payload.start, flow, needs_whole: fit == Fit::NeedsWhole })
}

/// Brings congestion that the outer header tells of into the inner packet, whose TOS or traffic class is `class`;
/// returns that as it is then.
#[inline]
pub fn carry_congestion(inner: &mut [u8], class: u8, outer_class: u8) -> Result<u8, DropReason> {
    let marked = ecn::decapsulate(class, outer_class)?;
    if marked == class & ecn::ECN_MASK {
        return Ok(class);
    }
    let class = class & !ecn::ECN_MASK | marked;
    headers::set_traffic_class(inner, class);
    Ok(class)
}

const ESP_TRAILER_LEN_U16: u16 = 2;
const _: () = assert!(ESP_TRAILER_LEN == ESP_TRAILER_LEN_U16 as usize);

/// True if the last `pad_len` bytes are 1, 2, 3 and so on; there are so many.
#[inline]
fn ends_in_padding(rest: &[u8], pad_len: u8) -> bool {
    match rest.last_chunk::<8>() {
        // What a counter mode needs, in one load.
        Some(last) if pad_len < 8 => {
            let bits = 8 * u32::from(pad_len);
            let expected = 0x0807_0605_0403_0201 & !(u64::MAX << bits);
            u64::from_le_bytes(*last) >> 1 >> (63 - bits) == expected
        }
        _ => rest.ends_with(&PADDING[..usize::from(pad_len)]),
    }
}

#[cfg(test)]
mod tests;
