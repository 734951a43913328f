//! Messages that the path is too narrow for go in fragments (RFC 7383).

mod common;

use common::*;
use ike::wire::iana::{ExchangeType, NotifyType};
use ike::wire::{Message, MessageId};
use ike::{Command, Connection, Datagram, Identity};
use std::net::IpAddr;

/// So narrow that every exchange with a proposal takes several fragments.
const NARROW: u16 = 220;
/// IPv6, UDP and the non-ESP marker.
const HEADERS: usize = 52;

fn narrow(side: usize) -> Connection {
    Connection { fragment_size: Some(NARROW), ..connection(side) }
}

/// Everything after IKE_SA_INIT that a side sent: the message, and how many bytes it has.
fn sealed(world: &World) -> Vec<(Message, usize)> {
    let read =
        |(_, d): &(usize, Datagram)| (Message::decode(&d.payload).expect("a message"), d.payload.len());
    world.trace.iter().map(read).filter(|(m, _)| m.header.exchange != ExchangeType::IKE_SA_INIT).collect()
}

fn rekey_everything(world: &mut World) {
    for at in [A, B] {
        let (child, ike) = (world.sides[at].child().sa.spi, world.sides[at].ike_sa().id);
        world.command(at, Command::RekeyChild(child));
        world.run(60);
        world.command(at, Command::RekeyIke(ike));
        world.run(60);
    }
}

#[test]
fn every_exchange_fits_a_narrow_path() {
    let mut world = World::new(narrow(A), narrow(B));
    world.run(5);
    rekey_everything(&mut world);
    world.assert_up();
    let sent = sealed(&world);
    assert!(sent.iter().all(|(_, len)| len + HEADERS <= usize::from(NARROW)));
    for exchange in [ExchangeType::IKE_AUTH, ExchangeType::CREATE_CHILD_SA] {
        for response in [false, true] {
            let parts = |(m, _): &&(Message, usize)| {
                let fragments = m.encrypted_fragment().is_some_and(|fragment| fragment.total > 1);
                m.header.exchange == exchange && m.header.flags.response == response && fragments
            };
            assert!(sent.iter().filter(parts).count() > 1, "{exchange} {response}");
        }
    }
}

#[test]
fn fragments_are_lost_repeated_and_reordered() {
    for seed in 1..40 {
        let network = Network { loss: 20, duplication: 20, delay: 300, ..Network::default() };
        let mut world = World::seeded(narrow(A), narrow(B), seed, network);
        world.run(200);
        world.network = Network::default();
        world.run(200);
        rekey_everything(&mut world);
        world.assert_up();
    }
}

#[test]
fn a_process_that_dies_between_fragments_carries_on() {
    let mut world = World::new(narrow(A), narrow(B));
    world.sides[A].restart_always = true;
    world.sides[B].restart_always = true;
    world.run(60);
    world.sides[A].restart_always = false;
    world.sides[B].restart_always = false;
    world.run(60);
    rekey_everything(&mut world);
    world.assert_up();
}

#[test]
fn a_peer_that_takes_no_fragments_gets_none() {
    for without in [A, B] {
        let of = |side| if side == without { None } else { Some(NARROW) };
        let [a, b] = [A, B].map(|side| Connection { fragment_size: of(side), ..connection(side) });
        let mut world = World::new(a, b);
        world.run(5);
        world.assert_up();
        let sent = sealed(&world);
        assert!(sent.iter().all(|(message, _)| message.encrypted().is_some()));
        let told = |(at, d): &(usize, Datagram)| {
            let message = Message::decode(&d.payload).expect("a message");
            *at == without && message.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some()
        };
        assert!(!world.trace.iter().any(told));
    }
}

/// Identities as long as a chain of certificates.
fn long_winded(side: usize) -> Connection {
    let name = |side: usize| Identity::KeyId(vec![[1, 2][side]; 2500]);
    Connection { local_id: name(side), remote_id: name(1 - side), ..connection(side) }
}

#[test]
fn what_a_black_hole_swallows_is_cut_smaller() {
    let mut world = World::new(long_winded(A), long_winded(B));
    world.network.longest = Some(576 - HEADERS);
    world.run(30);
    world.assert_up();
    // What was learned lasts: the next IKE SA, too, begins with what arrives.
    let before = world.trace.len();
    rekey_everything(&mut world);
    world.assert_up();
    let sent: Vec<usize> = world.trace[before..].iter().map(|(_, d)| d.payload.len()).collect();
    assert!(sent.iter().all(|len| len + HEADERS <= 576), "{sent:?}");
}

#[test]
fn on_ipv6_nothing_is_cut_below_its_least_mtu() {
    let six = |side: usize| -> IpAddr { [0x2001, 0xdb8, 0, 0, 0, 0, 0, [1, 2][side]].into() };
    let [a, b] = [A, B].map(|side| Connection {
        local: six(side),
        remote: Some(six(1 - side)),
        fragment_size: Some(9000),
        ..long_winded(side)
    });
    let mut world = World::new(a, b);
    for longest in [1280 - HEADERS, 576 - HEADERS] {
        world.network.longest = Some(longest);
        world.command(A, Command::Initiate(KEY));
        world.run(60);
        let first =
            sealed(&world).into_iter().filter(|(m, _)| m.encrypted_fragment().is_some_and(|f| f.number == 1));
        assert!(first.map(|(_, len)| len).all(|len| len > 1280 - HEADERS - 16));
        if longest > 1000 {
            world.assert_up();
            world.command(A, Command::Down(KEY));
            world.run(60);
        }
    }
}

#[test]
fn of_a_repeated_request_the_first_fragment_has_the_response_sent_again() {
    let mut world = World::new(narrow(A), narrow(B));
    world.run(5);
    let request = |m: &Message| m.header.message_id == MessageId(1) && !m.header.flags.response;
    let number = |d: &Datagram| {
        let message = Message::decode(&d.payload).expect("a message");
        message.encrypted_fragment().filter(|_| request(&message)).map(|fragment| fragment.number)
    };
    let parts: Vec<(u16, Datagram)> = world
        .trace
        .iter()
        .filter(|(at, _)| *at == A)
        .filter_map(|(_, d)| Some((number(d)?, d.clone())))
        .collect();
    assert!(parts.len() > 1);
    let now = world.now;
    for (number, sent) in parts {
        let arriving = Datagram { local: sent.remote, remote: sent.local, ..sent };
        let b = &mut world.sides[B].manager;
        b.handle_message(arriving, now);
        let answers = std::iter::from_fn(|| b.poll_transmit()).count();
        assert_eq!(answers > 1, number == 1, "fragment {number}");
    }
}
