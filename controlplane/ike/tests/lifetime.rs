//! What happens to a tunnel that is up: rekeys, deletes, moving peers, bad networks.

mod common;
use common::*;
use ike::*;
use std::time::Duration;

fn gone(world: &World, side: usize, spi: Spi) -> Option<Gone> {
    world.sides[side].events.iter().find_map(|e| match e {
        Event::ChildDeleted { spi: s, why, .. } if *s == spi => Some(*why),
        _ => None,
    })
}

#[test]
fn each_side_rekeys_the_child() {
    for by in [A, B] {
        let mut world = up();
        let old = [spi(&world, A), spi(&world, B)];
        world.command(by, Command::RekeyChild(old[by]));
        world.run(5);
        world.assert_up();
        for side in [A, B] {
            assert_ne!(spi(&world, side), old[side]);
            assert_eq!(gone(&world, side, old[side]), Some(Gone::Replaced));
        }
        assert_eq!(world.sides[by].child().sa.replaces, Some(old[by]));
    }
}

/// CREATE_CHILD_SA too asks for another group with INVALID_KE_PAYLOAD, and the SPI stays the same.
#[test]
fn rekeys_agree_on_a_group() {
    use ike::wire::iana::KeId;
    let groups = |mut c: Connection, ids: [u16; 2]| {
        c.child.proposals = ids.map(|id| EspProposal { group: Some(KeId(id)), ..esp_quick() }).to_vec();
        c.ike_proposals = ids.map(|id| IkeProposal { group: KeId(id), ..ike_quick() }).to_vec();
        c
    };
    let mut world = World::new(groups(connection(A), [19, 31]), groups(connection(B), [31, 20]));
    world.run(2);
    for by in [A, B] {
        let old = spi(&world, by);
        world.command(by, Command::RekeyChild(old));
        world.run(3);
        world.assert_up();
        assert_ne!(spi(&world, by), old);
        let ike_sa = world.sides[by].ike_sa();
        world.command(by, Command::RekeyIke(ike_sa.id));
        world.run(3);
        world.assert_up();
        assert_ne!(world.sides[by].ike_sa().initiator_spi, ike_sa.initiator_spi);
    }
    assert!(world.sides.iter().all(|s| s.failures().is_empty()));
}

#[test]
fn pfs_wanted_by_one_side_only_fails_at_the_rekey_and_says_so() {
    let mut b = connection(B);
    b.child.proposals[0].group = None;
    let mut world = World::new(connection(A), b);
    world.run(2);
    world.assert_up();
    let old = spi(&world, A);
    world.command(A, Command::RekeyChild(old));
    world.run(1);
    world.assert_up();
    assert_eq!(spi(&world, A), old, "the old one stays");
    assert_eq!(world.sides[A].failures()[0].code, Code::ProposalMismatch);
    assert_eq!(world.sides[B].failures()[0].code, Code::PfsMismatch);
}

/// The responder's new inbound SA is installed before its answer leaves; its outbound SA is switched by the
/// delete of the old one.
#[test]
fn a_rekey_is_make_before_break() {
    let mut world = up();
    let (old_a, old_b) = (spi(&world, A), spi(&world, B));
    world.sides[B].held = Some(Vec::new());
    world.command(A, Command::RekeyChild(old_a));
    world.run(1);
    let sent = world.sides[B].sent;
    let reserved = world.sides[B].held.replace(Vec::new()).unwrap();
    assert!(matches!(reserved[..], [SaReply::SpiReserved { .. }]));
    let now = world.now;
    world.sides[B].manager.handle_sa_reply(reserved[0], now);
    world.drain(B);
    let installed = world.sides[B].held.take().unwrap();
    assert!(matches!(installed[..], [SaReply::Installed { .. }]));
    assert_eq!(world.sides[B].children.len(), 2);
    assert_eq!(world.sides[B].outbound().map(|c| c.sa.spi), Some(old_b));
    assert_eq!(world.sides[B].sent, sent, "nothing is answered before every worker has the inbound SA");
    world.sides[B].manager.handle_sa_reply(installed[0], now);
    world.drain(B);
    assert_eq!(world.sides[B].sent, sent + 1);
    world.run(20);
    world.assert_up();
    assert_ne!(spi(&world, B), old_b);
}

