//! Echo requests as probes, and their answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::flow::Flow;
use crate::fragmentation::Plan;
use crate::headers::icmpv4;
use crate::headers::icmpv6::{self, ICMP_HEADER_LEN};
use crate::headers::ipv4::{Ipv4Repr, MIN_HEADER_LEN};
use crate::headers::ipv6::{self, Ipv6Repr};
use crate::headers::{checksum, protocol};

const HOP_LIMIT: u8 = 64;
const NONCE_LEN: usize = 8;

/// What all probes of a tunnel have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo {
    /// Our address, of the target's family.
    pub source: IpAddr,
    /// Who answers.
    pub target: IpAddr,
    /// Tells our probes from the pings of programs.
    pub identifier: u16,
    /// What only those know who saw a probe; unpredictable.
    pub nonce: u64,
}

/// An answer to an echo request: the whole packet, or its first fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Who answers.
    pub source: IpAddr,
    /// Whom.
    pub target: IpAddr,
    /// As in the request.
    pub identifier: u16,
    /// As in the request.
    pub sequence: u16,
    /// As in the request.
    pub nonce: u64,
}

impl Echo {
    /// The shortest request, bytes.
    #[must_use]
    pub fn least_len(&self) -> usize {
        self.header_len() + ICMP_HEADER_LEN + NONCE_LEN
    }

    /// A request of `len` bytes, or the shortest one if that is longer. `None` above 65,535 bytes.
    #[must_use]
    pub fn request(&self, sequence: u16, len: usize) -> Option<Vec<u8>> {
        let message = self.message(sequence, len)?;
        let mut packet = self.header(message.len(), sequence)?;
        packet.extend(message);
        Some(packet)
    }

    /// A request of `len` bytes in fragments of at most `piece` bytes. `None` if it cannot be cut that small.
    #[must_use]
    pub fn fragments(&self, sequence: u16, len: usize, piece: usize) -> Option<Vec<Vec<u8>>> {
        if len <= piece {
            return Some(vec![self.request(sequence, len)?]);
        }
        let request = self.request(sequence, len)?;
        let flow = Flow::parse(&request).ok()?;
        let plan = Plan::at_source(&request, &flow, u16::try_from(piece).ok()?, sequence.into())?;
        let cut = |piece| {
            let mut fragment = vec![0; plan.packet_len(piece)];
            plan.write(&request, piece, &mut fragment);
            fragment
        };
        Some(plan.pieces().map(cut).collect())
    }

    /// True if the answer is one to a probe of ours.
    #[must_use]
    pub fn is_answered_by(&self, answer: &Answer) -> bool {
        (answer.source, answer.target) == (self.target, self.source)
            && (answer.identifier, answer.nonce) == (self.identifier, self.nonce)
    }

    fn header_len(&self) -> usize {
        if self.target.is_ipv4() { MIN_HEADER_LEN } else { ipv6::HEADER_LEN }
    }

    /// The ICMP message of a request that is `len` bytes long.
    fn message(&self, sequence: u16, len: usize) -> Option<Vec<u8>> {
        let mut message = vec![0; len.max(self.least_len()) - self.header_len()];
        message[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        message[ICMP_HEADER_LEN..ICMP_HEADER_LEN + NONCE_LEN].copy_from_slice(&self.nonce.to_be_bytes());
        match (self.source, self.target) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                message[0] = icmpv4::ECHO_REQUEST;
                let sum = checksum::checksum(&message);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                message[0] = icmpv6::ECHO_REQUEST;
                icmpv6::seal(&mut message, source, target)?;
            }
            _ => return None,
        }
        Some(message)
    }

    fn header(&self, payload: usize, identification: u16) -> Option<Vec<u8>> {
        let payload_len = u16::try_from(payload).ok()?;
        match (self.source, self.target) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Some(ipv4(src, dst, payload_len, identification)),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Some(ipv6(src, dst, payload_len)),
            _ => None,
        }
    }
}

fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, payload_len: u16, identification: u16) -> Vec<u8> {
    let dont_fragment = false;
    let (tos, ttl, protocol) = (0, HOP_LIMIT, protocol::ICMP);
    Ipv4Repr { tos, identification, dont_fragment, ttl, protocol, src, dst, payload_len }.emit().to_vec()
}

fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, payload_len: u16) -> Vec<u8> {
    let (next_header, hop_limit) = (protocol::ICMPV6, HOP_LIMIT);
    Ipv6Repr { traffic_class: 0, next_header, hop_limit, src, dst, payload_len }.emit().to_vec()
}

/// Reads an inner packet as the answer to an echo request, or as its first fragment.
#[must_use]
pub fn answer(packet: &[u8], flow: &Flow) -> Option<Answer> {
    let (reply, code) = match flow.protocol {
        protocol::ICMP => (icmpv4::ECHO_REPLY, 0),
        protocol::ICMPV6 => (icmpv6::ECHO_REPLY, 0),
        _ => return None,
    };
    // Later fragments show no type.
    flow.ports.filter(|ports| ports.src == u16::from_be_bytes([reply, code]))?;
    let message = packet.get(usize::from(flow.header_len)..)?;
    let (header, data) = message.split_first_chunk::<ICMP_HEADER_LEN>()?;
    let [_, _, _, _, identifier @ .., c, d] = *header;
    Some(Answer {
        source: flow.src,
        target: flow.dst,
        identifier: u16::from_be_bytes(identifier),
        sequence: u16::from_be_bytes([c, d]),
        nonce: u64::from_be_bytes(*data.first_chunk::<NONCE_LEN>()?),
    })
}
