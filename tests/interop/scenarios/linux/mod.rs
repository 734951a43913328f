//! The Linux kernel as the peer, with strongSwan for IKE.

mod ecn;
mod fragments;
mod packets;

use crate::Scenario;
use crate::scenarios::strongswan::{CTR, DEFAULT, GCM_8, GCM_12, GCM_ECP256, GMAC, Suite};
use crate::scene::{Initiator, Scene, With};
use anyhow::{Result, ensure};
use esplanade::lab::{GuestOptions, Lab};

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for suite in [GCM_ECP256, DEFAULT, CTR, GCM_8, GCM_12, GMAC] {
        for (initiator, who) in [(Initiator::Us, "we-initiate"), (Initiator::Peer, "peer-initiates")] {
            all.push(Scenario::new(format!("ikev2/linux/{}/{who}", suite.name), move |lab| {
                traffic(lab, suite, initiator)
            }));
        }
    }
    all[0].chosen = true;
    all.extend(packets::scenarios());
    all
}

/// Native ESP (protocol 50), by suite.
fn traffic(lab: &Lab, suite: Suite, initiator: Initiator) -> Result<String> {
    let guest = GuestOptions { swan: suite.swan(), ..GuestOptions::default() };
    let scene = Scene::set(lab, &suite.site(), &With::Linux(Box::new(guest)))?;
    scene.establish(initiator)?;
    let sa = scene.only_sa()?;
    ensure!(sa.children.iter().all(|child| !child.encap), "ESP should be native here");
    scene.ping(20)?;
    let note = scene.tcp(2)?;
    if suite.name == GMAC.name { scene.finish_readable() } else { scene.finish() }?;
    Ok(note)
}
