//! One gateway with many tunnels, each to a peer address of its own; a few charons are all these peers.
//!
//! ```text
//!  host 10.1.1.1 ..  ─── 10.1.0.1 gateway 192.0.2.1 ───┬── 192.0.2.11 charon 0: 198.18.0.1 .. and 10.2.0.1 ..
//!       10.1.2.1 ..                                    ├── 192.0.2.12 charon 1: 198.18.1.1 .. and 10.2.1.1 ..
//! ```

use super::{Devices, Echoes, Lab, Namespace, Site, SiteOptions, Streams, StrongSwan, SwanOptions, Wire};
use anyhow::{Result, ensure};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Instant;

/// Tunnels to one charon, at most: the hosts of its network.
const MAX_SHARE: usize = 250;
/// Charons, where there are tunnels enough.
const CHARONS: usize = 4;
/// The most tunnels that a fleet can have.
pub const MAX_FLEET: usize = MAX_SHARE * CHARONS;

/// What all tunnels are made of, in our words and in strongSwan's.
const SUITE: [&str; 3] = ["aes256gcm16", "sha256", "group19"];
const SWAN_IKE: &str = "aes256gcm16-prfsha256-ecp256";
/// The peers take a weaker one, too: so that there is something to change.
const SWAN_ESP: &str = "aes256gcm16-ecp256,aes128gcm16-ecp256";

/// One tunnel of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetTunnel {
    /// Name of its connection, which has no other tunnel.
    pub connection: String,
    /// Address behind the gateway, and behind the peer, that it is for.
    pub ends: [Ipv4Addr; 2],
    peer: Ipv4Addr,
    charon: usize,
}

impl FleetTunnel {
    /// All of a fleet of so many.
    fn all(tunnels: usize) -> Vec<Self> {
        let share = tunnels.div_ceil(CHARONS).max(1);
        let number = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        let tunnel = |n: usize| {
            let (charon, host) = (n / share, number(n % share + 1));
            Self {
                // The first one is that of every site.
                connection: if n == 0 { "site".to_owned() } else { format!("t{n}") },
                ends: [
                    Ipv4Addr::new(10, 1, number(charon + 1), host),
                    Ipv4Addr::new(10, 2, number(charon), host),
                ],
                peer: Ipv4Addr::new(198, 18, number(charon), host),
                charon,
            }
        };
        (0..tunnels).map(tunnel).collect()
    }

    fn networks(&self) -> [String; 2] {
        self.ends.map(|address| format!("[\"{address}/32\"]"))
    }

    /// In the gateway's document.
    fn toml(&self) -> String {
        let Self { connection, peer, .. } = self;
        let ([local, remote], [encryption, authentication, group]) = (self.networks(), SUITE);
        let psk = SwanOptions::default().psk;
        format!(
            r#"
[[customer-gateway]]
name = "peer-{connection}"
ip = "{peer}"

[[connection]]
name = "{connection}"
routing-mode = "protected-data-flows"
local-networks = {local}
remote-networks = {remote}

[[connection.tunnel]]
customer-gateway = "peer-{connection}"
psk = "{psk}"
ike = {{ encryption = "{encryption}", authentication = "{authentication}", dh-group = "{group}" }}
ipsec = {{ encryption = "{encryption}", authentication = "{authentication}", pfs = "{group}" }}
"#
        )
    }

    /// In the peer's swanctl.conf.
    fn swanctl(&self) -> String {
        let Self { connection, peer, ends: [local, remote], .. } = self;
        format!(
            "{connection} {{\n version = 2\n local_addrs = {peer}\n remote_addrs = 192.0.2.1\n proposals = {SWAN_IKE}\n mobike = no\n \
             rekey_time = 0s\n local {{ auth = psk\n id = {peer} }}\n remote {{ auth = psk\n id = 192.0.2.1 }}\n \
             children {{ net-{connection} {{\n local_ts = {remote}/32\n remote_ts = {local}/32\n esp_proposals = {SWAN_ESP}\n \
             rekey_time = 0s\n }} }} }}\n"
        )
    }
}

/// The gateway, its host, and the charons.
#[derive(Debug)]
pub struct Fleet {
    /// The gateway and the host behind it.
    pub site: Site,
    /// All tunnels.
    pub tunnels: Vec<FleetTunnel>,
    /// When the gateway was started.
    pub started: Instant,
    // Dropped in this order: what runs in the namespaces before them.
    _echoes: Vec<Echoes>,
    _charons: Vec<StrongSwan>,
    _peers: Vec<Namespace>,
}

