//! What the same traffic reaches between two strongSwans: the figure to read ours beside.

use crate::Scenario;
use crate::scenarios::strongswan::{DEFAULT, GCM_ECP256, Suite};
use anyhow::{Result, ensure};
use esplanade::lab::{Guest, GuestOptions, Lab, Ping, StrongSwan, SwanOptions, Tcp, Wire};
use std::time::Duration;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for suite in [DEFAULT, GCM_ECP256] {
        all.push(Scenario::new(format!("baseline/strongswan-strongswan/{}", suite.name), move |lab| {
            both(lab, suite)
        }));
    }
    all.push(Scenario::new(format!("baseline/strongswan-linux/{}", GCM_ECP256.name), |lab| {
        with_kernel(lab, GCM_ECP256)
    }));
    all
}

fn both(lab: &Lab, suite: Suite) -> Result<String> {
    let (left, right) = (lab.namespace("left")?, lab.namespace("right")?);
    Wire::lay((&left, "wan"), (&right, "wan"), 1500)?;
    for (namespace, side) in [(&left, 1), (&right, 2)] {
        namespace.address("wan", &format!("192.0.2.{side}/24"))?;
        namespace.address("lo", &format!("10.{side}.0.1/24"))?;
    }
    let there = suite.swan();
    let _there = StrongSwan::start(lab, &right, "right", &there)?;
    let here = StrongSwan::start(lab, &left, "left", &mirrored(&there))?;
    here.initiate()?;
    let ping = Ping::run(&left, "10.1.0.1", "10.2.0.1", 20, Duration::from_millis(20), 56)?;
    ensure!(ping.received == ping.sent, "{ping:?}");
    let tcp = |reverse| Tcp::run(lab, (&left, "10.1.0.1"), (&right, "10.2.0.1"), 3, reverse);
    Ok(format!("TCP {:.0}/{:.0} Mbit/s", tcp(false)?.mbit_per_s, tcp(true)?.mbit_per_s))
}

/// The same connection from its other end.
fn mirrored(there: &SwanOptions) -> SwanOptions {
    SwanOptions {
        local: there.remote.clone(),
        remote: there.local.clone(),
        local_ts: there.remote_ts.clone(),
        remote_ts: there.local_ts.clone(),
        ..there.clone()
    }
}

/// strongSwan in a namespace against the guest's kernel, so that the guest's own share in its figures is known.
fn with_kernel(lab: &Lab, suite: Suite) -> Result<String> {
    let (left, wan) = (lab.namespace("left")?, lab.wan()?);
    Wire::lay((&left, "wan"), (&wan, "left"), 1500)?;
    wan.plug("left", "br0")?;
    left.address("wan", "192.0.2.1/24")?;
    left.address("lo", "10.1.0.1/24")?;
    let _guest =
        Guest::boot(lab, &wan, "br0", &GuestOptions { swan: suite.swan(), ..GuestOptions::default() })?;
    let here = StrongSwan::start(lab, &left, "left", &mirrored(&suite.swan()))?;
    here.initiate()?;
    let ping = Ping::run(&left, "10.1.0.1", "10.2.0.1", 20, Duration::from_millis(20), 56)?;
    ensure!(ping.received == ping.sent, "{ping:?}");
    let tcp = |reverse| Tcp::to((&left, "10.1.0.1"), "10.2.0.1", 3, reverse);
    Ok(format!("TCP {:.0}/{:.0} Mbit/s", tcp(false)?.mbit_per_s, tcp(true)?.mbit_per_s))
}
