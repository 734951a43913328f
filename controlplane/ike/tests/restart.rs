//! Processes that end: ours at every step, the peer's, the data plane's.

mod common;
use common::*;
use ike::*;

#[test]
fn a_connection_that_changed_while_no_process_ran_is_negotiated_again() {
    let mut world = up();
    let before = spi(&world, A);
    let now = world.now;
    world.sides[A].restart(now);
    world.run(5);
    assert_eq!(spi(&world, A), before);
    world.sides[A].connection.child.replay_window = 64;
    let now = world.now;
    world.sides[A].restart(now);
    world.run(10);
    world.assert_up();
    assert_ne!(spi(&world, A), before);
}

#[test]
fn a_peer_that_lost_everything_is_taken_over() {
    let mut world = up();
    world.sides[A].journal.clear();
    world.sides[A].children.clear();
    let now = world.now;
    world.sides[A].restart(now);
    world.sides[A].manager.handle_timeout(now);
    // Long enough after the first for INITIAL_CONTACT not to be mistaken for a crossing.
    world.run(20);
    world.assert_up();
    let restarted =
        |e: &Event| matches!(e, Event::IkeDeleted { why: Gone::PeerRestarted | Gone::Replaced, .. });
    assert!(world.sides[B].events.iter().any(restarted));
}

#[test]
fn a_lost_data_plane_gets_all_children_again() {
    let mut world = up();
    let old = spi(&world, A);
    world.sides[A].children.clear();
    world.command(A, Command::DataPlaneRestarted);
    world.run(10);
    world.assert_up();
    assert_ne!(spi(&world, A), old);
}

/// The control process dies after every single step, in every phase of every exchange, and carries on from
/// its journal.
#[test]
fn a_process_that_dies_at_every_step_finishes_everything() {
    for dying in [&[A][..], &[B], &[A, B]] {
        let mut a = connection(A);
        a.start = Start::Respond;
        let mut world = World::new(a, connection(B));
        dying.iter().for_each(|side| world.sides[*side].restart_always = true);
        world.command(A, Command::Initiate(KEY));
        world.run(20);
        world.assert_up();
        for by in [A, B] {
            let child = spi(&world, by);
            world.command(by, Command::RekeyChild(child));
            world.run(10);
            world.assert_up();
            assert_ne!(spi(&world, by), child);
            let ike_sa = world.sides[by].ike_sa();
            world.command(by, Command::RekeyIke(ike_sa.id));
            world.run(10);
            world.assert_up();
            assert_ne!(world.sides[by].ike_sa().initiator_spi, ike_sa.initiator_spi);
        }
        let established = |e: &&Event| matches!(e, Event::IkeEstablished { .. });
        assert_eq!(world.sides[A].events.iter().filter(established).count(), 1, "nothing is renegotiated");
        world.command(A, Command::Down(KEY));
        world.run(10);
        assert!(world.sides[B].ike_sas().is_empty() && world.sides[B].journal.is_empty());
    }
}

/// No AEAD IV is used twice with a key, whatever was lost of the journal.
#[test]
fn ivs_do_not_repeat_over_restarts() {
    let mut world = up();
    let stale = world.sides[A].journal.clone();
    world.run(60);
    let before: Vec<_> = sealed_ivs(&world);
    world.sides[A].journal = stale;
    let now = world.now;
    world.sides[A].restart(now);
    world.run(60);
    let all = sealed_ivs(&world);
    assert!(all.len() > before.len());
    let mut unique = all.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), all.len());
}

/// (IKE SPI, IV) of A's distinct protected messages.
fn sealed_ivs(world: &World) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut messages: Vec<_> =
        world.trace.iter().filter(|(from, d)| *from == A && d.payload[16] == 46).collect();
    messages.sort_by(|x, y| x.1.payload.cmp(&y.1.payload));
    messages.dedup_by(|x, y| x.1.payload == y.1.payload);
    messages.iter().map(|(_, d)| (d.payload[..16].to_vec(), d.payload[32..40].to_vec())).collect()
}

#[test]
fn damaged_snapshots_are_refused() {
    let world = up();
    let snapshot = world.sides[A].journal.values().next().unwrap().clone();
    let mut manager = IkeManager::new(Config::default(), [9; 32], Time::default());
    let unknown = manager.restore(&snapshot, Time::default());
    assert_eq!(unknown, Err(RestoreError::UnknownConnection(KEY)));
    manager.set_connection(connection(A), Time::default());
    for bytes in [&[][..], &[99], &snapshot[..snapshot.len() / 2]] {
        assert!(matches!(manager.restore(bytes, Time::default()), Err(RestoreError::Unreadable(_))));
    }
    assert_eq!(manager.restore(&snapshot, Time::default()), Ok(()));
    assert_eq!(manager.restore(&snapshot, Time::default()), Err(RestoreError::Duplicate(IkeSaId(1))));
}
