//! Other daemons on the Linux kernel: libreswan, strongSwan 6, and strongSwan with certificates.

use crate::Scenario;
use crate::scenarios::certificates::Pki;
use crate::scenarios::strongswan::GCM_ECP256;
use crate::scene::{Initiator, Scene, With};
use anyhow::{Context, Result, ensure};
use esplanade::lab::{Daemon, GuestOptions, Lab, SiteOptions, SwanOptions};
use std::process::Command;
use test_pki::{Kind, pem};

pub(crate) fn scenarios() -> Vec<Scenario> {
    let daemons = [
        ("linux", Daemon::StrongSwan, &[true][..]),
        ("strongswan6", Daemon::StrongSwan6, &[false, true]),
        ("libreswan", Daemon::Libreswan, &[false, true]),
    ];
    let mut all = Vec::new();
    for (name, daemon, proofs) in daemons {
        for &certified in proofs {
            for (initiator, who) in [(Initiator::Us, "we-initiate"), (Initiator::Peer, "peer-initiates")] {
                let proof = if certified { "certificates" } else { "psk" };
                all.push(Scenario::new(format!("ikev2/{name}/{proof}/{who}"), move |lab| {
                    traffic(lab, daemon, certified, initiator)
                }));
            }
        }
    }
    all
}

fn traffic(lab: &Lab, daemon: Daemon, certified: bool, initiator: Initiator) -> Result<String> {
    let (site, swan) = options(lab, daemon, certified)?;
    let guest = GuestOptions { swan, daemon, ..GuestOptions::default() };
    let scene = Scene::set(lab, &site, &With::Linux(Box::new(guest)))?;
    scene.establish(initiator)?;
    let sa = scene.only_sa()?;
    ensure!(sa.children.iter().all(|child| !child.encap), "ESP should be native here");
    scene.ping(20)?;
    let note = scene.tcp(1)?;
    scene.site.gateway.command(&["rekey", "site"])?;
    scene.site.gateway.command(&["rekey", "site", "--ike"])?;
    scene.ping(20)?;
    scene.finish()?;
    Ok(note)
}

fn options(lab: &Lab, daemon: Daemon, certified: bool) -> Result<(SiteOptions, SwanOptions)> {
    let (site, swan) = match certified {
        // NSS knows no Ed25519.
        true => Pki::new(Kind::Rsa, "pss")?.with_root(Kind::Rsa).options(),
        false => (GCM_ECP256.site(), GCM_ECP256.swan()),
    };
    if daemon != Daemon::Libreswan {
        return Ok((site, swan));
    }
    let files = if certified { nss_files(lab, &swan)? } else { Vec::new() };
    let (ike, esp) = ("aes_gcm128-sha2_256-dh19".into(), "aes_gcm128-null-dh19".into());
    Ok((site, SwanOptions { ike, esp, files, ..swan }))
}

/// The same certificates as libreswan's database takes them: key and chain in one file, and the root.
fn nss_files(lab: &Lab, swan: &SwanOptions) -> Result<Vec<(String, Vec<u8>)>> {
    let der = |name: &str| {
        let file = swan.files.iter().find(|(file, _)| file == name);
        file.map(|(_, der)| der.clone()).with_context(|| format!("no {name}"))
    };
    let (key, chain, out) = (lab.folder().join("key"), lab.folder().join("chain"), lab.folder().join("p12"));
    std::fs::write(&key, pem("PRIVATE KEY", &[der("private/peer.der")?]))?;
    std::fs::write(&chain, pem("CERTIFICATE", &[der("x509/peer.der")?, der("x509ca/issuing0.der")?]))?;
    let mut command = Command::new("openssl");
    command.args(["pkcs12", "-export", "-name", "peer", "-passout", "pass:", "-inkey"]).arg(&key);
    let done = command.arg("-in").arg(&chain).arg("-out").arg(&out).output().context("openssl")?;
    ensure!(done.status.success(), "openssl: {}", String::from_utf8_lossy(&done.stderr));
    Ok(vec![("peer.p12".into(), std::fs::read(&out)?), ("root.der".into(), der("x509ca/root.der")?)])
}
