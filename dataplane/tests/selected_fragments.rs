//! Inner fragments and SAs whose selectors name ports (RFC 4301 section 7): the packet is put together first.

mod common;

use common::frames::{FORTH, Ip, Random, ip_of, ipv6, to_port};
use common::setup::{ChildSa, FIRST, SECOND, Side, V4_OVER_V6, V6_OVER_V4, prefix, tables};
use common::{Gateway, LAN, TICKS_PER_SECOND, WAN};
use crypto::Suite;
use esplanade_dataplane::shared::ExceptionKind;
use esplanade_dataplane::worker::Buffer;
use packet::DropReason;
use packet::esp::DfPolicy;
use packet::flow::Flow;
use packet::fragmentation::Plan;
use packet::headers::checksum::checksum;
use packet::reassembly::{Fragment, Limits, Reassembly};
use packet::selectors::{PortRange, SelectorPair};

const UDP: u8 = 17;
/// The port that the selectors name at the second gateway.
const PORT: u16 = 53;

/// An SA that carries UDP to and from [`PORT`] behind the second gateway.
fn selective(side: Side) -> ChildSa {
    let mut pair = SelectorPair::between(prefix(side.network), prefix(side.peer_network));
    (pair.local.protocol, pair.remote.protocol) = (UDP, UDP);
    pair.remote.ports = PortRange::new(PORT, PORT).expect("a range");
    let suite = Suite::from_transforms(20, 128, 0).expect("a suite");
    ChildSa { side, selector: Some(pair), ..ChildSa::new(suite) }
}

fn gateway(side: Side, sa: &ChildSa) -> Gateway {
    let mut gateway = Gateway::new(1, tables(side, |_| {}));
    sa.install(&mut gateway.tables, &*gateway.engine);
    gateway
}

/// Both gateways, with the same SA.
fn pair(side: Side) -> (Gateway, Gateway) {
    let sa = selective(side);
    (gateway(side, &sa), gateway(sa.mirrored().side, &sa.mirrored()))
}

fn datagram(port: u16, len: usize) -> Vec<u8> {
    Ip { dont_fragment: false, ..FORTH }.udp(1000, port, len)
}

/// The fragments of a packet as its source makes them.
fn cut(packet: &[u8], mtu: u16, identification: u32) -> Vec<Vec<u8>> {
    let flow = Flow::parse(packet).expect("valid");
    let plan = Plan::at_source(packet, &flow, mtu, identification).expect("cut");
    let write = |piece| {
        let mut out = vec![0; plan.packet_len(piece)];
        plan.write(packet, piece, &mut out);
        out
    };
    plan.pieces().map(write).collect()
}

