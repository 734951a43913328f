//! The two ends are configured differently: they find what they share, or both say what is wrong.

use ike::wire::TrafficSelector;
use ike::wire::iana::{EncrId, IntegId, KeId};
use ike::{Code, Connection, Diagnosis, Event, Identity, IkeProposal, Psk, RemoteAuth, Side as Blame};
use sim::{Link, Scenario, Side, World};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A world in which B is configured otherwise.
fn with_other_b(change: impl Fn(&mut Connection)) -> World {
    let mut scenario = Scenario::modern();
    change(&mut scenario.connections[1]);
    World::new(scenario, Link::GOOD, 1)
}

fn diagnoses(world: &World, side: Side) -> Vec<Diagnosis> {
    let failed = |event: &Event| match event {
        Event::Failed(diagnosis) => Some(diagnosis.clone()),
        _ => None,
    };
    world.gateway(side).events.iter().filter_map(failed).collect()
}

/// Nothing came up, nothing is left, and each side's first diagnosis has the given code.
fn assert_refused(mut world: World, [at_a, at_b]: [Code; 2]) -> [Diagnosis; 2] {
    world.run_for(Duration::from_secs(50));
    for side in Side::BOTH {
        assert!(world.gateway(side).data_plane.live().is_empty());
        assert!(world.gateway(side).data_plane.reserved().is_empty());
    }
    let [a, b] = Side::BOTH.map(|side| diagnoses(&world, side));
    assert_eq!((a[0].code, b[0].code), (at_a, at_b), "{a:#?} {b:#?}");
    for diagnosis in a.iter().chain(&b) {
        let Diagnosis { parameter, fix_here, fix_there, .. } = diagnosis;
        assert!(![parameter, fix_here, fix_there].iter().any(|text| text.is_empty()), "{diagnosis:#?}");
    }
    [a[0].clone(), b[0].clone()]
}

#[test]
fn another_secret() {
    let world = with_other_b(|c| c.remote_auth = RemoteAuth::Psk(Psk::new(*b"not the same one")));
    let [a, b] = assert_refused(world, [Code::AuthenticationFailed, Code::PskMismatch]);
    assert_eq!((a.side, b.side), (Blame::Remote, Blame::Local));
    assert!(!format!("{a:?}{b:?}").contains("secret one"));
}

#[test]
fn no_common_encryption() {
    let world = with_other_b(|c| c.ike_proposals[0].key_bits = 256);
    let [_, b] = assert_refused(world, [Code::ProposalMismatch, Code::EncryptionAlgorithmMismatch]);
    assert!(b.ours.contains("256") && b.theirs.contains("128"), "{b:?}");
}

#[test]
fn another_identity() {
    let world = with_other_b(|c| c.remote_id = Identity::Fqdn("somebody.example".into()));
    let [_, b] = assert_refused(world, [Code::AuthenticationFailed, Code::PeerIdMismatch]);
    assert_eq!(b.theirs, "192.0.2.1");
}

/// The IKE SA stays up without a child; both say why (RFC 7296 section 1.2).
#[test]
fn no_common_selector() {
    let elsewhere = TrafficSelector::from_network("172.16.0.0".parse().unwrap(), 16).unwrap();
    let world = with_other_b(|c| c.child.local_ts = vec![elsewhere]);
    assert_refused(world, [Code::TrafficSelectorMismatch, Code::TrafficSelectorMismatch]);
}

#[test]
fn no_common_child_proposal() {
    let world = with_other_b(|c| {
        c.child.proposals[0].encryption = EncrId::AES_CBC;
        c.child.proposals[0].integrity = IntegId::HMAC_SHA1_96;
    });
    assert_refused(world, [Code::ProposalMismatch, Code::EncryptionAlgorithmMismatch]);
}

/// The first group guessed is refused; the responder names the one it wants (RFC 7296 section 1.2).
#[test]
fn another_group_is_tried() {
    let mut scenario = Scenario::modern();
    let first = scenario.connections[0].ike_proposals[0];
    let second = IkeProposal { group: KeId::ECP_256, ..first };
    scenario.connections[0].ike_proposals = vec![first, second];
    scenario.connections[1].ike_proposals = vec![second];
    let mut world = World::new(scenario, Link::GOOD, 2);
    world.settle(Duration::from_secs(2));
    assert_eq!(world.ike_pair().unwrap()[0].suite.unwrap().group, KeId::ECP_256);
    assert_eq!(world.gateway(Side::A).manager.counters().sent, 3);
}

/// The responder narrows what the initiator asks for to what it is configured with (RFC 7296 section 2.9).
#[test]
fn selectors_are_narrowed() {
    let network = |addr: &str, len| TrafficSelector::from_network(addr.parse().unwrap(), len).unwrap();
    let mut scenario = Scenario::modern();
    scenario.connections[0].child.local_ts = vec![network("10.1.0.0", 16), network("10.9.0.0", 16)];
    scenario.connections[0].child.remote_ts = vec![network("0.0.0.0", 0)];
    scenario.connections[1].child.local_ts = vec![network("10.2.0.0", 16), network("10.3.3.0", 24)];
    scenario.connections[1].child.remote_ts = vec![network("10.1.4.0", 24)];
    let mut world = World::new(scenario, Link::GOOD, 3);
    world.settle(MINUTE);
    let [a, _] = &world.child_pairs().unwrap()[0];
    assert_eq!(a.local_ts, [network("10.1.4.0", 24)]);
    assert_eq!(a.remote_ts, [network("10.2.0.0", 16), network("10.3.3.0", 24)]);
}
