//! What anybody can claim about lost SAs: it is looked into, and believed only where the peer proves it.

mod common;

use common::*;
use ike::wire::iana::{ExchangeType, NotifyType};
use ike::wire::{Flags, Header, IkeSpi, Message, MessageId, NotifyPayload, Payload, Version};
use ike::*;
use std::net::SocketAddr;

/// Hands a gateway a datagram; what it sends at once.
fn hand(world: &mut World, to: usize, datagram: Datagram) -> Vec<Datagram> {
    let now = world.now;
    let manager = &mut world.sides[to].manager;
    manager.handle_message(datagram, now);
    std::iter::from_fn(|| manager.poll_transmit()).collect()
}

/// The last message of A as B would get it.
fn last_of_a(world: &World) -> Datagram {
    let (_, sent) = world.trace.iter().rev().find(|(from, _)| *from == A).expect("A sent something");
    Datagram { local: sent.remote, remote: sent.local, ..sent.clone() }
}

/// A protected request of an IKE SA that B does not have.
fn of_nowhere(world: &World, n: u8) -> Datagram {
    let mut datagram = last_of_a(world);
    datagram.payload[..16].fill(n);
    datagram
}

/// An unprotected message to A from B's address.
fn forged(world: &World, header: Header, notify: NotifyPayload) -> Datagram {
    let payload = Message { header, payloads: vec![Payload::Notify(notify)] }.encode().expect("short");
    let last = last_of_a(world);
    Datagram { vrf: 0, local: last.remote, remote: last.local, payload }
}

#[test]
fn a_request_for_an_unknown_ike_sa_is_answered_so_often_and_no_more() {
    let mut world = up();
    let request = of_nowhere(&world, 7);
    let asked = Header::decode(&request.payload).expect("a header").0;
    let answers = hand(&mut world, B, request.clone());
    let answer = Message::decode(&answers[0].payload).expect("in clear");
    assert_eq!((answers.len(), answers[0].remote), (1, request.remote));
    assert!(answer.notify(NotifyType::INVALID_IKE_SPI).is_some());
    assert_eq!(answer.header.initiator_spi, asked.initiator_spi);
    assert_eq!((answer.header.message_id, answer.header.exchange), (asked.message_id, asked.exchange));
    assert!(answer.header.flags.response && !answer.header.flags.initiator);
    let flood = (0..100).map(|n| of_nowhere(&world, 100 + n)).collect::<Vec<_>>();
    let answered: usize = flood.into_iter().map(|datagram| hand(&mut world, B, datagram).len()).sum();
    assert_eq!(answered, 9);
}

#[test]
fn responses_strangers_and_short_messages_are_not_answered() {
    let mut world = up();
    let request = of_nowhere(&world, 7);
    let mut response = request.clone();
    response.payload[19] |= 0x20;
    let stranger: SocketAddr = "198.51.100.1:500".parse().expect("an address");
    let mut short = request.clone();
    short.payload.truncate(28);
    short.payload[24..28].copy_from_slice(&28_u32.to_be_bytes());
    for datagram in [response, Datagram { remote: stranger, ..request }, short] {
        assert_eq!(hand(&mut world, B, datagram), []);
    }
    assert_eq!(world.sides[B].manager.counters().unknown_spi, 3);
}

#[test]
fn a_forged_denial_has_the_peer_asked_again_and_ends_nothing() {
    let mut world = up();
    world.network.loss = 100;
    world.run(10);
    let probe = last_of_a(&world);
    let asked = Header::decode(&probe.payload).expect("a header").0;
    let flags = Flags { initiator: false, version: false, response: true };
    let denial = NotifyPayload::new(NotifyType::INVALID_IKE_SPI, []);
    let denial = forged(&world, Header { flags, ..asked }, denial);
    let again: Vec<_> = (0..50).flat_map(|_| hand(&mut world, A, denial.clone())).collect();
    assert_eq!(again.iter().map(|d| &d.payload).collect::<Vec<_>>(), [&probe.payload]);
    world.network.loss = 0;
    world.run(20);
    world.assert_up();
    assert_eq!(world.sides[A].manager.counters().doubts, 1);
}

#[test]
fn a_one_way_invalid_spi_is_a_reason_to_probe() {
    let mut world = up();
    let sent_to = world.sides[A].child().sa.peer_spi;
    let header = Header {
        initiator_spi: IkeSpi(0x1234),
        responder_spi: IkeSpi(0x5678),
        version: Version::V2,
        exchange: ExchangeType::INFORMATIONAL,
        flags: Flags { initiator: true, version: false, response: false },
        message_id: MessageId(0),
    };
    let claim = |spi: u32| NotifyPayload::new(NotifyType::INVALID_SPI, spi.to_be_bytes());
    let unknown = forged(&world, header, claim(sent_to ^ 1));
    assert_eq!(hand(&mut world, A, unknown), []);
    let lost = forged(&world, header, claim(sent_to));
    let probes: Vec<_> = (0..5).flat_map(|_| hand(&mut world, A, lost.clone())).collect();
    assert_eq!(probes.len(), 1);
    let probe = Header::decode(&probes[0].payload).expect("a header").0;
    assert_eq!((probe.exchange, probe.flags.response), (ExchangeType::INFORMATIONAL, false));
    world.run(20);
    world.assert_up();
}

#[test]
fn esp_that_a_restarted_gateway_does_not_know_brings_the_tunnel_back_at_once() {
    let b = Connection { start: Start::OnTraffic, ..connection(B) };
    let mut world = World::new(connection(A), b);
    world.run(20);
    world.sides[B].journal.clear();
    world.sides[B].children.clear();
    let now = world.now;
    world.sides[B].restart(now);
    world.command(B, Command::UnknownSpi(KEY));
    world.run(1);
    world.assert_up();
    assert!(!world.sides[A].ike_sa().initiator);
    let restarted = |e: &Event| matches!(e, Event::IkeDeleted { why: Gone::PeerRestarted, .. });
    assert!(world.sides[A].events.iter().any(restarted));
}

#[test]
fn unknown_esp_of_a_peer_that_is_there_is_asked_about_and_a_tunnel_that_is_down_stays_down() {
    let mut world = up();
    let before = world.trace.len();
    (0..5).for_each(|_| world.command(A, Command::UnknownSpi(KEY)));
    world.run(1);
    assert_eq!(world.trace.len(), before + 2, "one probe and its answer");
    world.command(A, Command::Down(KEY));
    world.run(1);
    world.command(A, Command::UnknownSpi(KEY));
    world.run(1);
    assert!(world.sides[A].ike_sas().is_empty());
}
