//! The control process dies at every step of an IKE SA's life, and another one goes on from the journal.

use ike::{Command, Event, Gone};
use sim::{Link, Scenario, Side, World};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// What changes when an SA is replaced: the IKE SA's name and the child's.
fn names(world: &World) -> (u64, u32) {
    let [a, _] = world.ike_pair().expect("settled");
    (a.initiator_spi.0, a.children[0].spi)
}

/// The life to be interrupted: establish, rekey the child, the IKE SA, and the child from the other end.
/// Returns true after `steps` things have happened, or false when the life ends before.
fn live(world: &mut World, steps: u64) -> bool {
    let end = world.now + 10 * MINUTE;
    let mut stages = [0, 1, 2].into_iter();
    let mut before = (0, 0);
    while world.steps() < steps {
        if world.is_settled(1) && names(world) != before {
            before = names(world);
            let [a, b] = world.ike_pair().expect("settled");
            match stages.next() {
                Some(0) => world.command(Side::A, Command::RekeyChild(a.children[0].spi)),
                Some(1) => world.command(Side::B, Command::RekeyIke(b.id)),
                Some(_) => world.command(Side::B, Command::RekeyChild(b.children[0].spi)),
                None => return false,
            }
        }
        assert!(world.step(end), "the life stands still: {}", world.report());
    }
    true
}

fn assert_recovers(world: &mut World, what: &str) {
    let recovered = world.run_until(10 * MINUTE, |w| w.is_settled(1));
    assert!(recovered, "{what}: {}", world.report());
    world.run_for(Duration::from_secs(20));
    let settled = world.run_until(MINUTE, |w| w.is_settled(1));
    assert!(settled, "{what}: {}", world.report());
    let (lost, delivered) = (world.lost_packets, world.delivered_packets);
    world.start_traffic();
    world.run_for(Duration::from_secs(1));
    world.stop_traffic();
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.lost_packets, lost, "{what}");
    assert!(world.delivered_packets > delivered, "{what}");
    let failed = |e: &Event| matches!(e, Event::Failed(_) | Event::IkeDeleted { why: Gone::PeerDead, .. });
    for side in Side::BOTH {
        assert_eq!(world.count_events(side, failed), 0, "{what}: {}", world.report());
    }
}

/// Snapshot and restore in every state: one end is replaced after each single event.
#[test]
fn either_end_restarts_after_any_event() {
    for side in Side::BOTH {
        for steps in 0.. {
            let mut world = World::new(Scenario::modern(), Link::GOOD, 1);
            if !live(&mut world, steps) {
                assert!(steps > 25, "the life has only {steps} events");
                break;
            }
            world.restart(side);
            assert_recovers(&mut world, &format!("{side:?} restarted after {steps} events"));
        }
    }
}

/// Both processes are replaced every few milliseconds, in the middle of everything: nothing may be kept
/// anywhere but in the journal.
#[test]
fn both_ends_restart_all_the_time() {
    let mut scenario = Scenario::modern();
    // A restarted process repeats what is in flight at once, and counts it.
    scenario.config.retransmit.tries = 100;
    let mut world = World::new(scenario, Link::GOOD, 2);
    for _ in 0..50 {
        world.run_for(Duration::from_millis(7));
        Side::BOTH.into_iter().for_each(|side| world.restart(side));
    }
    assert_recovers(&mut world, "restarts all the time");
}

/// A restart changes nothing that the data plane or the peer could see.
#[test]
fn a_restart_of_an_established_tunnel_is_not_noticed() {
    for side in Side::BOTH {
        let mut world = World::new(Scenario::modern(), Link::GOOD, 3);
        world.settle(MINUTE);
        world.start_traffic();
        let before = (world.ike_pair().unwrap()[0].initiator_spi, world.child_pairs().unwrap()[0][0].spi);
        for _ in 0..10 {
            world.run_for(Duration::from_secs(7));
            world.restart(side);
        }
        world.run_for(MINUTE);
        let after = (world.ike_pair().unwrap()[0].initiator_spi, world.child_pairs().unwrap()[0][0].spi);
        assert_eq!(before, after);
        assert_eq!(world.lost_packets, 0);
    }
}

/// The data plane dies: control keeps its IKE SAs and makes every child anew.
#[test]
fn children_come_back_after_the_data_plane_died() {
    for side in Side::BOTH {
        let mut world = World::new(Scenario::modern(), Link::GOOD, 4);
        world.settle(MINUTE);
        let ike = world.ike_pair().unwrap()[0].initiator_spi;
        let child = world.child_pairs().unwrap()[0][0].spi;
        world.lose_data_plane(side);
        world.run_for(MINUTE);
        world.settle(5 * MINUTE);
        assert_eq!(world.ike_pair().unwrap()[0].initiator_spi, ike, "the IKE SA stays");
        assert_ne!(world.child_pairs().unwrap()[0][0].spi, child);
    }
}

#[test]
fn the_data_plane_may_die_after_any_event() {
    for side in Side::BOTH {
        for steps in 0.. {
            let mut world = World::new(Scenario::modern(), Link::GOOD, 5);
            if !live(&mut world, steps) {
                break;
            }
            world.lose_data_plane(side);
            world.run_for(2 * MINUTE);
            let settled = world.run_until(10 * MINUTE, |w| w.is_settled(1));
            assert!(settled, "{side:?}'s data plane died after {steps} events: {}", world.report());
        }
    }
}

#[test]
fn restarts_on_a_bad_network() {
    for seed in 0..20 {
        let mut world = World::new(Scenario::modern(), Link::BAD, seed);
        for round in 0..12u64 {
            world.run_for(Duration::from_secs(1 + (seed * 7 + round * 3) % 11));
            let side = if (seed + round) % 2 == 0 { Side::A } else { Side::B };
            world.restart(side);
        }
        world.link = Link::GOOD;
        world.run_for(2 * MINUTE);
        let settled = world.run_until(10 * MINUTE, |w| w.is_settled(1));
        assert!(settled, "seed {seed}: {}", world.report());
    }
}
