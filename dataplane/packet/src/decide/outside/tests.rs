use super::*;
use crate::headers::protocol;
use crate::selectors::PortRange;
use crate::spd::Action;
use crate::tables::Change;
use crate::testing::*;

/// The outside interface of the fixture, moved into the inner VRF: a gateway with a single VRF.
fn one_vrf() -> Tables<u32> {
    let mut tables = gateway();
    apply(&mut tables, [Change::DeleteInbound(spi(0x1_0001)), Change::FreeSpi(spi(0x1_0001))]);
    apply(&mut tables, [interface(OUTSIDE, crate::tables::Role::Outside, INNER)]);
    tables
}

fn classify(tables: &Tables<u32>, packet: &[u8]) -> String {
    let interface = tables.interface(OUTSIDE).expect("there");
    match classify_outside(tables, interface, packet, &flow(packet)) {
        Outside::Esp { packet, udp_port } => {
            format!("esp {:08x} {} {udp_port:?}", packet.spi, packet.sequence_low)
        }
        Outside::Ike { standing } => format!("ike {standing:?}"),
        Outside::Icmp => "icmp".into(),
        Outside::Fragment => "fragment".into(),
        Outside::Bypass(Outcome::Forward(egress)) => format!("forward {}", egress.interface.id),
        Outside::Bypass(_) => "bypass".into(),
        Outside::Drop(reason) => reason.name().into(),
    }
}

fn from_peer(protocol: u8, body: &[u8]) -> String {
    classify(&gateway(), &ipv4("192.0.2.2", "192.0.2.1", protocol, body))
}

fn datagram(src: &str, port: u16, body: &[u8]) -> String {
    classify(&gateway(), &udp(src, "192.0.2.1", (61000, port), body))
}

#[test]
fn esp_is_found_native_and_in_udp() {
    let esp = [0, 1, 0, 1, 0, 0, 0, 9, 0xaa];
    assert_eq!(from_peer(protocol::ESP, &esp), "esp 00010001 9 None");
    assert_eq!(datagram("192.0.2.2", 4500, &esp), "esp 00010001 9 Some(61000)");
    assert_eq!(from_peer(protocol::ESP, &esp[..7]), "esp_truncated");
    assert_eq!(datagram("192.0.2.2", 4500, &esp[..7]), "esp_truncated");
    assert_eq!(datagram("192.0.2.2", 4500, b""), "esp_truncated");
    assert_eq!(datagram("192.0.2.2", 4500, &[0xff]), "nat_keepalive");
}

#[test]
fn ike_is_known_by_address_or_by_our_spi() {
    let first = [[7; 8], [0; 8]].concat();
    let later = [[7; 8], [9; 8]].concat();
    let marked = |message: &[u8]| [&[0; 4], message].concat();
    assert_eq!(datagram("198.51.100.1", 500, &first), "ike New");
    assert_eq!(datagram("198.51.100.1", 500, &later), "ike Claimed");
    assert_eq!(datagram("192.0.2.2", 500, &first), "ike Peer");
    assert_eq!(datagram("198.51.100.1", 4500, &marked(&first)), "ike New");
    assert_eq!(datagram("198.51.100.1", 4500, &marked(&later)), "ike Claimed");
    assert_eq!(datagram("198.51.100.1", 500, b"short"), "ike New");
}

#[test]
fn the_rest_for_us_is_icmp_or_refused() {
    assert_eq!(from_peer(protocol::ICMP, &[8, 0, 0, 0]), "icmp");
    assert_eq!(from_peer(protocol::TCP, &[0; 20]), "local_unserved");
    assert_eq!(datagram("192.0.2.2", 53, b""), "local_unserved");
    let mut fragment = ipv4("192.0.2.2", "192.0.2.1", protocol::ESP, &[0; 16]);
    fragment[6] = 0x20;
    fragment[10..12].fill(0);
    let sum = crate::headers::checksum::checksum(&fragment[..20]);
    fragment[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(classify(&gateway(), &fragment), "fragment");
}

#[test]
fn nobody_and_we_ourselves_send_us_nothing() {
    let esp = [0, 1, 0, 1, 0, 0, 0, 9, 0xaa];
    for martian in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
        for (protocol, body) in [(protocol::ESP, &esp[..]), (protocol::ICMP, &[8, 0, 0, 0])] {
            let packet = ipv4(martian, "192.0.2.1", protocol, body);
            assert_eq!(classify(&gateway(), &packet), "martian_source", "{martian}");
        }
        assert_eq!(datagram(martian, 500, &[7; 16]), "martian_source", "{martian}");
    }
    let land = ipv4("192.0.2.1", "192.0.2.1", protocol::ICMP, &[8, 0, 0, 0]);
    assert_eq!(classify(&gateway(), &land), "martian_source");
    assert_eq!(datagram("192.0.2.1", 500, &[7; 16]), "martian_source");
    assert_eq!(datagram("192.0.2.1", 4500, &[0; 16]), "martian_source");
}

#[test]
fn cleartext_passes_only_by_a_bypass() {
    let mut tables = one_vrf();
    let protected = udp("192.0.2.2", "10.2.0.9", (1, 2), b"");
    let inside = udp("203.0.113.9", "10.1.0.9", (123, 1000), b"");
    assert_eq!(classify(&tables, &protected), "cleartext_protected");
    assert_eq!(classify(&tables, &inside), "cleartext_protected");
    assert_eq!(classify(&tables, &udp("192.0.2.2", "198.51.100.9", (1, 2), b"")), "not_for_us");
    let ports = PortRange::new(123, 123).expect("a range");
    let mut entry = spd_entry(Action::Bypass, "10.1.0.0/24", "203.0.113.0/24");
    entry.selectors.remote.ports = ports;
    apply(&mut tables, [Change::PutSpdEntry { vrf: INNER, order: 7, entry }]);
    assert_eq!(classify(&tables, &inside), "forward 1");
    assert_eq!(classify(&tables, &udp("203.0.113.9", "10.1.0.9", (124, 1000), b"")), "cleartext_protected");
    let discard = spd_entry(Action::Discard, "10.1.0.9/32", "0.0.0.0/0");
    apply(&mut tables, [Change::PutSpdEntry { vrf: INNER, order: 6, entry: discard }]);
    assert_eq!(classify(&tables, &inside), "policy_discard");
}
