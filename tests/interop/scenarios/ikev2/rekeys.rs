//! Rekeys forced one after the other, of the CHILD_SA and of the IKE SA, from either side, under steady traffic.

use crate::Scenario;
use crate::scenarios::strongswan::GCM_ECP256;
use crate::scene::{Initiator, Scene, With};
use anyhow::{Context, Result, anyhow, bail};
use api::{ChildState, IkeState};
use esplanade::lab::{Daemon, Datagrams, Delivered, GuestOptions, Lab};
use std::time::Duration;

/// Of each kind, from each side.
const REKEYS: usize = 20;
/// Datagrams a second, of which the highest is taken that the path carries without loss before and after the rekeys.
type Rates = &'static [u32];
const QUIET: Duration = Duration::from_secs(3);

pub(crate) fn scenarios() -> Vec<Scenario> {
    let swan = With::StrongSwan(Box::new(GCM_ECP256.swan()));
    let linux = |daemon| {
        let guest = GuestOptions { swan: GCM_ECP256.swan(), daemon, ..GuestOptions::default() };
        With::Linux(Box::new(guest))
    };
    // The guest has one processor, which also runs the programs that ask it for a rekey.
    let peers: [(&str, With, Rates); 3] = [
        ("strongswan", swan, &[1000, 500, 250, 100]),
        ("linux", linux(Daemon::StrongSwan), &[200, 100, 50]),
        ("strongswan6", linux(Daemon::StrongSwan6), &[200, 100, 50]),
    ];
    let scenario = |(name, with, rates): (&str, With, Rates)| {
        Scenario::new(format!("ikev2/rekeys/{name}"), move |lab| rekeys(lab, &with, rates))
    };
    peers.into_iter().map(scenario).collect()
}

/// What is replaced, and who asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rekey {
    OurChild,
    OurIke,
    TheirChild,
    TheirIke,
}

impl Rekey {
    const ALL: [Self; 4] = [Self::OurChild, Self::TheirChild, Self::OurIke, Self::TheirIke];

    fn ask(self, scene: &Scene<'_>) -> Result<String> {
        match self {
            Self::OurChild => scene.site.gateway.command(&["rekey", "site"]),
            Self::OurIke => scene.site.gateway.command(&["rekey", "site", "--ike"]),
            Self::TheirChild => scene.peer.swanctl(&["--rekey", "--child", "net"]),
            Self::TheirIke => scene.peer.swanctl(&["--rekey", "--ike", "t"]),
        }
    }
}

/// The names of the one IKE SA and of its one CHILD_SA.
type Names = (String, String);

fn rekeys(lab: &Lab, with: &With, rates: Rates) -> Result<String> {
    let scene = Scene::set(lab, &GCM_ECP256.site(), with)?;
    let _echo = scene.peer.echo(lab)?;
    scene.establish(Initiator::Us)?;
    // Neighbours are known, and the echo service has met us.
    scene.ping(5)?;
    for &rate in rates {
        let before = steady(lab, &scene, rate, || lab.sleep(QUIET))?;
        if before.lost > 0 {
            continue;
        }
        let during = steady(lab, &scene, rate, || all(lab, &scene));
        let during = scene.explain(during)?;
        let after = steady(lab, &scene, rate, || lab.sleep(QUIET))?;
        if after.lost > 0 {
            continue;
        }
        scene.explain(if during.lost == 0 { Ok(()) } else { Err(anyhow!("lost: {during:?}")) })?;
        scene.finish()?;
        let (count, sent) = (Rekey::ALL.len() * REKEYS, during.sent);
        return Ok(format!("{count} rekeys, {sent} datagrams there and back at {rate}/s, none lost"));
    }
    bail!("this machine carries none of {rates:?} datagrams a second without loss")
}

/// All rekeys, one after the other.
fn all(lab: &Lab, scene: &Scene<'_>) -> Result<()> {
    let turns = Rekey::ALL.into_iter().flat_map(|rekey| std::iter::repeat_n(rekey, REKEYS));
    turns.enumerate().try_for_each(|(nth, rekey)| {
        one(lab, scene, rekey).with_context(|| format!("rekey {} ({rekey:?})", nth + 1))
    })
}

/// Does something under steady traffic.
fn steady(
    lab: &Lab,
    scene: &Scene<'_>,
    per_second: u32,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<Delivered> {
    let traffic = Datagrams::start(&scene.site.host, &scene.site.inner(), scene.peer.inner(), per_second)?;
    let done = meanwhile();
    lab.check_interrupt()?;
    let delivered = traffic.stop()?;
    done.with_context(|| format!("{delivered:?}")).map(|()| delivered)
}

/// One rekey, until nothing is left of what it replaced.
fn one(lab: &Lab, scene: &Scene<'_>, rekey: Rekey) -> Result<()> {
    let before = settled(scene)?.context("something is going on already")?;
    rekey.ask(scene)?;
    let renewed = match rekey {
        Rekey::OurChild | Rekey::TheirChild => |old: &Names, new: &Names| old.0 == new.0 && old.1 != new.1,
        Rekey::OurIke | Rekey::TheirIke => |old: &Names, new: &Names| old.0 != new.0 && old.1 == new.1,
    };
    lab.wait_for("one new SA in the place of the old one", Duration::from_secs(15), || {
        Ok(settled(scene)?.filter(|names| renewed(&before, names)).map(drop))
    })
}

/// The names of the SAs, if there is one of each kind and nothing is going on.
fn settled(scene: &Scene<'_>) -> Result<Option<Names>> {
    let sas = scene.site.gateway.sas()?;
    let [sa] = &sas[..] else { return Ok(None) };
    let [child] = &sa.children[..] else { return Ok(None) };
    let quiet = sa.state == IkeState::Established && child.state == ChildState::Installed;
    Ok(quiet.then(|| (sa.local.spi.clone(), child.spi_in.clone())))
}
