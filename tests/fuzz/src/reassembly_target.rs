//! Fragments at random, from few sources and under few identifications, so that they meet.

use std::collections::{BTreeMap, BTreeSet};

use packet::DropReason;
use packet::flow::Flow;
use packet::headers::{checksum, ipv4::Ipv4Repr, ipv6::Ipv6Repr};
use packet::reassembly::{Complete, Fragment, Limits, MAX_FRAGMENTS, Reassembly};

/// Bytes of the input for the limits, and for each fragment.
const HEAD: usize = 3;
const STEP: usize = 6;
/// The first sources are peers.
const PEERS: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A fragment as the input describes it.
#[derive(Clone, Copy)]
struct Described {
    is_v6: bool,
    source: u8,
    identification: u8,
    scope: u8,
    protocol: u8,
    /// Bytes.
    offset: u16,
    len: u16,
    more: bool,
    ecn: u8,
}

/// What tells the fragments of one datagram from others.
type Key = (bool, u8, u8, u8, u8);

/// A fragment on its way through the hold.
struct Buffer {
    serial: usize,
    described: Described,
    packet: Vec<u8>,
}

/// What must be held, and what ended, beside the hold itself.
struct Model {
    hold: Reassembly<u8, Buffer>,
    limits: Limits,
    now: u64,
    live: BTreeMap<usize, (Described, u64)>,
}

/// Feeds fragments to a hold with limits of the input's choice, and checks all of its promises after each.
pub fn reassembly(data: &[u8]) {
    let Some((&[datagrams, per_source, patience], steps)) = data.split_first_chunk::<HEAD>() else { return };
    let limits = Limits {
        datagrams: usize::from(datagrams % 9),
        per_source: usize::from(per_source % 5),
        patience: u64::from(patience % 64) + 1,
    };
    let mut model = Model { hold: Reassembly::new(limits), limits, now: 0, live: BTreeMap::new() };
    for (serial, step) in steps.chunks_exact(STEP).enumerate() {
        model.pass_time(u64::from(step[5] >> 4));
        model.feed(serial, Described::read(step));
        model.check();
    }
    model.pass_time(limits.patience);
    assert_eq!((model.hold.held(), model.live.len()), (0, 0), "patience ends");
}

impl Described {
    fn read(step: &[u8]) -> Self {
        let units = u16::from(step[2]) | u16::from(step[0] >> 6) << 8;
        let more = step[0] & 2 != 0;
        let tail = if more { 0 } else { u16::from(step[3] >> 6) };
        Self {
            is_v6: step[0] & 1 != 0,
            source: step[1] & 7,
            identification: step[1] >> 3 & 7,
            scope: step[1] >> 6,
            protocol: if step[0] & 4 == 0 { UDP } else { TCP },
            offset: units * 8,
            len: u16::from(step[3] & 63) * 8 + tail,
            more,
            ecn: step[4] & 3,
        }
    }

    fn key(&self) -> Key {
        let protocol = if self.is_v6 { 0 } else { self.protocol };
        (self.is_v6, self.source, self.identification, self.scope, protocol)
    }

    /// The packet, with a payload that no other fragment has.
    fn packet(&self, serial: usize) -> Vec<u8> {
        let payload = (0..self.len).map(|i| i.to_be_bytes()[1] ^ serial.to_le_bytes()[0].wrapping_mul(37));
        let mut packet = if self.is_v6 { self.ipv6() } else { self.ipv4() };
        packet.extend(payload);
        packet
    }

