//! strongSwan and we prove ourselves by certificate, each below an intermediate of one root; and what is refused.

use super::strongswan::GCM_ECP256;
use crate::Scenario;
use crate::scene::{Initiator, Scene, With};
use anyhow::{Context, Result, ensure};
use esplanade::lab::{Lab, SiteOptions, SwanOptions};
use std::time::{SystemTime, UNIX_EPOCH};
use test_pki::{Ca, Issued, Kind, Request, pem};

/// Identities of the peer and of the gateway.
const NAMES: [&str; 2] = ["gw-b.example", "gw-a.example"];

pub(crate) fn scenarios() -> Vec<Scenario> {
    let kinds = [
        ("rsa", Kind::Rsa, "pss"),
        ("rsa-pkcs1", Kind::Rsa, "pkcs1"),
        ("ecdsa-p256", Kind::P256, "pss"),
        ("ecdsa-p384", Kind::P384, "pss"),
        ("ecdsa-p521", Kind::P521, "pss"),
        ("ed25519", Kind::Ed25519, "pss"),
    ];
    let mut all = Vec::new();
    for (name, kind, padding) in kinds {
        for (initiator, who) in [(Initiator::Us, "we-initiate"), (Initiator::Peer, "peer-initiates")] {
            all.push(Scenario::new(format!("ikev2/certificates/{name}/{who}"), move |lab| {
                traffic(lab, kind, padding, initiator)
            }));
        }
    }
    all[0].chosen = true;
    // Where the peer refuses us first, it does not say why: then it asks.
    let refusals: [(&str, Fault, Initiator, &str); 4] = [
        ("expired", |pki| pki.peer.validity.1 = pki.now - 60, Initiator::Us, "CertificateExpired"),
        ("unknown-ca", other_root, Initiator::Us, "CertificateUnknownCa"),
        ("wrong-name", |pki| pki.remote_id = "gw-c.example".to_owned(), Initiator::Peer, "PeerIdMismatch"),
        ("revoked", |pki| pki.revoked = true, Initiator::Us, "CertificateRevoked"),
    ];
    for (name, fault, initiator, code) in refusals {
        all.push(Scenario::new(format!("ikev2/certificates/refused/{name}"), move |lab| {
            refused(lab, fault, initiator, code)
        }));
    }
    all
}

/// Makes a certificate that we must not accept.
type Fault = fn(&mut Pki);

fn other_root(pki: &mut Pki) {
    pki.peer_root = Some(Ca::root("Other", Kind::P256, pki.now));
}

/// What both ends are given. A scenario of a refusal changes it first.
pub(crate) struct Pki {
    pub(crate) now: i64,
    ours: Request,
    pub(crate) peer: Request,
    root: Ca,
    /// Of the peer's certificate, if it is another.
    pub(crate) peer_root: Option<Ca>,
    /// Whom we expect.
    remote_id: String,
    revoked: bool,
    /// Whether there is one more CA between each certificate and its root.
    deep: bool,
    kind: Kind,
    padding: &'static str,
}

