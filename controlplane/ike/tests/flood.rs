//! First messages in great numbers: from strangers under false addresses, and from those who have many of their own.

mod common;

use common::*;
use ike::wire::iana::NotifyType;
use ike::wire::{Message, NotifyPayload, Payload};
use ike::{Command, Config, Datagram};
use std::net::SocketAddr;

const RESPONDER: &str = "192.0.2.2:500";

/// A tunnel that is up, and A's first message.
fn tunnel() -> (World, Datagram) {
    let mut world = World::new(open_to_all(A), open_to_all(B));
    world.run(1);
    world.assert_up();
    let first = world.trace[0].1.clone();
    (world, first)
}

/// B takes peers at any address.
fn open_to_all(side: usize) -> ike::Connection {
    let connection = connection(side);
    ike::Connection { remote: connection.remote.filter(|_| side == A), ..connection }
}

/// The first message under another SPI, from `from`.
fn stray(first: &Datagram, n: u32, from: SocketAddr) -> Datagram {
    let mut payload = first.payload.clone();
    payload[..4].copy_from_slice(&(n ^ 0x5555_5555).to_be_bytes());
    Datagram { vrf: 0, local: RESPONDER.parse().expect("an address"), remote: from, payload }
}

fn somebody(n: u32) -> SocketAddr {
    SocketAddr::new(std::net::Ipv4Addr::from_bits(0xc633_6400 + n).into(), 500)
}

/// Hands B a first message; its answer.
fn ask(world: &mut World, datagram: Datagram) -> Option<Message> {
    let now = world.now;
    let b = &mut world.sides[B].manager;
    b.handle_message(datagram, now);
    std::iter::from_fn(|| b.poll_transmit())
        .last()
        .map(|answer| Message::decode(&answer.payload).expect("a message"))
}

fn cookie(answer: &Message) -> Option<NotifyPayload> {
    answer.notify(NotifyType::COOKIE).cloned()
}

/// The same message with the cookie in front.
fn with_cookie(datagram: &Datagram, cookie: NotifyPayload) -> Datagram {
    let mut message = Message::decode(&datagram.payload).expect("a message");
    message.payloads.retain(|p| !matches!(p, Payload::Notify(n) if n.notify_type == NotifyType::COOKIE));
    message.payloads.insert(0, Payload::Notify(cookie));
    Datagram { payload: message.encode().expect("short"), ..datagram.clone() }
}

#[test]
fn a_flood_under_false_addresses_is_answered_with_cookies_and_keeps_nobody_out() {
    let (mut world, first) = tunnel();
    let Config { cookie_threshold, .. } = Config::default();
    for n in 0..5_000 {
        let answer = ask(&mut world, stray(&first, n, somebody(n))).expect("an answer");
        assert_eq!(cookie(&answer).is_some(), n as usize >= cookie_threshold, "{n}");
        // What is sent back then is less than what came in.
        assert!(cookie(&answer).is_none() || answer.encode().unwrap().len() * 2 < first.payload.len());
    }
    assert_eq!(world.sides[B].ike_sas().len(), cookie_threshold + 1);
    assert_eq!(world.sides[B].manager.counters().cookies, 5_000 - cookie_threshold as u64);
    // A, who begins anew, brings its cookie.
    let now = world.now;
    world.sides[A].manager.handle_command(Command::Down(KEY), now);
    world.run(1);
    let now = world.now;
    world.sides[A].manager.handle_command(Command::Initiate(KEY), now);
    world.run(5);
    let carries = |sa: &ike::IkeSaStatus| sa.children.len() == 1;
    assert_eq!(world.sides[B].ike_sas().iter().filter(|sa| carries(sa)).count(), 1);
    // The half-open ones end.
    world.run(40);
    world.assert_up();
}

