//! Two of our own gateways.

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::Result;
use esplanade::lab::{Devices, Lab, SiteOptions};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("esplanade/tap", |lab| traffic(lab, Devices::Tap, 1)).chosen(),
        Scenario::new("esplanade/af-packet", |lab| traffic(lab, Devices::AfPacket, 1)),
        Scenario::new("esplanade/two-workers", |lab| traffic(lab, Devices::Tap, 2)),
    ]
}

fn traffic(lab: &Lab, devices: Devices, workers: u16) -> Result<String> {
    let on = |side: u8| SiteOptions { devices, workers, ..waiting_site(side) };
    let scene = Scene::set(lab, &on(1), &With::Esplanade(Box::new(on(2))))?;
    scene.establish(Initiator::Us)?;
    scene.ping(20)?;
    let note = scene.tcp(2)?;
    scene.finish()?;
    Ok(note)
}
