//! A tunnel comes up, carries packets and goes down, on good and bad networks.

use ike::wire::iana::{EncrId, IntegId, KeId, PrfId};
use ike::{Command, Encap, EspProposal, Event, Gone, IkeProposal, Start};
use sim::{Link, Scenario, Side, World};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn up(scenario: Scenario, link: Link, seed: u64) -> World {
    let mut world = World::new(scenario, link, seed);
    world.settle(5 * MINUTE);
    world
}

/// Packets flow both ways, and none is lost.
fn assert_traffic_flows(world: &mut World) {
    let (lost, delivered) = (world.lost_packets, world.delivered_packets);
    world.start_traffic();
    world.run_for(Duration::from_secs(1));
    world.stop_traffic();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.lost_packets, lost, "lost packets");
    assert!(world.delivered_packets >= delivered + 20);
}

#[test]
fn four_datagrams_make_a_tunnel() {
    let mut world = up(Scenario::modern(), Link::GOOD, 1);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.gateway(Side::A).manager.counters().sent, 2);
    assert_eq!(world.gateway(Side::B).manager.counters().sent, 2);
    let established = |e: &Event| matches!(e, Event::IkeEstablished { .. });
    let child = |e: &Event| matches!(e, Event::ChildEstablished { replaces: None, .. });
    for side in Side::BOTH {
        assert_eq!(world.count_events(side, established), 1);
        assert_eq!(world.count_events(side, child), 1);
    }
    let [a, b] = &world.child_pairs().unwrap()[0];
    assert_eq!((a.local_ts.clone(), a.remote_ts.clone()), (b.remote_ts.clone(), b.local_ts.clone()));
    assert!(a.esn && b.esn && !a.udp_encap);
    let live = world.gateway(Side::A).data_plane.live();
    assert!(live.values().all(|sa| sa.install.outer.encap == Encap::Native));
    assert_traffic_flows(&mut world);
}

/// Every cipher, prf, integrity algorithm and group negotiates and gives both ends the same keys.
#[test]
fn every_algorithm() {
    let ciphers = [
        (EncrId::DES, 0, IntegId::HMAC_MD5_96, PrfId::HMAC_MD5),
        (EncrId::TRIPLE_DES, 0, IntegId::HMAC_SHA1_96, PrfId::HMAC_SHA1),
        (EncrId::AES_CBC, 128, IntegId::HMAC_SHA1_96, PrfId::HMAC_SHA1),
        (EncrId::AES_CBC, 192, IntegId::HMAC_SHA2_256_128, PrfId::HMAC_SHA2_256),
        (EncrId::AES_CBC, 256, IntegId::HMAC_SHA2_384_192, PrfId::HMAC_SHA2_384),
        (EncrId::AES_CBC, 256, IntegId::HMAC_SHA2_512_256, PrfId::HMAC_SHA2_512),
        (EncrId::AES_GCM_16, 128, IntegId::NONE, PrfId::HMAC_SHA2_256),
        (EncrId::AES_GCM_16, 192, IntegId::NONE, PrfId::HMAC_SHA2_384),
        (EncrId::AES_GCM_16, 256, IntegId::NONE, PrfId::HMAC_SHA2_512),
        (EncrId::AES_GCM_16, 256, IntegId::NONE, PrfId::HMAC_SHA2_256),
    ];
    let groups = [
        KeId::MODP_768,
        KeId::MODP_1024,
        KeId::MODP_1536,
        KeId::MODP_2048,
        KeId::MODP_3072,
        KeId::MODP_4096,
        KeId::ECP_256,
        KeId::ECP_384,
        KeId::ECP_521,
        KeId::CURVE25519,
    ];
    for (at, ((encryption, key_bits, integrity, prf), group)) in ciphers.into_iter().zip(groups).enumerate() {
        let ike = IkeProposal { encryption, key_bits, integrity, prf, group };
        let esp = EspProposal { encryption, key_bits, integrity, group: Some(group), esn: at % 2 == 0 };
        let mut world = up(Scenario::with(ike, esp), Link::GOOD, 2);
        assert_traffic_flows(&mut world);
        // The rekey makes the group of the CHILD_SA count too.
        let spi = world.child_pairs().unwrap()[0][0].spi;
        world.command(Side::A, Command::RekeyChild(spi));
        world.run_for(Duration::from_secs(30));
        world.settle(MINUTE);
        assert_ne!(world.child_pairs().unwrap()[0][0].spi, spi);
        assert_traffic_flows(&mut world);
    }
}