#[test]
fn strangers_cannot_use_up_the_room_of_another_address() {
    let (mut world, first) = tunnel();
    let Config { cookie_threshold_per_source, max_half_open_per_source, .. } = Config::default();
    let from = somebody(1);
    let mut challenged = Vec::new();
    for n in 0..200 {
        let request = stray(&first, n, from);
        let answer = ask(&mut world, request.clone()).expect("an answer");
        challenged.extend(cookie(&answer).map(|cookie| (request, cookie)));
    }
    assert_eq!(challenged.len(), 200 - cookie_threshold_per_source);
    // The owner of the address reads the answers; it has room, but not without end.
    let answered: Vec<bool> = challenged
        .into_iter()
        .map(|(request, cookie)| ask(&mut world, with_cookie(&request, cookie)).is_some())
        .collect();
    let room = max_half_open_per_source - cookie_threshold_per_source;
    assert!(answered[..room].iter().all(|answered| *answered));
    assert!(!answered[room..].iter().any(|answered| *answered));
    assert_eq!(world.sides[B].ike_sas().len(), max_half_open_per_source + 1);
    assert!(world.sides[B].manager.counters().half_open_limit > 0);
}

#[test]
fn all_half_open_ike_sas_together_are_bounded() {
    let (mut world, first) = tunnel();
    let bound = Config::default().max_half_open / 4 * 3;
    for n in 0..1_000 {
        let request = stray(&first, n, somebody(n / 8));
        if let Some(cookie) = ask(&mut world, request.clone()).as_ref().and_then(cookie) {
            ask(&mut world, with_cookie(&request, cookie));
        }
    }
    assert_eq!(world.sides[B].ike_sas().len(), bound + 1);
    world.run(40);
    assert_eq!(world.sides[B].ike_sas().len(), 1);
}

#[test]
fn a_cookie_is_good_for_its_sender_its_message_and_a_while() {
    let (mut world, first) = tunnel();
    for n in 0..40 {
        ask(&mut world, stray(&first, n, somebody(n)));
    }
    let request = stray(&first, 100, somebody(100));
    let given = ask(&mut world, request.clone()).as_ref().and_then(cookie).expect("a cookie");
    let refused = |world: &mut World, datagram| ask(world, datagram).as_ref().and_then(cookie).is_some();
    // Another address, another SPI, another nonce, another cookie.
    let elsewhere = Datagram { remote: somebody(101), ..request.clone() };
    assert!(refused(&mut world, with_cookie(&elsewhere, given.clone())));
    let other_spi = stray(&first, 102, somebody(100));
    assert!(refused(&mut world, with_cookie(&other_spi, given.clone())));
    let mut other_nonce = Message::decode(&request.payload).unwrap();
    for payload in &mut other_nonce.payloads {
        if let Payload::Nonce(nonce) = payload {
            *nonce = ike::wire::Nonce::new(vec![1; 32]).unwrap();
        }
    }
    let other_nonce = Datagram { payload: other_nonce.encode().unwrap(), ..request.clone() };
    assert!(refused(&mut world, with_cookie(&other_nonce, given.clone())));
    for damage in [0, given.data.len() - 1] {
        let mut damaged = given.clone();
        damaged.data[damage] ^= 1;
        assert!(refused(&mut world, with_cookie(&request, damaged)));
    }
    let empty = NotifyPayload::new(NotifyType::COOKIE, []);
    assert!(refused(&mut world, with_cookie(&request, empty)));
    // Its port may change on the way (a NAT), and a minute may pass, but not three.
    let moved = SocketAddr::new(somebody(100).ip(), 4500);
    assert!(!refused(&mut world, with_cookie(&Datagram { remote: moved, ..request.clone() }, given.clone())));
    let late = stray(&first, 103, somebody(103));
    let cookie_of_late = ask(&mut world, late.clone()).as_ref().and_then(cookie).expect("a cookie");
    world.run(70);
    for n in 200..240 {
        ask(&mut world, stray(&first, n, somebody(n)));
    }
    assert!(!refused(&mut world, with_cookie(&late, cookie_of_late)));
    world.run(70);
    for n in 300..340 {
        ask(&mut world, stray(&first, n, somebody(n)));
    }
    assert!(refused(&mut world, with_cookie(&request, given)));
}

