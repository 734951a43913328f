//! Every mismatch a person can make, against strongSwan: the code, both values, and how sure the diagnosis is.
//!
//! The gateway stays as it is, the peer is configured otherwise for each row. Where the peer refuses us, it does
//! not say what it would have had instead; where we refuse, both values were on the wire.

use crate::Scenario;
use crate::scenarios::certificates::Pki;
use crate::scenarios::strongswan::DEFAULT;
use crate::scene::{Initiator, Scene, With};
use anyhow::{Context as _, Result, bail, ensure};
use api::Diagnosis;
use esplanade::lab::{Lab, Peer, SiteOptions, SwanOptions};
use std::time::Duration;
use test_pki::{Ca, Kind, Request};

/// What our side says of a mismatch.
#[derive(Debug, Clone, Copy)]
struct Said {
    code: &'static str,
    confidence: &'static str,
    /// With which our value begins.
    ours: &'static str,
    /// With which the peer's value begins.
    theirs: &'static str,
}

const fn said(
    code: &'static str,
    confidence: &'static str,
    ours: &'static str,
    theirs: &'static str,
) -> Said {
    Said { code, confidence, ours, theirs }
}

/// What is done once both ends have their configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// One side initiates.
    Initiate,
    /// It comes up, and the CHILD_SA is rekeyed by the side that initiated.
    Rekey,
    /// It comes up, and does not stay.
    Wait,
}

/// A mismatch: what is said of it where we initiate, and where the peer does.
struct Row {
    name: &'static str,
    change: fn(&mut SwanOptions),
    then: Then,
    we_initiate: Said,
    peer_initiates: Said,
}

/// A row that fails at once.
const fn row(
    name: &'static str,
    change: fn(&mut SwanOptions),
    we_initiate: Said,
    peer_initiates: Said,
) -> Row {
    Row { name, change, then: Then::Initiate, we_initiate, peer_initiates }
}

const REFUSED: &str = "not told (NO_PROPOSAL_CHOSEN)";
const NO_IKE_PROPOSAL: Said = said(
    "ProposalMismatch",
    "likely",
    "ENCR_AES_CBC-128/AUTH_HMAC_SHA1_96/PRF_HMAC_SHA1/MODP-1024 (group 2)",
    REFUSED,
);
const NO_ESP_PROPOSAL: Said =
    said("ProposalMismatch", "likely", "ENCR_AES_CBC-128/AUTH_HMAC_SHA1_96/MODP-1024 (group 2)", REFUSED);
const NO_PROOF: Said = said(
    "AuthenticationFailed",
    "possible",
    "local-id 192.0.2.1, remote-id 192.0.2.2",
    "not told (AUTHENTICATION_FAILED)",
);
const DELETED: Said =
    said("ReceiveDeleteNotify", "possible", "86400 s and 86400 s", "not told (Delete of the CHILD_SA after ");