#[test]
fn a_bad_network_only_takes_longer() {
    for seed in 0..40 {
        let mut world = World::new(Scenario::modern(), Link::BAD, seed);
        assert!(world.run_until(20 * MINUTE, |w| w.is_settled(1)), "seed {seed}: {}", world.report());
        world.link = Link::GOOD;
        world.run_for(Duration::from_secs(20));
        world.settle(MINUTE);
        assert_traffic_flows(&mut world);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let mut world = World::new(Scenario::modern(), Link::BAD, seed);
        world.run_for(10 * MINUTE);
        (world.steps(), format!("{:?}", world.gateway(Side::A).events), world.report())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).2, run(8).2);
}

#[test]
fn both_ends_may_start() {
    for seed in 0..20 {
        let scenario = Scenario::modern().both(|c| c.start = Start::Immediate);
        let mut world = World::new(scenario, Link::GOOD, seed);
        world.run_for(5 * MINUTE);
        // Two initiators may leave two IKE SAs; traffic must flow over whatever there is.
        assert_traffic_flows(&mut world);
    }
}

#[test]
fn traffic_starts_a_waiting_tunnel() {
    let mut scenario = Scenario::modern();
    scenario.connections[0].start = Start::OnTraffic;
    let key = scenario.connections[0].key;
    let mut world = World::new(scenario, Link::GOOD, 3);
    world.run_for(MINUTE);
    assert_eq!(world.gateway(Side::A).manager.counters().sent, 0);
    let packet = ike::Flow {
        src: "10.1.0.9".parse().unwrap(),
        dst: "10.2.0.9".parse().unwrap(),
        protocol: 6,
        src_port: 40_000,
        dst_port: 80,
    };
    world.command(Side::A, Command::Acquire { key, packet });
    world.settle(MINUTE);
    assert_traffic_flows(&mut world);
}

#[test]
fn either_end_can_take_it_down() {
    for side in Side::BOTH {
        // Nobody brings it up again by itself.
        let scenario = Scenario::modern().both(|c| c.start = Start::OnTraffic);
        let [a, b] = scenario.connections.clone().map(|c| c.key);
        let mut world = World::new(scenario, Link::GOOD, 4);
        world.command(Side::A, Command::Initiate(a));
        world.settle(MINUTE);
        world.command(side, Command::Down(if side == Side::A { a } else { b }));
        world.run_for(MINUTE);
        for side in Side::BOTH {
            let gateway = world.gateway(side);
            assert!(gateway.ike_sas().is_empty(), "{}", world.report());
            assert!(gateway.data_plane.live().is_empty());
            assert_eq!(gateway.journaled(), 0);
        }
        let by_peer = |e: &Event| matches!(e, Event::IkeDeleted { why: Gone::Peer, .. });
        assert_eq!(world.count_events(side.peer(), by_peer), 1);
    }
}

#[test]
fn a_dead_peer_is_noticed_and_the_tunnel_comes_back() {
    let mut world = up(Scenario::modern(), Link::GOOD, 5);
    world.link = Link::CUT;
    world.run_for(5 * MINUTE);
    let dead = |e: &Event| matches!(e, Event::IkeDeleted { why: Gone::PeerDead, .. });
    for side in Side::BOTH {
        assert_eq!(world.count_events(side, dead), 1, "{}", world.report());
        assert!(world.gateway(side).data_plane.live().is_empty(), "a dead tunnel's SAs are gone");
    }
    world.link = Link::GOOD;
    world.run_for(2 * MINUTE);
    world.settle(5 * MINUTE);
    assert_traffic_flows(&mut world);
}

/// Liveness probes keep an idle tunnel, and are all it needs.
#[test]
fn an_idle_tunnel_stays() {
    let mut world = up(Scenario::modern(), Link::GOOD, 6);
    let before = world.ike_pair().unwrap();
    world.run_for(30 * MINUTE);
    let after = world.ike_pair().unwrap();
    assert_eq!(before[0].initiator_spi, after[0].initiator_spi);
    let sent = world.gateway(Side::A).manager.counters().sent;
    assert!((30..=400).contains(&sent), "{sent} datagrams in half an hour");
}

/// A peer that lost everything says INITIAL_CONTACT; nothing of the old tunnel stays behind.
#[test]
fn a_crashed_peer_comes_back() {
    for side in Side::BOTH {
        let mut world = up(Scenario::modern().both(|c| c.start = Start::Immediate), Link::GOOD, 7);
        world.crash(side);
        world.run_for(5 * MINUTE);
        assert_traffic_flows(&mut world);
    }
}
