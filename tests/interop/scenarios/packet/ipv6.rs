//! IPv6 inside, outside and both, with strongSwan in a namespace.

use crate::Scenario;
use crate::scenarios::strongswan::GCM_ECP256;
use crate::scene::{Initiator, Scene, With};
use anyhow::{Result, ensure};
use esplanade::lab::{Lab, Namespace, Peer, Ping, SiteOptions, SwanOptions};
use std::time::Duration;

/// Which family is inside the tunnel and which outside.
#[derive(Debug, Clone, Copy)]
struct Families {
    name: &'static str,
    inner_v6: bool,
    outer_v6: bool,
}

const ALL: [Families; 3] = [
    Families { name: "6in6", inner_v6: true, outer_v6: true },
    Families { name: "4in6", inner_v6: false, outer_v6: true },
    Families { name: "6in4", inner_v6: true, outer_v6: false },
];

pub(crate) fn scenarios() -> Vec<Scenario> {
    let scenario = |families: Families| {
        Scenario::new(format!("packet/ipv6/{}", families.name), move |lab| both_ways(lab, families))
    };
    let mut all: Vec<_> = ALL.into_iter().map(scenario).collect();
    all[0].chosen = true;
    all
}

impl Families {
    fn outside(self, side: u8) -> String {
        if self.outer_v6 { format!("2001:db8::{side}") } else { format!("192.0.2.{side}") }
    }

    fn network(self, side: u8) -> String {
        if self.inner_v6 { format!("2001:db8:{side}::/64") } else { format!("10.{side}.0.0/24") }
    }

    /// A host's address behind one side.
    fn host(self, side: u8, host: u8) -> String {
        if self.inner_v6 { format!("2001:db8:{side}::{host}") } else { format!("10.{side}.0.{host}") }
    }

    fn site(self) -> SiteOptions {
        SiteOptions {
            own: self.outside(1),
            peer: self.outside(2),
            dual_stack: true,
            local_networks: format!("[\"{}\"]", self.network(1)),
            remote_networks: format!("[\"{}\"]", self.network(2)),
            ..GCM_ECP256.site()
        }
    }

    fn swan(self) -> SwanOptions {
        SwanOptions {
            local: self.outside(2),
            remote: self.outside(1),
            local_ts: self.network(2),
            remote_ts: self.network(1),
            ..GCM_ECP256.swan()
        }
    }
}

/// Pings from both ends; the neighbours on both sides of the gateway are found by discovery.
fn both_ways(lab: &Lab, families: Families) -> Result<String> {
    let scene = Scene::set(lab, &families.site(), &With::StrongSwan(Box::new(families.swan())))?;
    let Peer::StrongSwan(_, peer) = &scene.peer else { anyhow::bail!("not the peer that was asked for") };
    let host = &scene.site.host;
    give_ipv6(peer, &[("wan", "2001:db8::2/64"), ("lo", "2001:db8:2::1/64")])?;
    give_ipv6(host, &[("lan1", "2001:db8:1::2/64")])?;
    host.ip(&["-6", "route", "add", "2001:db8:2::/64", "via", "2001:db8:1::1"])?;
    scene.establish(Initiator::Us)?;
    let (ours, theirs) = (families.host(1, 2), families.host(2, 1));
    for (from, source, to) in [(host, &ours, &theirs), (peer, &theirs, &ours)] {
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

/// Namespaces come without IPv6, so that no kernel talks where it is not looked at.
fn give_ipv6(namespace: &Namespace, addresses: &[(&str, &str)]) -> Result<()> {
    namespace.run("sysctl", &["-qw", "net.ipv6.conf.all.disable_ipv6=0"])?;
    for (device, address) in addresses {
        namespace.ip(&["address", "add", address, "dev", device, "nodad"])?;
    }
    Ok(())
}