/// What a host makes of the packets it gets; `None` if they are not one whole packet.
fn received(frames: &[(packet::PortId, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut hold = Reassembly::new(Limits { datagrams: 4, per_source: 4, patience: 1 });
    frames.iter().find_map(|(port, frame)| {
        assert_eq!(*port, LAN);
        let flow = Flow::parse(ip_of(frame)).expect("valid");
        if !flow.fragment {
            return Some(ip_of(frame).to_vec());
        }
        let fragment = Fragment::parse((), ip_of(frame), &flow).expect("a fragment");
        let whole = hold.insert(fragment, true, ip_of(frame), 0, &mut |_, reason| panic!("{reason}"))?;
        let mut out = vec![0; whole.packet_len()];
        whole.write(|bytes| bytes, &mut out).expect("written");
        Some(out)
    })
}

fn feed(gateway: &mut Gateway, port: packet::PortId, packets: &[Vec<u8>]) -> Vec<(packet::PortId, Vec<u8>)> {
    let frames: Vec<_> = packets.iter().map(|packet| to_port(port, packet)).collect();
    let out = gateway.feed(0, port, &frames);
    gateway.assert_balanced();
    out
}

/// Takes what one gateway sealed to the other.
fn carry(to: &mut Gateway, sealed: &[(packet::PortId, Vec<u8>)]) -> Vec<(packet::PortId, Vec<u8>)> {
    let packets: Vec<_> = sealed.iter().map(|(_, frame)| ip_of(frame).to_vec()).collect();
    feed(to, WAN, &packets)
}

#[test]
fn fragments_in_any_order_cross_an_sa_that_names_a_port() {
    let (mut first, mut second) = pair(FIRST);
    for len in [40, 1473, 2900, 8900] {
        for mtu in [28, 600, 1500] {
            if len / usize::from(mtu - 20) >= 30 {
                continue;
            }
            let mut pieces = cut(&datagram(PORT, len), mtu, u32::from(mtu));
            pieces.reverse();
            let sealed = feed(&mut first, LAN, &pieces);
            let opened = carry(&mut second, &sealed);
            let got = received(&opened).unwrap_or_else(|| panic!("{:?}", second.all_drops()));
            assert_eq!(got[20..], datagram(PORT, len)[20..], "{len} {mtu}");
        }
    }
    assert_eq!((first.all_drops(), second.all_drops()), (vec![], vec![]));
}

#[test]
fn no_fragment_goes_into_an_sa_that_names_a_port() {
    for (side, df) in
        [FIRST, V4_OVER_V6.0].into_iter().flat_map(|side| [(side, DfPolicy::Copy), (side, DfPolicy::Set)])
    {
        let sa = selective(side);
        let (mut first, mut second) = pair(side);
        first.tables = tables(side, |tunnel| tunnel.df = df);
        sa.install(&mut first.tables, &*first.engine);
        let whole = datagram(PORT, 2900);
        for (sealed, packets) in [(1, vec![whole.clone()]), (2, cut(&whole, 1500, 8))] {
            let outer = feed(&mut first, LAN, &packets);
            let entry = first.tables.sad().entry(sa.spi()).expect("installed");
            let used = entry.outbound.as_ref().expect("installed").sequence.used().0;
            assert_eq!((outer.len(), used), (3, sealed), "{:?}", first.all_drops());
            assert!(outer.iter().all(|(_, frame)| ip_of(frame).len() <= 1500));
            let got = received(&carry(&mut second, &outer)).expect("whole");
            assert_eq!(got[20..], whole[20..]);
        }
        // Nobody would put that together.
        assert_eq!(feed(&mut first, LAN, &[datagram(PORT, 9180)]), []);
        assert_eq!(first.all_drops(), [(DropReason::NeedsFragmentation, 1)]);
    }
}

#[test]
fn another_port_is_refused_once_it_shows_on_either_side() {
    let (mut first, mut second) = pair(FIRST);
    let pieces = cut(&datagram(54, 2000), 1500, 9);
    assert_eq!(feed(&mut first, LAN, &pieces), []);
    assert_eq!(first.all_drops(), [(DropReason::NoMatchingSelector, 1)]);
    // A peer that seals what it must not.
    let mut careless = gateway(FIRST, &ChildSa { selector: None, ..selective(FIRST) });
    let sealed = feed(&mut careless, LAN, &pieces);
    assert_eq!(sealed.len(), 3);
    assert_eq!(carry(&mut second, &sealed), []);
    assert_eq!(second.all_drops(), [(DropReason::InnerSelector, 1)]);
}

#[test]
fn without_the_first_fragment_or_with_an_overlap_nothing_passes() {
    let (mut first, _) = pair(FIRST);
    let pieces = cut(&datagram(PORT, 4000), 1500, 1);
    assert_eq!(feed(&mut first, LAN, &pieces[1..]), []);
    first.now += 5 * TICKS_PER_SECOND;
    first.settle();
    assert_eq!(first.all_drops(), [(DropReason::ReassemblyTimeout, 2)]);
    let pieces = cut(&datagram(PORT, 4000), 1500, 2);
    let shifted = cut(&datagram(PORT, 4000), 1400, 2);
    assert_eq!(feed(&mut first, LAN, &[pieces[2].clone(), shifted[1].clone(), pieces[1].clone()]), []);
    assert_eq!(feed(&mut first, LAN, &pieces), []);
    assert_eq!(first.drops(DropReason::FragmentOverlap), 6);
}

#[test]
fn whoever_sent_a_first_fragment_without_the_others_is_told() {
    let (mut first, mut second) = pair(FIRST);
    let careless = ChildSa { selector: None, ..selective(FIRST) };
    let mut sender = gateway(FIRST, &careless);
    let pieces = cut(&datagram(PORT, 4000), 1400, 1);
    let sealed = feed(&mut sender, LAN, &pieces);
    for (gateway, port, fragments) in [
        (&mut first, LAN, pieces.clone()),
        (&mut second, WAN, sealed.iter().map(|(_, frame)| ip_of(frame).to_vec()).collect()),
    ] {
        assert_eq!(feed(gateway, port, &fragments[..2]), []);
        gateway.now += 5 * TICKS_PER_SECOND;
        gateway.settle();
        gateway.assert_balanced();
        assert_eq!(gateway.drops(DropReason::ReassemblyTimeout), 2);
        let lent = gateway.exceptions();
        let [one] = &lent[..] else { panic!("{lent:?}") };
        assert!(matches!(one.kind, ExceptionKind::ReassemblyTimeExceeded { .. }));
        assert_eq!(one.packet.data()[20..], pieces[0][20..]);
        // Neither without the first fragment, nor who sends to us from outside.
        assert_eq!(feed(gateway, port, &fragments[2..]), []);
        assert_eq!(feed(gateway, WAN, &fragments_of_esp(ip_of(&sealed[0].1))[..1]), []);
        gateway.now += 5 * TICKS_PER_SECOND;
        gateway.settle();
        assert!(gateway.exceptions().is_empty());
    }
}

#[test]
fn a_flood_from_inside_is_bounded_and_takes_no_place_of_tunnels_or_the_outside() {
    let (_, mut second) = pair(FIRST);
    // A peer that seals fragments.
    let mut first = gateway(FIRST, &ChildSa { selector: None, ..selective(FIRST) });
    let to_second = cut(&datagram(PORT, 4000), 1400, 1);
    let sealed = feed(&mut first, LAN, &to_second);
    let outer: Vec<_> = sealed.iter().flat_map(|(_, frame)| fragments_of_esp(ip_of(frame))).collect();
    // The second gateway holds parts of two ESP packets, and is flooded by its own hosts.
    assert_eq!(feed(&mut second, WAN, &outer[1..3]), []);
    let mut random = Random(3);
    for id in 0..4000 {
        let mut piece = cut(&Ip { dont_fragment: false, ..FORTH.back() }.udp(PORT, 1000, 2000), 1500, id)
            [random.below(2)]
        .clone();
        piece[15] = random.byte();
        feed(&mut second, LAN, &[mend(piece)]);
    }
    let held: usize = second.pipelines.iter().map(esplanade_dataplane::worker::Pipeline::held).sum();
    assert!(held <= 2 + 16 * 2, "{held}");
    let rest: Vec<_> = outer[..1].iter().chain(&outer[3..]).cloned().collect();
    let opened = feed(&mut second, WAN, &rest);
    let got = received(&opened).unwrap_or_else(|| panic!("{:?}", second.all_drops()));
    assert_eq!(got[20..], datagram(PORT, 4000)[20..]);
}

/// An ESP packet in two pieces, as a router cuts it where DF is clear.
fn fragments_of_esp(packet: &[u8]) -> Vec<Vec<u8>> {
    cut(packet, 1000, u32::from(packet[4]) << 8 | u32::from(packet[5]))
}

fn mend(mut packet: Vec<u8>) -> Vec<u8> {
    packet[10..12].fill(0);
    let sum = checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

#[test]
fn ipv6_goes_on_in_fragments_as_large_as_its_source_made_them() {
    let (mut first, mut second) = pair(V6_OVER_V4.0);
    let (from, to) = (V6_OVER_V4.0.host, V6_OVER_V4.1.host);
    let whole = |len: usize| {
        let mut body = vec![7; 8 + len];
        body[..4].copy_from_slice(&[0x10, 0, 0, 53]);
        ipv6(from, to, 64, UDP, &body)
    };
    for (len, mtu) in [(1000, 600), (3000, 1280), (3000, 1400)] {
        let pieces = cut(&whole(len), mtu, 77);
        let sealed = feed(&mut first, LAN, &pieces);
        assert_eq!(sealed.len(), pieces.len(), "{:?}", first.all_drops());
        let opened = carry(&mut second, &sealed);
        assert_eq!(opened.len(), pieces.len(), "{:?}", second.all_drops());
        let got = received(&opened).expect("whole");
        assert_eq!(got[8..], whole(len)[8..]);
    }
    let exceeding = cut(&whole(3000), 1500, 78);
    assert_eq!(feed(&mut first, LAN, &exceeding), []);
    assert_eq!(first.all_drops(), [(DropReason::NeedsFragmentation, 1)]);
    let told = first.exceptions();
    assert!(matches!(told[0].kind, ExceptionKind::TooBig { mtu, .. } if mtu < 1500), "{told:?}");
}

#[test]
fn fragments_of_one_sa_do_not_complete_those_of_another() {
    let narrow = selective(FIRST);
    let other = ChildSa { ours: 0x1000_0300, theirs: 0x2000_0400, ..selective(FIRST) };
    let mut second = gateway(SECOND, &narrow.mirrored());
    other.mirrored().install(&mut second.tables, &*second.engine);
    let pieces = cut(&datagram(PORT, 2000), 1000, 5);
    let careless = |sa: &ChildSa| gateway(FIRST, &ChildSa { selector: None, ..sa.clone() });
    let (mut by_narrow, mut by_other) = (careless(&narrow), careless(&other));
    let mut pass = |sender: &mut Gateway, piece: &Vec<u8>| {
        let sealed = feed(sender, LAN, std::slice::from_ref(piece));
        carry(&mut second, &sealed).len()
    };
    assert_eq!(pass(&mut by_narrow, &pieces[0]), 0);
    assert_eq!((pass(&mut by_other, &pieces[1]), pass(&mut by_other, &pieces[2])), (0, 0));
    assert_eq!(pass(&mut by_other, &pieces[0]), 2, "the whole, cut for the link");
}
