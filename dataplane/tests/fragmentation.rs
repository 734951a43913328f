//! Packets that exceed an SA's MTU: fragmented before or after encryption, or answered.

mod common;

use common::frames::{FORTH, Ip, ip_of, ipv6, to_port};
use common::setup::{ChildSa, FIRST, Side, V4_OVER_V6, V6_OVER_V4, V6_OVER_V6, tables};
use common::{Gateway, LAN, WAN};
use crypto::Suite;
use esplanade_dataplane::shared::ExceptionKind;
use packet::DropReason;
use packet::esp::DfPolicy;
use packet::tables::{Fragmentation, Tunnel};

const UDP: u8 = 17;

/// Two gateways whose tunnels are configured alike.
struct Pair {
    first: Gateway,
    second: Gateway,
    sa: ChildSa,
}

impl Pair {
    fn new(side: Side, udp: bool, configure: impl Fn(&mut Tunnel)) -> Self {
        let sa = ChildSa { side, udp, ..ChildSa::new(Suite::from_transforms(20, 128, 0).expect("a suite")) };
        let gateway = |sa: &ChildSa| {
            let mut gateway = Gateway::new(1, tables(sa.side, &configure));
            sa.install(&mut gateway.tables, &*gateway.engine);
            gateway
        };
        Self { first: gateway(&sa), second: gateway(&sa.mirrored()), sa }
    }

    /// What leaves the first gateway, IP packets.
    fn seal(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let sent = self.first.feed(0, LAN, &[to_port(LAN, packet)]);
        sent.iter().map(|(_, frame)| ip_of(frame).to_vec()).collect()
    }

    /// What becomes of that at the second one.
    fn open(&mut self, outer: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let frames: Vec<_> = outer.iter().map(|packet| to_port(WAN, packet)).collect();
        let opened = self.second.feed(0, WAN, &frames);
        assert!(opened.iter().all(|(port, _)| *port == LAN));
        self.first.assert_balanced();
        self.second.assert_balanced();
        opened.iter().map(|(_, frame)| ip_of(frame).to_vec()).collect()
    }

    /// How many packets were encrypted.
    fn sealed(&self) -> u64 {
        let entry = self.first.tables.sad().entry(self.sa.spi()).expect("installed");
        entry.outbound.as_ref().expect("installed").sequence.used().0
    }

    /// The MTU that the sender of the last packet is told.
    fn told(&self) -> Option<u16> {
        self.first.exceptions().into_iter().find_map(|exception| match exception.kind {
            ExceptionKind::TooBig { mtu, .. } => Some(mtu),
            _ => None,
        })
    }
}

fn datagram(side: Side, sa: &ChildSa, len: usize) -> Vec<u8> {
    let payload: Vec<u8> = [vec![0; 8], (0..len - 48).map(|i| i.to_le_bytes()[0]).collect()].concat();
    ipv6(side.host, sa.mirrored().side.host, 64, UDP, &payload)
}

#[test]
fn after_encryption_the_esp_packet_is_what_is_cut() {
    for (side, udp) in [(FIRST, false), (FIRST, true), (V4_OVER_V6.0, false), (V4_OVER_V6.0, true)] {
        let mut pair = Pair::new(side, udp, |tunnel| tunnel.fragmentation = Fragmentation::After);
        let may = Ip { dont_fragment: false, ..FORTH }.udp(1000, 2000, 2900);
        let outer = pair.seal(&may);
        assert!(
            outer.len() == 3 && outer.iter().all(|piece| piece.len() <= 1500),
            "{:?}",
            pair.first.all_drops()
        );
        assert_eq!(pair.sealed(), 1);
        let opened = pair.open(&outer);
        let payload: Vec<u8> = opened.iter().flat_map(|packet| packet[20..].to_vec()).collect();
        assert_eq!(payload, may[20..], "as one packet, which the next link takes in fragments");
        // What its sender forbids to fragment is answered (RFC 4301 section 8.1).
        let mtu = pair.first.tables.sad().entry(pair.sa.spi()).expect("installed").inner_mtu;
        assert!(pair.seal(&FORTH.udp(1000, 2000, usize::from(mtu) - 27)).is_empty());
        assert_eq!(pair.told(), Some(mtu));
        // What fits goes as ever, and so does what no peer would put together.
        assert_eq!(pair.seal(&FORTH.udp(1000, 2000, usize::from(mtu) - 28)).len(), 1);
        let huge = Ip { dont_fragment: false, ..FORTH }.udp(1000, 2000, 9180);
        assert_eq!((pair.seal(&huge).len(), pair.sealed()), (7, 9));
    }
}

