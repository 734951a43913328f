//! A recorded negotiation comes to the same result when it is played again, and tells no secret.

mod common;

use common::*;
use ike::record::{Recording, What, replay};
use ike::*;
use std::time::Duration;
use test_pki::{Ca, Kind, Request};

/// A day in 2027, since the Unix epoch.
const NOW: Duration = Duration::from_secs(1_800_000_000);

/// Both sides of the first negotiation, as files would hold them.
fn recorded(a: Connection, b: Connection, secs: u64) -> [Recording; 2] {
    let mut world = World::new(a, b);
    let now = world.now;
    for side in &mut world.sides {
        side.manager.set_wall_clock(NOW, now);
        assert!(side.manager.record(KEY, now));
    }
    world.run(secs);
    let keys: Vec<String> =
        world.sides.iter().flat_map(|side| side.children.values()).flat_map(secrets).collect();
    world.sides.each_mut().map(|side| {
        assert_eq!(side.manager.recorded(), Some(KEY));
        let recording = side.manager.take_recording().expect("recorded");
        let text = serde_json::to_string(&recording).expect("serializable");
        for secret in keys.iter().chain([&hex::encode("test-psk-0123456789"), &"test-psk".to_owned()]) {
            assert!(!text.contains(secret.as_str()), "a secret in {text}");
        }
        serde_json::from_str(&text).expect("as it was written")
    })
}

fn secrets(child: &Installed) -> Vec<String> {
    let ChildKeys { encryption, .. } = &child.sa.inbound;
    let ChildKeys { encryption: other, .. } = &child.sa.outbound;
    vec![hex::encode(encryption), hex::encode(other)]
}

fn assert_replays(recordings: &[Recording; 2], expected: [Option<Code>; 2]) {
    for (side, (recording, code)) in recordings.iter().zip(expected).enumerate() {
        let results: Vec<What> = recording.results().cloned().collect();
        let last = match results.last() {
            Some(What::Failed(diagnosis)) => Some(diagnosis.code),
            Some(What::Up) => None,
            other => panic!("side {side}: {other:?}"),
        };
        assert_eq!(last, code, "side {side}");
        assert_eq!(replay(recording).expect("a recording"), results, "side {side}");
    }
}

fn both(code: Code) -> [Option<Code>; 2] {
    [Some(code), Some(code)]
}

#[test]
fn a_tunnel_that_comes_up_does_so_again() {
    assert_replays(&recorded(connection(A), connection(B), 5), [None, None]);
    let childless = Connection { childless: true, ..connection(A) };
    assert_replays(&recorded(childless, connection(B), 5), [None, None]);
}

#[test]
fn what_is_unlike_on_both_sides_is_found_again() {
    let proposal =
        Connection { ike_proposals: vec![IkeProposal { key_bits: 256, ..ike_quick() }], ..connection(B) };
    let codes = [Code::ProposalMismatch, Code::EncryptionAlgorithmMismatch].map(Some);
    assert_replays(&recorded(connection(A), proposal, 5), codes);
    let psk = Connection { remote_auth: RemoteAuth::Psk(Psk::new(&b"another"[..])), ..connection(B) };
    let [a, b] = recorded(connection(A), psk, 5);
    assert_replays(&[a, b], [Some(Code::AuthenticationFailed), Some(Code::PskMismatch)]);
    let id = Connection { remote_id: Identity::Fqdn("someone.example".into()), ..connection(B) };
    assert_replays(
        &recorded(connection(A), id, 5),
        [Some(Code::AuthenticationFailed), Some(Code::PeerIdMismatch)],
    );
    let mut selectors = connection(B);
    selectors.child.remote_ts = vec![ts("10.99.0.0/16")];
    assert_replays(&recorded(connection(A), selectors, 5), both(Code::TrafficSelectorMismatch));
}

#[test]
fn a_half_failure_is_found_again_and_the_tunnel_up() {
    let a = Connection { force_encap: true, ..connection(A) };
    let b = Connection { nat_traversal: false, ..connection(B) };
    let recordings = recorded(a, b, 5);
    assert_replays(&recordings, [None, None]);
    let failures =
        |recording: &Recording| recording.results().filter(|what| matches!(what, What::Failed(_))).count();
    assert_eq!(recordings.each_ref().map(failures), [0, 1]);
}

#[test]
fn silence_is_found_again() {
    let mut a = side(A, connection(A));
    assert!(a.manager.record(KEY, Time::default()));
    while let Some(due) = a.manager.poll_timeout().filter(|due| *due < Time::from_secs(60)) {
        a.manager.handle_timeout(due);
        while a.manager.poll_event().is_some() {}
    }
    assert!(a.manager.has_recorded());
    let recording = a.manager.take_recording().expect("recorded");
    let results: Vec<What> = recording.results().cloned().collect();
    assert!(matches!(&results[..], [What::Failed(told)] if told.code == Code::NoResponse), "{results:?}");
    assert_eq!(replay(&recording), Ok(results));
}

fn certified(side: usize, ca: &Ca, kind: Kind, trusted: &Ca, revoked: &[Vec<u8>]) -> Connection {
    let name = if side == A { "a.example" } else { "b.example" };
    let peer = if side == A { "b.example" } else { "a.example" };
    let now = i64::try_from(NOW.as_secs()).expect("a time");
    let issued = ca.issue(&Request::new(name, &[name], kind, now));
    let own =
        pki::Credential::new(&issued.chain, issued.pkcs8.into(), RsaPadding::Pss).expect("our certificate");
    let trust = pki::Trust::new(std::slice::from_ref(&trusted.certificate), revoked, false).expect("a CA");
    Connection {
        local_id: Identity::Fqdn(name.into()),
        remote_id: Identity::Fqdn(peer.into()),
        local_auth: LocalAuth::Certificate(own.into()),
        remote_auth: RemoteAuth::Certificate(trust.into()),
        ..connection(side)
    }
}

#[test]
fn certificates_are_checked_again_and_keys_stay_at_home() {
    let now = i64::try_from(NOW.as_secs()).expect("a time");
    let (ca, other) = (Ca::root("Root", Kind::P256, now), Ca::root("Other", Kind::P256, now));
    for kind in [Kind::Ed25519, Kind::P256, Kind::Rsa] {
        let sides = [A, B].map(|side| certified(side, &ca, kind, &ca, &[]));
        let [a, b] = sides;
        assert_replays(&recorded(a, b, 5), [None, None]);
    }
    let [a, b] =
        [(A, &ca), (B, &other)].map(|(side, trusted)| certified(side, &ca, Kind::P256, trusted, &[]));
    let recordings = recorded(a, b, 5);
    assert_replays(&recordings, [Some(Code::AuthenticationFailed), Some(Code::CertificateUnknownCa)]);
}

#[test]
fn what_no_recorder_wrote_is_refused() {
    let [good, _] = recorded(connection(A), connection(B), 5);
    assert!(replay(&Recording { version: 0, ..good.clone() }).is_err());
    assert!(replay(&Recording { connections: Vec::new(), ..good.clone() }).is_err());
    let mut backwards = good;
    backwards.entries.reverse();
    assert!(replay(&backwards).is_err());
}
