//! What `connection peer-config` writes, loaded by the peer as it is.

use crate::Scenario;
use crate::scenarios::strongswan::{DEFAULT, GCM_ECP256, Suite};
use crate::scene::Scene;
use anyhow::Result;
use api::PeerConfig;
use esplanade::lab::{Capture, Daemon, GuestOptions, Lab, Peer, Site, SiteOptions, SwanOptions};
use std::time::Duration;

/// Everything in it that a configuration file could take for something else.
const AWKWARD_KEY: &str = r"0s#{k}'e\y';$&";

/// Where the peer's files are loaded.
#[derive(Debug, Clone, Copy)]
enum On {
    Namespace,
    Kernel,
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let scenario = |name: &str, suite: Suite, on, awkward| {
        Scenario::new(format!("peer-config/{name}/{}", suite.name), move |lab| {
            strongswan(lab, &options(suite, awkward), on)
        })
    };
    vec![
        scenario("strongswan", DEFAULT, On::Namespace, false),
        scenario("strongswan", GCM_ECP256, On::Namespace, true).chosen(),
        scenario("strongswan-linux", GCM_ECP256, On::Kernel, true),
        Scenario::new("peer-config/libreswan/gcm128-ecp256", |lab| {
            on_linux(lab, &options(GCM_ECP256, true), "libreswan", Daemon::Libreswan)
        }),
        Scenario::new("peer-config/libreswan/two-networks", |lab| {
            // The one that is pinged gets the second CHILD_SA.
            let networks = r#"["10.3.0.0/24", "10.2.0.0/24"]"#.to_owned();
            let site = SiteOptions { remote_networks: networks, ..options(GCM_ECP256, false) };
            on_linux(lab, &site, "libreswan", Daemon::Libreswan)
        }),
        Scenario::new("peer-config/linux/gcm128-ecp256", |lab| {
            on_linux(lab, &options(GCM_ECP256, true), "linux", Daemon::StrongSwan)
        }),
        Scenario::new("peer-config/linux/two-tunnels", |lab| {
            on_linux(lab, &two_tunnels(), "linux", Daemon::StrongSwan)
        }),
        Scenario::new("peer-config/linux/routed", |lab| {
            on_linux(lab, &routed(), "linux", Daemon::StrongSwan)
        }),
        Scenario::new("peer-config/linux/routed-two-tunnels", |lab| {
            let site = SiteOptions { two_tunnels: true, ..routed() };
            on_linux(lab, &site, "linux", Daemon::StrongSwan)
        }),
        Scenario::new("peer-config/strongswan-linux/routed", |lab| {
            on_linux(lab, &routed(), "strongswan", Daemon::StrongSwan)
        }),
        Scenario::new("peer-config/libreswan/routed", |lab| {
            on_linux(lab, &routed(), "libreswan", Daemon::Libreswan)
        }),
        Scenario::new("peer-config/frr/routed", |lab| on_linux(lab, &routed(), "frr", Daemon::Frr)),
    ]
}

fn options(suite: Suite, awkward: bool) -> SiteOptions {
    let mut site = SiteOptions { immediately: false, ..suite.site() };
    if awkward {
        site.proof_lines = format!(
            "psk = \"\"\"{}\"\"\"\nlocal-id = \"gw.example\"\nremote-id = \"keyid:branch-7\"",
            AWKWARD_KEY.replace('\\', "\\\\")
        );
    }
    site
}

fn two_tunnels() -> SiteOptions {
    SiteOptions { two_tunnels: true, ..options(GCM_ECP256, false) }
}

/// The default: routes choose what goes into the tunnel.
fn routed() -> SiteOptions {
    SiteOptions { destination: true, ..options(GCM_ECP256, true) }
}

/// How the owner of these files puts them into force, beside what the daemon reads by itself.
fn put_into_force(files: &[(String, Vec<u8>)]) -> String {
    let line = |(path, _): &(String, Vec<u8>)| match path {
        // What runs twice finds all in place the second time.
        path if path.contains("/sbin/") => format!("sh {path} && sh {path}\n"),
        path if path.ends_with(".sh") => format!("sh {path}\n"),
        path if path.starts_with("/etc/frr/") => {
            format!(
                "install -d -o frr -g frr /run/frr\n/usr/lib/frr/zebra -d\n/usr/lib/frr/staticd -d\nvtysh -f {path}\n"
            )
        }
        _ => String::new(),
    };
    files.iter().map(line).collect()
}

/// A guest that has nothing but what we wrote for it, in the places that we named.
fn on_linux(lab: &Lab, options: &SiteOptions, vendor: &str, daemon: Daemon) -> Result<String> {
    let wan = lab.wan()?;
    let capture = Capture::start(lab, &wan, "br0", "outside")?;
    let site = Site::start(lab, &wan, options)?;
    let config = ["connection", "peer-config", "site", "--json", "--vendor", vendor];
    let config: PeerConfig = serde_json::from_str(&site.gateway.command(&config)?)?;
    let files: Vec<_> = config.files.into_iter().map(|file| (file.path, file.text.into_bytes())).collect();
    let more = put_into_force(&files);
    let peer = Peer::linux(lab, &wan, &GuestOptions { daemon, files, more, ..GuestOptions::default() })?;
    let scene = Scene { lab, site, peer, capture, wan };
    scene.explain(scene.site.gateway.wait_established(lab, Duration::from_secs(60)))?;
    // Its routes come some seconds later.
    let answered = || Ok((scene.try_ping(1)?.received == 1).then_some(()));
    scene.explain(lab.wait_for("the first answer", Duration::from_secs(20), answered))?;
    scene.ping(20)?;
    let note = scene.site.gateway.suite()?;
    scene.finish()?;
    Ok(note)
}

/// The peer, which has nothing but what we wrote for it, brings the tunnel up by itself.
fn strongswan(lab: &Lab, options: &SiteOptions, on: On) -> Result<String> {
    let wan = lab.wan()?;
    let capture = Capture::start(lab, &wan, "br0", "outside")?;
    let site = Site::start(lab, &wan, options)?;
    let whole = site.gateway.command(&["connection", "peer-config", "site", "--vendor", "strongswan"])?;
    let swan = SwanOptions { whole: Some(whole), ..SwanOptions::default() };
    let peer = match on {
        On::Namespace => Peer::strongswan(lab, &wan, &swan)?,
        On::Kernel => Peer::linux(lab, &wan, &GuestOptions { swan, ..GuestOptions::default() })?,
    };
    let scene = Scene { lab, site, peer, capture, wan };
    scene.explain(scene.site.gateway.wait_established(lab, Duration::from_secs(30)))?;
    let installed = || Ok(scene.peer.swanctl(&["--list-sas"])?.contains("INSTALLED").then_some(()));
    scene.explain(lab.wait_for("the peer's SAs", Duration::from_secs(15), installed))?;
    scene.ping(20)?;
    let note = scene.site.gateway.suite()?;
    scene.finish()?;
    Ok(note)
}
