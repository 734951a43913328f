//! IPv6 inside, outside and both, with strongSwan in a namespace.

use crate::Scenario;
use crate::scenarios::families::Families;
use crate::scene::{Initiator, Scene, With};
use anyhow::{Result, ensure};
use esplanade::lab::{Lab, Peer, Ping};
use std::time::Duration;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let scenario = |families: Families| {
        Scenario::new(format!("packet/ipv6/{}", families.name), move |lab| both_ways(lab, families))
    };
    let with_ipv6 = Families::ALL.into_iter().filter(|families| families.inner_v6 || families.outer_v6);
    let mut all: Vec<_> = with_ipv6.map(scenario).collect();
    all[0].chosen = true;
    all
}

/// Pings from both ends; the neighbours on both sides of the gateway are found by discovery.
fn both_ways(lab: &Lab, families: Families) -> Result<String> {
    let scene = Scene::set(lab, &families.site(), &With::StrongSwan(Box::new(families.swan())))?;
    let Peer::StrongSwan(_, peer) = &scene.peer else { anyhow::bail!("not the peer that was asked for") };
    peer.address("wan", "2001:db8::2/64")?;
    peer.address("lo", "2001:db8:2::1/64")?;
    scene.establish(Initiator::Us)?;
    let (ours, theirs) = (families.host(1, 2), families.host(2, 1));
    for (from, source, to) in [(&scene.site.host, &ours, &theirs), (peer, &theirs, &ours)] {
        for size in [56, 1200] {
            let ping = Ping::run(from, source, to, 10, Duration::from_millis(20), size)?;
            let complete = if ping.received == ping.sent { Ok(()) } else { Err(anyhow::anyhow!("{ping:?}")) };
            scene.explain(complete)?;
        }
    }
    let sa = scene.only_sa()?;
    ensure!(sa.children.len() == 1, "{:?}", sa.children);
    scene.finish()?;
    Ok("pings of both ends".to_owned())
}
