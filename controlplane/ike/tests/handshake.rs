//! From nothing to a tunnel: algorithms, retries, NAT, narrowing, and every way to fail.

mod common;
use common::*;
use ike::wire::iana::{EncrId, IntegId, KeId, PrfId};
use ike::*;

fn established(a: Connection, b: Connection) -> World {
    let mut world = World::new(a, b);
    world.run(5);
    world.assert_up();
    world
}

fn both(change: impl Fn(&mut Connection)) -> (Connection, Connection) {
    let (mut a, mut b) = (connection(A), connection(B));
    change(&mut a);
    change(&mut b);
    (a, b)
}

#[test]
fn two_messages_each_way_make_a_tunnel() {
    let world = established(connection(A), connection(B));
    assert_eq!(world.trace.len(), 4);
    assert!(matches!(world.sides[A].child().sa.outer.encap, Encap::Native));
    assert!(world.sides[A].events.iter().any(|e| matches!(e, Event::IkeEstablished { initiator: true, .. })));
    assert!(
        world.sides[B].events.iter().any(|e| matches!(e, Event::IkeEstablished { initiator: false, .. }))
    );
}

#[test]
fn an_ike_sa_may_begin_without_its_child() {
    let (mut a, b) = (connection(A), connection(B));
    a.childless = true;
    let world = established(a, b);
    assert_eq!(world.trace.len(), 6, "the child comes by an exchange of its own");
    assert!(world.sides.iter().all(|side| side.ike_sas().len() == 1));
}

#[test]
fn every_ike_suite() {
    let aead = [(EncrId::AES_GCM_16, 128), (EncrId::AES_GCM_16, 192), (EncrId::AES_GCM_16, 256)];
    let ciphers = [
        (EncrId::AES_CBC, 128),
        (EncrId::AES_CBC, 192),
        (EncrId::AES_CBC, 256),
        (EncrId::TRIPLE_DES, 0),
        (EncrId::DES, 0),
    ];
    let hashes = [
        (IntegId::HMAC_MD5_96, PrfId::HMAC_MD5),
        (IntegId::HMAC_SHA1_96, PrfId::HMAC_SHA1),
        (IntegId::HMAC_SHA2_256_128, PrfId::HMAC_SHA2_256),
        (IntegId::HMAC_SHA2_384_192, PrfId::HMAC_SHA2_384),
        (IntegId::HMAC_SHA2_512_256, PrfId::HMAC_SHA2_512),
    ];
    let group = KeId::CURVE25519;
    let mut suites = Vec::new();
    for (encryption, key_bits) in ciphers {
        suites.extend(hashes.map(|(integrity, prf)| IkeProposal {
            encryption,
            key_bits,
            integrity,
            prf,
            group,
        }));
    }
    for (encryption, key_bits) in aead {
        suites.extend(hashes.map(|(_, prf)| IkeProposal {
            encryption,
            key_bits,
            integrity: IntegId::NONE,
            prf,
            group,
        }));
    }
    for suite in suites {
        let (a, b) = both(|c| c.ike_proposals = vec![suite]);
        let world = established(a, b);
        assert_eq!(world.sides[A].ike_sa().suite, Some(suite));
    }
}

#[test]
fn every_group() {
    for group in [1, 2, 5, 14, 15, 16, 19, 20, 21, 31].map(KeId) {
        let (a, b) = both(|c| c.ike_proposals[0].group = group);
        established(a, b);
    }
}

#[test]
fn the_first_common_proposal_is_chosen_and_its_group_asked_for() {
    let (mut a, mut b) = (connection(A), connection(B));
    a.ike_proposals = vec![IkeProposal { group: KeId::ECP_256, ..ike_quick() }, ike_quick()];
    b.ike_proposals = vec![ike_default(), ike_quick()];
    let world = established(a, b);
    assert_eq!(world.trace.len(), 6, "INVALID_KE_PAYLOAD costs one round trip");
    assert_eq!(world.sides[B].ike_sa().suite, Some(ike_quick()));
}

#[test]
fn esn_is_used_where_both_allow_it() {
    for (ours, theirs) in [(true, true), (true, false), (false, true)] {
        let (mut a, mut b) = (connection(A), connection(B));
        (a.child.proposals[0].esn, b.child.proposals[0].esn) = (ours, theirs);
        let world = established(a, b);
        assert_eq!(world.sides[A].child().sa.esn, ours && theirs);
    }
}

