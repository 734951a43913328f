//! Packets that arrive on an outside interface.

use super::explain::{Blind, Step, Watcher};
use super::inner::{Ingress, Outcome, decide_watched, never_sends};
use crate::drop_reason::DropReason;
use crate::esp::decap::EspPacket;
use crate::flow::Flow;
use crate::headers::{protocol, udp};
use crate::plain::Facts;
use crate::tables::{Interface, Tables};

/// The IKE port without and with NAT traversal (RFC 7296 section 2.23).
pub(crate) const IKE_PORT: u16 = 500;
pub(crate) const NAT_T_PORT: u16 = 4500;

/// What is known of the sender of an IKE message, before anything of it is authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IkeStanding {
    /// From the address of a peer with an SA: never starved by the others.
    Peer,
    /// It carries a responder's SPI, as all do after the first; anybody can write one.
    Claimed,
    /// A first contact.
    New,
}

/// What a packet on an outside interface is.
#[derive(Debug)]
pub enum Outside<'t, K> {
    /// ESP for us, native or out of UDP: look its SPI up.
    Esp {
        /// Where it is and what its header says.
        packet: EspPacket,
        /// The outer UDP source port; `None` for native ESP.
        udp_port: Option<u16>,
    },
    /// IKE for us: punt the whole IP packet.
    Ike {
        /// What is known of its sender.
        standing: IkeStanding,
    },
    /// ICMP for us.
    Icmp,
    /// A fragment for us: what it is part of is classified once it is whole.
    Fragment,
    /// Not for us; a bypass entry lets it pass to where it belongs.
    Bypass(Outcome<'t, K>),
    /// Drop it.
    Drop(DropReason),
}

/// Classifies an IP packet that arrived on `interface`, whose headers `flow` describes.
#[must_use]
pub fn classify_outside<'t, K>(
    tables: &'t Tables<K>,
    interface: &Interface,
    packet: &[u8],
    flow: &Flow,
) -> Outside<'t, K> {
    classify_watched(tables, interface, packet, flow, &mut Blind)
}

/// As [`classify_outside`], step by step before the eyes of a watcher.
#[inline]
pub(super) fn classify_watched<'t, K>(
    tables: &'t Tables<K>,
    interface: &Interface,
    packet: &[u8],
    flow: &Flow,
    watcher: &mut impl Watcher,
) -> Outside<'t, K> {
    let for_us_here = interface.has(flow.dst) || tables.is_local(interface.vrf, flow.dst);
    watcher.see(|| Step::Arrival { interface: interface.id, vrf: interface.vrf, for_us: for_us_here });
    if !for_us_here {
        return match decide_watched(tables, interface.vrf, flow, Ingress::Outside, watcher) {
            Outcome::Drop(DropReason::NoRoute | DropReason::RouteDiscard | DropReason::VrfMissing) => {
                Outside::Drop(DropReason::NotForUs)
            }
            Outcome::Drop(reason) => Outside::Drop(reason),
            outcome => Outside::Bypass(outcome),
        };
    }
    for_us(tables, interface, packet, flow).unwrap_or_else(Outside::Drop)
}

#[inline]
fn for_us<'t, K>(
    tables: &Tables<K>,
    interface: &Interface,
    packet: &[u8],
    flow: &Flow,
) -> Result<Outside<'t, K>, DropReason> {
    if never_sends(flow.src) {
        return Err(DropReason::MartianSource);
    }
    if flow.fragment {
        return Ok(Outside::Fragment);
    }
    match flow.protocol {
        protocol::ESP => {
            Ok(Outside::Esp { packet: EspPacket::parse(packet, flow.header_len, flow.len)?, udp_port: None })
        }
        protocol::UDP => {
            let body = packet
                .get(usize::from(flow.header_len)..usize::from(flow.len))
                .ok_or(DropReason::FrameTruncated)?;
            let udp = udp::UdpView::parse(body)?;
            match udp.dst_port() {
                NAT_T_PORT => nat_traversal(tables, interface, packet, flow, &udp),
                IKE_PORT => ike(tables, interface, flow, udp.payload()),
                _ => Err(DropReason::LocalUnserved),
            }
        }
        protocol::ICMP | protocol::ICMPV6 => from_another(tables, interface, flow).map(|()| Outside::Icmp),
        _ => Err(DropReason::LocalUnserved),
    }
}

/// Port 4500 (RFC 3948 section 2): a keepalive, IKE behind a zero marker, or ESP.
#[inline]
fn nat_traversal<'t, K>(
    tables: &Tables<K>,
    interface: &Interface,
    packet: &[u8],
    flow: &Flow,
    udp: &udp::UdpView<'_>,
) -> Result<Outside<'t, K>, DropReason> {
    let payload = udp.payload();
    match payload {
        [0xff] => Err(DropReason::NatKeepalive),
        [0, 0, 0, 0, message @ ..] => ike(tables, interface, flow, message),
        _ => {
            let esp = flow.header_len + udp::HEADER_LEN;
            let packet = EspPacket::parse(packet, esp, flow.header_len + udp.len())?;
            Ok(Outside::Esp { packet, udp_port: Some(udp.src_port()) })
        }
    }
}

/// The ESP packet in a plain packet for one of our addresses, and the outer UDP source port if it has one, as
/// [`classify_outside`] would find them; `None` for whatever else it is.
#[inline]
#[must_use]
pub fn esp_for_us(packet: &[u8], facts: Facts) -> Option<(EspPacket, Option<u16>)> {
    let (start, end) = (facts.header_len(), facts.len());
    match facts.protocol() {
        protocol::ESP => Some((EspPacket::parse(packet, start, end).ok()?, None)),
        protocol::UDP => {
            let udp = udp::UdpView::parse(packet.get(usize::from(start)..usize::from(end))?).ok()?;
            let is_esp = udp.dst_port() == NAT_T_PORT && !matches!(udp.payload(), [0xff] | [0, 0, 0, 0, ..]);
            let esp = || EspPacket::parse(packet, start + udp::HEADER_LEN, start + udp.len()).ok();
            Some((is_esp.then(esp)??, Some(udp.src_port())))
        }
        _ => None,
    }
}

fn ike<'t, K>(
    tables: &Tables<K>,
    interface: &Interface,
    flow: &Flow,
    message: &[u8],
) -> Result<Outside<'t, K>, DropReason> {
    from_another(tables, interface, flow)?;
    let responder_spi = message.get(8..16).is_some_and(|spi| spi != [0; 8]);
    let standing = if tables.is_peer(interface.vrf, flow.src) {
        IkeStanding::Peer
    } else if responder_spi {
        IkeStanding::Claimed
    } else {
        IkeStanding::New
    };
    Ok(Outside::Ike { standing })
}

/// Refuses what bears our own address and would be answered to ourselves (the land attack).
fn from_another<K>(tables: &Tables<K>, interface: &Interface, flow: &Flow) -> Result<(), DropReason> {
    if tables.is_local(interface.vrf, flow.src) { Err(DropReason::MartianSource) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
