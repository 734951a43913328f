//! The first stage: from a frame to an IP packet on an interface.

use packet::decide::{is_link_local_echo, is_neighbour_discovery};
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
    /// A frame of IPv6 neighbour discovery for us.
    Ndp,
    /// An echo request to our link-local address.
    LinkLocalEcho,
}

/// Finds the interface of a frame that came in on a port with address `mac`, and reads its headers;
/// `ipv4_checksum` is what the device found of theirs.
///
/// The interface is told also where the frame is to be dropped, as far as it was found.
#[inline]
pub(super) fn parse<'t>(
    tables: &'t Tables,
    port: PortId,
    mac: MacAddr,
    frame: &[u8],
    ipv4_checksum: Option<bool>,
) -> (Option<&'t Interface>, Result<Parsed, DropReason>) {
    let (ethernet, offset) = match Ethernet::parse(frame) {
        Ok(parsed) => parsed,
        Err(reason) => return (None, Err(reason)),
    };
    let interface = tables.interface_on(port, ethernet.vlan);
    let parsed = match interface {
        None => Err(DropReason::VlanUnknown),
        Some(interface) => payload(interface, &ethernet, mac, frame, offset, ipv4_checksum),
    };
    (interface, parsed)
}

#[inline]
fn payload(
    interface: &Interface,
    ethernet: &Ethernet,
    mac: MacAddr,
    frame: &[u8],
    offset: usize,
    ipv4_checksum: Option<bool>,
) -> Result<Parsed, DropReason> {
    if ethernet.dst != mac {
        return other_station(interface, ethernet, mac, frame, offset);
    }
    if ethernet.ethertype == EtherType::Arp {
        return Ok(Parsed::Arp);
    }
    let is_v4 = ethernet.ethertype == EtherType::Ipv4;
    let flow = match Flow::parse_received(&frame[offset..], ipv4_checksum) {
        // A version that does not exist is an error of the one that the frame announces.
        Err(DropReason::Ipv4HeaderInvalid) if !is_v4 => return Err(DropReason::Ipv6HeaderInvalid),
        parsed => parsed?,
    };
    match (is_v4, flow.dst.is_ipv4()) {
        (false, false) if is_neighbour_discovery(interface, mac, &flow) => Ok(Parsed::Ndp),
        (false, false) if is_link_local_echo(interface, mac, &flow) => Ok(Parsed::LinkLocalEcho),
        (true, true) | (false, false) => Ok(Parsed::Ip { offset, flow }),
        (true, false) => Err(DropReason::Ipv4HeaderInvalid),
        (false, true) => Err(DropReason::Ipv6HeaderInvalid),
    }
}

/// A frame that is not for our port's own address. IP in a group frame is never forwarded (RFC 1812 section
/// 5.3.4); ARP asks by broadcast, and neighbour discovery by multicast.
#[cold]
fn other_station(
    interface: &Interface,
    ethernet: &Ethernet,
    mac: MacAddr,
    frame: &[u8],
    offset: usize,
) -> Result<Parsed, DropReason> {
    if !ethernet.dst.is_multicast() {
        return Err(DropReason::MacNotOurs);
    }
    match ethernet.ethertype {
        EtherType::Arp => Ok(Parsed::Arp),
        EtherType::Ipv6 if is_neighbour_discovery(interface, mac, &Flow::parse(&frame[offset..])?) => {
            Ok(Parsed::Ndp)
        }
        EtherType::Ipv4 | EtherType::Ipv6 => Err(DropReason::MulticastDestination),
    }
}
