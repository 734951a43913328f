//! Either process dies; the other carries on.

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Result, bail, ensure};
use esplanade::lab::{Lab, Peer, Ping, SiteOptions, kill_control};
use std::time::Duration;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("restart/control-killed", control_killed).chosen(),
        Scenario::new("restart/control-killed-mid-exchange", control_killed_mid_exchange).chosen(),
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

/// `kill -9` of control again and again, most often while an exchange is going on: nothing lost, nothing negotiated
/// from nothing, every exchange ends well, and no IV of an AEAD is used twice.
fn control_killed_mid_exchange(lab: &Lab) -> Result<String> {
    const KILLS: usize = 20;
    let aead = |side| SiteOptions {
        ike: ["aes128gcm16", "sha256", "group19"].map(str::to_owned),
        ipsec: ["aes128gcm16", "sha256", "group19"].map(str::to_owned),
        ..waiting_site(side)
    };
    let mut scene = Scene::set(lab, &aead(1), &With::Esplanade(Box::new(aead(2))))?;
    scene.establish(Initiator::Us)?;
    let Peer::Esplanade(peer) = &scene.peer else { bail!("another peer") };
    let report = kill_control(lab, &scene.wan, &mut scene.site, peer, KILLS, |_| {});
    let report = scene.explain(report)?;
    ensure!(report.packets_lost == 0 && report.renegotiations == 0 && report.ivs_reused == 0, "{report:?}");
    ensure!(report.kills_mid_exchange * 2 >= KILLS && report.rekeys * 4 >= KILLS * 3, "{report:?}");
    scene.finish()?;
    Ok(format!("{} of {KILLS} kills in an exchange, {} rekeys", report.kills_mid_exchange, report.rekeys))
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
