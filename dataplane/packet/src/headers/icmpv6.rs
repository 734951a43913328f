//! ICMPv6 errors we send (RFC 4443), and the checksum that every ICMPv6 message carries.

use super::icmpv4::IcmpError;
use super::ipv6::{HEADER_LEN, Ipv6Repr, Ipv6View, MIN_MTU};
use super::{checksum, protocol};
use std::net::{IpAddr, Ipv6Addr};

/// The largest error we send, bytes: the least MTU of a link (RFC 4443 section 2.4 (c)).
pub const MAX_ERROR_LEN: usize = MIN_MTU as usize;
/// Type, code, checksum and the word that depends on the type, bytes.
pub const ICMP_HEADER_LEN: usize = 8;
/// Type of an echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Type of an echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Redirect (RFC 4861 section 4.5): no error message, yet none may be sent about it.
const REDIRECT: u8 = 137;
/// Types below are errors, the others inform.
const FIRST_INFORMATIONAL: u8 = 128;
const HOP_LIMIT: u8 = 64;

/// Type, code and the word behind the checksum of an error.
fn type_code_word(error: IcmpError) -> ([u8; 2], u32) {
    match error {
        IcmpError::NetUnreachable => ([1, 0], 0),
        IcmpError::AdministrativelyProhibited => ([1, 1], 0),
        IcmpError::HostUnreachable => ([1, 3], 0),
        IcmpError::PortUnreachable => ([1, 4], 0),
        // A parameter problem: the unknown next header, at this offset (section 3.4).
        IcmpError::ProtocolUnreachable => ([4, 1], 6),
        // No IPv6 host believes in less than the least MTU (RFC 8201 section 4).
        IcmpError::FragmentationNeeded { mtu } => ([2, 0], mtu.max(MIN_MTU).into()),
        IcmpError::TimeExceeded => ([3, 0], 0),
        IcmpError::ReassemblyTimeExceeded => ([3, 1], 0),
    }
}

/// Builds the IP packet that reports `error` about `original` (an IPv6 packet) from our address `src`.
///
/// Returns its length in `out`, which should hold [`MAX_ERROR_LEN`] bytes; the quotation is cut to what
/// fits. `None` if no error may be sent about this packet (RFC 4443 section 2.4 (e)): one that is itself an
/// ICMPv6 error, to many (but too big may be told then), from no single host, a later fragment, or malformed.
#[must_use]
pub fn build_error(error: IcmpError, original: &[u8], src: Ipv6Addr, out: &mut [u8]) -> Option<usize> {
    let about = Ipv6View::parse(original).ok().filter(|about| may_report(error, about))?;
    let out_len = out.len().min(MAX_ERROR_LEN);
    let (header, message) = out.get_mut(..out_len)?.split_at_mut_checked(HEADER_LEN)?;
    let room = message.len().checked_sub(ICMP_HEADER_LEN)?;
    let quoted = &original[..usize::from(about.total_len()).min(room)];
    // The sender finds its flow by the header at least.
    if quoted.len() < HEADER_LEN {
        return None;
    }
    let message = &mut message[..ICMP_HEADER_LEN + quoted.len()];
    let (type_code, word) = type_code_word(error);
    message[..2].copy_from_slice(&type_code);
    message[4..ICMP_HEADER_LEN].copy_from_slice(&word.to_be_bytes());
    message[ICMP_HEADER_LEN..].copy_from_slice(quoted);
    let payload_len = seal(message, src, about.src())?;
    let repr = Ipv6Repr {
        traffic_class: 0,
        next_header: protocol::ICMPV6,
        hop_limit: HOP_LIMIT,
        src,
        dst: about.src(),
        payload_len,
    };
    header.copy_from_slice(&repr.emit());
    Some(HEADER_LEN + usize::from(payload_len))
}

/// Writes the checksum of a message (RFC 4443 section 2.3); returns the message's length, bytes.
/// `None` if it is shorter than its header or longer than a packet.
pub(crate) fn seal(message: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) -> Option<u16> {
    let len = u16::try_from(message.len()).ok()?;
    message.get_mut(2..4)?.fill(0);
    let sum = sum(message, len, src, dst);
    message[2..4].copy_from_slice(&(!checksum::fold(sum)).to_be_bytes());
    Some(len)
}

/// True if the checksum of a message is right.
#[must_use]
pub fn is_intact(message: &[u8], src: Ipv6Addr, dst: Ipv6Addr) -> bool {
    let Ok(len) = u16::try_from(message.len()) else { return false };
    message.len() >= 4 && checksum::fold(sum(message, len, src, dst)) == 0xffff
}

fn sum(message: &[u8], len: u16, src: Ipv6Addr, dst: Ipv6Addr) -> u32 {
    checksum::pseudo_header(IpAddr::V6(src), IpAddr::V6(dst), protocol::ICMPV6, len) + checksum::sum(message)
}