    fn ipv4(&self) -> Vec<u8> {
        let repr = Ipv4Repr {
            tos: self.ecn,
            identification: self.identification.into(),
            dont_fragment: false,
            ttl: 64,
            protocol: self.protocol,
            src: [10, 0, 0, self.source + 1].into(),
            dst: [10, 0, 1, 1].into(),
            payload_len: self.len,
        };
        let mut header = repr.emit().to_vec();
        let units = self.offset / 8;
        let field = if self.more { units | 0x2000 } else { units };
        header[6..8].copy_from_slice(&field.to_be_bytes());
        header[10..12].fill(0);
        let sum = checksum::checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    fn ipv6(&self) -> Vec<u8> {
        let repr = Ipv6Repr {
            traffic_class: self.ecn,
            next_header: packet::headers::ipv6::FRAGMENT,
            hop_limit: 64,
            src: [0x2001, 0xdb8, 0, self.source.into(), 0, 0, 0, 1].into(),
            dst: [0x2001, 0xdb8, 9, 0, 0, 0, 0, 1].into(),
            payload_len: 8 + self.len,
        };
        let field = self.offset | u16::from(self.more);
        let [a, b] = field.to_be_bytes();
        [&repr.emit()[..], &[self.protocol, 0, a, b, 0, 0, 0, self.identification]].concat()
    }
}

impl Model {
    fn pass_time(&mut self, ticks: u64) {
        self.now += ticks;
        let Self { hold, live, now, .. } = self;
        hold.expire(*now, &mut |buffer: Buffer, reason| {
            assert_eq!(reason, DropReason::ReassemblyTimeout);
            assert!(live.remove(&buffer.serial).is_some());
        });
    }

    fn feed(&mut self, serial: usize, described: Described) {
        let packet = described.packet(serial);
        let flow = Flow::parse(&packet).expect("the headers are sound");
        let Ok(fragment) = Fragment::parse(described.scope, &packet, &flow) else { return };
        let Self { hold, live, now, .. } = self;
        live.insert(serial, (described, *now));
        let buffer = Buffer { serial, described, packet };
        let known = described.source < PEERS;
        let complete = hold.insert(fragment, known, buffer, *now, &mut |buffer: Buffer, _| {
            assert!(live.remove(&buffer.serial).is_some(), "a buffer ends once");
        });
        if let Some(complete) = complete {
            self.take(complete, described.key());
        }
    }

    /// A packet is made of fragments of one datagram that lie side by side, and of nothing else.
    fn take(&mut self, complete: Complete<Buffer>, key: Key) {
        let mut out = vec![0; complete.packet_len()];
        let written = complete.write(|buffer| &buffer.packet, &mut out);
        let header = if key.0 { 40 } else { 20 };
        let (mut end, mut ecn) = (0, BTreeSet::new());
        for Buffer { serial, described, packet } in complete.into_buffers() {
            assert!(self.live.remove(&serial).is_some(), "it was held");
            assert_eq!((described.key(), described.offset), (key, end));
            let from = usize::from(described.offset);
            end += described.len;
            let data = &packet[packet.len() - usize::from(described.len)..];
            assert!(written.is_err() || out[header + from..header + usize::from(end)] == *data);
            ecn.insert(described.ecn);
        }
        assert_eq!(out.len(), header + usize::from(end));
        let refused =
            if ecn.contains(&0) && ecn.contains(&3) { Err(DropReason::EcnNotCapable) } else { Ok(()) };
        assert_eq!(written, refused);
        if written.is_ok() {
            let flow = Flow::parse(&out).expect("what was put together is sound");
            assert!(!flow.fragment && usize::from(flow.len) == out.len());
        }
    }

    /// The bounds, and that no two held fragments of a datagram overlap.
    fn check(&self) {
        let Limits { datagrams, per_source, patience } = self.limits;
        assert_eq!(self.hold.held(), self.live.len(), "every buffer is held or has ended");
        let mut of: BTreeMap<Key, Vec<Described>> = BTreeMap::new();
        for (described, since) in self.live.values() {
            assert!(since + patience > self.now);
            of.entry(described.key()).or_default().push(*described);
        }
        assert!(of.len() <= datagrams);
        let strangers = of.keys().filter(|key| key.1 >= PEERS).count();
        assert!(strangers <= datagrams.div_ceil(2));
        for source in of.keys().map(|key| (key.0, key.1)) {
            let own = of.keys().filter(|key| (key.0, key.1) == source).count();
            assert!(own <= per_source.max(1));
        }
        for pieces in of.values_mut() {
            assert!(pieces.len() <= MAX_FRAGMENTS);
            pieces.sort_by_key(|piece| piece.offset);
            assert!(pieces.windows(2).all(|pair| pair[0].offset + pair[0].len <= pair[1].offset));
        }
    }
}
