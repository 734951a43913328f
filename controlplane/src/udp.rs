//! IKE in its UDP and IP clothes: out of punted packets, into injected ones.
//!
//! On port 4500 the four zero bytes of the non-ESP marker (RFC 3948 section 2.2) stand before the message; they
//! are taken off and put on here.

use std::net::{IpAddr, SocketAddr};

use ike::Datagram;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, IpVersion, Ipv4Packet, Ipv6Packet, UdpPacket, UdpRepr};

const MARKER: [u8; 4] = [0; 4];
const HOP_LIMIT: u8 = 64;

/// Why a punted packet holds no IKE message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotIke {
    #[error("the IP or UDP header is malformed")]
    Header,
    #[error("a checksum is wrong")]
    Checksum,
    #[error("it is a fragment")]
    Fragment,
    #[error("there is no IP version {0}")]
    Version(u8),
    #[error("it is not for an IKE port")]
    Port,
    #[error("ESP or a keepalive on port 4500")]
    NoMarker,
}

/// The IKE message of an IP packet that was received in `vrf`.
///
/// # Errors
/// [`NotIke`] says what the packet is instead.
pub fn parse(vrf: u16, packet: &[u8]) -> Result<Datagram, NotIke> {
    let (src, dst, body) = match packet.first().map_or(0, |byte| byte >> 4) {
        4 => parse_v4(packet)?,
        6 => parse_v6(packet)?,
        version => return Err(NotIke::Version(version)),
    };
    let udp = UdpPacket::new_checked(body).map_err(|_| NotIke::Header)?;
    // Only IPv4 may leave the checksum out (RFC 8200 section 8.1).
    let missing = udp.checksum() == 0 && dst.is_ipv6();
    if missing || !udp.verify_checksum(&src.into(), &dst.into()) {
        return Err(NotIke::Checksum);
    }
    let body = udp.payload();
    let payload = match udp.dst_port() {
        ike::IKE_PORT => body,
        ike::NAT_T_PORT => body.strip_prefix(&MARKER).ok_or(NotIke::NoMarker)?,
        _ => return Err(NotIke::Port),
    };
    Ok(Datagram {
        vrf,
        local: SocketAddr::new(dst, udp.dst_port()),
        remote: SocketAddr::new(src, udp.src_port()),
        payload: payload.to_vec(),
    })
}

/// Source, destination and UDP datagram.
fn parse_v4(packet: &[u8]) -> Result<(IpAddr, IpAddr, &[u8]), NotIke> {
    let ip = Ipv4Packet::new_checked(packet).map_err(|_| NotIke::Header)?;
    if ip.more_frags() || ip.frag_offset() != 0 {
        return Err(NotIke::Fragment);
    }
    if ip.next_header() != IpProtocol::Udp || usize::from(ip.header_len()) > usize::from(ip.total_len()) {
        return Err(NotIke::Header);
    }
    Ok((IpAddr::V4(ip.src_addr()), IpAddr::V4(ip.dst_addr()), ip.payload()))
}

/// As [`parse_v4`]. No IKE peer sends extension headers.
fn parse_v6(packet: &[u8]) -> Result<(IpAddr, IpAddr, &[u8]), NotIke> {
    let ip = Ipv6Packet::new_checked(packet).map_err(|_| NotIke::Header)?;
    match ip.next_header() {
        IpProtocol::Udp => Ok((IpAddr::V6(ip.src_addr()), IpAddr::V6(ip.dst_addr()), ip.payload())),
        IpProtocol::Ipv6Frag => Err(NotIke::Fragment),
        _ => Err(NotIke::Header),
    }
}

/// Why a message cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSendable {
    #[error("the two ends have addresses of two families")]
    Family,
    #[error("{0} bytes are too long for one packet")]
    Length(usize),
}

