//! When a peer is asked whether it is there, and when it is given up (RFC 7296 section 2.4).

mod common;
use common::*;
use ike::*;
use std::time::Duration;

#[test]
fn a_silent_peer_is_probed_then_dead_at_the_deadline_then_tried_again() {
    let mut world = up();
    let before = world.trace.len();
    world.run(300);
    assert!(world.trace.len() - before >= 2 * 25, "probes are answered");
    world.assert_up();
    world.network.loss = 100;
    world.run(40);
    assert_eq!(world.sides[A].failures()[0].code, Code::DpdTimeout);
    assert!(world.sides.iter().all(|s| s.children.is_empty()));
    world.network.loss = 0;
    world.run(60);
    world.assert_up();
}

/// ESP arrives now.
fn heard(world: &mut World, side: usize, spi: Spi) {
    let at = world.now;
    world.command(side, Command::Heard { spi, at });
}

#[test]
fn traffic_makes_probes_needless() {
    let mut world = up();
    let (a, b) = (spi(&world, A), spi(&world, B));
    let before = world.trace.len();
    for _ in 0..60 {
        heard(&mut world, A, a);
        heard(&mut world, B, b);
        world.run(5);
    }
    assert_eq!(world.trace.len(), before);
}

/// Everything is lost from now on; the last authentic packet, of ESP, arrives `later`.
fn silence(world: &mut World, later: Duration) {
    world.network.loss = 100;
    world.run_for(later);
    for side in [A, B] {
        let spi = spi(world, side);
        heard(world, side, spi);
    }
}

/// The peer is given up after the DPD timeout, neither a millisecond before nor one after.
fn assert_dead_after(world: &mut World, rest: Duration) {
    const MILLISECOND: Duration = Duration::from_millis(1);
    world.run_for(rest - MILLISECOND);
    assert!(world.sides.iter().all(|s| !s.children.is_empty() && s.failures().is_empty()));
    world.run_for(MILLISECOND);
    for side in &world.sides {
        assert!(side.children.is_empty() && side.failures()[0].code == Code::DpdTimeout);
        let dead = |e: &Event| matches!(e, Event::IkeDeleted { why: Gone::PeerDead, .. });
        assert!(side.events.iter().any(dead), "whoever routes is told");
    }
}

#[test]
fn a_peer_is_dead_exactly_one_timeout_after_its_last_packet() {
    for later in [0, 4_000, 17_500] {
        let mut world = up();
        silence(&mut world, Duration::from_millis(later));
        assert_dead_after(&mut world, Duration::from_secs(30));
    }
}

/// Whatever is on its way, and since when, the deadline is the same.
#[test]
fn exchanges_under_way_do_not_move_the_deadline() {
    type Begin = fn(&World, usize) -> Command;
    let exchanges: [Begin; 3] = [
        |world, side| Command::RekeyChild(spi(world, side)),
        |world, side| Command::RekeyIke(world.sides[side].ike_sa().id),
        |world, side| Command::SoftLimit(spi(world, side)),
    ];
    for begin in exchanges {
        for after in [0, 9_999, 11_000, 25_000, 29_990] {
            let mut world = up();
            silence(&mut world, Duration::ZERO);
            let after = Duration::from_millis(after);
            world.run_for(after);
            let commands = [A, B].map(|side| begin(&world, side));
            for (side, command) in [A, B].into_iter().zip(commands) {
                world.command(side, command);
            }
            assert_dead_after(&mut world, Duration::from_secs(30) - after);
        }
    }
}

#[test]
fn esp_keeps_a_peer_alive_whose_ike_is_slow_but_not_for_ever() {
    let mut world = up();
    let (a, b) = (spi(&world, A), spi(&world, B));
    world.network.loss = 100;
    world.command(A, Command::RekeyChild(a));
    let esp_only = |world: &mut World, secs| {
        for _ in 0..secs {
            heard(world, A, a);
            heard(world, B, b);
            world.run(1);
        }
    };
    esp_only(&mut world, 38);
    assert!(world.sides.iter().all(|s| s.failures().is_empty()), "longer than the DPD timeout");
    esp_only(&mut world, 15);
    let failure = world.sides[A].failures()[0].clone();
    assert_eq!(failure.code, Code::DpdTimeout);
    assert!(failure.theirs.contains("no answer"), "{failure}");
    assert!(!world.sides[B].children.is_empty(), "B asked nothing");
}

/// What is asked for in time need not be told at once: the deadline counts from when ESP arrived.
#[test]
fn esp_is_told_of_when_it_matters() {
    let mut world = up();
    let since = world.now;
    silence(&mut world, Duration::ZERO);
    let spis = [spi(&world, A), spi(&world, B)];
    assert!(world.sides.iter().all(|s| s.manager.listening_for(world.now).is_empty()));
    let (last, due) = (since + Duration::from_secs(7), since + Duration::from_secs(10));
    for (side, spi) in world.sides.iter_mut().zip(spis) {
        assert_eq!(side.manager.listening_for(due), [spi]);
        side.manager.handle_command(Command::Heard { spi, at: last }, due);
        assert!(side.manager.poll_journal().is_none() && side.manager.listening_for(due).is_empty());
    }
    assert_dead_after(&mut world, Duration::from_secs(37));
}

#[test]
fn a_machine_that_stood_still_asks_before_it_gives_up() {
    let mut world = up();
    let child = spi(&world, A);
    world.now = world.now + Duration::from_secs(3_000);
    world.run(60);
    world.assert_up();
    assert_eq!(spi(&world, A), child);
    assert!(world.sides.iter().all(|s| s.failures().is_empty()));
}

#[test]
fn another_timeout_holds_at_once() {
    let mut world = up();
    silence(&mut world, Duration::ZERO);
    world.run(12);
    for side in [A, B] {
        let shorter = Connection { dpd_timeout: Some(Duration::from_secs(15)), ..connection(side) };
        let now = world.now;
        world.sides[side].manager.set_connection(shorter, now);
    }
    assert_dead_after(&mut world, Duration::from_secs(3));
}
