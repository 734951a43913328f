//! Checksums that their sender left to a device which the packet never saw.
//!
//! A kernel that hands a packet to a virtual link writes only the sum of the pseudo-header into the TCP or UDP
//! header. Whoever takes the packet from that link to a wire, or into a tunnel, has to complete it.

use crate::flow::Flow;
use crate::headers::{checksum, protocol};

/// Offsets of the checksum in a TCP and a UDP header, bytes.
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

/// Completes the TCP or UDP checksum of the packet that `flow` describes; true if it was unfinished.
///
/// One of 65,536 finished ones looks unfinished; completing it leaves it as it was, if the packet is intact.
pub fn complete(packet: &mut [u8], flow: &Flow) -> bool {
    let at = match flow.protocol {
        protocol::TCP => TCP_CHECKSUM,
        protocol::UDP => UDP_CHECKSUM,
        _ => return false,
    };
    let Some(len) = flow.len.checked_sub(flow.header_len).filter(|_| !flow.fragment) else { return false };
    let Some(segment) = packet.get_mut(flow.header_len.into()..flow.len.into()) else { return false };
    let Some(field) = segment.get(at..at + 2) else { return false };
    let pseudo = checksum::fold(checksum::pseudo_header(flow.src, flow.dst, flow.protocol, len));
    if field != pseudo.to_be_bytes() {
        return false;
    }
    // The sum of the pseudo-header is in its place already. A UDP checksum of 0 would mean none (RFC 768).
    let sum = match checksum::checksum(segment) {
        0 if flow.protocol == protocol::UDP => 0xffff,
        sum => sum,
    };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use proptest::prelude::*;

    fn segment(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let header = if protocol == protocol::TCP { 20 } else { 8 };
        let mut segment = vec![0; header];
        segment[..4].copy_from_slice(&[0x30, 0x39, 0, 80]);
        if protocol == protocol::TCP {
            segment[12] = 0x50;
        } else {
            segment[4..6].copy_from_slice(&u16::try_from(header + payload.len()).unwrap().to_be_bytes());
        }
        segment.extend(payload);
        segment
    }

    fn at(protocol: u8) -> usize {
        if protocol == protocol::TCP { TCP_CHECKSUM } else { UDP_CHECKSUM }
    }

    proptest! {
        #[test]
        fn an_unfinished_checksum_is_completed_and_others_are_let_alone(
            tcp in any::<bool>(),
            v6 in any::<bool>(),
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let protocol = if tcp { protocol::TCP } else { protocol::UDP };
            let body = segment(protocol, &payload);
            let mut packet = if v6 {
                ipv6("2001:db8::1", "2001:db8::2", protocol, &body)
            } else {
                ipv4("10.1.0.1", "10.2.0.1", protocol, &body)
            };
            let flow = flow(&packet);
            let start = usize::from(flow.header_len);
            let field = start + at(protocol);
            let len = flow.len - flow.header_len;
            let pseudo = checksum::pseudo_header(flow.src, flow.dst, protocol, len);
            prop_assert!(!complete(&mut packet.clone(), &flow), "without a checksum");
            packet[field..field + 2].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
            prop_assert!(complete(&mut packet, &flow));
            let sum = checksum::fold(pseudo + checksum::sum(&packet[start..]));
            prop_assert_eq!(sum, 0xffff);
            let done = packet.clone();
            complete(&mut packet, &flow);
            prop_assert_eq!(packet, done, "twice is once");
        }
    }

    #[test]
    fn fragments_short_segments_and_other_protocols_are_let_alone() {
        let packet = ipv4("10.1.0.1", "10.2.0.1", protocol::UDP, &segment(protocol::UDP, b"x"));
        let whole = flow(&packet);
        let others = [
            Flow { fragment: true, ..whole },
            Flow { protocol: protocol::ICMP, ..whole },
            Flow { header_len: whole.len, ..whole },
            Flow { header_len: whole.len + 1, ..whole },
        ];
        for other in others {
            assert!(!complete(&mut packet.clone(), &other));
        }
    }
}
