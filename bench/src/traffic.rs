//! The packets: UDP from the host behind the head to a host of each branch.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use packet::headers::checksum::checksum;
use packet::headers::udp;

use crate::gateway::{HEAD_HOST, LAN, NEIGHBOUR_MAC, OUR_MAC, branch_host};

const IPV4: usize = 20;
const UDP: usize = 8;
/// Simple IMIX: 7 packets of 64 bytes, 4 of 570, 1 of 1,500 less what a tunnel adds.
const IMIX: [(usize, usize); 3] = [(64, 7), (570, 4), (1400, 1)];

/// How long the packets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// All IP packets have so many bytes.
    Fixed(usize),
    /// A mixture: 64, 570 and 1,400 bytes as 7 to 4 to 1.
    Imix,
}

impl Size {
    /// Bytes of the `n`th packet.
    pub(crate) fn of(self, n: usize) -> usize {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Imix => {
                let mut place = n % self.cycle();
                let mut sizes = IMIX.iter();
                loop {
                    match sizes.next() {
                        Some((_, share)) if place >= *share => place -= share,
                        Some((bytes, _)) => return *bytes,
                        None => return IMIX[0].0,
                    }
                }
            }
        }
    }

    /// Packets after which the lengths repeat.
    pub(crate) fn cycle(self) -> usize {
        match self {
            Self::Fixed(_) => 1,
            Self::Imix => IMIX.iter().map(|(_, share)| share).sum(),
        }
    }

    /// How many packets of each length come before they repeat.
    pub(crate) fn lengths(self) -> BTreeMap<usize, usize> {
        match self {
            Self::Fixed(bytes) => BTreeMap::from([(bytes, 1)]),
            Self::Imix => BTreeMap::from(IMIX),
        }
    }

    /// The mean length, bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Imix => IMIX.iter().map(|(bytes, share)| bytes * share).sum::<usize>() / self.cycle(),
        }
    }
}

/// A count as a number to divide; exact below 2^32.
pub(crate) fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(bytes) if (IPV4 + UDP..=1420).contains(&bytes) => Ok(Self::Fixed(bytes)),
            _ if text.eq_ignore_ascii_case("imix") => Ok(Self::Imix),
            _ => Err(format!("{text} is no packet length: 28 to 1420 bytes, or imix")),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(bytes) => bytes.fmt(f),
            Self::Imix => "imix".fmt(f),
        }
    }
}

/// A frame to the head's inside port, into the tunnel of an SA; its IP packet has `bytes` bytes.
pub(crate) fn frame(sa: usize, bytes: usize) -> Result<Vec<u8>> {
    frame_between(HEAD_HOST, branch_host(sa), bytes)
}

/// A frame to our inside port from one host to another; its IP packet has `bytes` bytes.
pub(crate) fn frame_between(src: Ipv4Addr, dst: Ipv4Addr, bytes: usize) -> Result<Vec<u8>> {
    let mut frame = [&OUR_MAC[LAN.index()].0[..], &NEIGHBOUR_MAC[LAN.index()].0, &[8, 0]].concat();
    let mut ip = [0; IPV4];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&u16::try_from(bytes)?.to_be_bytes());
    ip[6] = 0x40; // DF
    ip[8] = 64;
    ip[9] = 17;
    ip[12..16].copy_from_slice(&src.octets());
    ip[16..20].copy_from_slice(&dst.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(ip);
    let mut datagram = vec![0; UDP];
    datagram.extend((0..bytes - IPV4 - UDP).map(|i| i.to_le_bytes()[0]));
    ensure!(udp::emit(&mut datagram, IpAddr::V4(src), IpAddr::V4(dst), 1000, 2000), "a datagram");
    frame.extend(datagram);
    Ok(frame)
}
