//! Reauthentication (RFC 7296 section 2.8.3): a new IKE SA with all proofs beside the old one, which then goes.

mod common;

use common::*;
use ike::*;
use std::time::Duration;

/// The tunnel between ends that want a new proof within so many seconds; 0: never.
fn up(reauth: [u64; 2], seed: u64) -> World {
    let end = |side: usize| {
        let within = reauth[side];
        Connection { reauth: (within != 0).then(|| Duration::from_secs(within)), ..connection(side) }
    };
    let mut world = World::seeded(end(A), end(B), seed, Network::default());
    world.run(2);
    world.assert_up();
    world
}

/// What each end sends on, the other end receives.
fn assert_carries(world: &World) {
    for side in [A, B] {
        let sends_on = world.sides[side].outbound().expect("an SA to send on").sa.peer_spi;
        assert!(world.sides[1 - side].children.contains_key(&sends_on), "at {:?}", world.now);
    }
}

fn run_carrying(world: &mut World, secs: u64) {
    for _ in 0..secs * 200 {
        world.run_for(Duration::from_millis(5));
        assert_carries(world);
    }
}

fn established(world: &World, side: usize) -> usize {
    let is = |e: &&Event| matches!(e, Event::IkeEstablished { .. });
    world.sides[side].events.iter().filter(is).count()
}

/// Until the end that does not begin it has the second child.
fn run_until_second(world: &mut World, at: usize) {
    for _ in 0..400_000 {
        if world.sides[at].children.len() == 2 {
            return;
        }
        world.run_for(Duration::from_millis(5));
    }
    panic!("no second child");
}

#[test]
fn either_end_proves_itself_again_and_the_tunnel_never_stands_still() {
    for (by, reauth) in [(A, [300, 0]), (B, [0, 300])] {
        let mut world = up(reauth, 1);
        let before = world.sides[by].ike_sa();
        run_carrying(&mut world, 310);
        world.assert_up();
        let after = world.sides[by].ike_sa();
        assert!(after.initiator && after.initiator_spi != before.initiator_spi);
        for side in &world.sides {
            assert!(side.failures().is_empty(), "{:?}", side.failures());
            let restarted = |e: &Event| matches!(e, Event::IkeDeleted { why: Gone::PeerRestarted, .. });
            assert!(!side.events.iter().any(restarted), "INITIAL_CONTACT is not for a second IKE SA");
        }
        assert_eq!([established(&world, A), established(&world, B)], [2, 2]);
    }
}

#[test]
fn it_comes_in_time_although_the_ike_sa_is_rekeyed() {
    let mut world = up([300, 0], 1);
    for _ in 0..10 {
        let ike_sa = world.sides[B].ike_sa();
        world.command(B, Command::RekeyIke(ike_sa.id));
        world.run(30);
        world.assert_up();
    }
    assert_eq!(established(&world, A), 2);
}

/// The responder receives on the new child before it answers, and sends on it once the peer has shown that it is there.
#[test]
fn the_responder_switches_by_proof() {
    let mut world = up([300, 0], 1);
    let old = world.sides[B].child().sa.spi;
    run_until_second(&mut world, B);
    assert_eq!(world.sides[B].outbound().map(|c| c.sa.spi), Some(old));
    world.run(5);
    world.assert_up();
    assert_ne!(world.sides[B].child().sa.spi, old);
}

#[test]
fn a_lost_answer_leaves_the_old_one_at_work() {
    let mut world = up([300, 0], 1);
    run_until_second(&mut world, B);
    world.network.loss = 100;
    run_carrying(&mut world, 8);
    world.network.loss = 0;
    run_carrying(&mut world, 20);
    world.assert_up();
    assert_eq!([established(&world, A), established(&world, B)], [2, 2]);
}

#[test]
fn both_ends_at_once_end_in_one() {
    for seed in 1..12 {
        let mut world = up([300, 300], seed);
        world.run(290);
        world.run(180);
        world.assert_up();
    }
}

#[test]
fn bad_networks_and_processes_that_die_end_in_one_too() {
    for seed in 1..12 {
        let mut world = up([300, 0], seed);
        world.network = Network { loss: 15, duplication: 20, delay: 30, ..Network::default() };
        world.run(400);
        world.network = Network::default();
        world.run(200);
        world.assert_up();
    }
    let mut world = up([300, 0], 1);
    for side in [A, B] {
        world.sides[side].restart_always = true;
    }
    world.run(330);
    world.assert_up();
    assert!(established(&world, A) >= 2, "carried on by one process after the other");
}

#[test]
fn nothing_is_done_where_the_address_of_the_peer_is_unknown() {
    let b = Connection { remote: None, reauth: Some(Duration::from_secs(300)), ..connection(B) };
    let mut world = World::new(connection(A), b);
    world.run(1_000);
    world.assert_up();
    assert_eq!(established(&world, B), 1);
}
