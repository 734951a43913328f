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

#[test]
fn all_fragments_of_a_packet_get_the_same_answer() {
    let whole = udp("10.1.0.9", "10.2.0.9", (1024, 53), b"0123456789abcdef");
    let first = Flow { fragment: true, ..flow(&whole) };
    let later = Flow { ports: None, ..first };
    let with = |protocol, ports, network| SelectorPair {
        local: selector("10.1.0.0/24", 0, PortRange::ANY),
        remote: selector(network, protocol, ports),
    };
    let dns = PortRange::new(53, 53).expect("a range");
    let other = PortRange::new(54, 54).expect("a range");
    for (pairs, fragment, of_whole) in [
        (vec![with(protocol::UDP, PortRange::ANY, "10.2.0.0/24")], Fit::Matches, Fit::Matches),
        (vec![with(protocol::TCP, PortRange::ANY, "10.2.0.0/24")], Fit::Differs, Fit::Differs),
        (vec![with(protocol::UDP, dns, "10.2.0.0/24")], Fit::NeedsWhole, Fit::Matches),
        (vec![with(protocol::UDP, other, "10.2.0.0/24")], Fit::NeedsWhole, Fit::Differs),
        (vec![with(protocol::UDP, dns, "10.3.0.0/24")], Fit::Differs, Fit::Differs),
        (
            vec![with(0, dns, "10.2.0.0/24"), with(0, PortRange::ANY, "10.2.0.0/16")],
            Fit::Matches,
            Fit::Matches,
        ),
        (vec![], Fit::Differs, Fit::Differs),
    ] {
        assert_eq!(
            (fit_outbound(&pairs, &first), fit_outbound(&pairs, &later)),
            (fragment, fragment),
            "{pairs:?}"
        );
        assert_eq!(fit_outbound(&pairs, &flow(&whole)), of_whole, "{pairs:?}");
        let back = |flow: Flow| Flow { src: flow.dst, dst: flow.src, ..flow };
        assert_eq!(fit_inbound(&pairs, &back(later)), fragment);
    }
}

#[test]
fn no_ipv6_fragment_alone_shows_its_protocol() {
    let packet =
        crate::testing::ipv6("2001:db8:1::9", "2001:db8:2::9", 44, &[17, 0, 0, 1, 0, 0, 0, 7, 0, 1, 0, 53]);
    let with = |protocol| SelectorPair {
        local: selector("2001:db8:1::/64", 0, PortRange::ANY),
        remote: selector("2001:db8:2::/64", protocol, PortRange::ANY),
    };
    let fit = |protocol| fit_outbound(&[with(protocol)], &flow(&packet));
    assert_eq!(
        (fit(0), fit(protocol::UDP), fit(protocol::TCP)),
        (Fit::Matches, Fit::NeedsWhole, Fit::NeedsWhole)
    );
}
