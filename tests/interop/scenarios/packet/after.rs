//! Fragmentation after encryption: one ESP packet for each packet of the host, which the peer puts together.

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Result, ensure};
use esplanade::lab::{GuestOptions, Lab, Ping, SiteOptions, SwanOptions};
use std::time::Duration;

/// Echo payloads, bytes: the host's link takes all of them whole, the tunnel only the first.
const SIZES: [u16; 3] = [56, 1420, 1472];
const PINGS: u32 = 5;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let row = |name: &str, with: fn() -> With| {
        Scenario::new(format!("packet/after/{name}"), move |lab| whole(lab, &with()))
    };
    vec![
        row("strongswan", || With::StrongSwan(Box::<SwanOptions>::default())).chosen(),
        row("linux", || With::Linux(Box::<GuestOptions>::default())),
        row("esplanade", || With::Esplanade(Box::new(site(2)))),
    ]
}

fn site(side: u8) -> SiteOptions {
    SiteOptions { connection_lines: "fragmentation = \"after\"".into(), ..waiting_site(side) }
}

/// Echoes of all sizes come back, and what the host sent was encrypted packet by packet.
fn whole(lab: &Lab, with: &With) -> Result<String> {
    let scene = Scene::set(lab, &site(1), with)?;
    scene.establish(Initiator::Us)?;
    for size in SIZES {
        let ping = |count| {
            let interval = Duration::from_millis(50);
            let ends = (scene.site.inner(), scene.peer.inner());
            Ping::with(&scene.site.host, &ends.0, ends.1, count, interval, size, &["-M", "dont", "-W", "1"])
        };
        // Neighbours are found with the first.
        ping(1)?;
        let before = sealed(&scene)?;
        let passed = scene.explain(ping(PINGS))?;
        let sealed = sealed(&scene)? - before;
        scene.explain(if passed.received == passed.sent && sealed == u64::from(PINGS) {
            Ok(())
        } else {
            Err(anyhow::anyhow!("echo of {size} bytes: {passed:?}, {sealed} ESP packets"))
        })?;
    }
    let tcp = scene.tcp(2)?;
    scene.finish()?;
    Ok(format!(
        "echoes of up to {} bytes, one ESP packet for each of the host's; {tcp}",
        SIZES[SIZES.len() - 1]
    ))
}

/// ESP packets sent so far. The counters are written every second.
fn sealed(scene: &Scene<'_>) -> Result<u64> {
    scene.lab.sleep(Duration::from_millis(1500))?;
    let sa = scene.only_sa()?;
    ensure!(sa.children.len() == 1, "{} CHILD_SAs", sa.children.len());
    Ok(sa.children[0].outbound.packets)
}
