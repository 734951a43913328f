//! SAs are replaced without losing a packet: by command, by time, by either end, on bad networks.

use ike::{Command, Event};
use sim::{Link, Scenario, Side, World};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A settled tunnel with traffic on it.
fn busy(link: Link, seed: u64) -> World {
    // On a bad network a peer may look dead: not what these tests are about.
    let mut scenario = Scenario::modern().both(|c| c.dpd_timeout = None);
    scenario.config.retransmit.tries = 15;
    let mut world = World::new(scenario, link, seed);
    world.settle(10 * MINUTE);
    // Late copies of the first messages may have left a half-open IKE SA, which soon goes.
    world.run_for(MINUTE);
    world.settle(10 * MINUTE);
    world.start_traffic();
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.lost_packets, 0);
    world
}

fn child_spi(world: &World, side: Side) -> u32 {
    let pairs = world.child_pairs().unwrap_or_else(|| panic!("{}", world.report()));
    pairs[0][side.0].spi
}

fn ike_id(world: &World, side: Side) -> ike::IkeSaId {
    world.ike_pair().expect("one IKE SA")[side.0].id
}

/// Lets everything that is in progress end, then checks that one tunnel is left and no packet was lost.
fn assert_settles_without_loss(world: &mut World) {
    world.run_for(MINUTE);
    world.settle(10 * MINUTE);
    world.stop_traffic();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.lost_packets, 0, "{}", world.report());
}

#[test]
fn a_child_is_rekeyed_by_either_end() {
    for side in Side::BOTH {
        let mut world = busy(Link::GOOD, 1);
        let (old, ike) = (child_spi(&world, side), ike_id(&world, side));
        world.command(side, Command::RekeyChild(old));
        assert_settles_without_loss(&mut world);
        let replaced = |e: &Event| matches!(e, Event::ChildEstablished { replaces: Some(_), .. });
        for side in Side::BOTH {
            assert_eq!(world.count_events(side, replaced), 1);
        }
        assert_ne!(child_spi(&world, side), old);
        assert_eq!(ike_id(&world, side), ike);
    }
}

#[test]
fn an_ike_sa_is_rekeyed_by_either_end_and_keeps_its_children() {
    for side in Side::BOTH {
        let mut world = busy(Link::GOOD, 2);
        let (child, old) = (child_spi(&world, side), ike_id(&world, side));
        world.command(side, Command::RekeyIke(old));
        assert_settles_without_loss(&mut world);
        assert_eq!(child_spi(&world, side), child);
        let new = &world.ike_pair().unwrap()[side.0];
        assert_ne!(new.id, old);
        assert!(new.initiator, "who rekeys is the new IKE SA's initiator");
        // The new one works in both directions, and rekeys children it took over.
        for side in Side::BOTH {
            let spi = child_spi(&world, side);
            world.command(side, Command::RekeyChild(spi));
            world.run_for(MINUTE);
            world.settle(MINUTE);
        }
    }
}

#[test]
fn soft_limits_rekey() {
    let mut world = busy(Link::GOOD, 3);
    let old = child_spi(&world, Side::B);
    world.command(Side::B, Command::SoftLimit(old));
    assert_settles_without_loss(&mut world);
    assert_ne!(child_spi(&world, Side::B), old);
}

#[test]
fn lifetimes_rekey_for_hours() {
    let scenario = Scenario::modern().both(|c| {
        c.ike_lifetime = Some(Duration::from_secs(3_000));
        c.child.lifetime = Some(Duration::from_secs(1_200));
    });
    let mut world = World::new(scenario, Link::GOOD, 4);
    world.settle(MINUTE);
    world.start_traffic();
    world.run_for(2 * 60 * MINUTE);
    world.stop_traffic();
    world.run_for(MINUTE);
    world.settle(10 * MINUTE);
    assert_eq!(world.lost_packets, 0);
    let rekeyed = |e: &Event| matches!(e, Event::IkeRekeyed { .. });
    assert!(world.count_events(Side::A, rekeyed) >= 2);
}

/// Both ends rekey the same child at the same moment (RFC 7296 section 2.8.1): one replacement survives.
#[test]
fn both_ends_rekey_a_child_at_once() {
    for seed in 0..20 {
        let mut world = busy(Link::GOOD, seed);
        for side in Side::BOTH {
            let spi = child_spi_of_either(&world, side);
            world.command(side, Command::RekeyChild(spi));
        }
        assert_settles_without_loss(&mut world);
    }
}

fn child_spi_of_either(world: &World, side: Side) -> u32 {
    world.gateway(side).ike_sas()[0].children[0].spi
}

#[test]
fn a_bad_network_does_not_lose_packets_either() {
    for seed in 0..20 {
        let mut world = busy(Link::BAD, seed);
        let side = if seed % 2 == 0 { Side::A } else { Side::B };
        let spi = child_spi(&world, side);
        world.command(side, Command::RekeyChild(spi));
        world.run_for(2 * MINUTE);
        let settled = world.run_until(20 * MINUTE, |w| w.is_settled(1));
        assert!(settled, "seed {seed}, child: {}", world.report());
        let ike = ike_id(&world, side);
        world.command(side, Command::RekeyIke(ike));
        world.run_for(2 * MINUTE);
        let settled = world.run_until(20 * MINUTE, |w| w.is_settled(1));
        assert!(settled, "seed {seed}, IKE SA: {}", world.report());
        world.stop_traffic();
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.lost_packets, 0, "seed {seed}");
    }
}

#[test]
fn a_deleted_child_is_gone_at_both_ends() {
    let mut world = busy(Link::GOOD, 6);
    world.stop_traffic();
    let spi = child_spi(&world, Side::B);
    world.command(Side::B, Command::DeleteChild(spi));
    world.run_for(Duration::from_secs(5));
    assert!(!world.gateway(Side::A).data_plane.live().contains_key(&spi));
    assert!(!world.gateway(Side::B).data_plane.live().contains_key(&spi));
}