#[test]
fn packets_of_an_sa_leave_in_the_order_of_their_numbers() {
    let mut pair = Pair::new(FIRST, false, |tunnel| tunnel.fragmentation = Fragmentation::After);
    let packet = |len| to_port(LAN, &Ip { dont_fragment: false, ..FORTH }.udp(1000, 2000, len));
    // Twice: until a flow was decided about, and when that is remembered.
    for _ in 0..2 {
        let burst = [100, 2900, 100, 100, 2900, 100].map(packet);
        let sent = pair.first.feed(0, LAN, &burst);
        let starts = sent.iter().map(|(_, frame)| ip_of(frame)).filter(|ip| ip[6] & 0x1f == 0 && ip[7] == 0);
        let numbers: Vec<_> = starts.map(|ip| u32::from_be_bytes([ip[24], ip[25], ip[26], ip[27]])).collect();
        assert_eq!(numbers.len(), burst.len(), "{:?}", pair.first.all_drops());
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[test]
fn the_policy_of_the_outer_df_bit_decides_where_a_packet_is_cut() {
    let may = Ip { dont_fragment: false, ..FORTH }.udp(1000, 2000, 2900);
    let set = |tunnel: &mut Tunnel| (tunnel.fragmentation, tunnel.df) = (Fragmentation::After, DfPolicy::Set);
    let mut pair = Pair::new(FIRST, false, set);
    assert_eq!((pair.seal(&may).len(), pair.sealed()), (3, 3), "DF is set outside: before encryption");
    let clear =
        |tunnel: &mut Tunnel| (tunnel.fragmentation, tunnel.df) = (Fragmentation::After, DfPolicy::Clear);
    let mut pair = Pair::new(FIRST, false, clear);
    let outer = pair.seal(&FORTH.udp(1000, 2000, 1460));
    assert_eq!((outer.len(), pair.sealed()), (2, 1), "DF counts inside only");
    assert_eq!(pair.open(&outer).len(), 1);
    let mut pair = Pair::new(FIRST, false, |_| {});
    assert_eq!(
        (pair.seal(&may).len(), pair.sealed()),
        (3, 3),
        "before encryption unless it is said otherwise"
    );
}

#[test]
fn every_tunnel_carries_the_least_mtu_of_ipv6() {
    for side in [V6_OVER_V4.0, V6_OVER_V6.0] {
        for (udp, df) in [(false, DfPolicy::Copy), (true, DfPolicy::Set)] {
            let small = |tunnel: &mut Tunnel| (tunnel.mtu, tunnel.df) = (1000, df);
            let mut pair = Pair::new(side, udp, small);
            for len in [1000, 1001, 1280] {
                let packet = datagram(side, &pair.sa, len);
                let outer = pair.seal(&packet);
                assert_eq!(outer.len(), if len > 1000 { 2 } else { 1 }, "{:?}", pair.first.all_drops());
                assert!(outer.iter().all(|piece| piece.len() <= 1100));
                let opened = pair.open(&outer);
                assert_eq!((opened.len(), opened[0].len(), &opened[0][40..]), (1, len, &packet[40..]));
            }
            let large = datagram(side, &pair.sa, 1281);
            assert!(pair.seal(&large).is_empty());
            assert_eq!((pair.told(), pair.first.drops(DropReason::NeedsFragmentation)), (Some(1280), 1));
        }
    }
}
