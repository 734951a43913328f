//! ESP packets of an independent implementation, opened by the workers; and ours, opened by it.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::frames::{FORTH, HOST_MAC, ethernet, forwarded, ip_of, to_port};
use common::golden::{Golden, bytes, folder, load};
use common::setup::{ChildSa, SECOND, engine, engines, tables};
use common::{Gateway, LAN, WAN, port_mac};
use crypto::Suite;
use packet::esp::SeqNo;

/// The receiving side of a golden packet.
fn sa_of(golden: &Golden) -> ChildSa {
    ChildSa {
        side: SECOND,
        esn: golden.esn.is_some(),
        udp: golden.natt,
        ours: golden.spi,
        inbound_keys: (bytes(&golden.enc_key), bytes(&golden.auth_key)),
        ..ChildSa::new(golden.suite())
    }
}

#[test]
fn every_golden_packet_opens_byte_for_byte() {
    for engine in engines() {
        for golden in load("golden.json") {
            let sa = sa_of(&golden);
            let mut gateway = Gateway::with_engine(1, tables(SECOND, |_| {}), engine.clone());
            sa.install(&mut gateway.tables, &*engine);
            if let Some(high @ 1..) = golden.esn {
                // An SA that is that old: the window is where the packet can be the next one.
                let inbound = gateway.tables.sad().entry(sa.spi()).and_then(|entry| entry.inbound.as_ref());
                let last = SeqNo(u64::from(high) << 32);
                inbound.expect("installed").replay.mark(last).expect("fresh");
            }
            let opened = gateway.feed(0, WAN, &[to_port(WAN, &bytes(&golden.wire))]);
            let expected = ethernet(HOST_MAC, port_mac(LAN), &forwarded(&bytes(&golden.inner)));
            let what = format!("{:?} {golden:?} {:?}", engine.name(), gateway.all_drops());
            assert_eq!(opened, [(LAN, expected)], "{what}");
            gateway.assert_balanced();
        }
    }
}

#[test]
fn what_we_seal_is_what_scapy_seals() {
    for engine in engines() {
        for golden in load("sealed.json") {
            let mirrored = ChildSa {
                esn: golden.esn.is_some(),
                udp: golden.natt,
                theirs: golden.spi,
                outbound_keys: (bytes(&golden.enc_key), bytes(&golden.auth_key)),
                ..ChildSa::new(golden.suite())
            };
            let mut gateway = Gateway::with_engine(1, tables(mirrored.side, |_| {}), engine.clone());
            mirrored.install(&mut gateway.tables, &*engine);
            let entry = gateway.tables.sad().entry(mirrored.spi()).expect("installed");
            let before = u64::from(golden.esn.unwrap_or(0)) << 32 | u64::from(golden.seq - 1);
            entry.outbound.as_ref().expect("installed").sequence.resume_after(SeqNo(before));
            // `inner` is what goes into ESP: the worker takes one from the hop limit first.
            let mut before_hop = bytes(&golden.inner);
            raise_hop_limit(&mut before_hop);
            let sealed = gateway.feed(0, LAN, &[to_port(LAN, &before_hop)]);
            let what = format!("{:?} {golden:?} {:?}", engine.name(), gateway.all_drops());
            assert_eq!(sealed.len(), 1, "{what}");
            assert_eq!(hex::encode(ip_of(&sealed[0].1)), golden.wire, "{what}");
            gateway.assert_balanced();
        }
    }
}

/// The inverse of forwarding.
fn raise_hop_limit(packet: &mut [u8]) {
    packet[8] += 1;
    packet[10..12].fill(0);
    let sum = packet::headers::checksum::checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn scapy_opens_what_we_seal() {
    let mut sent = Vec::new();
    let mut expected = Vec::new();
    for suite in Suite::all() {
        for (udp, esn) in [(false, false), (false, true), (true, false), (true, true)] {
            let sa = ChildSa { udp, esn, ..ChildSa::new(suite) };
            let engine = engine();
            let mut gateway = Gateway::with_engine(1, tables(sa.side, |_| {}), engine.clone());
            sa.install(&mut gateway.tables, &*engine);
            for (seq, len) in [(1, 56), (2, 301)] {
                let sealed = gateway.feed(0, LAN, &[to_port(LAN, &FORTH.ping(len))]);
                sent.push(describe(&sa, seq, ip_of(&sealed[0].1)));
                expected.push(hex::encode(forwarded(&FORTH.ping(len))));
            }
        }
    }
    assert_eq!(open_by_scapy(&sent), expected);
}

fn describe(sa: &ChildSa, seq: u32, wire: &[u8]) -> Golden {
    let (encryption, key_bits) = sa.suite.cipher().transform();
    Golden {
        suite: (encryption, key_bits, sa.suite.integrity().map_or(0, crypto::Integrity::transform)),
        natt: sa.udp,
        esn: sa.esn.then_some(0),
        seq,
        spi: sa.theirs,
        enc_key: hex::encode(&sa.outbound_keys.0),
        auth_key: hex::encode(&sa.outbound_keys.1),
        iv: String::new(),
        inner: String::new(),
        wire: hex::encode(wire),
    }
}

fn open_by_scapy(packets: &[Golden]) -> Vec<String> {
    let mut python = Command::new("/usr/bin/python3")
        .arg(folder().join("esp.py"))
        .arg("open")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Debian's python3 with python3-scapy and python3-cryptography");
    let text = serde_json::to_vec(packets).expect("plain data");
    let mut stdin = python.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || stdin.write_all(&text));
    let output = python.wait_with_output().expect("its output");
    writer.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "scapy refused a packet");
    serde_json::from_slice(&output.stdout).expect("a list of packets")
}