/// The IP packet that carries `datagram`. Over IPv4 it may be fragmented on its way.
///
/// # Errors
/// Addresses of two families, or a message beyond what a packet slot holds.
pub fn emit(datagram: &Datagram) -> Result<Vec<u8>, NotSendable> {
    let marker = if datagram.has_marker() { &MARKER[..] } else { &[] };
    let udp = UdpRepr { src_port: datagram.local.port(), dst_port: datagram.remote.port() };
    let body_len = marker.len() + datagram.payload.len();
    let payload_len = udp.header_len() + body_len;
    let (src, dst) = (datagram.local.ip(), datagram.remote.ip());
    if src.is_ipv4() != dst.is_ipv4() {
        return Err(NotSendable::Family);
    }
    let ip = IpRepr::new(src.into(), dst.into(), IpProtocol::Udp, payload_len, HOP_LIMIT);
    let len = ip.buffer_len();
    if len > shm::message::MAX_PACKET_LEN {
        return Err(NotSendable::Length(len));
    }
    let mut bytes = vec![0; len];
    let checksums = ChecksumCapabilities::default();
    ip.emit(&mut bytes[..], &checksums);
    if ip.version() == IpVersion::Ipv4 {
        let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
        packet.set_dont_frag(false);
        packet.fill_checksum();
    }
    udp.emit(
        &mut UdpPacket::new_unchecked(&mut bytes[ip.header_len()..]),
        &ip.src_addr(),
        &ip.dst_addr(),
        body_len,
        |body| {
            body[..marker.len()].copy_from_slice(marker);
            body[marker.len()..].copy_from_slice(&datagram.payload);
        },
        &checksums,
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(port: u16) -> Datagram {
        Datagram {
            vrf: 3,
            local: SocketAddr::new("192.0.2.1".parse().expect("ip"), port),
            remote: SocketAddr::new("192.0.2.2".parse().expect("ip"), 4711),
            payload: b"an IKE message".to_vec(),
        }
    }

    /// The packet as the other end would send it.
    fn from_peer(port: u16) -> Vec<u8> {
        let ours = datagram(port);
        let mut bytes = emit(&ours).expect("sendable");
        // Exchanging both addresses and both ports leaves every checksum as it is.
        let (src, dst) = (bytes[12..16].to_vec(), bytes[16..20].to_vec());
        bytes[12..16].copy_from_slice(&dst);
        bytes[16..20].copy_from_slice(&src);
        let (src, dst) = (bytes[20..22].to_vec(), bytes[22..24].to_vec());
        bytes[20..22].copy_from_slice(&dst);
        bytes[22..24].copy_from_slice(&src);
        bytes
    }

    #[test]
    fn both_ports_round_trip() {
        for port in [ike::IKE_PORT, ike::NAT_T_PORT] {
            assert_eq!(parse(3, &from_peer(port)), Ok(datagram(port)));
        }
    }

    #[test]
    fn the_marker_is_on_the_wire_on_port_4500_only() {
        assert_eq!(emit(&datagram(500)).expect("sendable").len(), 20 + 8 + 14);
        let packet = emit(&datagram(4500)).expect("sendable");
        assert_eq!(packet[28..32], MARKER);
        assert_eq!(packet.len(), 20 + 8 + 4 + 14);
    }

    #[test]
    fn what_is_not_ike_has_a_name() {
        let good = from_peer(4500);
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut packet = good.clone();
            change(&mut packet);
            parse(3, &packet)
        };
        assert_eq!(with(&|p| p[40] ^= 1), Err(NotIke::Checksum));
        assert_eq!(with(&|p| p[0] = 0x55), Err(NotIke::Version(5)));
        assert_eq!(with(&|p| p[0] = 0x60), Err(NotIke::Header));
        assert_eq!(with(&|p| p[6] = 0x20), Err(NotIke::Fragment));
        assert_eq!(with(&|p| p.truncate(27)), Err(NotIke::Header));
        assert_eq!(with(&|p| p[9] = 6), Err(NotIke::Header));
        assert_eq!(parse(0, &[]), Err(NotIke::Version(0)));
        let mut esp = datagram(4500);
        esp.payload.clear();
        let keepalive = parse(0, &from_peer(501));
        assert_eq!(keepalive, Err(NotIke::Port));
    }

    #[test]
    fn ipv6_round_trips_and_needs_a_checksum() {
        let at = |address: &str, port| SocketAddr::new(address.parse().expect("ip"), port);
        for port in [ike::IKE_PORT, ike::NAT_T_PORT] {
            let ours = Datagram {
                local: at("2001:db8::1", port),
                remote: at("2001:db8::2", port),
                ..datagram(port)
            };
            let mut bytes = emit(&ours).expect("sendable");
            // Both ends have one port: exchanging the addresses makes it the peer's.
            let (src, dst) = (bytes[8..24].to_vec(), bytes[24..40].to_vec());
            bytes[8..24].copy_from_slice(&dst);
            bytes[24..40].copy_from_slice(&src);
            assert_eq!(parse(3, &bytes), Ok(ours));
            bytes[46..48].fill(0);
            assert_eq!(parse(3, &bytes), Err(NotIke::Checksum));
            bytes[6] = 44;
            assert_eq!(parse(3, &bytes), Err(NotIke::Fragment));
            assert_eq!(parse(3, &bytes[..50]), Err(NotIke::Header));
        }
        let mixed = Datagram { remote: at("2001:db8::2", 500), ..datagram(500) };
        assert_eq!(emit(&mixed), Err(NotSendable::Family));
    }

    #[test]
    fn too_long_is_refused() {
        let mut long = datagram(500);
        long.payload = vec![0; 9_200];
        assert_eq!(emit(&long), Err(NotSendable::Length(9_228)));
    }
}