#[test]
fn identities_of_every_kind() {
    for (one, other) in [
        ("gw-a.example", "gw-b.example"),
        ("a@example", "b@example"),
        ("keyid:a", "keyid:b"),
        ("2001:db8::1", "10.0.0.1"),
    ] {
        let (one, other): (Identity, Identity) = (one.parse().unwrap(), other.parse().unwrap());
        let (mut a, mut b) = (connection(A), connection(B));
        (a.local_id, a.remote_id) = (one.clone(), other.clone());
        (b.local_id, b.remote_id) = (other.clone(), one.clone());
        let world = established(a, b);
        assert!(one.to_string().ends_with(&world.sides[B].ike_sa().remote_id));
    }
}

#[test]
fn behind_a_nat_everything_moves_to_4500_and_udp() {
    let outside = "203.0.113.9".parse().unwrap();
    let mut b = connection(B);
    b.remote = None;
    let network = Network { nat: Some(outside), ..Network::default() };
    let mut world = World::seeded(connection(A), b, 1, network);
    world.run(5);
    let [a, b] = &world.sides;
    assert_eq!(a.ike_sa().nat, (true, false));
    assert_eq!(b.ike_sa().nat, (false, true));
    assert_eq!(a.child().sa.outer.encap, Encap::Udp { local_port: 4500, remote_port: 4500 });
    assert_eq!(a.child().sa.outer.keepalive_secs, 20);
    assert_eq!(b.child().sa.outer.encap, Encap::Udp { local_port: 4500, remote_port: 4501 });
    assert_eq!((b.child().sa.outer.remote, b.child().sa.follow_nat), (outside, true));
    assert!(world.trace.iter().skip(2).all(|(_, d)| d.has_marker()));
}

#[test]
fn encapsulation_can_be_forced() {
    let mut a = connection(A);
    a.force_encap = true;
    let world = established(a, connection(B));
    assert!(matches!(world.sides[A].child().sa.outer.encap, Encap::Udp { .. }));
    assert!(matches!(world.sides[B].child().sa.outer.encap, Encap::Udp { .. }));
}

#[test]
fn the_responder_narrows() {
    let (mut a, mut b) = (connection(A), connection(B));
    (a.child.local_ts, a.child.remote_ts) =
        (vec![ts("0.0.0.0/0")], vec![ts("10.2.0.0/16"), ts("10.4.0.0/24")]);
    (b.child.local_ts, b.child.remote_ts) =
        (vec![ts("10.2.0.0/24"), ts("10.4.0.0/16")], vec![ts("10.1.0.0/24"), ts("10.3.0.0/24")]);
    let world = established(a, b);
    assert_eq!(world.sides[A].child().sa.local_ts, [ts("10.1.0.0/24"), ts("10.3.0.0/24")]);
    assert_eq!(world.sides[A].child().sa.remote_ts, [ts("10.2.0.0/24"), ts("10.4.0.0/24")]);
}

#[test]
fn traffic_starts_a_tunnel() {
    let mut a = connection(A);
    a.start = Start::OnTraffic;
    let mut world = World::new(a, connection(B));
    world.run(5);
    assert!(world.trace.is_empty());
    let packet = Flow {
        src: "10.1.0.5".parse().unwrap(),
        dst: "10.2.0.6".parse().unwrap(),
        protocol: 6,
        src_port: 4000,
        dst_port: 80,
    };
    world.command(A, Command::Acquire { key: KEY, packet });
    world.command(A, Command::Acquire { key: KEY, packet });
    world.run(5);
    world.assert_up();
    assert_eq!(world.sides[B].child().sa.local_ts, [ts("10.2.0.0/24")]);
}

/// Runs a handshake that must fail; gives what each side's first diagnosis says.
fn fails(a: Connection, b: Connection) -> (Diagnosis, Option<Diagnosis>, World) {
    let mut world = World::new(a, b);
    world.run(1);
    assert!(world.sides.iter().all(|s| s.children.is_empty() && s.reserved.is_empty()));
    let first = |s: &Gateway| s.failures().first().map(|d| (*d).clone());
    let ours = first(&world.sides[A]).expect("a diagnosis");
    (ours, first(&world.sides[B]), world)
}

#[test]
fn different_secrets() {
    let mut b = connection(B);
    b.remote_auth = RemoteAuth::Psk(Psk::new(&b"another"[..]));
    let (ours, theirs, world) = fails(connection(A), b);
    assert_eq!((ours.code, ours.side), (Code::AuthenticationFailed, Side::Remote));
    assert_eq!(theirs.unwrap().code, Code::PskMismatch);
    assert!(world.sides[B].ike_sas().is_empty());
}

