//! strongSwan in a namespace, ESP in UDP.

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Context, Result, bail, ensure};
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

pub(crate) const CTR: Suite = Suite {
    name: "ctr128-sha256-ecp256",
    ike: ["aes128gcm16", "sha256", "group19"],
    ipsec: ["aes128ctr", "sha256", "group19"],
    swan_ike: "aes128gcm16-prfsha256-ecp256",
    swan_esp: "aes128ctr-sha256-ecp256",
};

pub(crate) const GCM_8: Suite = Suite {
    name: "gcm8-256-ecp256",
    ike: ["aes128gcm16", "sha256", "group19"],
    ipsec: ["aes256gcm8", "sha256", "group19"],
    swan_ike: "aes128gcm16-prfsha256-ecp256",
    swan_esp: "aes256gcm8-ecp256",
};

pub(crate) const GCM_12: Suite = Suite {
    name: "gcm12-128-ecp256",
    ike: ["aes128gcm16", "sha256", "group19"],
    ipsec: ["aes128gcm12", "sha256", "group19"],
    swan_ike: "aes128gcm16-prfsha256-ecp256",
    swan_esp: "aes128gcm12-ecp256",
};

/// Authenticates and does not encrypt (RFC 4543): what it carries can be read.
pub(crate) const GMAC: Suite = Suite {
    name: "gmac256-ecp256",
    ike: ["aes128gcm16", "sha256", "group19"],
    ipsec: ["aes256gmac", "sha256", "group19"],
    swan_ike: "aes128gcm16-prfsha256-ecp256",
    swan_esp: "aes256gmac-ecp256",
};

const SUITES: [Suite; 11] = [
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
    Suite {
        name: "chacha20-x25519",
        ike: ["aes256gcm16", "sha256", "group31"],
        ipsec: ["chacha20poly1305", "sha256", "group31"],
        swan_ike: "aes256gcm16-prfsha256-curve25519",
        swan_esp: "chacha20poly1305-curve25519",
    },
    CTR,
    GCM_8,
    GCM_12,
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
            all.push(Scenario::new(format!("ikev2/strongswan/{}/{who}", suite.name), move |lab| {
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
            Scenario::new(format!("ikev2/strongswan/{what}"), move |lab| {
                rekey(lab, |s| s.peer.swanctl(step))
            })
            .chosen(),
        );
    }
    for (step, what) in
        [(&["rekey", "site"][..], "we-rekey-child"), (&["rekey", "site", "--ike"][..], "we-rekey-ike")]
    {
        all.push(Scenario::new(format!("ikev2/strongswan/{what}"), move |lab| {
            rekey(lab, |s| s.site.gateway.command(step))
        }));
    }
    all.push(Scenario::new("ikev2/strongswan/peer-deletes", peer_deletes));
    all.push(Scenario::new("ikev2/strongswan/we-delete", we_delete));
    all.push(Scenario::new("ikev2/strongswan/starts-on-traffic", starts_on_traffic));
    all.extend(refusals());
    all
}

/// What must not come up, who asks for it, and the code of the diagnosis on our side. Where the peer refuses us, it does not say
/// more than that it does; where we refuse, we know why.
fn refusals() -> Vec<Scenario> {
    let wrong_psk = SwanOptions { psk: "another-key".into(), ..SwanOptions::default() };
    let other_suite = SwanOptions { ike: "aes256-sha512-modp4096".into(), ..SwanOptions::default() };
    let other_nets = SwanOptions { local_ts: "10.9.0.0/24".into(), ..SwanOptions::default() };
    let rows = [
        ("wrong-psk", &wrong_psk, Initiator::Us, "AuthenticationFailed"),
        ("wrong-psk", &wrong_psk, Initiator::Peer, "PskMismatch"),
        ("no-common-proposal", &other_suite, Initiator::Us, "ProposalMismatch"),
        ("no-common-proposal", &other_suite, Initiator::Peer, "EncryptionAlgorithmMismatch"),
        ("no-common-selector", &other_nets, Initiator::Us, "TrafficSelectorMismatch"),
        ("no-common-selector", &other_nets, Initiator::Peer, "TrafficSelectorMismatch"),
    ];
    let scenario = |(what, options, initiator, code): (&str, &SwanOptions, Initiator, &'static str)| {
        let who = if initiator == Initiator::Us { "we-initiate" } else { "peer-initiates" };
        let options = options.clone();
        Scenario::new(format!("ikev2/strongswan/refused/{what}/{who}"), move |lab| {
            refused(lab, &options, initiator, code)
        })
    };
    rows.into_iter().map(scenario).collect()
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

/// The peer deletes the tunnel: our SAs go, nothing leaks, and the next packet brings a new one up.
fn peer_deletes(lab: &Lab) -> Result<String> {
    let scene = Scene::set(lab, &DEFAULT.site(), &With::StrongSwan(Box::new(DEFAULT.swan())))?;
    scene.establish(Initiator::Peer)?;
    scene.ping(5)?;
    let before = scene.spis()?;
    scene.peer.swanctl(&["--terminate", "--ike", "t"])?;
    lab.wait_for("our SAs to be gone", Duration::from_secs(10), || {
        Ok(scene.site.gateway.sas()?.is_empty().then_some(()))
    })?;
    scene.explain(wakes_the_tunnel(lab, &scene))?;
    ensure!(scene.spis()? != before, "the SPIs are those of the deleted SA");
    scene.finish().map(|()| "re-established on traffic".into())
}

/// Nobody initiates: the first packet does.
fn starts_on_traffic(lab: &Lab) -> Result<String> {
    let scene = Scene::set(lab, &DEFAULT.site(), &With::StrongSwan(Box::new(DEFAULT.swan())))?;
    ensure!(scene.site.gateway.sas()?.is_empty(), "it negotiated without traffic");
    scene.explain(wakes_the_tunnel(lab, &scene))?;
    scene.finish().map(|()| String::new())
}

/// Pings until one comes back, then expects all of them to.
fn wakes_the_tunnel(lab: &Lab, scene: &Scene<'_>) -> Result<()> {
    lab.wait_for("a tunnel on traffic", Duration::from_secs(10), || {
        Ok((scene.try_ping(1)?.received == 1).then_some(()))
    })?;
    scene.ping(10)
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
fn refused(lab: &Lab, options: &SwanOptions, initiator: Initiator, code: &str) -> Result<String> {
    let scene = Scene::set(lab, &DEFAULT.site(), &With::StrongSwan(Box::new(options.clone())))?;
    let asked = match initiator {
        Initiator::Us => scene.site.gateway.command(&["initiate", "site"]).map(drop),
        Initiator::Peer => scene.peer.initiate(),
    };
    ensure!(asked.is_err(), "it should have been refused");
    let diagnoses = scene.site.gateway.command(&["show", "diagnoses"])?;
    // Its exit status says that the tunnel is down.
    let Err(verdict) = scene.site.gateway.command(&["diagnose", "site", "--all"]) else {
        bail!("diagnose finds nothing wrong");
    };
    for said in [diagnoses, format!("{verdict:#}")] {
        scene.explain(said.contains(code).then_some(()).with_context(|| format!("no {code} in: {said}")))?;
    }
    Ok(code.to_owned())
}
