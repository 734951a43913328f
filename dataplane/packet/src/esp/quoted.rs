//! An ESP packet of ours as an ICMP error quotes it (RFC 4301 section 8.2): enough to tell whose it was, and
//! that whoever quotes it saw it.

use super::template::{Encap, OuterEndpoints};
use crate::headers::protocol;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The headers that were quoted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotedEsp {
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
    /// Source and destination port of ESP in UDP.
    pub ports: Option<(u16, u16)>,
    /// The peer's SPI.
    pub spi: u32,
    /// The low half of the sequence number.
    pub sequence_low: u32,
    /// Length of the whole packet, bytes.
    pub len: u16,
}

impl QuotedEsp {
    /// Reads the quotation, which may end anywhere behind the sequence number. `None` if that is missing (a
    /// router that quotes 8 bytes of UDP shows no SPI), or if it is no ESP.
    #[must_use]
    pub fn parse(quoted: &[u8]) -> Option<Self> {
        let (local, remote, upper, len, rest) = match quoted.first()? >> 4 {
            4 => ipv4(quoted)?,
            6 => ipv6(quoted)?,
            _ => return None,
        };
        let (ports, esp) = match upper {
            protocol::ESP => (None, rest),
            protocol::UDP => {
                let ([a, b, c, d, ..], esp) = rest.split_first_chunk::<8>()?;
                (Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))), esp)
            }
            _ => return None,
        };
        let [a, b, c, d, e, f, g, h] = *esp.first_chunk::<8>()?;
        let (spi, sequence_low) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        Some(Self { local, remote, ports, spi, sequence_low, len })
    }

    /// True if an SA with these endpoints sends such packets.
    #[must_use]
    pub fn is_of(&self, endpoints: &OuterEndpoints) -> bool {
        let ports = match endpoints.encap {
            Encap::Native => None,
            Encap::Udp { local_port, remote_port } => Some((local_port, remote_port)),
        };
        (self.local, self.remote, self.ports) == (endpoints.local, endpoints.remote, ports)
    }
}

type Outer<'a> = (IpAddr, IpAddr, u8, u16, &'a [u8]);

fn ipv4(quoted: &[u8]) -> Option<Outer<'_>> {
    let header = quoted.first_chunk::<20>()?;
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    // We send no options, and a later fragment shows no ESP header.
    let plain = header[0] == 0x45 && u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
    let (src, dst) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
    let len = u16::from_be_bytes([header[2], header[3]]);
    plain.then_some((src.into(), dst.into(), header[9], len, &quoted[20..]))
}

fn ipv6(quoted: &[u8]) -> Option<Outer<'_>> {
    let header = quoted.first_chunk::<40>()?;
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&header[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from_octets(octets))
    };
    let len = u16::from_be_bytes([header[4], header[5]]).checked_add(40)?;
    Some((address(8), address(24), header[6], len, &quoted[40..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::VrfId;
    use crate::testing::{ipv4 as packet_v4, ipv6 as packet_v6};

    const ESP: [u8; 8] = [0, 1, 0, 2, 0, 0, 0, 9];

    #[test]
    fn finds_spi_and_sequence_number_native_and_in_udp() {
        let native = packet_v4("192.0.2.1", "192.0.2.2", protocol::ESP, &ESP);
        let quoted = QuotedEsp::parse(&native).expect("ESP");
        assert_eq!((quoted.spi, quoted.sequence_low, quoted.len, quoted.ports), (0x1_0002, 9, 28, None));
        let udp = [&[0x11, 0x94, 0x17, 0x70, 0, 0, 0, 0][..], &ESP].concat();
        let in_udp = packet_v6("2001:db8::1", "2001:db8::2", protocol::UDP, &udp);
        let quoted = QuotedEsp::parse(&in_udp).expect("ESP in UDP");
        assert_eq!((quoted.spi, quoted.len, quoted.ports), (0x1_0002, 56, Some((4500, 6000))));
        let encap = Encap::Udp { local_port: 4500, remote_port: 6000 };
        let (local, remote) = (quoted.local, quoted.remote);
        let endpoints = OuterEndpoints { vrf: VrfId(0), local, remote, encap, keepalive_secs: 0 };
        assert!(quoted.is_of(&endpoints));
        assert!(!quoted.is_of(&OuterEndpoints { encap: Encap::Native, ..endpoints }));
        assert!(!quoted.is_of(&OuterEndpoints { remote: local, ..endpoints }));
        for packet in [native, in_udp] {
            (0..packet.len()).for_each(|len| assert_eq!(QuotedEsp::parse(&packet[..len]), None));
        }
    }
}
