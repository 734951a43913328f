//! ARP for IPv4 over Ethernet (RFC 826): recognised here, answered by the agent.

use crate::drop_reason::DropReason;
use crate::ids::MacAddr;
use std::net::Ipv4Addr;

/// Length of an Ethernet/IPv4 ARP packet, bytes.
pub const LEN: usize = 28;

/// What an ARP packet does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArpOperation {
    /// Who has the target address?
    Request,
    /// The sender has it.
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arp {
    /// Request or reply.
    pub operation: ArpOperation,
    /// The sender's Ethernet address.
    pub sender_mac: MacAddr,
    /// The sender's IPv4 address.
    pub sender: Ipv4Addr,
    /// The target's Ethernet address; zero in a request.
    pub target_mac: MacAddr,
    /// The target's IPv4 address.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Reads the packet that starts `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, DropReason> {
        let packet = bytes.first_chunk::<LEN>().ok_or(DropReason::FrameTruncated)?;
        // Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4.
        let [0, 1, 8, 0, 6, 4, 0, operation, body @ ..] = packet else {
            return Err(DropReason::EtherTypeUnsupported);
        };
        let [s0, s1, s2, s3, s4, s5, a0, a1, a2, a3, t0, t1, t2, t3, t4, t5, b0, b1, b2, b3] = *body;
        Ok(Self {
            operation: match operation {
                1 => ArpOperation::Request,
                2 => ArpOperation::Reply,
                _ => return Err(DropReason::EtherTypeUnsupported),
            },
            sender_mac: MacAddr([s0, s1, s2, s3, s4, s5]),
            sender: Ipv4Addr::new(a0, a1, a2, a3),
            target_mac: MacAddr([t0, t1, t2, t3, t4, t5]),
            target: Ipv4Addr::new(b0, b1, b2, b3),
        })
    }

    /// The packet's bytes.
    #[must_use]
    pub fn emit(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        out[7] = match self.operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        out[8..14].copy_from_slice(&self.sender_mac.0);
        out[14..18].copy_from_slice(&self.sender.octets());
        out[18..24].copy_from_slice(&self.target_mac.0);
        out[24..].copy_from_slice(&self.target.octets());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_others() {
        let arp = Arp {
            operation: ArpOperation::Reply,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            sender: Ipv4Addr::new(192, 0, 2, 1),
            target_mac: MacAddr([2, 0, 0, 0, 0, 2]),
            target: Ipv4Addr::new(192, 0, 2, 2),
        };
        let mut bytes = arp.emit();
        assert_eq!(Arp::parse(&bytes), Ok(arp));
        assert_eq!(Arp::parse(&bytes[..27]), Err(DropReason::FrameTruncated));
        bytes[7] = 3;
        assert_eq!(Arp::parse(&bytes), Err(DropReason::EtherTypeUnsupported));
    }
}