#[test]
fn different_identities() {
    let mut b = connection(B);
    b.remote_id = "gw-x.example".parse().unwrap();
    let (ours, theirs, _) = fails(connection(A), b);
    assert_eq!(ours.code, Code::AuthenticationFailed);
    let theirs = theirs.unwrap();
    assert_eq!(
        (theirs.code, theirs.ours.as_str(), theirs.theirs.as_str()),
        (Code::PeerIdMismatch, "gw-x.example", "192.0.2.1")
    );
}

#[test]
fn the_responder_is_somebody_else() {
    let (mut a, mut b) = (connection(A), connection(B));
    // Without our IDr the responder cannot notice: it answers as whom it is.
    a.remote_id = "gw-b.example".parse().unwrap();
    b.local_id = "gw-c.example".parse().unwrap();
    let (ours, theirs, _) = fails(a, b);
    assert_eq!(ours.code, Code::AuthenticationFailed);
    assert_eq!(theirs.unwrap().parameter, "local-id");
}

#[test]
fn no_common_ike_algorithm_names_the_kind() {
    let cases: [(IkeProposal, Code); 4] = [
        (IkeProposal { key_bits: 256, ..ike_quick() }, Code::EncryptionAlgorithmMismatch),
        (IkeProposal { prf: PrfId::HMAC_SHA1, ..ike_quick() }, Code::AuthenticationAlgorithmMismatch),
        (IkeProposal { group: KeId::ECP_384, ..ike_quick() }, Code::DhGroupMismatch),
        (ike_default(), Code::EncryptionAlgorithmMismatch),
    ];
    for (proposal, code) in cases {
        let mut b = connection(B);
        b.ike_proposals = vec![proposal];
        let (ours, theirs, _) = fails(connection(A), b);
        assert_eq!((ours.code, ours.side), (Code::ProposalMismatch, Side::Remote));
        assert_eq!(theirs.unwrap().code, code);
    }
}

#[test]
fn no_common_esp_algorithm_leaves_the_ike_sa() {
    let mut b = connection(B);
    b.child.proposals = vec![EspProposal { key_bits: 256, ..esp_quick() }];
    let (ours, theirs, world) = fails(connection(A), b);
    assert_eq!(ours.code, Code::ProposalMismatch);
    assert_eq!(theirs.unwrap().code, Code::EncryptionAlgorithmMismatch);
    assert_eq!(world.sides[A].ike_sa().state, IkeState::Established);
    assert_eq!(world.sides[B].ike_sa().state, IkeState::Established);
}

#[test]
fn no_common_selector_leaves_the_ike_sa_and_is_tried_again() {
    let mut b = connection(B);
    b.child.local_ts = vec![ts("10.9.0.0/24")];
    let (ours, theirs, mut world) = fails(connection(A), b.clone());
    assert_eq!(
        (ours.code, theirs.unwrap().code),
        (Code::TrafficSelectorMismatch, Code::TrafficSelectorMismatch)
    );
    b.child.local_ts = vec![ts("10.2.0.0/24")];
    let now = world.now;
    world.sides[B].manager.set_connection(b, now);
    world.run(120);
    world.assert_up();
}

#[test]
fn nobody_answers() {
    let network = Network { loss: 100, ..Network::default() };
    let mut world = World::seeded(connection(A), connection(B), 1, network);
    world.run(60);
    assert_eq!(world.sides[A].failures()[0].code, Code::NoResponse);
    let before = world.trace.len();
    world.run(120);
    assert!(world.trace.len() > before, "it is tried again");
    world.network = Network::default();
    world.run(120);
    world.assert_up();
}

/// The initiator finds the responder's proof wrong when that believes in an IKE SA already, and says so.
#[test]
fn a_proof_that_the_initiator_refuses_ends_at_both_sides_with_a_record() {
    let mut a = connection(A);
    a.remote_auth = RemoteAuth::Psk(Psk::new(&b"another secret"[..]));
    let mut world = World::new(a, connection(B));
    world.run(1);
    assert!(world.sides.iter().all(|s| s.ike_sas().is_empty() && s.children.is_empty()));
    assert_eq!(world.sides[A].failures()[0].code, Code::PskMismatch);
    let record = world.sides[B].failures()[0];
    assert_eq!((record.code, record.side), (Code::AuthenticationFailed, Side::Remote));
    assert_eq!((record.connection, &record.theirs[..]), (Some(KEY), "not told (AUTHENTICATION_FAILED)"));
    assert!(record.ours.contains("192.0.2.2") && record.rfc.contains("2.21.2"), "{record}");
}

