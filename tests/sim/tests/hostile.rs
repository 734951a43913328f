//! Datagrams from strangers, old ones, and damaged ones.

use ike::wire::iana::{ExchangeType, NotifyType, PayloadType};
use ike::wire::{Flags, Header, IkeSpi, Message, MessageId, Version};
use ike::{Datagram, Event};
use sim::{Link, Random, Scenario, Side, World};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A tunnel that was established, rekeyed and probed, so that the wire has seen everything.
fn lived(seed: u64) -> World {
    let mut world = World::new(Scenario::modern(), Link::GOOD, seed);
    world.settle(MINUTE);
    for _ in 0..2 {
        let [a, b] = world.ike_pair().expect("settled");
        world.command(Side::A, ike::Command::RekeyChild(a.children[0].spi));
        world.run_for(Duration::from_secs(20));
        world.command(Side::B, ike::Command::RekeyIke(b.id));
        world.run_for(MINUTE);
        world.settle(MINUTE);
    }
    world
}

fn names(world: &World) -> (u64, u32, u32) {
    let [a, b] = world.ike_pair().unwrap_or_else(|| panic!("{}", world.report()));
    (a.initiator_spi.0, a.children[0].spi, b.children[0].spi)
}

/// After whatever was done, the same SAs carry packets and everything else is forgotten.
fn assert_unimpressed(world: &mut World, before: (u64, u32, u32)) {
    world.start_traffic();
    world.run_for(2 * MINUTE);
    world.stop_traffic();
    world.run_for(Duration::from_secs(1));
    world.settle(MINUTE);
    assert_eq!(names(world), before);
    assert_eq!(world.lost_packets, 0);
    let failed = |e: &Event| matches!(e, Event::IkeDeleted { key: Some(_), .. });
    for side in Side::BOTH {
        assert!(world.count_events(side, failed) <= 2, "{}", world.report());
    }
}

#[test]
fn old_datagrams_change_nothing() {
    let mut world = lived(1);
    let before = names(&world);
    for (side, datagram) in world.wire().to_vec() {
        world.inject(side, datagram.clone());
        world.inject(side.peer(), Datagram { local: datagram.remote, remote: datagram.local, ..datagram });
    }
    assert_unimpressed(&mut world, before);
}

#[test]
fn old_datagrams_from_elsewhere_move_nothing() {
    let mut world = lived(2);
    let before = names(&world);
    for (side, datagram) in world.wire().to_vec() {
        world.inject(side, Datagram { remote: "203.0.113.9:4500".parse().unwrap(), ..datagram });
    }
    assert_unimpressed(&mut world, before);
    let [a, b] = world.ike_pair().expect("settled");
    assert_eq!((a.remote, b.remote), (b.local, a.local));
}

#[test]
fn damaged_datagrams_change_nothing() {
    let mut random = Random::new(3);
    let mut world = lived(3);
    let before = names(&world);
    for (side, datagram) in world.wire().to_vec() {
        for _ in 0..40 {
            let mut damaged = datagram.clone();
            let len = damaged.payload.len() as u64;
            let at = usize::try_from(random.below(len)).unwrap();
            match random.below(4) {
                0 => damaged.payload.truncate(at),
                1 => damaged.payload.insert(at, 0),
                2 => damaged.payload[at] ^= 0xff,
                _ => damaged.payload[at..].fill(0xff),
            }
            world.inject(side, damaged);
        }
    }
    assert_unimpressed(&mut world, before);
}

/// Headers that name our IKE SAs, in front of what a stranger can make up.
#[test]
fn forged_datagrams_change_nothing() {
    let mut random = Random::new(4);
    let mut world = lived(4);
    let before = names(&world);
    let [a, b] = world.ike_pair().expect("settled");
    for _ in 0..3_000 {
        let side = if random.chance(50) { Side::A } else { Side::B };
        let sa = if side == Side::A { &a } else { &b };
        let header = Header {
            initiator_spi: sa.initiator_spi,
            responder_spi: if random.chance(80) { sa.responder_spi } else { IkeSpi::ZERO },
            version: Version { major: if random.chance(90) { 2 } else { 1 }, minor: 0 },
            exchange: ExchangeType(34 + u8::try_from(random.below(4)).unwrap()),
            flags: Flags { initiator: random.chance(50), version: false, response: random.chance(50) },
            message_id: MessageId(u32::try_from(random.below(6)).unwrap()),
        };
        let body: Vec<u8> =
            (0..random.below(200)).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        let mut payload = Vec::new();
        let length = u32::try_from(ike::wire::HEADER_LEN + 4 + body.len()).unwrap();
        header.encode(PayloadType(33 + u8::try_from(random.below(21)).unwrap()), length, &mut payload);
        payload.extend_from_slice(&[0, 0]);
        payload.extend_from_slice(&u16::try_from(4 + body.len()).unwrap().to_be_bytes());
        payload.extend_from_slice(&body);
        world.inject(side, Datagram { vrf: 0, local: sa.local, remote: sa.remote, payload });
    }
    assert_unimpressed(&mut world, before);
    let counters = world.gateway(Side::A).manager.counters();
    assert!(counters.ikev1 > 0 && counters.unauthentic > 0 && counters.malformed > 0, "{counters:?}");
}

/// An unprotected error from anybody must not end a negotiation (RFC 7296 section 2.21.1 and 2.4).
#[test]
fn a_forged_error_does_not_stop_a_negotiation() {
    let mut world = World::new(Scenario::modern(), Link::GOOD, 5);
    assert!(world.step(world.now + MINUTE));
    let (_, request) = world.wire().first().cloned().expect("IKE_SA_INIT is on its way");
    let (header, _) = Header::decode(&request.payload).unwrap();
    let notify = ike::wire::NotifyPayload::new(NotifyType::NO_PROPOSAL_CHOSEN, []);
    let forged = Message {
        header: Header {
            responder_spi: IkeSpi::ZERO,
            flags: Flags { response: true, ..Flags::default() },
            ..header
        },
        payloads: vec![ike::wire::Payload::Notify(notify)],
    };
    let payload = forged.encode().unwrap();
    world.inject(Side::A, Datagram { local: request.remote, remote: request.local, payload, ..request });
    // It may cost time, not the tunnel.
    world.run_for(MINUTE);
    world.settle(5 * MINUTE);
}

#[test]
fn a_corrupting_network_only_takes_longer() {
    for seed in 0..20 {
        let mut world = World::new(Scenario::modern(), Link { corrupt: 30, ..Link::GOOD }, seed);
        world.run_for(5 * MINUTE);
        world.link = Link::GOOD;
        world.run_for(2 * MINUTE);
        let settled = world.run_until(10 * MINUTE, |w| w.is_settled(1));
        assert!(settled, "seed {seed}: {}", world.report());
    }
}

#[test]
fn half_open_ike_sas_are_bounded() {
    let mut scenario = Scenario::modern();
    scenario.config.max_half_open = 20;
    let mut world = World::new(scenario, Link::GOOD, 6);
    world.settle(MINUTE);
    let (_, request) = world.wire().first().cloned().expect("IKE_SA_INIT");
    for spi in 1..200u64 {
        let mut copy = request.clone();
        copy.payload[..8].copy_from_slice(&spi.to_be_bytes());
        world.inject(Side::B, copy);
    }
    assert!(world.gateway(Side::B).ike_sas().len() <= 21);
    assert!(world.gateway(Side::B).manager.counters().cookies > 0);
    world.run_for(2 * MINUTE);
    world.settle(MINUTE);
}