#[test]
fn computing_in_vain_is_a_load_too() {
    let (mut world, first) = tunnel();
    let Config { cookie_threshold, .. } = Config::default();
    let mut challenged = 0;
    for n in 0..200 {
        let mut message = Message::decode(&stray(&first, n, somebody(n)).payload).unwrap();
        for payload in &mut message.payloads {
            if let Payload::Ke(ke) = payload {
                // A point of order four, and a value that is too short.
                ke.data = if n % 2 == 0 { vec![0; ke.data.len()] } else { vec![1] };
            }
        }
        let payload = message.encode().unwrap();
        let answer = ask(&mut world, Datagram { payload, ..stray(&first, n, somebody(n)) });
        challenged += usize::from(answer.as_ref().and_then(cookie).is_some());
    }
    assert_eq!(challenged, 200 - cookie_threshold);
    assert_eq!(world.sides[B].ike_sas().len(), 1);
    // It passes.
    world.run(40);
    let answer = ask(&mut world, stray(&first, 300, somebody(300))).expect("an answer");
    assert!(cookie(&answer).is_none());
}

#[test]
fn a_host_has_the_room_of_one_address_and_each_vrf_its_own() {
    let mut in_two_vrfs = open_to_all(B);
    in_two_vrfs.key = ike::ConnectionKey { connection: 2, tunnel: 8 };
    in_two_vrfs.outer_vrf = 1;
    let v6 = "2001:db8::2".parse().unwrap();
    let over_v6 =
        ike::Connection { key: ike::ConnectionKey { connection: 3, tunnel: 9 }, local: v6, ..open_to_all(B) };
    let (mut world, first) = tunnel();
    let now = world.now;
    world.sides[B].manager.set_connection(in_two_vrfs, now);
    world.sides[B].manager.set_connection(over_v6, now);
    let Config { cookie_threshold_per_source, .. } = Config::default();
    let challenged = |world: &mut World, datagram| ask(world, datagram).as_ref().and_then(cookie).is_some();
    for n in 0..4 {
        assert!(!challenged(&mut world, stray(&first, n, somebody(1))));
    }
    assert_eq!(cookie_threshold_per_source, 4);
    assert!(challenged(&mut world, stray(&first, 4, somebody(1))));
    assert!(!challenged(&mut world, Datagram { vrf: 1, ..stray(&first, 5, somebody(1)) }));
    let host =
        |n: u128| SocketAddr::new(std::net::Ipv6Addr::from_bits(0x2001_0db8_0007 << 80 | n).into(), 500);
    let local = SocketAddr::new(v6, 500);
    for n in 0..8 {
        let datagram = Datagram { local, ..stray(&first, 10 + n, host(u128::from(n) << 40)) };
        assert_eq!(challenged(&mut world, datagram), n >= 4, "{n}");
    }
    let elsewhere = Datagram { local, ..stray(&first, 20, host(1 << 64)) };
    assert!(!challenged(&mut world, elsewhere));
}

#[test]
fn the_last_room_is_for_peers_that_a_connection_names() {
    let (mut world, first) = tunnel();
    let named = ike::Connection {
        key: ike::ConnectionKey { connection: 4, tunnel: 10 },
        remote: Some(somebody(60_000).ip()),
        ..connection(B)
    };
    let now = world.now;
    world.sides[B].manager.set_connection(named, now);
    let mut begin = |n: u32, from: SocketAddr| {
        let request = stray(&first, n, from);
        let answer = ask(&mut world, request.clone())?;
        match cookie(&answer) {
            Some(cookie) => ask(&mut world, with_cookie(&request, cookie)),
            None => Some(answer),
        }
    };
    let most = Config::default().max_half_open / 4 * 3;
    let admitted = (0..1_000).filter(|n| begin(*n, somebody(n / 8)).is_some()).count();
    assert_eq!(admitted, most);
    assert!(begin(2_000, somebody(60_000)).is_some());
}

#[test]
fn what_begins_nothing_is_not_worth_a_cookie() {
    let (mut world, first) = tunnel();
    for n in 0..40 {
        ask(&mut world, stray(&first, n, somebody(n)));
    }
    let mut bare = Message::decode(&first.payload).unwrap();
    bare.payloads.clear();
    bare.header.initiator_spi.0 ^= 1;
    let payload = bare.encode().unwrap();
    let asked = payload.len();
    let answer = ask(&mut world, Datagram { payload, ..stray(&first, 50, somebody(50)) }).expect("an answer");
    assert!(cookie(&answer).is_none() && answer.encode().unwrap().len() <= asked + 8);
}
