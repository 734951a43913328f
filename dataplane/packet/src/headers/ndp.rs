//! Neighbour discovery for IPv6 (RFC 4861): solicitations and advertisements; the agent answers them.

use super::icmpv6::{is_intact, seal};
use super::ipv6::{HEADER_LEN, Ipv6Repr, Ipv6View};
use super::protocol;
use crate::ids::MacAddr;
use arrayvec::ArrayVec;
use std::net::Ipv6Addr;

/// Type of a neighbour solicitation.
pub const SOLICITATION: u8 = 135;
/// Type of a neighbour advertisement.
pub const ADVERTISEMENT: u8 = 136;
/// Hop limit of every message: a router would have lowered it, so it comes from this link.
pub const HOP_LIMIT: u8 = 255;
/// Every node on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The longest packet we send, bytes: IPv6 header, message, one link-layer address option.
pub const MAX_LEN: usize = HEADER_LEN + MESSAGE_LEN + OPTION_LEN;

/// A message without options, bytes.
const MESSAGE_LEN: usize = 24;
/// A link-layer address option for Ethernet, bytes.
const OPTION_LEN: usize = 8;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// What a message does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NdpKind {
    /// Who has the target address?
    Solicitation,
    /// The target address is here.
    Advertisement {
        /// The sender forwards packets.
        router: bool,
        /// It answers a solicitation.
        solicited: bool,
        /// It replaces what the receiver has cached.
        overrides: bool,
    },
}

/// A neighbour solicitation or advertisement, as an IPv6 packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ndp {
    /// Source address; unspecified in a probe for a duplicate address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Solicitation or advertisement.
    pub kind: NdpKind,
    /// The address it is about.
    pub target: Ipv6Addr,
    /// The link-layer address option: the source's of a solicitation, the target's of an advertisement.
    pub link_layer: Option<MacAddr>,
}

impl Ndp {
    /// Reads an IPv6 packet; `None` unless it holds a message that RFC 4861 sections 7.1.1 and 7.1.2 accept.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let ip = Ipv6View::parse(packet).ok()?;
        let upper = ip.upper_layer().ok()?;
        if ip.hop_limit() != HOP_LIMIT || upper.protocol != protocol::ICMPV6 || upper.fragment {
            return None;
        }
        let (src, dst, message) = (ip.src(), ip.dst(), ip.after(upper.offset));
        let (&[kind, code, _, _, flags, _, _, _], rest) = message.split_first_chunk::<8>()?;
        let (target, options) = rest.split_first_chunk::<16>()?;
        let target = Ipv6Addr::from_octets(*target);
        if code != 0 || target.is_multicast() || !is_intact(message, src, dst) {
            return None;
        }
        let (kind, option) = match kind {
            SOLICITATION => (NdpKind::Solicitation, SOURCE_LINK_LAYER),
            ADVERTISEMENT => {
                let [router, solicited, overrides] = [ROUTER, SOLICITED, OVERRIDE].map(|f| flags & f != 0);
                (NdpKind::Advertisement { router, solicited, overrides }, TARGET_LINK_LAYER)
            }
            _ => return None,
        };
        let link_layer = link_layer(options, option)?;
        let ndp = Self { src, dst, kind, target, link_layer };
        ndp.is_sound().then_some(ndp)
    }

    /// The rules that tie the fields of a message to each other.
    fn is_sound(&self) -> bool {
        match self.kind {
            NdpKind::Solicitation if self.src.is_unspecified() => {
                self.dst == solicited_node(self.target) && self.link_layer.is_none()
            }
            NdpKind::Solicitation => true,
            NdpKind::Advertisement { solicited, .. } => {
                let to_group = self.dst.is_multicast();
                !self.src.is_unspecified() && (!solicited || !to_group)
            }
        }
    }

    /// The IPv6 packet.
    #[must_use]
    pub fn emit(&self) -> ArrayVec<u8, MAX_LEN> {
        let mut out = [0; MAX_LEN];
        let (header, message) = out.split_at_mut(HEADER_LEN);
        let (kind, flags, option) = match self.kind {
            NdpKind::Solicitation => (SOLICITATION, 0, SOURCE_LINK_LAYER),
            NdpKind::Advertisement { router, solicited, overrides } => {
                let flag = |set: bool, flag: u8| if set { flag } else { 0 };
                let flags = flag(router, ROUTER) | flag(solicited, SOLICITED) | flag(overrides, OVERRIDE);
                (ADVERTISEMENT, flags, TARGET_LINK_LAYER)
            }
        };
        (message[0], message[4]) = (kind, flags);
        message[8..MESSAGE_LEN].copy_from_slice(&self.target.octets());
        let mut len = MESSAGE_LEN;
        if let Some(mac) = self.link_layer {
            len += OPTION_LEN;
            message[MESSAGE_LEN..MESSAGE_LEN + 2].copy_from_slice(&[option, 1]);
            message[MESSAGE_LEN + 2..].copy_from_slice(&mac.0);
        }
        let payload_len = seal(&mut message[..len], self.src, self.dst).unwrap_or_default();
        let repr = Ipv6Repr {
            traffic_class: 0,
            next_header: protocol::ICMPV6,
            hop_limit: HOP_LIMIT,
            src: self.src,
            dst: self.dst,
            payload_len,
        };
        header.copy_from_slice(&repr.emit());
        out[..HEADER_LEN + len].iter().copied().collect()
    }
}

/// The Ethernet address in the first option of this type. The outer `None` is a malformed list.
fn link_layer(mut options: &[u8], wanted: u8) -> Option<Option<MacAddr>> {
    let mut found = None;
    while !options.is_empty() {
        let &[kind, units] = options.first_chunk::<2>()?;
        if units == 0 {
            return None;
        }
        let (option, rest) = options.split_at_checked(usize::from(units) * 8)?;
        if kind == wanted && found.is_none() {
            let &[_, _, a, b, c, d, e, f] = <&[u8; OPTION_LEN]>::try_from(option).ok()?;
            found = Some(MacAddr([a, b, c, d, e, f]));
        }
        options = rest;
    }
    Some(found)
}

/// The group in which whoever has `address` listens (RFC 4291 section 2.7.1).
#[must_use]
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const GROUP: u128 = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).to_bits();
    Ipv6Addr::from_bits(GROUP | address.to_bits() & 0x00ff_ffff)
}

/// The Ethernet address of a multicast group (RFC 2464 section 7).
#[must_use]
pub fn group_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

/// The link-local address that goes with an Ethernet address (RFC 4291 appendix A).
#[must_use]
pub fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 0x02, b, c, 0xff, 0xfe, d, e, f])
}

#[cfg(test)]
mod tests;
