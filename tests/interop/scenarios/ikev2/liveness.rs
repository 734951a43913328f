//! A peer that vanishes: found out within the deadline, negotiated anew when it is back, taken over at once when it restarts.

use crate::Scenario;
use crate::scenarios::strongswan::GCM_ECP256;
use crate::scene::{Initiator, Scene, With};
use anyhow::{Result, bail, ensure};
use esplanade::lab::{Lab, Peer, SiteOptions};
use std::time::{Duration, Instant};

/// Of dead peer detection, seconds.
const DEADLINE: u64 = 10;
/// Two IKE SAs that begin within less, one by each side, are taken for a collision.
const NO_COLLISION: Duration = Duration::from_secs(11);

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("ikev2/dpd/link-dropped", |lab| gone(lab, link_down, link_up)).chosen(),
        Scenario::new("ikev2/dpd/peer-killed", |lab| gone(lab, kill, restart)),
        Scenario::new("ikev2/dpd/peer-restarted", restarted),
    ]
}

type Step = fn(&Lab, &mut Scene<'_>) -> Result<()>;

fn link_down(_: &Lab, scene: &mut Scene<'_>) -> Result<()> {
    scene.wan.ip(&["link", "set", "wan2", "down"]).map(drop)
}

fn link_up(_: &Lab, scene: &mut Scene<'_>) -> Result<()> {
    scene.wan.ip(&["link", "set", "wan2", "up"]).map(drop)
}

fn kill(_: &Lab, scene: &mut Scene<'_>) -> Result<()> {
    let Peer::StrongSwan(swan, _) = &mut scene.peer else { bail!("another peer") };
    swan.process().kill();
    Ok(())
}

fn restart(lab: &Lab, scene: &mut Scene<'_>) -> Result<()> {
    let Peer::StrongSwan(swan, namespace) = &mut scene.peer else { bail!("another peer") };
    swan.restart(lab, namespace)
}

/// The peer is away for longer than the deadline and comes back: so does the tunnel, and nobody asks for it.
fn gone(lab: &Lab, away: Step, back: Step) -> Result<String> {
    let dpd = format!("dpd = {{ timeout = {DEADLINE} }}");
    let options = SiteOptions { immediately: true, tunnel_lines: dpd, ..GCM_ECP256.site() };
    let mut scene = Scene::set(lab, &options, &With::StrongSwan(Box::new(GCM_ECP256.swan())))?;
    scene.explain(scene.site.gateway.wait_established(lab, Duration::from_secs(15)))?;
    scene.ping(5)?;
    let before = scene.only_sa()?;
    away(lab, &mut scene)?;
    let start = Instant::now();
    let found_out = lab.wait_for("the peer to be given up", Duration::from_secs(3 * DEADLINE), || {
        let told = scene.site.gateway.command(&["show", "diagnoses"])?.contains("DpdTimeout");
        let left = scene.site.gateway.sas()?.iter().any(|sa| sa.unique_id == before.unique_id);
        Ok((told && !left).then_some(()))
    });
    scene.explain(found_out)?;
    let found_out = start.elapsed().as_secs_f64();
    back(lab, &mut scene)?;
    let start = Instant::now();
    scene.explain(scene.site.gateway.wait_established(lab, Duration::from_secs(60)))?;
    let returned = start.elapsed().as_secs_f64();
    scene.ping(10)?;
    one_each(&scene)?;
    scene.finish()?;
    Ok(format!("given up after {found_out:.1} s, back after {returned:.1} s"))
}

/// The peer forgets everything and calls: its new IKE SA takes the place of the old one, long before any deadline.
fn restarted(lab: &Lab) -> Result<String> {
    let mut scene = Scene::set(lab, &GCM_ECP256.site(), &With::StrongSwan(Box::new(GCM_ECP256.swan())))?;
    scene.establish(Initiator::Us)?;
    scene.ping(5)?;
    let before = scene.only_sa()?;
    lab.sleep(NO_COLLISION)?;
    kill(lab, &mut scene)?;
    restart(lab, &mut scene)?;
    let start = Instant::now();
    scene.explain(scene.peer.initiate())?;
    let taken_over = lab.wait_for("the new IKE SA alone", Duration::from_secs(5), || {
        Ok(scene.only_sa().ok().filter(|sa| sa.unique_id != before.unique_id).map(drop))
    });
    scene.explain(taken_over)?;
    let taken_over = start.elapsed().as_millis();
    scene.ping(20)?;
    one_each(&scene)?;
    scene.finish()?;
    Ok(format!("taken over in {taken_over} ms"))
}

/// Neither side keeps anything of the old IKE SA.
fn one_each(scene: &Scene<'_>) -> Result<()> {
    let (ours, theirs) = (scene.only_sa()?, scene.peer.swanctl(&["--list-sas"])?);
    ensure!(ours.children.len() == 1, "{} CHILD_SAs", ours.children.len());
    ensure!(theirs.matches("ESTABLISHED").count() == 1, "the peer has: {theirs}");
    Ok(())
}
