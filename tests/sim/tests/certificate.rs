//! Ends that prove themselves by certificate: they meet, and each fault of a certificate has its name.

use ike::pki::Trust;
use ike::{
    Code, Confidence, Connection, Diagnosis, Event, Identity, LocalAuth, Psk, RemoteAuth, Side as Blame,
};
use sim::{Certificates, EPOCH, Link, Scenario, Side, World};
use std::sync::Arc;
use std::time::Duration;
use test_pki::{Ca, Kind, Request};

const MINUTE: Duration = Duration::from_secs(60);

fn assert_up(scenario: Scenario, link: Link, seed: u64) -> World {
    let mut world = World::new(scenario, link, seed);
    world.settle(5 * MINUTE);
    assert!(world.is_settled(1), "seed {seed}: {}", world.report());
    world
}

#[test]
fn certificates_on_both_sides_with_an_intermediate() {
    let world = assert_up(Certificates::default().scenario(), Link::GOOD, 1);
    for side in Side::BOTH {
        let proven = |event: &Event| matches!(event, Event::PeerCertificate { subject, .. } if subject.starts_with("O=Example, CN=gw-"));
        assert_eq!(world.count_events(side, proven), 1);
    }
}

#[test]
fn bad_networks_and_restarts_in_the_middle() {
    for seed in 0..20 {
        let mut world = World::new(Certificates::default().scenario(), Link::BAD, seed);
        let side = Side::BOTH[usize::from(seed % 2 == 0)];
        let steps = 3 + seed;
        world.run_until(MINUTE, |world| world.steps() >= steps);
        world.restart(side);
        world.settle(10 * MINUTE);
        assert!(world.is_settled(1), "seed {seed}: {}", world.report());
    }
}

#[test]
fn one_side_by_certificate_the_other_by_shared_key() {
    for certified in [0, 1] {
        let mut scenario = Certificates::default().scenario();
        let psk = Psk::new(*b"of the other side");
        scenario.connections[1 - certified].local_auth = LocalAuth::Psk(psk.clone());
        scenario.connections[certified].remote_auth = RemoteAuth::Psk(psk);
        assert_up(scenario, Link::GOOD, 1);
    }
}

#[test]
fn a_distinguished_name_or_key_id_as_identity() {
    let mut scenario = Certificates::default().scenario();
    let [a, b] = &mut scenario.connections;
    let name: Identity = "O=example,CN=GW-A".parse().expect("a name");
    (a.local_id, b.remote_id) = (name.clone(), name);
    let world = assert_up(scenario, Link::GOOD, 1);
    assert_eq!(world.ike_pair().expect("up")[1].remote_id, "O=Example, CN=gw-a");
}

#[test]
fn a_renewed_certificate_or_revocation_list_leaves_the_tunnel_alone() {
    let certificates = Certificates::default();
    let mut world = assert_up(certificates.scenario(), Link::GOOD, 1);
    let mut renewed = certificates.scenario().connections[0].clone();
    let request = Request { validity: (EPOCH, EPOCH + 9_999_999), ..Certificates::request("a") };
    renewed.local_auth = Certificates::proof(&certificates.issuing.issue(&request));
    let lists = [certificates.issuing.revoke(&[], EPOCH)];
    let trust =
        Trust::new(std::slice::from_ref(&certificates.root.certificate), &lists, false).expect("a CA");
    renewed.remote_auth = RemoteAuth::Certificate(Arc::new(trust));
    world.configure(Side::A, renewed);
    world.run_for(MINUTE);
    assert_eq!(world.count_events(Side::A, |event| matches!(event, Event::IkeDeleted { .. })), 0);
    world.command(Side::A, ike::Command::Down(certificates.scenario().connections[0].key));
    world.run_for(MINUTE);
    world.command(Side::A, ike::Command::Initiate(certificates.scenario().connections[0].key));
    world.settle(MINUTE);
    assert!(world.is_settled(1), "the new one is good too");
}

/// What `side` says first of a negotiation that must fail; B is the one who changes.
fn refused(side: Side, change: impl Fn(&Certificates, &mut Connection)) -> Diagnosis {
    let certificates = Certificates::default();
    let mut scenario = certificates.scenario();
    change(&certificates, &mut scenario.connections[1]);
    let mut world = World::new(scenario, Link::GOOD, 1);
    world.run_for(Duration::from_secs(50));
    for side in Side::BOTH {
        assert!(world.gateway(side).data_plane.live().is_empty());
        assert!(world.gateway(side).data_plane.reserved().is_empty());
    }
    let first = world.gateway(side).events.iter().find_map(|event| match event {
        Event::Failed(diagnosis) => Some(diagnosis.clone()),
        _ => None,
    });
    let diagnosis = first.unwrap_or_else(|| panic!("{side:?} says nothing: {}", world.report()));
    assert!(![&diagnosis.fix_here, &diagnosis.fix_there, &diagnosis.rfc].iter().any(|text| text.is_empty()));
    diagnosis
}

