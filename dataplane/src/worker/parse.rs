//! The first stage: from a frame to an IP packet on an interface.

use packet::flow::Flow;
use packet::headers::ethernet::{EtherType, Ethernet};
use packet::tables::Interface;
use packet::{DropReason, MacAddr, PortId};

use crate::shared::Tables;

/// What a frame is.
#[derive(Debug)]
pub(super) enum Parsed {
    /// An IP packet for us to handle; it starts at `offset` of the frame and its headers are sound.
    Ip {
        /// Bytes of Ethernet header.
        offset: usize,
        /// The IP header.
        flow: Flow,
    },
    /// An ARP frame.
    Arp,
}

/// Finds the interface of a frame that came in on a port with address `mac`, and reads its headers.
///
/// The interface is told also where the frame is to be dropped, as far as it was found.
#[inline]
pub(super) fn parse<'t>(
    tables: &'t Tables,
    port: PortId,
    mac: MacAddr,
    frame: &[u8],
) -> (Option<&'t Interface>, Result<Parsed, DropReason>) {
    let (ethernet, offset) = match Ethernet::parse(frame) {
        Ok(parsed) => parsed,
        Err(reason) => return (None, Err(reason)),
    };
    let interface = tables.interface_on(port, ethernet.vlan);
    let parsed = match interface {
        None => Err(DropReason::VlanUnknown),
        Some(_) => payload(&ethernet, mac, frame, offset),
    };
    (interface, parsed)
}

#[inline]
fn payload(ethernet: &Ethernet, mac: MacAddr, frame: &[u8], offset: usize) -> Result<Parsed, DropReason> {
    let arp = ethernet.ethertype == EtherType::Arp;
    // IP in a group frame is never forwarded (RFC 1812 section 5.3.4); ARP asks by broadcast.
    if ethernet.dst != mac && !(arp && ethernet.dst.is_multicast()) {
        let group = ethernet.dst.is_multicast();
        return Err(if group { DropReason::MulticastDestination } else { DropReason::MacNotOurs });
    }
    if arp {
        return Ok(Parsed::Arp);
    }
    let flow = Flow::parse(&frame[offset..])?;
    let is_v4 = ethernet.ethertype == EtherType::Ipv4;
    match (is_v4, flow.dst.is_ipv4()) {
        (true, true) | (false, false) => Ok(Parsed::Ip { offset, flow }),
        (true, false) => Err(DropReason::Ipv4HeaderInvalid),
        (false, true) => Err(DropReason::Ipv6HeaderInvalid),
    }
}