#[test]
fn a_stranger_and_ikev1_are_refused_and_counted() {
    let mut world = World::new(connection(A), connection(B));
    world.run(1);
    let (_, first) = world.trace[0].clone();
    let mut v1 = first.payload.clone();
    v1[17] = 0x10;
    v1[8..16].fill(0);
    for payload in [v1, vec![0; 5], vec![0xff; 100], Vec::new()] {
        let stray = Datagram { vrf: 0, local: first.remote, remote: first.local, payload };
        let now = world.now;
        world.sides[B].manager.handle_message(stray, now);
    }
    let counters = world.sides[B].manager.counters();
    assert_eq!((counters.ikev1, counters.malformed), (1, 3));
    let mut stranger = Datagram {
        vrf: 0,
        local: first.remote,
        remote: "198.51.100.1:500".parse().unwrap(),
        payload: first.payload.clone(),
    };
    stranger.payload[0] ^= 1;
    let now = world.now;
    world.sides[B].manager.handle_message(stranger, now);
    assert_eq!(world.sides[B].manager.counters().unknown_peer, 1);
    world.assert_up();
}

/// A response to IKE_SA_INIT that says only this.
fn only(request: &Datagram, notify: ike::wire::NotifyPayload) -> Datagram {
    use ike::wire::{Message, Payload};
    let mut header = Message::decode(&request.payload).expect("a message").header;
    (header.flags.initiator, header.flags.response) = (false, true);
    let payload = Message { header, payloads: vec![Payload::Notify(notify)] }.encode().expect("short");
    Datagram { vrf: 0, local: request.local, remote: request.remote, payload }
}

#[test]
fn a_cookie_is_sent_back_first_under_the_same_message_id() {
    use ike::wire::iana::NotifyType;
    use ike::wire::{Message, NotifyPayload, Payload};
    let mut world = World::new(connection(A), connection(B));
    let now = world.now;
    world.sides[A].manager.handle_timeout(now);
    let first = world.sides[A].manager.poll_transmit().unwrap();
    let cookie = only(&first, NotifyPayload::new(NotifyType::COOKIE, [7; 40]));
    world.sides[A].manager.handle_message(cookie, now);
    let second = world.sides[A].manager.poll_transmit().unwrap();
    let (before, after) =
        (Message::decode(&first.payload).unwrap(), Message::decode(&second.payload).unwrap());
    assert!(
        matches!(&after.payloads[0], Payload::Notify(n) if n.notify_type == NotifyType::COOKIE && n.data == [7; 40])
    );
    assert_eq!(after.payloads[1..], before.payloads);
    assert_eq!(after.header, before.header);
    // The peer, which knows nothing of it, goes on; AUTH covers the request with the cookie.
    let now = world.now;
    let arriving = Datagram { vrf: 0, local: second.remote, remote: second.local, payload: second.payload };
    world.sides[B].manager.handle_message(arriving, now);
    world.run(5);
    world.assert_up();
}

#[test]
fn endless_new_beginnings_end() {
    use ike::wire::NotifyPayload;
    use ike::wire::iana::NotifyType;
    let mut world = World::new(connection(A), connection(B));
    let now = world.now;
    world.sides[A].manager.handle_timeout(now);
    for n in 0..10 {
        let Some(request) = world.sides[A].manager.poll_transmit() else {
            assert!(world.sides[A].ike_sas().is_empty());
            return;
        };
        let cookie = only(&request, NotifyPayload::new(NotifyType::COOKIE, [n; 40]));
        world.sides[A].manager.handle_message(cookie, now);
    }
    panic!("still trying");
}

#[test]
fn a_group_we_did_not_offer_is_not_taken() {
    use ike::wire::NotifyPayload;
    use ike::wire::iana::NotifyType;
    let mut world = World::new(connection(A), connection(B));
    let now = world.now;
    world.sides[A].manager.handle_timeout(now);
    let request = world.sides[A].manager.poll_transmit().unwrap();
    let weaker = only(&request, NotifyPayload::new(NotifyType::INVALID_KE_PAYLOAD, [0, 1]));
    world.sides[A].manager.handle_message(weaker, now);
    world.drain(A);
    let diagnosis = world.sides[A].failures()[0];
    assert_eq!((diagnosis.code, diagnosis.theirs.as_str()), (Code::DhGroupMismatch, "MODP-768 (group 1)"));
}