const ROWS: [Row; 13] = [
    row(
        "version",
        |peer| peer.connection_lines = "version = 1".into(),
        NO_IKE_PROPOSAL,
        said("IkeVersionMismatch", "certain", "2.0", "1.0"),
    ),
    row(
        "ike-encryption",
        |peer| peer.ike = "aes256-sha1-modp1024".into(),
        NO_IKE_PROPOSAL,
        said("EncryptionAlgorithmMismatch", "certain", "ENCR_AES_CBC-128", "ENCR_AES_CBC-256"),
    ),
    row(
        "ike-integrity",
        |peer| peer.ike = "aes128-sha256-prfsha1-modp1024".into(),
        NO_IKE_PROPOSAL,
        said("AuthenticationAlgorithmMismatch", "certain", "AUTH_HMAC_SHA1_96", "AUTH_HMAC_SHA2_256_128"),
    ),
    row(
        "ike-prf",
        |peer| peer.ike = "aes128-sha1-prfsha256-modp1024".into(),
        NO_IKE_PROPOSAL,
        said("AuthenticationAlgorithmMismatch", "certain", "PRF_HMAC_SHA1", "PRF_HMAC_SHA2_256"),
    ),
    row(
        "ike-group",
        |peer| peer.ike = "aes128-sha1-modp2048".into(),
        NO_IKE_PROPOSAL,
        said("DhGroupMismatch", "certain", "MODP-1024 (group 2)", "MODP-2048 (group 14)"),
    ),
    row(
        "psk",
        |peer| peer.psk = "another-key".into(),
        NO_PROOF,
        said("PskMismatch", "likely", "(secret)", "not told (its proof is of another secret)"),
    ),
    row(
        "id-of-peer",
        |peer| peer.identities = Some(["gw-x.example", "192.0.2.1"].map(str::to_owned)),
        NO_PROOF,
        said("PeerIdMismatch", "certain", "192.0.2.2", "gw-x.example"),
    ),
    row(
        "id-of-ours",
        |peer| peer.identities = Some(["192.0.2.2", "gw-x.example"].map(str::to_owned)),
        NO_PROOF,
        said("PeerIdMismatch", "certain", "192.0.2.1", "gw-x.example"),
    ),
    row(
        "selectors",
        |peer| peer.local_ts = "10.9.0.0/24".into(),
        said(
            "TrafficSelectorMismatch",
            "likely",
            "10.1.0.0/24 === 10.2.0.0/24",
            "not told (TS_UNACCEPTABLE)",
        ),
        said(
            "TrafficSelectorMismatch",
            "certain",
            "10.1.0.0/24 === 10.2.0.0/24",
            "10.1.0.0/24 === 10.9.0.0/24",
        ),
    ),
    row(
        "ipsec-encryption",
        |peer| peer.esp = "aes256-sha1-modp1024".into(),
        NO_ESP_PROPOSAL,
        said("EncryptionAlgorithmMismatch", "certain", "ENCR_AES_CBC-128", "ENCR_AES_CBC-256"),
    ),
    row(
        "ipsec-integrity",
        |peer| peer.esp = "aes128-sha256-modp1024".into(),
        NO_ESP_PROPOSAL,
        said("AuthenticationAlgorithmMismatch", "certain", "AUTH_HMAC_SHA1_96", "AUTH_HMAC_SHA2_256_128"),
    ),
    // The first CHILD_SA has no key exchange of its own: it shows at the rekey.
    Row {
        name: "pfs",
        change: |peer| peer.esp = "aes128-sha1".into(),
        then: Then::Rekey,
        we_initiate: NO_ESP_PROPOSAL,
        peer_initiates: said("PfsMismatch", "certain", "MODP-1024 (group 2)", "none"),
    },
    // IKEv2 negotiates no lifetimes: a peer that does not rekey deletes.
    Row {
        name: "lifetime",
        change: |peer| peer.child_lines = "life_time = 2s".into(),
        then: Then::Wait,
        we_initiate: DELETED,
        peer_initiates: DELETED,
    },
];

/// A certificate of the peer that is none for us.
struct CertificateRow {
    name: &'static str,
    change: fn(&mut Pki),
    we_initiate: Said,
    peer_initiates: Said,
}

const EXPIRED: Said = said("CertificateExpired", "certain", "now 20", "valid until 20");
const UNKNOWN_CA: Said =
    said("CertificateUnknownCa", "certain", "O=Example, CN=Root", "O=Example, CN=Issuing B");
const WRONG_NAME: Said =
    said("CertificateNameMismatch", "certain", "gw-b.example", "O=Example, CN=gw-b; gw-x.example");