#[test]
fn first_use_switches_the_outbound() {
    let mut world = up();
    let (a, b) = (spi(&world, A), spi(&world, B));
    world.command(A, Command::RekeyChild(a));
    for _ in 0..2 {
        world.run(0);
        world.now = world.now + Duration::from_millis(10);
    }
    // A's delete of the old child gets lost: only FirstUse or the timer can switch B.
    world.network.loss = 100;
    world.run(0);
    let new = *world.sides[B].children.keys().find(|s| **s != b).expect("a new child");
    assert!(!world.sides[B].children[&new].active);
    world.command(B, Command::FirstUse(new));
    assert!(world.sides[B].children[&new].active);
    world.network.loss = 0;
    world.run(20);
    world.assert_up();
}

#[test]
fn each_side_rekeys_the_ike_sa_and_the_child_moves() {
    for by in [A, B] {
        let mut world = up();
        let (old, child) = (world.sides[by].ike_sa(), spi(&world, A));
        world.command(by, Command::RekeyIke(old.id));
        world.run(5);
        world.assert_up();
        let new = world.sides[by].ike_sa();
        assert!(new.initiator);
        assert_ne!(new.initiator_spi, old.initiator_spi);
        assert_eq!(spi(&world, A), child);
        assert!(world.sides[1 - by].events.iter().any(|e| matches!(e, Event::IkeRekeyed { .. })));
        // The new one works: in both directions.
        for side in [A, B] {
            let spi = spi(&world, side);
            world.command(side, Command::RekeyChild(spi));
            world.run(5);
            world.assert_up();
        }
    }
}

#[test]
fn both_sides_rekey_the_child_at_once() {
    for seed in 1..20 {
        let network = Network { delay: 50, ..Network::default() };
        let mut world = World::seeded(connection(A), connection(B), seed, network);
        world.run(5);
        world.assert_up();
        let (a, b) = (spi(&world, A), spi(&world, B));
        world.command(A, Command::RekeyChild(a));
        world.command(B, Command::RekeyChild(b));
        world.run(60);
        world.assert_up();
    }
}

#[test]
fn both_sides_rekey_the_ike_sa_at_once() {
    for seed in 1..20 {
        let network = Network { delay: 50, ..Network::default() };
        let mut world = World::seeded(connection(A), connection(B), seed, network);
        world.run(5);
        let ids = [A, B].map(|side| world.sides[side].ike_sa().id);
        world.command(A, Command::RekeyIke(ids[A]));
        world.command(B, Command::RekeyIke(ids[B]));
        world.run(120);
        world.assert_up();
    }
}

#[test]
fn both_sides_begin_at_once() {
    for seed in 1..20 {
        let mut b = connection(B);
        b.start = Start::Immediate;
        let network = Network { delay: 50, ..Network::default() };
        let mut world = World::seeded(connection(A), b, seed, network);
        world.run(120);
        world.assert_up();
    }
}

#[test]
fn lifetimes_are_kept_by_rekeys() {
    let change = |mut c: Connection| {
        c.ike_lifetime = Some(Duration::from_secs(300));
        c.child.lifetime = Some(Duration::from_secs(100));
        c
    };
    let mut world = World::new(change(connection(A)), change(connection(B)));
    for _ in 0..200 {
        world.run(10);
        assert!(world.sides.iter().all(|s| s.outbound().is_some()), "never without an outbound SA");
    }
    world.run(3);
    assert!(world.sides[A].failures().is_empty(), "{:?}", world.sides[A].failures());
    let rekeys = world.sides[A].events.iter().filter(|e| matches!(e, Event::IkeRekeyed { .. })).count();
    assert!(rekeys >= 5, "{rekeys}");
    for side in &world.sides {
        let all = side.events.iter();
        assert_eq!(all.filter(|e| matches!(e, Event::IkeEstablished { .. })).count(), 1, "never begun anew");
    }
}

#[test]
fn a_soft_limit_rekeys() {
    let mut world = up();
    let old = spi(&world, B);
    world.command(B, Command::SoftLimit(old));
    world.run(5);
    world.assert_up();
    assert_ne!(spi(&world, B), old);
}

#[test]
fn a_deleted_child_is_gone_on_both_sides_and_comes_back_where_it_is_wanted() {
    let mut world = up();
    let child = spi(&world, A);
    world.command(A, Command::DeleteChild(child));
    world.run(1);
    assert!(world.sides.iter().all(|s| s.children.is_empty()));
    assert_eq!(gone(&world, A, child), Some(Gone::Command));
    world.run(30);
    assert!(world.sides[A].children.is_empty(), "we were told to delete it");

    let mut world = up();
    let child = spi(&world, B);
    world.command(B, Command::DeleteChild(child));
    world.run(1);
    assert!(world.sides[A].children.is_empty());
    world.run(10);
    world.assert_up();
}

