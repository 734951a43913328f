//! What is recorded of negotiations that fail, half fail, or end: values, certainty, and the mend on either side.

mod common;

use common::*;
use ike::*;
use std::time::Duration;

fn failures(world: &World, side: usize) -> Vec<Diagnosis> {
    world.sides[side].failures().into_iter().cloned().collect()
}

#[test]
fn both_sides_learn_the_change_that_mends_a_proposal() {
    let mut b = connection(B);
    b.ike_proposals = vec![IkeProposal { key_bits: 256, ..ike_quick() }];
    let mut world = World::new(connection(A), b);
    world.run(1);
    let (a, b) = (failures(&world, A).remove(0), failures(&world, B).remove(0));
    assert_eq!((b.confidence, b.parameter.as_str()), (Confidence::Certain, "ike.encryption"));
    assert_eq!((b.ours.as_str(), b.theirs.as_str()), ("ENCR_AES_GCM_16-256", "ENCR_AES_GCM_16-128"));
    assert_eq!(b.fix_here, "set ike.encryption to aes128gcm16");
    assert_eq!(b.fix_there, "set its IKE encryption to ENCR_AES_GCM_16-256");
    // A knows that it is the proposal, and not what B would have had instead.
    assert_eq!((a.confidence, a.theirs.as_str()), (Confidence::Likely, "not told (NO_PROPOSAL_CHOSEN)"));
    assert!(a.ours.contains("ENCR_AES_GCM_16-128/PRF_HMAC_SHA2_256"), "{a}");
}

#[test]
fn a_secret_is_never_certain_nor_shown() {
    let mut b = connection(B);
    b.remote_auth = RemoteAuth::Psk(Psk::new(&b"another"[..]));
    let mut world = World::new(connection(A), b);
    world.run(1);
    let (a, b) = (failures(&world, A).remove(0), failures(&world, B).remove(0));
    assert_eq!((a.confidence, b.confidence), (Confidence::Possible, Confidence::Likely));
    assert_eq!((a.parameter.as_str(), b.parameter.as_str()), ("psk, local-id, remote-id", "psk"));
    assert!(!format!("{a:?}{b:?}").contains("another\""));
}

#[test]
fn ikev1_of_a_peer_is_told() {
    let mut world = World::new(connection(A), connection(B));
    world.run(1);
    let (_, mut first) = world.trace[0].clone();
    first.payload[17] = 0x10;
    first.payload[8..16].fill(0);
    let first = Datagram { local: first.remote, remote: first.local, ..first };
    let now = world.now;
    world.sides[B].manager.handle_message(first, now);
    world.drain(B);
    let told = failures(&world, B).remove(0);
    assert_eq!((told.code, told.confidence), (Code::IkeVersionMismatch, Confidence::Certain));
    assert_eq!((told.ours.as_str(), told.theirs.as_str()), ("2.0", "1.0"));
}

#[test]
fn a_peer_that_does_not_go_on_is_told_if_its_address_is_known() {
    for (remote, told) in [(Some(addr(A)), 1), (None, 0)] {
        let b = Connection { remote, ..connection(B) };
        let mut world = World::new(connection(A), b);
        let now = world.now;
        world.sides[A].manager.handle_timeout(now);
        let first = world.sides[A].manager.poll_transmit().expect("IKE_SA_INIT");
        let first = Datagram { local: first.remote, remote: first.local, ..first };
        world.sides[B].manager.handle_message(first, now);
        world.sides[B].manager.handle_timeout(now + Duration::from_secs(31));
        world.drain(B);
        let failures = failures(&world, B);
        assert_eq!(failures.len(), told);
        for failure in failures {
            assert_eq!(
                (failure.code, failure.confidence),
                (Code::Phase1NegotiationTimeout, Confidence::Possible)
            );
        }
    }
}

#[test]
fn a_nat_that_nobody_cares_for_is_told_though_the_tunnel_comes_up() {
    let a = Connection { force_encap: true, ..connection(A) };
    let b = Connection { nat_traversal: false, ..connection(B) };
    let mut world = World::new(a, b);
    world.run(1);
    world.assert_up();
    let told = failures(&world, B).remove(0);
    assert_eq!((told.code, told.ours.as_str(), told.connection), (Code::NatTMismatch, "false", Some(KEY)));
    assert!(told.theirs.starts_with("NAT_DETECTION_SOURCE_IP") && told.code.is_half_failure(), "{told}");
    assert!(failures(&world, A).is_empty());
}

#[test]
fn the_peers_delete_of_the_only_sa_is_told_with_its_age() {
    let mut world = World::new(connection(A), connection(B));
    world.run(5);
    let (now, spi) = (world.now, world.sides[B].ike_sa().children[0].spi);
    world.sides[B].manager.handle_command(Command::DeleteChild(spi), now);
    world.run(1);
    let told = failures(&world, A).remove(0);
    assert_eq!((told.code, told.side), (Code::ReceiveDeleteNotify, Side::Remote));
    assert!(told.theirs.starts_with("not told (Delete of the CHILD_SA after "), "{told}");
    assert!(failures(&world, B).is_empty());
}

#[test]
fn no_text_is_long_whatever_the_peer_sends() {
    let mut a = connection(A);
    a.child.local_ts = (0..64).map(|n| ts(&format!("10.7.{n}.0/24"))).collect();
    let mut world = World::new(a, connection(B));
    world.run(1);
    let told = failures(&world, B).remove(0);
    assert_eq!(told.code, Code::TrafficSelectorMismatch);
    assert!(told.theirs.len() <= 480 && told.theirs.ends_with("..."), "{} bytes", told.theirs.len());
}