const CERTIFICATES: [CertificateRow; 3] = [
    CertificateRow {
        name: "expired",
        change: |pki| pki.peer.validity.1 = pki.now - 60,
        we_initiate: EXPIRED,
        peer_initiates: EXPIRED,
    },
    CertificateRow {
        name: "wrong-name",
        change: |pki| pki.peer = Request::new("gw-b", &["gw-x.example"], Kind::P256, pki.now),
        we_initiate: WRONG_NAME,
        peer_initiates: WRONG_NAME,
    },
    // The last one: the CA stays another.
    CertificateRow {
        name: "unknown-ca",
        change: |pki| pki.peer_root = Some(Ca::root("Other", Kind::P256, pki.now)),
        we_initiate: UNKNOWN_CA,
        peer_initiates: UNKNOWN_CA,
    },
];

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("ikev2/faults/we-initiate", |lab| table(lab, Initiator::Us)),
        Scenario::new("ikev2/faults/peer-initiates", |lab| table(lab, Initiator::Peer)).chosen(),
        Scenario::new("ikev2/faults/certificates", certificates),
        Scenario::new("ikev2/faults/nat-traversal-off", nat_traversal_off),
    ]
}

fn table(lab: &Lab, initiator: Initiator) -> Result<String> {
    let scene = Scene::set(lab, &DEFAULT.site(), &With::StrongSwan(Box::new(DEFAULT.swan())))?;
    let mut wrong = Vec::new();
    for row in &ROWS {
        let mut options = DEFAULT.swan();
        (row.change)(&mut options);
        let said = if initiator == Initiator::Us { row.we_initiate } else { row.peer_initiates };
        let tried = attempt(&scene, &options, initiator, row.then, said);
        wrong.extend(tried.err().map(|error| format!("{}: {error:#}", row.name)));
    }
    verdict(&scene, &wrong, ROWS.len())
}

fn certificates(lab: &Lab) -> Result<String> {
    let mut pki = Pki::new(Kind::P256, "pss")?;
    let (mut site, swan) = pki.options();
    // Each row has an issuing CA of its own, of which there is no list.
    site.proof_lines = site.proof_lines.replace("\ncrl = \"issuing.crl\"", "");
    let mut wrong = Vec::new();
    let scene = Scene::set(lab, &site, &With::StrongSwan(Box::new(swan)))?;
    for row in &CERTIFICATES {
        let sound = pki.peer.clone();
        (row.change)(&mut pki);
        let (_, options) = pki.options();
        pki.peer = sound;
        for (initiator, said) in [(Initiator::Us, row.we_initiate), (Initiator::Peer, row.peer_initiates)] {
            let tried = attempt(&scene, &options, initiator, Then::Initiate, said);
            wrong.extend(tried.err().map(|error| format!("{}, {initiator:?}: {error:#}", row.name)));
        }
    }
    verdict(&scene, &wrong, CERTIFICATES.len())
}

/// This strongSwan always says that it is behind a NAT; the tunnel comes up all the same.
fn nat_traversal_off(lab: &Lab) -> Result<String> {
    let site = SiteOptions { tunnel_lines: "nat-traversal = false".into(), ..DEFAULT.site() };
    let scene = Scene::set(lab, &site, &With::StrongSwan(Box::new(DEFAULT.swan())))?;
    let said = said("NatTMismatch", "likely", "false", "NAT_DETECTION_SOURCE_IP is not of the address");
    let tried = attempt(&scene, &DEFAULT.swan(), Initiator::Peer, Then::Initiate, said);
    scene.explain(tried).map(|()| said.code.to_owned())
}

fn verdict(scene: &Scene<'_>, wrong: &[String], rows: usize) -> Result<String> {
    scene.explain(if wrong.is_empty() { Ok(()) } else { Err(anyhow::anyhow!(wrong.join("\n"))) })?;
    Ok(format!("{rows} mismatches"))
}

