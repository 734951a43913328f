use super::*;
use crate::headers::protocol;
use crate::testing::{flow, ip, ipv4, prefix, udp};

fn selector(network: &str, protocol: u8, ports: PortRange) -> TrafficSelector {
    TrafficSelector { protocol, ports, addresses: prefix(network).into() }
}

#[test]
fn a_pair_matches_out_as_written_and_in_mirrored() {
    let pair = SelectorPair {
        local: selector("10.1.0.0/24", protocol::UDP, PortRange::ANY),
        remote: selector("10.2.0.0/24", protocol::UDP, PortRange::new(53, 53).expect("a range")),
    };
    let query = flow(&udp("10.1.0.9", "10.2.0.9", (1024, 53), b"?"));
    let answer = flow(&udp("10.2.0.9", "10.1.0.9", (53, 1024), b"!"));
    assert!(pair.matches_outbound(&query) && !pair.matches_inbound(&query));
    assert!(pair.matches_inbound(&answer) && !pair.matches_outbound(&answer));
    let other = flow(&udp("10.1.0.9", "10.2.0.9", (1024, 54), b"?"));
    assert!(!pair.matches_outbound(&other));
}

#[test]
fn icmp_type_and_code_stand_for_ports() {
    let echo = PortRange::new(8 << 8, 8 << 8).expect("a range");
    let pair = SelectorPair {
        local: selector("10.1.0.0/24", protocol::ICMP, echo),
        remote: selector("10.2.0.0/24", protocol::ICMP, echo),
    };
    let request = flow(&ipv4("10.1.0.9", "10.2.0.9", protocol::ICMP, &[8, 0, 0, 0, 0, 0, 0, 0]));
    let reply = flow(&ipv4("10.1.0.9", "10.2.0.9", protocol::ICMP, &[0, 0, 0, 0, 0, 0, 0, 0]));
    assert!(pair.matches_outbound(&request) && !pair.matches_outbound(&reply));
}

#[test]
fn what_hides_its_ports_matches_only_any_port() {
    let mut later = udp("10.1.0.9", "10.2.0.9", (1024, 53), b"12345678");
    later[6..8].copy_from_slice(&[0, 1]);
    later[10..12].fill(0);
    let sum = crate::headers::checksum::checksum(&later[..20]);
    later[10..12].copy_from_slice(&sum.to_be_bytes());
    let later = flow(&later);
    let with = |ports| SelectorPair {
        local: selector("10.1.0.0/24", 0, PortRange::ANY),
        remote: selector("10.2.0.0/24", protocol::UDP, ports),
    };
    assert!(with(PortRange::ANY).matches_outbound(&later));
    assert!(!with(PortRange::new(1, u16::MAX).expect("a range")).matches_outbound(&later));
}

#[test]
fn ranges_are_inclusive_and_of_one_family() {
    let range = AddressRange::new(ip("10.0.0.5"), ip("10.0.0.7")).expect("a range");
    let inside = ["10.0.0.4", "10.0.0.5", "10.0.0.7", "10.0.0.8", "::5"].map(|a| range.contains(ip(a)));
    assert_eq!(inside, [false, true, true, false, false]);
    assert_eq!(AddressRange::new(ip("10.0.0.5"), ip("10.0.0.4")), None);
    assert_eq!(AddressRange::new(ip("10.0.0.5"), ip("::6")), None);
    assert_eq!(PortRange::new(2, 1), None);
}
