//! What a hostile network sends: nothing crashes, nothing leaks, everything is counted, and the tunnel carries on.

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Context, Result, ensure};
use api::{Counters, DropCounter};
use esplanade::lab::Lab;
use std::time::Duration;

const MUTATE: &str = include_str!("mutate.py");
const FRAMES: u64 = 20_000;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("bad-input/replayed-and-mutated", hostile).chosen()]
}

/// Replays and mutates what the peer sent (IKE and ESP), at the gateway's outside interface.
fn hostile(lab: &Lab) -> Result<String> {
    let mut scene = Scene::set(lab, &waiting_site(1), &With::StrongSwan(Box::default()))?;
    scene.establish(Initiator::Us)?;
    scene.ping(50)?;
    let script = lab.folder().join("mutate.py");
    std::fs::write(&script, MUTATE)?;
    let neighbours = scene.site.gateway.command(&["show", "neighbours", "--json"])?;
    let mac = peer_mac(&neighbours)?;
    lab.sleep(Duration::from_millis(500))?;
    let (script, capture) =
        (script.to_string_lossy().into_owned(), scene.capture.file().to_string_lossy().into_owned());
    // The bridge forwards to the gateway what comes in from the peer's side: the peer's port is where a hostile network would be.
    scene.wan.run("python3", &[&script, &capture, "wan1", &mac, &FRAMES.to_string(), "20261121"])?;
    lab.sleep(Duration::from_secs(1))?;
    let alive = scene.site.gateway.control.is_alive() && scene.site.gateway.dataplane.is_alive();
    scene.explain(alive.then_some(()).context("a process died"))?;
    scene.ping(50)?;
    let counters: Counters = scene.site.gateway.client().get(api::path::COUNTERS)?;
    let Counters { received, forwarded, delivered, dropped, .. } = counters;
    ensure!(
        received == forwarded + delivered + dropped,
        "the counters do not balance: {received} {forwarded} {delivered} {dropped}"
    );
    let reasons: Vec<DropCounter> = scene.site.gateway.client().get(api::path::ERRORS)?;
    let hit: Vec<&str> =
        reasons.iter().filter(|reason| reason.count > 0).map(|reason| &*reason.name).collect();
    ensure!(hit.len() >= 4, "only these reasons were counted: {hit:?}");
    scene.only_sa()?;
    scene.finish()?;
    Ok(format!("{FRAMES} frames, {dropped} packets dropped under {} reasons", hit.len()))
}

/// The peer's Ethernet address, as our neighbour table has it.
pub(crate) fn peer_mac(neighbours: &str) -> Result<String> {
    let at = neighbours.find("\"192.0.2.2\"").context("the peer is no neighbour")?;
    let rest = neighbours[at..].split_once("\"mac\": \"").context("no MAC")?.1;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}
