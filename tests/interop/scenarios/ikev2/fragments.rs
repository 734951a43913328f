//! Chains of certificates over a path that silently drops IP packets longer than 576 bytes (RFC 7383).

use crate::Scenario;
use crate::scenarios::certificates::Pki;
use crate::scene::{Initiator, Scene, With};
use anyhow::{Result, ensure};
use esplanade::lab::Lab;
use test_pki::Kind;

/// Bytes of an IP packet.
const LONGEST: u16 = 576;
/// strongSwan looks for no smaller size by itself; and it need not wait longer than we do.
const CHARON: &str = "fragment_size = 576\n retransmit_timeout = 1\n";

pub(crate) fn scenarios() -> Vec<Scenario> {
    [(Initiator::Us, "we-initiate"), (Initiator::Peer, "peer-initiates")]
        .into_iter()
        .map(|(initiator, who)| {
            Scenario::new(format!("ikev2/fragments/mtu-576/{who}"), move |lab| narrow(lab, initiator))
        })
        .collect()
}

fn narrow(lab: &Lab, initiator: Initiator) -> Result<String> {
    let pki = Pki::new(Kind::Rsa, "pss")?.deeper();
    let (site, mut swan) = pki.options();
    swan.charon_lines = CHARON.to_owned();
    let scene = Scene::set(lab, &site, &With::StrongSwan(Box::new(swan)))?;
    let drop = format!("add rule bridge narrow way meta length > {LONGEST} counter drop");
    for command in [
        "add table bridge narrow; add chain bridge narrow way { type filter hook forward priority 0; }",
        &drop,
    ] {
        scene.wan.run("nft", &[command])?;
    }
    scene.establish(initiator)?;
    scene.ping(10)?;
    let counted = scene.wan.run("nft", &["list", "table", "bridge", "narrow"])?;
    ensure!(!counted.contains("packets 0 "), "nothing was too long: {counted}");
    // What was learned lasts.
    scene.site.gateway.command(&["rekey", "site", "--ike"])?;
    scene.site.gateway.command(&["rekey", "site"])?;
    scene.ping(10)?;
    scene.finish()?;
    Ok(format!("three certificates each way, nothing above {LONGEST} bytes"))
}