impl Pki {
    pub(crate) fn new(kind: Kind, padding: &'static str) -> Result<Self> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        Ok(Self {
            now,
            ours: Request::new("gw-a", &[NAMES[1]], kind, now),
            peer: Request::new("gw-b", &[NAMES[0]], kind, now),
            root: Ca::root("Root", Kind::Ed25519, now),
            peer_root: None,
            remote_id: NAMES[0].to_owned(),
            revoked: false,
            deep: false,
            kind,
            padding,
        })
    }

    /// Each end sends three certificates: its own and two of CAs.
    pub(crate) fn deeper(self) -> Self {
        Self { deep: true, ..self }
    }

    /// Both ends trust a root whose key is of this kind.
    pub(crate) fn with_root(self, kind: Kind) -> Self {
        Self { root: Ca::root("Root", kind, self.now), ..self }
    }

    /// Both ends' options, with certificates of an intermediate each.
    pub(crate) fn options(&self) -> (SiteOptions, SwanOptions) {
        let below = |above: &Ca, name: &str| above.intermediate(name, self.kind, self.now);
        let intermediate = |root: &Ca, name: &str| match self.deep {
            true => below(&below(root, &format!("Policy for {name}")), name),
            false => below(root, name),
        };
        let ours = intermediate(&self.root, "Issuing A").issue(&self.ours);
        let issuing = intermediate(self.peer_root.as_ref().unwrap_or(&self.root), "Issuing B");
        let peer = issuing.issue(&self.peer);
        let revoked: Vec<&Issued> = self.revoked.then_some(&peer).into_iter().collect();
        let list = issuing.revoke(&revoked, self.now);
        (self.site(ours, list), self.swan(peer))
    }

    fn site(&self, ours: Issued, list: Vec<u8>) -> SiteOptions {
        let (own, remote, padding) = (NAMES[1], &self.remote_id, self.padding);
        SiteOptions {
            proof_lines: format!(
                "local-id = \"{own}\"\nremote-id = \"{remote}\"\ncertificate = \"gw.pem\"\n\
                 private-key = \"gw.key\"\nrsa-padding = \"{padding}\"\nca = \"root.der\"\ncrl = \"issuing.crl\""
            ),
            files: vec![
                ("gw.pem".to_owned(), pem("CERTIFICATE", &ours.chain)),
                ("gw.key".to_owned(), ours.pkcs8),
                ("root.der".to_owned(), self.root.certificate.clone()),
                ("issuing.crl".to_owned(), list),
            ],
            ..GCM_ECP256.site()
        }
    }

    fn swan(&self, peer: Issued) -> SwanOptions {
        let mut files = vec![
            ("x509/peer.der".to_owned(), peer.chain[0].clone()),
            ("private/peer.der".to_owned(), peer.pkcs8),
            ("x509ca/root.der".to_owned(), self.root.certificate.clone()),
        ];
        let above = peer.chain.into_iter().skip(1).enumerate();
        files.extend(above.map(|(n, ca)| (format!("x509ca/issuing{n}.der"), ca)));
        SwanOptions { certified: Some(NAMES.map(str::to_owned)), files, ..GCM_ECP256.swan() }
    }
}

fn traffic(lab: &Lab, kind: Kind, padding: &'static str, initiator: Initiator) -> Result<String> {
    let pki = Pki::new(kind, padding)?;
    let (site, swan) = pki.options();
    let scene = Scene::set(lab, &site, &With::StrongSwan(Box::new(swan)))?;
    scene.establish(initiator)?;
    scene.ping(10)?;
    let shown = scene.site.gateway.command(&["show", "certificates"])?;
    for subject in ["O=Example, CN=gw-a", "O=Example, CN=gw-b", "O=Example, CN=Root"] {
        ensure!(shown.contains(subject), "no {subject} in: {shown}");
    }
    scene.finish()?;
    Ok(format!("{kind:?}, chains of three"))
}

/// A negotiation that must fail, with its reason named on our side.
fn refused(lab: &Lab, fault: Fault, initiator: Initiator, code: &str) -> Result<String> {
    let mut pki = Pki::new(Kind::P256, "pss")?;
    fault(&mut pki);
    let (site, swan) = pki.options();
    let scene = Scene::set(lab, &site, &With::StrongSwan(Box::new(swan)))?;
    let asked = match initiator {
        Initiator::Us => scene.site.gateway.command(&["initiate", "site"]).map(drop),
        Initiator::Peer => scene.peer.initiate(),
    };
    ensure!(asked.is_err(), "it should have been refused");
    let diagnoses = scene.site.gateway.command(&["show", "diagnoses"])?;
    scene.explain(
        diagnoses.contains(code).then_some(()).with_context(|| format!("no {code} in: {diagnoses}")),
    )?;
    Ok(code.to_owned())
}
