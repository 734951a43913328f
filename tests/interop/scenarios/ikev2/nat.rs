//! A NAT in the middle, whose mapping changes under traffic (RFC 7296 section 2.23).
//!
//! ```text
//!                     home                     wan
//!  host ── gateway ── br0 ── NAT (nftables) ── br0 ── strongSwan      or the other way round, the gateway on `wan`
//! ```

use crate::Scenario;
use crate::scenarios::strongswan::GCM_ECP256;
use anyhow::{Context, Result, ensure};
use api::IkeSa;
use esplanade::lab::{
    Datagrams, Delivered, Lab, Namespace, Site, SiteOptions, StrongSwan, SwanOptions, Wire, echo,
};
use std::time::Duration;

const PER_SECOND: u32 = 100;
/// Of dead peer detection, seconds; a third of it passes before we ask for a sign of life.
const DEADLINE: u64 = 12;
/// How long each mapping is used.
const A_WHILE: Duration = Duration::from_secs(8);

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("ikev2/nat/we-are-behind", we_are_behind),
        Scenario::new("ikev2/nat/peer-is-behind", peer_is_behind),
    ]
}

/// A router that masquerades what leaves by its device `wan`.
struct Nat {
    namespace: Namespace,
    /// Its own address there.
    outside: String,
}

impl Nat {
    fn between(lab: &Lab, home: (&Namespace, &str), wan: (&Namespace, &str)) -> Result<Self> {
        let namespace = lab.namespace("nat")?;
        for (device, (bridged, address)) in [("home", home), ("wan", wan)] {
            let port = format!("nat-{device}");
            Wire::lay((&namespace, device), (bridged, &port), 1500)?;
            bridged.plug(&port, "br0")?;
            namespace.address(device, address)?;
        }
        namespace.run(
            "nft",
            &["add table ip nat; add chain ip nat out { type nat hook postrouting priority srcnat; }"],
        )?;
        namespace.run("nft", &["add rule ip nat out oifname wan masquerade"])?;
        Ok(Self { namespace, outside: wan.1.to_owned() })
    }

    /// Another address outside; what was translated to the old one is forgotten.
    fn rebind(&mut self, address: &str) -> Result<()> {
        // In this order: an address of the same network would go with the first one.
        self.namespace.ip(&["address", "delete", &self.outside, "dev", "wan"])?;
        self.namespace.ip(&["address", "add", address, "dev", "wan"])?;
        address.clone_into(&mut self.outside);
        Ok(())
    }
}

/// A bridge of its own for whatever is behind the NAT.
fn home(lab: &Lab) -> Result<Namespace> {
    let home = lab.namespace("home")?;
    home.bridge("br0")?;
    Ok(home)
}

fn strongswan(
    lab: &Lab,
    bridged: &Namespace,
    address: &str,
    options: &SwanOptions,
) -> Result<(StrongSwan, Namespace)> {
    let namespace = lab.namespace("peer")?;
    Wire::lay((&namespace, "wan"), (bridged, "wan2"), 1500)?;
    bridged.plug("wan2", "br0")?;
    namespace.address("wan", address)?;
    namespace.address("lo", "10.2.0.1/24")?;
    Ok((StrongSwan::start(lab, &namespace, "strongswan", options)?, namespace))
}

fn site(peer: &str, more: &str) -> SiteOptions {
    let mut options = SiteOptions { peer: peer.to_owned(), more: more.to_owned(), ..GCM_ECP256.site() };
    options.tunnel_lines = format!("dpd = {{ timeout = {DEADLINE} }}");
    options
}

