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

/// Checks a decrypted and authenticated packet and makes its inner packet ready to forward.
///
/// `outer_class` is the TOS or traffic class of the outer header.
#[inline]
pub fn finish(
    packet: &mut [u8],
    spans: &EspSpans,
    outer_class: u8,
    selectors: &[SelectorPair],
) -> Result<Opened, DropReason> {
    // 1. The trailer: padding within the encrypted part, its bytes 1, 2, 3 and so on.
    let plain =
        packet.get_mut(usize::from(spans.cipher)..usize::from(spans.tag)).ok_or(DropReason::EspTruncated)?;
    let (payload_len, next_header) = trailer(plain)?;
    let payload = &mut plain[..payload_len];
    // 2. Tunnel mode carries IPv4 or IPv6; a dummy packet is to be discarded.
    let version = match next_header {
        protocol::IPV4 => 4,
        protocol::IPV6 => 6,
        protocol::NO_NEXT_HEADER => return Err(DropReason::EspDummy),
        _ => return Err(DropReason::EspNextHeader),
    };
    // 3. The inner header: its length may leave a tail of traffic flow confidentiality padding.
    if payload.first().is_none_or(|b| b >> 4 != version) {
        return Err(DropReason::InnerInvalid);
    }
    let mut flow = Flow::parse(payload).map_err(|_| DropReason::InnerInvalid)?;
    // 4. The peer may send only what was negotiated.
    let fit = fit_inbound(selectors, &flow);
    if fit == Fit::Differs {
        return Err(DropReason::InnerSelector);
    }
    // 5. Congestion met on the way.
    let marked = ecn::decapsulate(flow.traffic_class, outer_class)?;
    if marked != flow.traffic_class & ecn::ECN_MASK {
        flow.traffic_class = flow.traffic_class & !ecn::ECN_MASK | marked;
        headers::set_traffic_class(payload, flow.traffic_class);
    }
    Ok(Opened { offset: spans.cipher, flow, needs_whole: fit == Fit::NeedsWhole })
}

/// Length of the payload and the next header of decrypted data.
#[inline]
fn trailer(plain: &[u8]) -> Result<(usize, u8), DropReason> {
    let (rest, &[pad_len, next_header]) = plain.split_last_chunk::<2>().ok_or(DropReason::EspTruncated)?;
    let pad_len = usize::from(pad_len);
    let payload_len = rest.len().checked_sub(pad_len).ok_or(DropReason::EspPadding)?;
    if rest[payload_len..] != PADDING[..pad_len] {
        return Err(DropReason::EspPadding);
    }
    Ok((payload_len, next_header))
}

#[cfg(test)]
mod tests;
