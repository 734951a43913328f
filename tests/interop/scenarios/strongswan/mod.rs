//! strongSwan in a namespace, ESP in UDP.

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Result, ensure};
use esplanade::lab::{Lab, SiteOptions, SwanOptions};
use std::time::Duration;

/// Our words for IKE and ESP, and strongSwan's words for the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) ike: [&'static str; 3],
    pub(crate) ipsec: [&'static str; 3],
    pub(crate) swan_ike: &'static str,
    pub(crate) swan_esp: &'static str,
}

pub(crate) const DEFAULT: Suite = Suite {
    name: "cbc128-sha1-modp1024",
    ike: ["aes", "sha1", "group2"],
    ipsec: ["aes", "sha1", "group2"],
    swan_ike: "aes128-sha1-modp1024",
    swan_esp: "aes128-sha1-modp1024",
};

pub(crate) const GCM_ECP256: Suite = Suite {
    name: "gcm128-ecp256",
    ike: ["aes128gcm16", "sha256", "group19"],
    ipsec: ["aes128gcm16", "sha256", "group19"],
    swan_ike: "aes128gcm16-prfsha256-ecp256",
    swan_esp: "aes128gcm16-ecp256",
};

const SUITES: [Suite; 7] = [
    DEFAULT,
    Suite {
        name: "cbc256-sha256-modp2048",
        ike: ["aes256", "sha256", "group14"],
        ipsec: ["aes256", "sha256", "group14"],
        swan_ike: "aes256-sha256-modp2048",
        swan_esp: "aes256-sha256-modp2048",
    },
    GCM_ECP256,
    Suite {
        name: "gcm128-x25519",
        ike: ["aes128gcm16", "sha256", "group31"],
        ipsec: ["aes128gcm16", "sha256", "group31"],
        swan_ike: "aes128gcm16-prfsha256-curve25519",
        swan_esp: "aes128gcm16-curve25519",
    },
    Suite {
        name: "3des-md5-modp1024",
        ike: ["3des", "md5", "group2"],
        ipsec: ["3des", "md5", "group2"],
        swan_ike: "3des-md5-modp1024",
        swan_esp: "3des-md5-modp1024",
    },
    Suite {
        name: "cbc192-sha384-modp1536",
        ike: ["aes192", "sha384", "group5"],
        ipsec: ["aes192", "sha384", "disabled"],
        swan_ike: "aes192-sha384-modp1536",
        swan_esp: "aes192-sha384",
    },
    Suite {
        name: "gcm256-sha512-ecp384",
        ike: ["aes256", "sha512", "group20"],
        ipsec: ["aes256gcm16", "sha512", "group20"],
        swan_ike: "aes256-sha512-ecp384",
        swan_esp: "aes256gcm16-ecp384",
    },
];

impl Suite {
    pub(crate) fn site(&self) -> SiteOptions {
        SiteOptions {
            ike: self.ike.map(str::to_owned),
            ipsec: self.ipsec.map(str::to_owned),
            ..waiting_site(1)
        }
    }

    pub(crate) fn swan(&self) -> SwanOptions {
        SwanOptions { ike: self.swan_ike.into(), esp: self.swan_esp.into(), ..SwanOptions::default() }
    }
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for suite in SUITES {
        for (initiator, who) in [(Initiator::Us, "we-initiate"), (Initiator::Peer, "peer-initiates")] {
            all.push(Scenario::new(format!("strongswan/{}/{who}", suite.name), move |lab| {
                traffic(lab, suite, initiator)
            }));
        }
    }
    all[0].chosen = true;
    for (step, what) in [
        (&["--rekey", "--child", "net"][..], "peer-rekeys-child"),
        (&["--rekey", "--ike", "t"][..], "peer-rekeys-ike"),
    ] {
        all.push(
            Scenario::new(format!("strongswan/{what}"), move |lab| rekey(lab, |s| s.peer.swanctl(step)))
                .chosen(),
        );
    }
    for (step, what) in
        [(&["rekey", "site"][..], "we-rekey-child"), (&["rekey", "site", "--ike"][..], "we-rekey-ike")]
    {
        all.push(Scenario::new(format!("strongswan/{what}"), move |lab| {
            rekey(lab, |s| s.site.gateway.command(step))
        }));
    }
    all.push(Scenario::new("strongswan/peer-deletes", peer_deletes));
    all.push(Scenario::new("strongswan/we-delete", we_delete));
    let wrong_psk = SwanOptions { psk: "another-key".into(), ..SwanOptions::default() };
    let other_suite = SwanOptions { ike: "aes256-sha512-modp4096".into(), ..SwanOptions::default() };
    let other_nets = SwanOptions { local_ts: "10.9.0.0/24".into(), ..SwanOptions::default() };
    for (options, code) in [
        (wrong_psk, "PskMismatch"),
        (other_suite, "AlgorithmMismatch"),
        (other_nets, "TrafficSelectorMismatch"),
    ] {
        let refused = move |lab: &Lab| refused(lab, &options, code);
        all.push(Scenario::new(format!("strongswan/refused/{code}"), refused));
    }
    all
}

