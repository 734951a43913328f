//! Neighbour discovery that concerns an interface: what IPv6 has in the place of ARP.

use crate::flow::Flow;
use crate::headers::{icmpv6, ndp, protocol};
use crate::ids::MacAddr;
use crate::tables::Interface;
use std::net::{IpAddr, Ipv6Addr};

/// True for a neighbour solicitation or advertisement to an address or group of this interface, whose port
/// has `mac`. The agent checks the rest; everything else is traffic like any other, and no group is forwarded.
#[inline]
#[must_use]
pub fn is_neighbour_discovery(interface: &Interface, mac: MacAddr, flow: &Flow) -> bool {
    // The hop limit first: it rules out nearly all traffic.
    flow.hop_limit == ndp::HOP_LIMIT && flow.protocol == protocol::ICMPV6 && concerns(interface, mac, flow)
}

/// True for an echo request to our link-local address on this interface, whose port has `mac`. No route leads to
/// and from such addresses: the agent answers to the station that asked.
#[inline]
#[must_use]
pub fn is_link_local_echo(interface: &Interface, mac: MacAddr, flow: &Flow) -> bool {
    flow.protocol == protocol::ICMPV6 && is_echo_for(interface, mac, flow)
}

#[cold]
fn is_echo_for(interface: &Interface, mac: MacAddr, flow: &Flow) -> bool {
    let (IpAddr::V6(dst), Some(ports)) = (flow.dst, flow.ports) else { return false };
    let request = ports.src.to_be_bytes() == [icmpv6::ECHO_REQUEST, 0] && !flow.fragment;
    request && dst.is_unicast_link_local() && own_addresses(interface, mac).any(|ours| ours == dst)
}

#[cold]
fn concerns(interface: &Interface, mac: MacAddr, flow: &Flow) -> bool {
    let (IpAddr::V6(dst), Some(ports)) = (flow.dst, flow.ports) else { return false };
    let [kind, _code] = ports.src.to_be_bytes();
    let discovery = matches!(kind, ndp::SOLICITATION | ndp::ADVERTISEMENT) && !flow.fragment;
    discovery
        && own_addresses(interface, mac)
            .any(|ours| [ours, ndp::solicited_node(ours), ndp::ALL_NODES].contains(&dst))
}

/// Our IPv6 addresses on an interface whose port has `mac`: where there is any, the link-local one comes last.
pub fn own_addresses(interface: &Interface, mac: MacAddr) -> impl Iterator<Item = Ipv6Addr> + '_ {
    let configured = || {
        interface.addresses.iter().filter_map(|a| match a.address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        })
    };
    let implied = configured().next().map(|_| ndp::link_local(mac));
    configured().chain(implied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Tables;
    use crate::testing::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn message(dst: &str, kind: u8, hop_limit: u8) -> Flow {
        let mut packet = ipv6("fe80::9", dst, protocol::ICMPV6, &[kind, 0, 0, 0, 0, 0, 0, 0]);
        packet[7] = hop_limit;
        flow(&packet)
    }

    #[test]
    fn only_an_echo_request_to_the_link_local_address_is_for_the_agent_at_once() {
        let mut tables = gateway();
        let echo = |tables: &Tables<u32>, dst, kind| {
            let interface = tables.interface(INSIDE).expect("configured");
            is_link_local_echo(interface, MAC, &message(dst, kind, 64))
        };
        assert!(!echo(&tables, "fe80::ff:fe00:1", 128), "no IPv6 here");
        apply(&mut tables, [address(INSIDE, "2001:db8:1::1", 64)]);
        assert!(echo(&tables, "fe80::ff:fe00:1", 128));
        assert!(!echo(&tables, "fe80::ff:fe00:1", 129), "a reply");
        assert!(!echo(&tables, "2001:db8:1::1", 128) && !echo(&tables, "fe80::2", 128));
    }

    #[test]
    fn only_what_concerns_the_interface_is_taken() {
        let mut tables = gateway();
        let concerns = |tables: &Tables<u32>, dst, kind, hop_limit| {
            let interface = tables.interface(INSIDE).expect("configured");
            is_neighbour_discovery(interface, MAC, &message(dst, kind, hop_limit))
        };
        assert!(!concerns(&tables, "ff02::1", ndp::SOLICITATION, 255), "no IPv6 here");
        apply(&mut tables, [address(INSIDE, "2001:db8:1::1", 64)]);
        for dst in ["2001:db8:1::1", "ff02::1:ff00:1", "fe80::ff:fe00:1", "ff02::1"] {
            for kind in [ndp::SOLICITATION, ndp::ADVERTISEMENT] {
                assert!(concerns(&tables, dst, kind, 255), "{dst}");
                assert!(!concerns(&tables, dst, kind, 254), "{dst} from afar");
            }
            assert!(!concerns(&tables, dst, 128, 255), "an echo request to {dst}");
        }
        for dst in ["2001:db8:1::2", "ff02::1:ff00:2", "fe80::2", "ff02::2", "ff05::1"] {
            assert!(!concerns(&tables, dst, ndp::SOLICITATION, 255), "{dst}");
        }
    }
}