/// True if an ICMPv6 error may be sent about the packet.
fn may_report(error: IcmpError, about: &Ipv6View<'_>) -> bool {
    let Ok(upper) = about.upper_layer() else { return false };
    let src = about.src();
    let single_sender = !src.is_unspecified() && !src.is_multicast() && !src.is_loopback();
    let too_big = matches!(error, IcmpError::FragmentationNeeded { .. });
    let informs = |kind: &u8| *kind >= FIRST_INFORMATIONAL && *kind != REDIRECT;
    let harmless =
        upper.protocol != protocol::ICMPV6 || about.after(upper.offset).first().is_some_and(informs);
    single_sender && harmless && !upper.later_fragment && (too_big || !about.dst().is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{flow, ipv6};
    use proptest::prelude::*;

    const US: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);

    fn error(error: IcmpError, original: &[u8]) -> Option<Vec<u8>> {
        let mut out = [0; MAX_ERROR_LEN];
        let len = build_error(error, original, US, &mut out)?;
        Some(out[..len].to_vec())
    }

    #[test]
    fn quotes_the_original_up_to_the_least_mtu() {
        for size in [0, 100, 1191, 1192, 1193, 1400] {
            let original = ipv6("2001:db8:1::9", "2001:db8:2::9", protocol::UDP, &vec![7; size]);
            let packet = error(IcmpError::FragmentationNeeded { mtu: 1422 }, &original).expect("allowed");
            assert_eq!(packet.len(), (48 + original.len()).min(1280));
            let ip = Ipv6View::parse(&packet).expect("valid");
            assert_eq!((ip.src(), ip.dst().to_string()), (US, "2001:db8:1::9".to_owned()));
            assert!(is_intact(&packet[40..], ip.src(), ip.dst()));
            assert_eq!((&packet[40..42], &packet[44..48]), (&[2, 0][..], &[0, 0, 5, 0x8e][..]));
            assert_eq!(packet[48..], original[..packet.len() - 48]);
            assert_eq!(flow(&packet).protocol, protocol::ICMPV6);
        }
    }

    #[test]
    fn types_and_codes_are_those_of_the_rfc() {
        let original = ipv6("2001:db8:1::9", "2001:db8:2::9", protocol::UDP, &[0; 8]);
        for (kind, type_code) in [
            (IcmpError::NetUnreachable, [1, 0]),
            (IcmpError::AdministrativelyProhibited, [1, 1]),
            (IcmpError::HostUnreachable, [1, 3]),
            (IcmpError::TimeExceeded, [3, 0]),
            (IcmpError::ReassemblyTimeExceeded, [3, 1]),
        ] {
            assert_eq!(error(kind, &original).expect("allowed")[40..42], type_code);
        }
        let least = error(IcmpError::FragmentationNeeded { mtu: 1000 }, &original).expect("allowed");
        assert_eq!(least[44..48], 1280u32.to_be_bytes());
    }

    #[test]
    fn keeps_silent_where_the_rfc_asks() {
        let about = |src, dst, next, body: &[u8]| error(IcmpError::TimeExceeded, &ipv6(src, dst, next, body));
        let (src, dst, icmp) = ("2001:db8:1::9", "2001:db8:2::9", protocol::ICMPV6);
        assert!(about(src, dst, icmp, &[ECHO_REQUEST, 0, 0, 0, 0, 0, 0, 0]).is_some());
        for kind in [1, 2, 3, 4, 127, REDIRECT] {
            assert!(about(src, dst, icmp, &[kind, 0, 0, 0, 0, 0, 0, 0]).is_none(), "type {kind}");
        }
        assert!(about(src, dst, icmp, &[]).is_none(), "may be an error");
        for source in ["::", "::1", "ff02::1"] {
            assert!(about(source, dst, protocol::UDP, &[0; 8]).is_none(), "from {source}");
        }
        assert!(about(src, "ff0e::1", protocol::UDP, &[0; 8]).is_none(), "to many");
        let later = [protocol::UDP, 0, 0, 8, 0, 0, 0, 1, 1, 2, 3];
        assert!(about(src, dst, 44, &later).is_none(), "a later fragment");
        let many = ipv6(src, "ff0e::1", protocol::UDP, &[0; 8]);
        assert!(error(IcmpError::FragmentationNeeded { mtu: 1400 }, &many).is_some(), "path MTU discovery");
    }

    proptest! {
        #[test]
        fn never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..120), room in 0usize..200) {
            if let Some(first) = bytes.first_mut() { *first = 0x60 }
            if let Some(len) = bytes.get_mut(4..6) { len.copy_from_slice(&[0, 40]) }
            let _ = build_error(IcmpError::TimeExceeded, &bytes, US, &mut vec![0; room]);
        }
    }
}