fn issued(ca: &Ca, change: impl Fn(&mut Request)) -> LocalAuth {
    let mut request = Certificates::request("b");
    change(&mut request);
    Certificates::proof(&ca.issue(&request))
}

#[test]
fn expired() {
    let a = refused(Side::A, |pki, b| {
        b.local_auth = issued(&pki.issuing, |request| request.validity = (EPOCH - 100, EPOCH - 1));
    });
    assert_eq!((a.code, a.side), (Code::CertificateExpired, Blame::Local));
    assert!(a.ours.starts_with("now 2027-01-15T08:") && a.theirs.contains("2027-01-15T07:59:59Z"), "{a}");
}

#[test]
fn unknown_ca() {
    let other = Ca::root("Other", Kind::Ed25519, EPOCH);
    let a = refused(Side::A, |_, b| b.local_auth = issued(&other, |_| ()));
    assert_eq!(a.code, Code::CertificateUnknownCa);
    assert_eq!((a.ours.as_str(), a.theirs.as_str()), ("O=Example, CN=Root", "O=Example, CN=Other"));
    // The other way round, B tells A nothing but that it failed.
    let distrust = |_: &Certificates, b: &mut Connection| b.remote_auth = Certificates::trust(&other);
    assert_eq!(refused(Side::B, distrust).code, Code::CertificateUnknownCa);
    let a = refused(Side::A, distrust);
    assert_eq!((a.code, a.side), (Code::AuthenticationFailed, Blame::Remote));
    assert!(a.fix_there.contains("CA of our certificate"), "{a}");
    assert_eq!((a.confidence, a.theirs.as_str()), (Confidence::Possible, "not told (AUTHENTICATION_FAILED)"));
}

#[test]
fn wrong_name() {
    let a = refused(Side::A, |pki, b| {
        b.local_auth = issued(&pki.issuing, |request| request.names = vec!["c.example".to_owned()]);
    });
    assert_eq!(a.code, Code::CertificateNameMismatch);
    assert_eq!((a.ours.as_str(), a.theirs.as_str()), ("b.example", "O=Example, CN=gw-b; c.example"));
}

#[test]
fn revoked() {
    let b = refused(Side::B, |pki, b| {
        let list = pki.issuing.revoke(&[&pki.issuing.issue(&Certificates::request("a"))], EPOCH);
        let trust = Trust::new(std::slice::from_ref(&pki.root.certificate), &[list], false).expect("a CA");
        b.remote_auth = RemoteAuth::Certificate(Arc::new(trust));
    });
    assert_eq!((b.code, b.theirs.as_str()), (Code::CertificateRevoked, "O=Example, CN=gw-a"));
}

#[test]
fn a_peer_that_is_revoked_while_it_is_up_is_cut_off_and_does_not_come_back() {
    for rekeyed in [false, true] {
        let certificates = Certificates::default();
        let scenario = certificates.scenario();
        let key = scenario.connections[1].key;
        let mut world = assert_up(scenario, Link::GOOD, 1);
        if rekeyed {
            let ike_sa = world.gateway(Side::B).ike_sas()[0].id;
            world.command(Side::B, ike::Command::RekeyIke(ike_sa));
            world.settle(MINUTE);
        }
        let revoked = certificates.issuing.issue(&Certificates::request("a"));
        let lists = [certificates.issuing.revoke(&[&revoked], EPOCH)];
        let authorities = std::slice::from_ref(&certificates.root.certificate);
        let trust = RemoteAuth::Certificate(Arc::new(Trust::new(authorities, &lists, false).expect("a CA")));
        world.reconfigure(Side::B, key, |connection| connection.remote_auth = trust);
        world.run_for(MINUTE);
        for side in Side::BOTH {
            assert!(world.gateway(side).data_plane.live().is_empty(), "{}", world.report());
        }
        let revoked = |event: &Event| matches!(event, Event::Failed(d) if d.code == Code::CertificateRevoked);
        assert!(world.count_events(Side::B, revoked) > 1, "at once, and each time it comes again");
    }
}

#[test]
fn not_for_ike() {
    let signs_nothing = |request: &mut Request| request.signs = Some(false);
    let a = refused(Side::A, |pki, b| b.local_auth = issued(&pki.issuing, signs_nothing));
    assert_eq!(a.code, Code::CertificateUsage);
}

#[test]
fn a_shared_key_where_a_certificate_is_asked_for() {
    let a = refused(Side::A, |_, b| b.local_auth = LocalAuth::Psk(Psk::new(*b"a key")));
    assert_eq!((a.code, a.ours.as_str()), (Code::AuthenticationMethodMismatch, "certificate"));
    let b = refused(Side::B, |_, b| b.remote_auth = RemoteAuth::Psk(Psk::new(*b"a key")));
    assert_eq!((b.code, b.theirs.as_str()), (Code::AuthenticationMethodMismatch, "Digital Signature"));
}