#[test]
fn a_deleted_ike_sa_is_gone_on_both_sides() {
    for by in [A, B] {
        let mut world = up();
        world.command(by, Command::Down(KEY));
        world.run(1);
        assert!(
            world
                .sides
                .iter()
                .all(|s| s.children.is_empty() && s.ike_sas().is_empty() && s.journal.is_empty())
        );
        world.run(30);
        // A is to be up at once: only its own command keeps it down.
        assert_eq!(world.sides[A].ike_sas().is_empty(), by == A);
    }
}

#[test]
fn a_removed_connection_says_goodbye() {
    let mut world = up();
    world.sides[A].manager.remove_connection(KEY, world.now);
    world.run(2);
    assert!(world.sides.iter().all(|s| s.ike_sas().is_empty() && s.children.is_empty()));
    assert_eq!(world.sides[A].manager.poll_timeout(), None);
}

#[test]
fn a_changed_connection_is_negotiated_again_an_equal_one_is_left_alone() {
    let mut world = up();
    let before = spi(&world, A);
    let same = connection(A);
    world.sides[A].manager.set_connection(same, world.now);
    world.run(5);
    assert_eq!(spi(&world, A), before);
    let mut changed = connection(A);
    changed.child.replay_window = 64;
    world.sides[A].manager.set_connection(changed, world.now);
    world.run(10);
    world.assert_up();
    assert_eq!(world.sides[A].child().sa.replay_window, 64);
}

#[test]
fn the_peer_behind_a_nat_moves() {
    let mut b = connection(B);
    b.remote = None;
    let network = Network { nat: Some("203.0.113.9".parse().unwrap()), ..Network::default() };
    let mut world = World::seeded(connection(A), b, 1, network);
    world.run(2);
    world.network.nat = Some("203.0.113.77".parse().unwrap());
    world.run(30);
    assert_eq!(world.sides[B].child().sa.outer.remote, "203.0.113.77".parse::<std::net::IpAddr>().unwrap());
    let child = spi(&world, B);
    world.command(B, Command::PeerMoved { spi: child, remote: "203.0.113.99:4711".parse().unwrap() });
    assert_eq!(world.sides[B].child().sa.outer.encap, Encap::Udp { local_port: 4500, remote_port: 4711 });
}

#[test]
fn bad_networks_end_in_one_tunnel() {
    for seed in 1..40 {
        let network = Network { loss: 20, duplication: 20, delay: 30, ..Network::default() };
        let mut world = World::seeded(connection(A), connection(B), seed, network);
        world.run(100);
        let child = world.sides[A].children.keys().next().copied();
        if let Some(child) = child {
            world.command(A, Command::RekeyChild(child));
        }
        let ike_sa = world.sides[B].ike_sas().first().map(|sa| sa.id);
        if let Some(ike_sa) = ike_sa {
            world.command(B, Command::RekeyIke(ike_sa));
        }
        world.run(100);
        world.network = Network::default();
        world.run(300);
        world.assert_up();
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let network = Network { loss: 20, duplication: 20, delay: 30, ..Network::default() };
        let mut world = World::seeded(connection(A), connection(B), 7, network);
        world.run(200);
        world.trace
    };
    assert_eq!(run(), run());
}

#[test]
fn duplicates_are_answered_with_the_same_bytes() {
    let mut world = up();
    let old = spi(&world, A);
    world.command(A, Command::RekeyChild(old));
    world.run(2);
    for (from, datagram) in world.trace.clone() {
        let back = Datagram { local: datagram.remote, remote: datagram.local, ..datagram };
        world.sides[1 - from].manager.handle_message(back, world.now);
    }
    let answers: Vec<_> = std::iter::from_fn(|| world.sides[B].manager.poll_transmit())
        .filter(|d| d.payload[18] != 34)
        .collect();
    assert_eq!(answers.len(), 1, "only the last response is kept");
    assert!(world.trace.iter().any(|(_, d)| *d == answers[0]));
    // The first message made a half-open IKE SA, which ends.
    world.run(40);
    world.assert_up();
}
