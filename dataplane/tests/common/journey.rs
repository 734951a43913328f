//! A whole worker under random input: tables, packets and time all come from one string of bytes.
//!
//! The fuzz target `worker_pipeline` runs it, and a test runs it over the committed corpus.

use std::net::IpAddr;

use crypto::Suite;
use esplanade_dataplane::journey::{Lens, Photo, Point};
use esplanade_dataplane::shared::{AgentWork, FromAgent, Tables};
use esplanade_dataplane::worker::HeapBuffer;
use packet::esp::DfPolicy;
use packet::flow::Flow;
use packet::headers::protocol;
use packet::spd::Action;
use packet::tables::Change;

use super::frames::{FORTH, ethernet, ip_of, to_port};
use super::setup::{
    ChildSa, FIRST, INNER, INTO_TUNNEL, OUTER, SECOND, Side, V4_OVER_V6, V6_OVER_V4, V6_OVER_V6, address,
    prefix, spd_entry, tables,
};
use super::{Gateway, LAN, WAN, port_mac};

/// Frames that one input may cause.
const MAX_STEPS: usize = 64;

/// Takes an input through two gateways. Panics when a packet is unaccounted for, or leaves the outside
/// interface in clear though no bypass entry names it. Returns how many frames left, outside and inside.
pub fn run(data: &[u8]) -> [usize; 2] {
    let mut input = Input(data);
    let (first, second) = [(FIRST, SECOND), V6_OVER_V4, V4_OVER_V6, V6_OVER_V6][input.below(4)];
    let suites = [(20, 128, 0), (12, 128, 2), (12, 256, 14), (3, 0, 1)];
    let (encryption, key_bits, integrity) = suites[input.below(suites.len())];
    let suite = Suite::from_transforms(encryption, key_bits, integrity).expect("a suite");
    let flags = input.byte();
    let sa = ChildSa {
        side: first,
        esn: flags & 1 != 0,
        udp: flags & 2 != 0,
        replay_window: 64,
        ..ChildSa::new(suite)
    };
    let df = [DfPolicy::Copy, DfPolicy::Set, DfPolicy::Clear][input.below(3)];
    let mut ours = Gateway::new(1 + usize::from(flags >> 2 & 1), tables(first, |tunnel| tunnel.df = df));
    let mut theirs = Gateway::new(1, tables(second, |_| {}));
    sa.install(&mut ours.tables, &*ours.engine);
    sa.mirrored().install(&mut theirs.tables, &*theirs.engine);
    if flags & 8 != 0 {
        let photo = Some(Photo { point: Point::PreCrypto, snap_len: 100 });
        ours.watch(&[Lens::default(), Lens { photo, ..Lens::default() }]);
    }
    let mut bypass = false;
    let mut left = [0; 2];
    for _ in 0..MAX_STEPS {
        let Some(step) = input.next() else { break };
        let sent = take_step(step, &mut input, &mut ours, &mut theirs, first, &mut bypass);
        for (port, frame) in &sent {
            left[port.index()] += 1;
            assert!(
                *port != WAN || bypass || may_leave(&ours.tables, ip_of(frame)),
                "in clear: {frame:02x?}"
            );
        }
    }
    ours.assert_balanced();
    theirs.assert_balanced();
    ours.journeys();
    left
}

