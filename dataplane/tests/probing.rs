//! Probes of the path MTU through the workers of two gateways, and what the prober's side learns of the answers.

mod common;

use common::frames::{FORTH, Ip, ip_of, to_port};
use common::setup::{ChildSa, FIRST, SECOND, TUNNEL, V4_OVER_V6, V6_OVER_V4, address, tables};
use common::{Gateway, LAN, WAN};
use crypto::Suite;
use esplanade_dataplane::shared::{AgentWork, FromAgent, Notice};
use esplanade_dataplane::worker::HeapBuffer;
use packet::esp::DfPolicy;
use packet::headers::checksum::checksum;
use packet::path_mtu::{Arrived, Echo, Pieces};

/// Both gateways; each expects answers from the other's host, and clears DF.
fn pair(sa: &ChildSa, workers: usize) -> (Gateway, Gateway) {
    let side = |sa: &ChildSa| {
        let other = sa.mirrored().side;
        let tables = tables(sa.side, |tunnel| {
            tunnel.df = DfPolicy::Clear;
            tunnel.probe = Some(address(other.host));
        });
        let mut gateway = Gateway::new(workers, tables);
        sa.install(&mut gateway.tables, &*gateway.engine);
        gateway
    };
    (side(sa), side(&sa.mirrored()))
}

fn gcm() -> ChildSa {
    ChildSa::new(Suite::from_transforms(20, 128, 0).expect("a suite"))
}

/// A probe of `size` bytes leaves the first gateway.
fn probe(gateway: &mut Gateway, sa: &ChildSa, packet: &[u8]) -> Vec<u8> {
    let from_agent = FromAgent { packet: HeapBuffer::new(packet), work: AgentWork::Probe { spi: sa.spi() } };
    let mut sent = gateway.send_by_agent(from_agent);
    let (port, frame) = sent.pop().expect("a packet");
    assert_eq!((port, sent.len()), (WAN, 0));
    ip_of(&frame).to_vec()
}

/// An IPv4 packet in fragments of at most `mtu` bytes.
fn cut(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let (header, payload) = packet.split_at(20);
    let step = (mtu - 20) / 8 * 8;
    let piece = |(index, data): (usize, &[u8])| {
        let at = u16::try_from(index * step / 8).expect("small");
        let more = if usize::from(at) * 8 + data.len() < payload.len() { 0x2000 } else { 0 };
        let mut piece = header.to_vec();
        piece[2..4].copy_from_slice(&u16::try_from(20 + data.len()).expect("small").to_be_bytes());
        piece[6..8].copy_from_slice(&(at | more).to_be_bytes());
        piece[10..12].fill(0);
        let sum = checksum(&piece);
        piece[10..12].copy_from_slice(&sum.to_be_bytes());
        piece.extend(data);
        piece
    };
    payload.chunks(step).enumerate().map(piece).collect()
}

fn echo(sa: &ChildSa) -> Echo {
    let target = address(sa.mirrored().side.host);
    Echo { source: address(sa.side.inside), target, identifier: 7, nonce: 11 }
}

#[test]
fn a_probe_has_the_size_that_is_asked_about_and_is_never_fragmented() {
    let sides = [(FIRST, SECOND), V6_OVER_V4, V4_OVER_V6];
    for (side, udp, workers) in sides.into_iter().flat_map(|(a, _)| [(a, false, 1), (a, true, 3)]) {
        let sa = ChildSa { side, udp, worker: workers - 1, ..gcm() };
        let (mut first, mut second) = pair(&sa, workers.into());
        let layout = first.tables.child(sa.spi()).expect("installed").template.layout;
        let request = echo(&sa).request(1, 0).expect("short");
        // The MTU of the link is 1500, and that of the SA less: neither counts.
        for size in [1280u16, 1500, 2000] {
            let mut packet = request.clone();
            packet.resize(layout.inner_mtu(size).into(), 0);
            let outer = probe(&mut first, &sa, &packet);
            assert_eq!(outer.len(), usize::from(size) / 4 * 4);
            assert!(outer[0] >> 4 == 6 || outer[6] == 0x40, "DF, although the policy clears it");
            let opened = second.feed(0, WAN, &[to_port(WAN, &outer)]);
            let (port, frame) = &opened[0];
            assert_eq!((*port, ip_of(frame).len()), (LAN, request.len()), "the padding is gone");
        }
        first.assert_balanced();
        second.assert_balanced();
    }
}

#[test]
fn the_agent_hears_how_an_answer_came() {
    let sa = gcm();
    let back = sa.mirrored();
    let (mut first, mut second) = pair(&sa, 1);
    let reply = |len: usize| {
        // What the target answers: a request of its own, as a reply.
        let echo =
            Echo { source: address(SECOND.host), target: address(FIRST.host), identifier: 7, nonce: 11 };
        let mut packet = echo.request(9, len).expect("fits");
        packet[20] = 0;
        packet
    };
    let heard = |gateway: &Gateway| {
        let mut notices = gateway.notices().into_iter().filter_map(|notice| match notice {
            Notice::EchoAnswer { tunnel, answer, arrived } => {
                assert_eq!((tunnel, answer.sequence, answer.nonce), (TUNNEL, 9, 11));
                Some(arrived)
            }
            _ => None,
        });
        (notices.next(), notices.next())
    };
    let whole = probe(&mut second, &back, &reply(1200));
    first.feed(0, WAN, &[to_port(WAN, &whole)]);
    let arrived = |largest, pieces| Arrived { largest, pieces };
    assert_eq!(heard(&first), (Some(arrived(1256, Pieces::Whole)), None));

    // A router cuts the ESP packet.
    let whole = probe(&mut second, &back, &reply(1200));
    let pieces = cut(&whole, 800);
    first.feed(0, WAN, &pieces.iter().map(|piece| to_port(WAN, piece)).collect::<Vec<_>>());
    assert_eq!(heard(&first), (Some(arrived(796, Pieces::Outer)), None));

    // The peer cuts the reply.
    let pieces = cut(&reply(1200), 800);
    let sealed: Vec<_> = pieces.iter().map(|piece| to_port(WAN, &probe(&mut second, &back, piece))).collect();
    first.feed(0, WAN, &sealed);
    assert_eq!(heard(&first), (Some(arrived(852, Pieces::Inner)), None), "by the first fragment");

    // Who else answers pings is no target.
    let mut other = Ip { src: "10.2.0.9".parse().expect("an address"), ..FORTH.back() }.ping(100);
    other[20] = 0;
    first.feed(0, WAN, &[to_port(WAN, &probe(&mut second, &back, &other))]);
    assert_eq!(heard(&first), (None, None));
}