impl Fleet {
    /// Starts the charons, which wait, then the gateway, which negotiates all tunnels at once.
    ///
    /// # Errors
    /// For more tunnels than [`MAX_FLEET`]; what a program said that did not start.
    pub fn start(lab: &Lab, wan: &Namespace, devices: Devices, tunnels: usize) -> Result<Self> {
        ensure!((1..=MAX_FLEET).contains(&tunnels), "a fleet has 1 to {MAX_FLEET} tunnels");
        let tunnels = FleetTunnel::all(tunnels);
        let (mut echoes, mut charons, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for share in tunnels.chunk_by(|a, b| a.charon == b.charon) {
            let peer = namespace(lab, wan, share)?;
            charons.push(charon(lab, &peer, share)?);
            echoes.push(Echoes::start(&peer, share.iter().map(|tunnel| tunnel.ends[1]).collect())?);
            peers.push(peer);
        }
        let started = Instant::now();
        let site = Site::start(lab, wan, &site_options(&tunnels, devices))?;
        let lan = site.lan();
        let inner = tunnels.iter().map(|tunnel| (tunnel.ends[0], &*lan));
        addresses(lab, &site.host, "host", inner)?;
        Ok(Self { site, tunnels, started, _echoes: echoes, _charons: charons, _peers: peers })
    }

    /// Light traffic through all tunnels, `per_second` datagrams in all.
    ///
    /// # Errors
    /// As [`Streams::start`].
    pub fn traffic(&self, per_second: u32) -> Result<Streams> {
        let ends: Vec<_> = self.tunnels.iter().map(|tunnel| tunnel.ends).collect();
        Streams::start(&self.site.host, &ends, per_second)
    }
}

fn site_options(tunnels: &[FleetTunnel], devices: Devices) -> SiteOptions {
    let [first, rest @ ..] = tunnels else { unreachable!("a fleet has a tunnel") };
    let [local_networks, remote_networks] = first.networks();
    let mut more = "[[route]]\nprefix = \"10.1.0.0/16\"\nvia = \"10.1.0.2\"\n".to_owned();
    for share in tunnels.chunk_by(|a, b| a.charon == b.charon) {
        let charon = share[0].charon;
        // Writing to a String cannot fail.
        let _ =
            writeln!(more, "[[route]]\nprefix = \"198.18.{charon}.0/24\"\nvia = \"192.0.2.{}\"", 11 + charon);
    }
    more.extend(rest.iter().map(FleetTunnel::toml));
    SiteOptions {
        peer: first.peer.to_string(),
        ike: SUITE.map(str::to_owned),
        ipsec: SUITE.map(str::to_owned),
        local_networks,
        remote_networks,
        more,
        store: true,
        ..SiteOptions::new(1, devices)
    }
}

/// The namespace of one charon, with the addresses of all its peers and of what is behind them.
fn namespace(lab: &Lab, wan: &Namespace, share: &[FleetTunnel]) -> Result<Namespace> {
    let charon = share[0].charon;
    let peer = lab.namespace(&format!("peer{charon}"))?;
    let plug = format!("wan{}", 11 + charon);
    Wire::lay((&peer, "wan"), (wan, &plug), 1500)?;
    wan.plug(&plug, "br0")?;
    peer.address("wan", &format!("192.0.2.{}/24", 11 + charon))?;
    let both = share.iter().flat_map(|tunnel| [(tunnel.peer, "lo"), (tunnel.ends[1], "lo")]);
    addresses(lab, &peer, &format!("peer{charon}"), both)?;
    Ok(peer)
}

/// Gives a namespace many addresses at once.
fn addresses<'a>(
    lab: &Lab,
    namespace: &Namespace,
    name: &str,
    all: impl Iterator<Item = (Ipv4Addr, &'a str)>,
) -> Result<()> {
    let batch = lab.folder().join(format!("{name}.addresses"));
    let line = |(address, device): (Ipv4Addr, &str)| format!("address add {address}/32 dev {device}\n");
    std::fs::write(&batch, all.map(line).collect::<String>())?;
    namespace.ip(&["-batch", &batch.to_string_lossy()]).map(drop)
}

fn charon(lab: &Lab, namespace: &Namespace, share: &[FleetTunnel]) -> Result<StrongSwan> {
    let connections: String = share.iter().map(FleetTunnel::swanctl).collect();
    let secret = SwanOptions::default().psk;
    let options = SwanOptions {
        whole: Some(format!(
            "connections {{\n{connections}}}\nsecrets {{ ike-all {{ secret = \"{secret}\" }} }}\n"
        )),
        // All of them begin at once, from one address.
        charon_lines: "dos_protection = no".to_owned(),
        ..SwanOptions::default()
    };
    StrongSwan::start(lab, namespace, &format!("charon{}", share[0].charon), &options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_tunnels_of_a_fleet_share_an_address() {
        for count in [1, 4, 7, 200, MAX_FLEET] {
            let all = FleetTunnel::all(count);
            let addresses: BTreeSet<_> = all.iter().flat_map(|t| [t.peer, t.ends[0], t.ends[1]]).collect();
            assert_eq!((all.len(), addresses.len()), (count, 3 * count));
            assert!(all.iter().all(|tunnel| tunnel.charon < CHARONS));
        }
    }
}
