//! Either process dies; the other carries on.

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Result, ensure};
use esplanade::lab::{Lab, Ping};
use std::time::Duration;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("restart/control-killed", control_killed).chosen(),
        Scenario::new("restart/data-plane-killed", dataplane_killed),
    ]
}

/// `kill -9` of control under traffic: no ping lost, the same SPIs afterwards, and a rekey still works.
fn control_killed(lab: &Lab) -> Result<String> {
    let mut scene = Scene::set(lab, &waiting_site(1), &With::StrongSwan(Box::default()))?;
    scene.establish(Initiator::Us)?;
    let before = scene.spis()?;
    let (inner, there) = (scene.site.inner(), scene.peer.inner());
    let (host, gateway, namespace) = (&scene.site.host, &mut scene.site.gateway, &scene.site.namespace);
    let ping = std::thread::scope(|scope| {
        let ping = scope.spawn(|| Ping::run(host, &inner, there, 200, Duration::from_millis(20), 56));
        lab.sleep(Duration::from_secs(1))?;
        gateway.control.kill();
        lab.sleep(Duration::from_secs(1))?;
        gateway.restart_control(lab, namespace)?;
        ping.join().unwrap_or_else(|_| anyhow::bail!("ping thread"))
    })?;
    scene.explain(if ping.received == ping.sent {
        Ok(())
    } else {
        Err(anyhow::anyhow!("lost packets: {ping:?}"))
    })?;
    let after = scene.spis()?;
    ensure!(before == after, "SPIs before {before:?}, after {after:?}");
    let rekeyed = scene.site.gateway.command(&["rekey", "site"]);
    scene.explain(rekeyed)?;
    scene.ping(10)?;
    scene.finish()?;
    Ok(format!("{} pings, none lost, SPIs unchanged", ping.sent))
}

/// `kill -9` of the data plane: nothing in clear, and the tunnel is rebuilt when it returns.
fn dataplane_killed(lab: &Lab) -> Result<String> {
    let mut scene = Scene::set(lab, &waiting_site(1), &With::StrongSwan(Box::default()))?;
    scene.establish(Initiator::Us)?;
    scene.ping(5)?;
    scene.site.gateway.dataplane.kill();
    ensure!(scene.try_ping(10)?.received == 0, "packets passed without a data plane");
    scene.site.gateway.restart_dataplane(&scene.site.namespace)?;
    let back = lab.wait_for("traffic after the data plane's return", Duration::from_secs(30), || {
        Ok((scene.try_ping(1)?.received == 1).then_some(()))
    });
    scene.explain(back)?;
    scene.ping(20)?;
    scene.only_sa()?;
    scene.finish()?;
    Ok("rebuilt".into())
}