fn traffic(lab: &Lab, suite: Suite, initiator: Initiator) -> Result<String> {
    let scene = Scene::set(lab, &suite.site(), &With::StrongSwan(Box::new(suite.swan())))?;
    scene.establish(initiator)?;
    scene.ping(20)?;
    let note = scene.tcp(2)?;
    scene.finish()?;
    Ok(note)
}

/// A rekey while a ping runs: new SPIs, nothing lost, nothing left over.
fn rekey(lab: &Lab, start: impl Fn(&Scene<'_>) -> Result<String> + Sync) -> Result<String> {
    let scene = Scene::set(lab, &DEFAULT.site(), &With::StrongSwan(Box::new(DEFAULT.swan())))?;
    scene.establish(Initiator::Us)?;
    scene.ping(5)?;
    let before = scene.only_sa()?;
    std::thread::scope(|scope| {
        let ping = scope.spawn(|| scene.ping(100));
        lab.sleep(Duration::from_millis(500))?;
        scene.explain(start(&scene))?;
        ping.join().unwrap_or_else(|_| anyhow::bail!("ping thread"))
    })?;
    lab.wait_for("the old SA to be gone", Duration::from_secs(15), || {
        let Ok(after) = scene.only_sa() else { return Ok(None) };
        let renewed =
            after.local.spi != before.local.spi || after.children[0].spi_in != before.children[0].spi_in;
        Ok((renewed && after.children.len() == 1).then_some(()))
    })?;
    scene.ping(20)?;
    scene.finish()?;
    Ok("no packet lost".into())
}

fn peer_deletes(lab: &Lab) -> Result<String> {
    let scene = Scene::set(lab, &DEFAULT.site(), &With::StrongSwan(Box::new(DEFAULT.swan())))?;
    scene.establish(Initiator::Peer)?;
    scene.ping(5)?;
    scene.peer.swanctl(&["--terminate", "--ike", "t"])?;
    lab.wait_for("our SAs to be gone", Duration::from_secs(10), || {
        Ok(scene.site.gateway.sas()?.is_empty().then_some(()))
    })?;
    ensure!(scene.try_ping(5)?.received == 0, "packets passed without an SA");
    scene.finish().map(|()| String::new())
}

fn we_delete(lab: &Lab) -> Result<String> {
    let scene = Scene::set(lab, &DEFAULT.site(), &With::StrongSwan(Box::new(DEFAULT.swan())))?;
    scene.establish(Initiator::Us)?;
    scene.ping(5)?;
    scene.site.gateway.command(&["terminate", "site"])?;
    lab.wait_for("the peer's SAs to be gone", Duration::from_secs(10), || {
        Ok(scene.peer.swanctl(&["--list-sas"])?.trim().is_empty().then_some(()))
    })?;
    scene.finish().map(|()| String::new())
}

/// A negotiation that must fail, with its reason named on our side.
fn refused(lab: &Lab, options: &SwanOptions, code: &str) -> Result<String> {
    let scene = Scene::set(lab, &DEFAULT.site(), &With::StrongSwan(Box::new(options.clone())))?;
    ensure!(scene.site.gateway.command(&["initiate", "site"]).is_err(), "it should have been refused");
    let diagnoses = scene.site.gateway.command(&["show", "diagnoses"])?;
    scene.explain(if diagnoses.contains(code) {
        Ok(())
    } else {
        Err(anyhow::anyhow!("no {code} in: {diagnoses}"))
    })?;
    Ok(diagnoses.lines().nth(1).unwrap_or_default().trim().to_owned())
}