/// One packet, or one change of the tables or the clock; returns what our gateway sent.
fn take_step(
    step: u8,
    input: &mut Input<'_>,
    ours: &mut Gateway,
    theirs: &mut Gateway,
    side: Side,
    bypass: &mut bool,
) -> Vec<(packet::PortId, Vec<u8>)> {
    match step % 10 {
        // Frames as they are, and IP packets in sound frames.
        0 => ours.feed(0, WAN, &[input.rest_of_step()]),
        1 => ours.feed(0, LAN, &[input.rest_of_step()]),
        2 => ours.feed(0, WAN, &[to_port(WAN, &input.rest_of_step())]),
        3 => ours.feed(0, LAN, &[to_port(LAN, &input.rest_of_step())]),
        // A sound packet between the networks, of any size, and with some bytes changed.
        4 => {
            let len = input.below(2000);
            let inner = input.mutate(inner(side, len));
            ours.feed(0, LAN, &[to_port(LAN, &inner)])
        }
        // What the peer seals, whole or altered.
        5 | 6 => {
            let len = input.below(1400);
            let reply = inner_back(side, len);
            let sealed = theirs.feed(0, LAN, &[to_port(LAN, &reply)]);
            let frames: Vec<_> =
                sealed.iter().map(|(_, frame)| input.mutate(ip_of(frame).to_vec())).collect();
            let frames: Vec<_> = frames.iter().map(|ip| ethernet(port_mac(WAN), port_mac(LAN), ip)).collect();
            ours.feed(ours.pipelines.len() - 1, WAN, &frames)
        }
        7 => {
            let packet = HeapBuffer::new(&input.rest_of_step());
            let vrf = if step & 0x10 == 0 { INNER } else { OUTER };
            let work = if step & 0x20 == 0 { AgentWork::Forward { vrf } } else { AgentWork::Own { vrf } };
            ours.send_by_agent(FromAgent { packet, work })
        }
        8 => {
            *bypass |= change(input, ours, side);
            Vec::new()
        }
        _ => {
            ours.now += u64::from(input.byte()) * 16;
            ours.settle();
            std::mem::take(&mut ours.wire.frames)
        }
    }
}

/// A change of our tables that an operator might make; true if it allowed something in clear.
fn change(input: &mut Input<'_>, gateway: &mut Gateway, side: Side) -> bool {
    let network = prefix(side.peer_network);
    let (change, allows) = match input.below(4) {
        0 => (Change::DeleteRoute { vrf: INNER, prefix: network }, false),
        1 => (Change::PutRoute { vrf: INNER, prefix: network, next_hop: INTO_TUNNEL }, false),
        2 => (
            Change::DeleteOutbound(ChildSa::new(Suite::from_transforms(20, 128, 0).expect("a suite")).spi()),
            false,
        ),
        _ => {
            let mut entry = spd_entry(Action::Bypass, prefix(side.network), network);
            (entry.selectors.local.protocol, entry.selectors.remote.protocol) = (17, 17);
            (Change::PutSpdEntry { vrf: INNER, order: 0, entry }, true)
        }
    };
    let mut next = gateway.tables.clone();
    if next.apply(change).is_ok() {
        next.commit();
        gateway.tables = next;
    }
    allows
}

/// Rule 2: an outside interface emits ESP, and what comes from an address of ours.
fn may_leave(tables: &Tables, ip: &[u8]) -> bool {
    Flow::parse(ip).is_ok_and(|flow| {
        let ours = tables.is_local(OUTER, flow.src);
        ours && (flow.protocol != protocol::TCP) && !tables.is_local(INNER, flow.src)
    })
}

fn inner(side: Side, len: usize) -> Vec<u8> {
    between(address(side.host), first_of(side.peer_network), len)
}

fn inner_back(side: Side, len: usize) -> Vec<u8> {
    between(first_of(side.peer_network), address(side.host), len)
}

fn first_of(network: &str) -> IpAddr {
    match prefix(network).address() {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() + 1).into()),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() + 1).into()),
    }
}

/// A UDP datagram of `len` bytes, IPv4 without DF.
fn between(src: IpAddr, dst: IpAddr, len: usize) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            super::frames::Ip { src, dst, dont_fragment: false, ..FORTH }.udp(4000, 5000, len)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let payload_len = u16::try_from(8 + len).expect("fits");
            let repr = packet::headers::ipv6::Ipv6Repr {
                traffic_class: 0,
                next_header: protocol::UDP,
                hop_limit: 64,
                src,
                dst,
                payload_len,
            };
            let udp = [&[15, 160, 19, 136][..], &payload_len.to_be_bytes(), &[1, 1], &vec![7; len]].concat();
            [&repr.emit()[..], &udp].concat()
        }
        _ => unreachable!("the networks of a side are of one family"),
    }
}

/// The bytes that decide.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()])) % limit
    }

    /// As many bytes as the next two say and there are.
    fn rest_of_step(&mut self) -> Vec<u8> {
        let len = self.below(2048).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken.to_vec()
    }

    /// Changes up to three bytes of a packet.
    fn mutate(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.byte() % 4 {
            let at = self.below(packet.len());
            packet[at] ^= self.byte();
        }
        packet
    }
}
