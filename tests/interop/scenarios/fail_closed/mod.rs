//! Whatever fails, no inner packet leaves the outside interface in clear.

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Result, ensure};
use esplanade::lab::Lab;
use std::time::Duration;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("fail-closed/tunnel-down", |lab| {
            broken_by(lab, |s| s.site.gateway.command(&["terminate", "site"]).map(drop))
        }),
        Scenario::new("fail-closed/no-connection", |lab| {
            broken_by(lab, |s| {
                s.site
                    .gateway
                    .reconfigure("remote-networks = [\"10.2.0.0/24\"]", "remote-networks = [\"10.3.0.0/24\"]")
            })
        })
        .chosen(),
        Scenario::new("fail-closed/data-plane-killed", |lab| {
            broken_by(lab, |s| {
                s.site.gateway.dataplane.kill();
                Ok(())
            })
        }),
    ]
}

/// Traffic flows, then something breaks under it: nothing passes, and nothing leaks.
fn broken_by(lab: &Lab, fault: impl Fn(&mut Scene<'_>) -> Result<()>) -> Result<String> {
    let mut scene = Scene::set(lab, &waiting_site(1), &With::Esplanade(Box::new(waiting_site(2))))?;
    scene.establish(Initiator::Us)?;
    scene.ping(10)?;
    fault(&mut scene)?;
    lab.sleep(Duration::from_secs(1))?;
    let after = scene.try_ping(50)?;
    ensure!(after.received == 0, "{} pings came back", after.received);
    scene.finish()?;
    Ok("50 packets stopped, none in clear".into())
}
