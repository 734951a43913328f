//! ICMPv4 errors we send (RFC 792, RFC 1122 section 3.2.2, RFC 1812 section 4.3).

use super::ipv4::{Ipv4Repr, Ipv4View, MIN_HEADER_LEN};
use super::{checksum, protocol};
use std::net::Ipv4Addr;

/// The largest error we send, bytes (RFC 1812 section 4.3.2.3).
pub const MAX_ERROR_LEN: usize = 576;
/// Type of an echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type of an echo reply.
pub const ECHO_REPLY: u8 = 0;
const ICMP_HEADER_LEN: usize = 8;
/// Internetwork control (RFC 1812 section 4.3.2.5).
const TOS_INTERNETWORK_CONTROL: u8 = 0xc0;

/// What is wrong with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IcmpError {
    /// No route (type 3 code 0).
    NetUnreachable,
    /// The neighbour does not answer (type 3 code 1).
    HostUnreachable,
    /// Nothing here serves the protocol (type 3 code 2).
    ProtocolUnreachable,
    /// Nothing here serves the port (type 3 code 3).
    PortUnreachable,
    /// Too big and DF set (type 3 code 4), with the MTU that fits (RFC 1191).
    FragmentationNeeded {
        /// Bytes.
        mtu: u16,
    },
    /// Refused by policy (type 3 code 13).
    AdministrativelyProhibited,
    /// The TTL ran out (type 11 code 0).
    TimeExceeded,
    /// Not all fragments came in time (type 11 code 1).
    ReassemblyTimeExceeded,
}

impl IcmpError {
    fn type_code(self) -> [u8; 2] {
        match self {
            Self::NetUnreachable => [3, 0],
            Self::HostUnreachable => [3, 1],
            Self::ProtocolUnreachable => [3, 2],
            Self::PortUnreachable => [3, 3],
            Self::FragmentationNeeded { .. } => [3, 4],
            Self::AdministrativelyProhibited => [3, 13],
            Self::TimeExceeded => [11, 0],
            Self::ReassemblyTimeExceeded => [11, 1],
        }
    }
}

/// Builds the IP packet that reports `error` about `original` (an IP packet) from our address `src`.
///
/// Returns its length in `out`, which should hold [`MAX_ERROR_LEN`] bytes; the quotation is cut to what
/// fits. `None` if no error may be sent about this packet (RFC 1812 section 4.3.2.7): one that is itself
/// an ICMP error, a later fragment, from or to no single host, or malformed.
#[must_use]
pub fn build_error(error: IcmpError, original: &[u8], src: Ipv4Addr, out: &mut [u8]) -> Option<usize> {
    let about = Ipv4View::parse(original).ok().filter(may_report)?;
    let quoted = &original[..usize::from(about.total_len())];
    let out_len = out.len().min(MAX_ERROR_LEN);
    let (headers, room) = out.get_mut(..out_len)?.split_at_mut_checked(MIN_HEADER_LEN + ICMP_HEADER_LEN)?;
    let quoted = &quoted[..quoted.len().min(room.len())];
    if quoted.len() < MIN_HEADER_LEN + 8 && quoted.len() < usize::from(about.total_len()) {
        return None;
    }
    room[..quoted.len()].copy_from_slice(quoted);
    let mtu = match error {
        IcmpError::FragmentationNeeded { mtu } => mtu,
        _ => 0,
    };
    let payload_len = ICMP_HEADER_LEN + quoted.len();
    let repr = Ipv4Repr {
        tos: TOS_INTERNETWORK_CONTROL,
        identification: 0,
        dont_fragment: false,
        ttl: 64,
        protocol: protocol::ICMP,
        src,
        dst: about.src(),
        payload_len: u16::try_from(payload_len).ok()?,
    };
    headers[..MIN_HEADER_LEN].copy_from_slice(&repr.emit());
    let icmp = &mut headers[MIN_HEADER_LEN..];
    icmp.fill(0);
    icmp[..2].copy_from_slice(&error.type_code());
    icmp[6..].copy_from_slice(&mtu.to_be_bytes());
    let sum = checksum::sum(icmp) + checksum::sum(quoted);
    icmp[2..4].copy_from_slice(&(!checksum::fold(sum)).to_be_bytes());
    Some(MIN_HEADER_LEN + payload_len)
}

/// True if an ICMP error may be sent about the packet.
fn may_report(about: &Ipv4View<'_>) -> bool {
    let src = about.src();
    let [first, ..] = src.octets();
    let single_sender = first != 0 && first != 127 && first < 224;
    let dst = about.dst();
    let icmp_error = about.protocol() == protocol::ICMP
        && about.payload().first().is_none_or(|kind| !matches!(kind, 0 | 8 | 13 | 14 | 15 | 16 | 17 | 18));
    single_sender && !dst.is_multicast() && !dst.is_broadcast() && about.fragment_offset() == 0 && !icmp_error
}

#[cfg(test)]
mod tests;