/// One row: configures the peer, provokes the failure, looks for what is said of it, and clears up.
fn attempt(
    scene: &Scene<'_>,
    options: &SwanOptions,
    initiator: Initiator,
    then: Then,
    said: Said,
) -> Result<()> {
    let Peer::StrongSwan(swan, _) = &scene.peer else { bail!("the peer is not strongSwan") };
    swan.reconfigure(options)?;
    let before = scene.site.gateway.diagnoses()?;
    let recording = scene.lab.folder().join("recording.json");
    drop(std::fs::remove_file(&recording));
    let file = recording.to_string_lossy();
    let record = ["diagnose", "site", "--wait", "6", "--record", &file];
    // That it fails is the point.
    let failed = match initiator {
        Initiator::Us => scene.site.gateway.command(&record).is_err(),
        Initiator::Peer => std::thread::scope(|scope| {
            let passive = [&record[..], &["--passive"]].concat();
            let recorder = scope.spawn(move || scene.site.gateway.command(&passive).is_err());
            let begun = || Ok(recording.exists().then_some(()));
            scene.lab.wait_for("the recording to begin", Duration::from_secs(5), begun)?;
            let _ = swan.swanctl(&["--initiate", "--child", "net", "--timeout", "3"]);
            recorder.join().map_err(|_| anyhow::anyhow!("the recorder panicked"))
        })?,
    };
    let replayed = if then == Then::Initiate { replay(scene, &file, said) } else { Ok(()) };
    if then != Then::Initiate {
        ensure!(!failed, "the tunnel does not come up");
    }
    if then == Then::Rekey {
        let _ = match initiator {
            Initiator::Us => scene.site.gateway.command(&["rekey", "site", "--wait", "5"]),
            Initiator::Peer => swan.swanctl(&["--rekey", "--child", "net"]),
        };
    }
    let found = find(scene, &before, said);
    let _ = scene.site.gateway.command(&["terminate", "site", "--wait", "2"]);
    let _ = swan.swanctl(&["--terminate", "--ike", "t", "--force", "--timeout", "2"]);
    scene.lab.wait_for("both sides to forget", Duration::from_secs(10), || {
        let peer_has_none = swan.swanctl(&["--list-sas"])?.trim().is_empty();
        Ok((peer_has_none && scene.site.gateway.sas()?.is_empty()).then_some(()))
    })?;
    found.and(replayed)
}

/// What was recorded comes to the same result offline, and names the mismatch.
fn replay(scene: &Scene<'_>, file: &str, said: Said) -> Result<()> {
    let shown = scene.site.gateway.command(&["diagnose", "--replay", file, "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.context("the replay")?)?;
    let codes: Vec<&str> = shown["replayed"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|what| what["Failed"]["code"].as_str())
        .collect();
    ensure!(codes.contains(&said.code), "replayed as {codes:?}: {shown:#}");
    Ok(())
}

/// Waits for the diagnosis; each has a mend for either side.
fn find(scene: &Scene<'_>, before: &[Diagnosis], said: Said) -> Result<()> {
    let new = |d: &Diagnosis| {
        let known = |old: &Diagnosis| {
            let what = |d: &Diagnosis| (d.parameter.clone(), d.ours.clone(), d.theirs.clone(), d.count);
            old.code == d.code && what(old) == what(d)
        };
        d.connection == "site" && !before.iter().any(known)
    };
    let begins = |value: &Option<String>, with: &str| value.as_deref().unwrap_or_default().starts_with(with);
    let fits = |d: &Diagnosis| {
        (d.code.as_str(), d.confidence.as_str()) == (said.code, said.confidence)
            && begins(&d.ours, said.ours)
            && begins(&d.theirs, said.theirs)
            && d.fix_here.is_some()
            && d.fix_there.is_some()
            && !d.rfc.is_empty()
    };
    let mut last = Vec::new();
    let found = scene.lab.wait_for("the diagnosis", Duration::from_secs(6), || {
        last = scene.site.gateway.diagnoses()?.into_iter().filter(new).collect();
        Ok(last.iter().any(fits).then_some(()))
    });
    found.map_err(|error| anyhow::anyhow!("{error:#}: {said:?} expected, found {last:#?}"))
}