/// We initiate from behind it: our packets come from another address than before, and strongSwan follows.
fn we_are_behind(lab: &Lab) -> Result<String> {
    let (home, wan) = (home(lab)?, lab.wan()?);
    let mut nat = Nat::between(lab, (&home, "192.0.2.254/24"), (&wan, "198.51.100.1/24"))?;
    // Whoever calls under our name.
    let anywhere = "remote_addrs = %any".to_owned();
    let options =
        SwanOptions { local: "198.51.100.2".into(), connection_lines: anywhere, ..GCM_ECP256.swan() };
    let (swan, peer) = strongswan(lab, &wan, "198.51.100.2/24", &options)?;
    let route = "[[route]]\nprefix = \"198.51.100.0/24\"\nvia = \"192.0.2.254\"\n";
    let site = Site::start(lab, &home, &site("198.51.100.2", route))?;
    site.gateway.command(&["initiate", "site"]).with_context(|| swan.log())?;
    let sa = only_sa(&site)?;
    ensure!(sa.children.iter().all(|child| child.encap), "ESP should go in UDP here");
    let _echo = echo(lab, &peer, "10.2.0.1")?;
    let traffic = || Datagrams::start(&site.host, &site.inner(), "10.2.0.1", PER_SECOND);
    let (before, during) =
        rebound(lab, traffic, || nat.rebind("198.51.100.3/24")).with_context(|| swan.log())?;
    ensure!(
        swan.swanctl(&["--list-sas"])?.contains("198.51.100.3"),
        "the peer does not know our new address"
    );
    // ESP in user space cannot move a CHILD_SA: charon replaces it.
    carried_on(&sa, &only_sa(&site)?, before, &during)
}

/// strongSwan initiates from behind it, and we follow its packets.
fn peer_is_behind(lab: &Lab) -> Result<String> {
    let (home, wan) = (home(lab)?, lab.wan()?);
    let mut nat = Nat::between(lab, (&home, "10.77.0.254/24"), (&wan, "192.0.2.2/24"))?;
    let options = SwanOptions { local: "10.77.0.2".into(), ..GCM_ECP256.swan() };
    let (swan, peer) = strongswan(lab, &home, "10.77.0.2/24", &options)?;
    peer.route("192.0.2.0/24", "10.77.0.254")?;
    let mut options = site("192.0.2.2", "");
    options.proof_lines += "\nremote-id = \"10.77.0.2\"";
    let site = Site::start(lab, &wan, &options)?;
    swan.initiate()?;
    site.gateway.wait_established(lab, Duration::from_secs(5))?;
    let sa = only_sa(&site)?;
    let _echo = echo(lab, &site.host, &site.inner())?;
    let traffic = || Datagrams::start(&peer, "10.2.0.1", &site.inner(), PER_SECOND);
    let (before, during) =
        rebound(lab, traffic, || nat.rebind("192.0.2.3/24")).with_context(|| swan.log())?;
    let after = only_sa(&site)?;
    ensure!(after.children[0].spi_in == sa.children[0].spi_in, "a new CHILD_SA was negotiated");
    ensure!(after.remote.host.to_string() == "192.0.2.3", "we still send to {:?}", after.remote);
    carried_on(&sa, &after, before, &during)
}

/// Traffic for a while, and again for a while in the middle of which the mapping changes.
fn rebound(
    lab: &Lab,
    traffic: impl Fn() -> Result<Datagrams>,
    rebind: impl FnOnce() -> Result<()>,
) -> Result<(Delivered, Delivered)> {
    let quiet = traffic()?;
    lab.sleep(A_WHILE / 4)?;
    let before = quiet.stop()?;
    let moving = traffic()?;
    lab.sleep(A_WHILE / 4)?;
    rebind()?;
    lab.sleep(A_WHILE)?;
    Ok((before, moving.stop()?))
}

/// Nothing was lost before, and the IKE SA is the same after less than it takes to find a dead peer.
fn carried_on(sa: &IkeSa, after: &IkeSa, before: Delivered, during: &Delivered) -> Result<String> {
    ensure!(before.lost == 0, "datagrams are lost before the change: {before:?}");
    ensure!(after.unique_id == sa.unique_id, "a new IKE SA was negotiated");
    let outage = during.silence.as_secs_f64();
    ensure!(outage < DEADLINE as f64 * 2.0 / 3.0, "silent for {outage:.1} s: {during:?}");
    Ok(format!("followed after {outage:.2} s, {} of {} datagrams lost", during.lost, during.sent))
}

fn only_sa(site: &Site) -> Result<IkeSa> {
    let mut sas = site.gateway.sas()?;
    ensure!(sas.len() == 1, "{} IKE SAs instead of one", sas.len());
    sas.pop().context("an IKE SA")
}
