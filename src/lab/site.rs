//! The usual scene: a host behind a gateway, an outside network, and a peer of some kind at its other end.

use super::{
    Devices, Gateway, GatewayOptions, Guest, GuestOptions, Lab, Namespace, Process, StrongSwan, SwanOptions,
    Tcp, Wire, datagrams,
};
use anyhow::{Context, Result};

/// What a site's tunnel is made of, in the words of the configuration.
#[derive(Debug, Clone)]
pub struct SiteOptions {
    /// 1 for the gateway 192.0.2.1 with 10.1.0.0/24 behind it, 2 for its mirror image.
    pub side: u8,
    /// How its ports reach the namespace.
    pub devices: Devices,
    /// Workers of the data plane.
    pub workers: u16,
    /// `ike = { ... }`: encryption, authentication and dh-group.
    pub ike: [String; 3],
    /// `ipsec = { ... }`: encryption, authentication and pfs.
    pub ipsec: [String; 3],
    /// Lines of the tunnel's table about how both ends prove who they are.
    pub proof_lines: String,
    /// Files that those name, beside the document.
    pub files: Vec<(String, Vec<u8>)>,
    /// Keep the configuration in a store, which begins with the document.
    pub store: bool,
    /// Negotiate at start (else as responder or on traffic).
    pub immediately: bool,
    /// The peer's address; one beyond the outside network needs a route in `more`.
    pub peer: String,
    /// MTU of ports, interfaces and the host's device, bytes.
    pub mtu: u16,
    /// Its outside address that the tunnel starts from.
    pub own: String,
    /// A second tunnel of the connection starts from 192.0.2.SIDE+10.
    pub two_tunnels: bool,
    /// All have an IPv6 address too: 2001:db8::SIDE/64 outside, 2001:db8:SIDE::1/64 inside, 2001:db8:SIDE::2/64 the host.
    pub dual_stack: bool,
    /// More lines of the connection's table.
    pub connection_lines: String,
    /// More lines of the tunnel's table.
    pub tunnel_lines: String,
    /// More of the document.
    pub more: String,
    /// Routes choose what goes into the tunnels, not the networks of both sides.
    pub destination: bool,
    /// Networks on this side, in TOML.
    pub local_networks: String,
    /// Networks on the other side, in TOML.
    pub remote_networks: String,
}

impl SiteOptions {
    /// The requirement's default suite, on one side of the scene.
    #[must_use]
    pub fn new(side: u8, devices: Devices) -> Self {
        let words = |a: [&str; 3]| a.map(str::to_owned);
        Self {
            side,
            devices,
            workers: 1,
            ike: words(["aes", "sha1", "group2"]),
            ipsec: words(["aes", "sha1", "group2"]),
            proof_lines: format!("psk = \"{}\"", SwanOptions::default().psk),
            files: Vec::new(),
            store: false,
            immediately: true,
            peer: format!("192.0.2.{}", 3 - side),
            own: format!("192.0.2.{side}"),
            two_tunnels: false,
            dual_stack: false,
            mtu: 1500,
            connection_lines: String::new(),
            tunnel_lines: String::new(),
            more: String::new(),
            destination: false,
            local_networks: format!("[\"10.{side}.0.0/24\"]"),
            remote_networks: format!("[\"10.{}.0.0/24\"]", 3 - side),
        }
    }

    fn config(&self) -> String {
        let Self {
            side, peer, own, two_tunnels, dual_stack, mtu, connection_lines, more, immediately, ..
        } = self;
        let v6 = |address: String| if *dual_stack { format!(", \"{address}\"") } else { String::new() };
        let (outside6, inside6) = (v6(format!("2001:db8::{side}/64")), v6(format!("2001:db8:{side}::1/64")));
        let second = side + 10;
        let (also_here, also_from) = match two_tunnels {
            true => (format!(", \"192.0.2.{second}/24\""), format!(", \"192.0.2.{second}\"")),
            false => (String::new(), String::new()),
        };
        let [routing, routes] = self.routing();
        let tunnels = self.tunnel().repeat(1 + usize::from(*two_tunnels));
        format!(
            r#"
[[interface]]
name = "outside"
port = "out"
role = "outside"
mtu = {mtu}
addresses = ["192.0.2.{side}/24"{also_here}{outside6}]

[[interface]]
name = "inside"
port = "in"
role = "inside"
mtu = {mtu}
addresses = ["10.{side}.0.1/24"{inside6}]

[vpn-gateway]
name = "gw"
addresses = ["{own}"{also_from}]

[[customer-gateway]]
name = "peer"
ip = "{peer}"

[[connection]]
name = "site"
{routing}
effective-immediately = {immediately}
{connection_lines}

{tunnels}
{routes}
{more}
"#
        )
    }

    /// Lines of the connection, and routes into it.
    fn routing(&self) -> [String; 2] {
        let Self { side, local_networks, remote_networks, .. } = self;
        if self.destination {
            let route = format!("[[route]]\nprefix = \"10.{}.0.0/24\"\nconnection = \"site\"", 3 - side);
            return ["routing-mode = \"destination\"".to_owned(), route];
        }
        let lines = format!(
            "routing-mode = \"protected-data-flows\"\nlocal-networks = {local_networks}\nremote-networks = {remote_networks}"
        );
        [lines, String::new()]
    }

    fn tunnel(&self) -> String {
        let Self { proof_lines, tunnel_lines, .. } = self;
        let ([ike_enc, ike_auth, ike_group], [esp_enc, esp_auth, pfs]) = (&self.ike, &self.ipsec);
        format!(
            r#"
[[connection.tunnel]]
customer-gateway = "peer"
{proof_lines}
ike = {{ encryption = "{ike_enc}", authentication = "{ike_auth}", dh-group = "{ike_group}" }}
ipsec = {{ encryption = "{esp_enc}", authentication = "{esp_auth}", pfs = "{pfs}" }}
{tunnel_lines}
"#
        )
    }

    fn dataplane(&self) -> String {
        let port = |name: &str, index: u8| match self.devices {
            Devices::Tap => format!("net_tap{index},iface={name}{}", self.side),
            Devices::Pcap => format!("net_pcap{index},rx_iface_in={name}{0},tx_iface={name}{0}", self.side),
            Devices::AfPacket => format!("net_af_packet{index},iface={name}{}", self.side),
        };
        let section = |name: &str, index: u8| {
            format!(
                "[[dataplane.port]]\nname = \"{name}\"\nmtu = {}\ndevice = \"{}\"\n",
                self.mtu,
                port(name, index)
            )
        };
        format!("workers = {}\n{}{}", self.workers, section("out", 0), section("in", 1))
    }
}

/// Our gateway and a host behind it.
#[derive(Debug)]
pub struct Site {
    // Dropped in this order: processes before namespaces.
    /// The gateway's processes.
    pub gateway: Gateway,
    /// The namespace it runs in.
    pub namespace: Namespace,
    /// The host on its inside network.
    pub host: Namespace,
    options: SiteOptions,
}

impl Site {
    /// Starts a gateway between a host of its own and the outside bridge `br0` of `wan`.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub fn start(lab: &Lab, wan: &Namespace, options: &SiteOptions) -> Result<Self> {
        let side = options.side;
        let (namespace, host) =
            (lab.namespace(&format!("gw{side}"))?, lab.namespace(&format!("host{side}"))?);
        if options.devices != Devices::Tap {
            Wire::lay((&namespace, &format!("out{side}")), (wan, &format!("wan{side}")), options.mtu)?;
            Wire::lay((&namespace, &format!("in{side}")), (&host, &format!("lan{side}")), options.mtu)?;
            wan.plug(&format!("wan{side}"), "br0")?;
        }
        let gateway_options = GatewayOptions {
            name: format!("gateway{side}"),
            config: options.config(),
            dataplane: options.dataplane(),
            files: options.files.clone(),
            store: options.store,
        };
        let gateway = Gateway::start(lab, &namespace, &gateway_options)?;
        let site = Self { gateway, namespace, host, options: options.clone() };
        if options.devices == Devices::Tap {
            site.connect_taps(wan)?;
        }
        site.host.address(&site.lan(), &format!("10.{side}.0.2/24"))?;
        site.host.route("10.0.0.0/8", &format!("10.{side}.0.1"))?;
        if options.dual_stack {
            site.host.address(&site.lan(), &format!("2001:db8:{side}::2/64"))?;
            site.host.route("2001:db8::/32", &format!("2001:db8:{side}::1"))?;
        }
        Ok(site)
    }

    /// Moves the data plane's taps to where a NIC's cable would lead. A data plane that restarts makes new ones.
    fn connect_taps(&self, wan: &Namespace) -> Result<()> {
        let (out, lan) = (format!("out{}", self.options.side), self.lan());
        // The kernel's end of a tap has the address of DPDK's end; a cable has different ones.
        for (device, end) in [(&out, 1), (&lan, 2)] {
            let address = format!("02:e5:b1:00:{:02x}:{end:02x}", self.options.side);
            self.namespace.ip(&["link", "set", device, "address", &address])?;
        }
        self.namespace.give(&out, wan)?;
        wan.plug(&out, "br0")?;
        self.namespace.give(&lan, &self.host)
    }

    /// The device of the host on the inside network.
    #[must_use]
    pub fn lan(&self) -> String {
        match self.options.devices {
            Devices::Tap => format!("in{}", self.options.side),
            Devices::AfPacket | Devices::Pcap => format!("lan{}", self.options.side),
        }
    }

    /// The host's address.
    #[must_use]
    pub fn inner(&self) -> String {
        format!("10.{}.0.2", self.options.side)
    }
}

/// What stands at the other end of the outside network, as side 2.
#[derive(Debug)]
pub enum Peer {
    /// Our own gateway.
    Esplanade(Box<Site>),
    /// charon with ESP in user space; 10.2.0.1 is its own address.
    StrongSwan(StrongSwan, Namespace),
    /// A Linux kernel; 10.2.0.1 is its own address.
    Linux(Guest),
}

impl Peer {
    /// Our own gateway as the peer: it waits to be called.
    ///
    /// # Errors
    /// As [`Site::start`].
    pub fn esplanade(lab: &Lab, wan: &Namespace, options: &SiteOptions) -> Result<Self> {
        Ok(Self::Esplanade(Box::new(Site::start(lab, wan, options)?)))
    }

    /// strongSwan as the peer.
    ///
    /// # Errors
    /// As [`StrongSwan::start`].
    pub fn strongswan(lab: &Lab, wan: &Namespace, options: &SwanOptions) -> Result<Self> {
        let namespace = lab.namespace("peer")?;
        Wire::lay((&namespace, "wan"), (wan, "wan2"), 1500)?;
        wan.plug("wan2", "br0")?;
        namespace.address("wan", "192.0.2.2/24")?;
        namespace.address("lo", "10.2.0.1/24")?;
        let swan = StrongSwan::start(lab, &namespace, "strongswan", options)?;
        Ok(Self::StrongSwan(swan, namespace))
    }

    /// A Linux kernel as the peer.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn linux(lab: &Lab, wan: &Namespace, options: &GuestOptions) -> Result<Self> {
        Guest::boot(lab, wan, "br0", options).map(Self::Linux)
    }

    /// The address behind it that answers pings and iperf3.
    #[must_use]
    pub fn inner(&self) -> &'static str {
        match self {
            Self::Esplanade(_) => "10.2.0.2",
            Self::StrongSwan(..) | Self::Linux(_) => "10.2.0.1",
        }
    }

    /// Initiates the tunnel from the peer's side.
    ///
    /// # Errors
    /// What the peer said.
    pub fn initiate(&self) -> Result<()> {
        match self {
            Self::Esplanade(site) => site.gateway.command(&["initiate", "site"]).map(drop),
            Self::StrongSwan(swan, _) => swan.initiate().map(drop),
            Self::Linux(guest) => guest.initiate().map(drop),
        }
    }

    /// Runs `swanctl` at a peer that has it.
    ///
    /// # Errors
    /// What swanctl said.
    pub fn swanctl(&self, args: &[&str]) -> Result<String> {
        match self {
            Self::Esplanade(_) => anyhow::bail!("not a strongSwan peer"),
            Self::StrongSwan(swan, _) => swan.swanctl(args),
            Self::Linux(guest) => guest.shell(&format!("swanctl {} 2>&1", args.join(" "))),
        }
    }

    /// One TCP stream from the site's host to the peer, or with `reverse` the other way.
    ///
    /// # Errors
    /// What iperf3 said.
    pub fn tcp(&self, lab: &Lab, site: &Site, seconds: u32, reverse: bool) -> Result<Tcp> {
        let client = (&site.host, &*site.inner());
        match self {
            Self::Esplanade(other) => Tcp::run(lab, client, (&other.host, self.inner()), seconds, reverse),
            Self::StrongSwan(_, namespace) => {
                Tcp::run(lab, client, (namespace, self.inner()), seconds, reverse)
            }
            Self::Linux(_) => Tcp::to(client, self.inner(), seconds, reverse),
        }
    }

    /// Starts the echo service at [`Peer::inner`]; it lasts as long as what is returned.
    ///
    /// # Errors
    /// If it does not run.
    pub fn echo(&self, lab: &Lab) -> Result<Option<Process>> {
        match self {
            Self::Esplanade(site) => datagrams::echo(lab, &site.host, self.inner()).map(Some),
            Self::StrongSwan(_, namespace) => datagrams::echo(lab, namespace, self.inner()).map(Some),
            Self::Linux(guest) => guest.echo(self.inner()).map(|()| None),
        }
    }

    /// What the peer logged, for a failure's message.
    #[must_use]
    pub fn log(&self) -> String {
        let text = match self {
            Self::Esplanade(site) => site.gateway.control.log(),
            Self::StrongSwan(swan, _) => swan.log(),
            Self::Linux(guest) => guest
                .shell("cat /run/start.log /run/charon.log /run/pluto.log 2>/dev/null")
                .unwrap_or_default(),
        };
        super::gateway::tail(&text, 40)
    }
}

impl Lab {
    /// The outside network: a namespace with the bridge `br0`.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn wan(&self) -> Result<Namespace> {
        let wan = self.namespace("wan")?;
        wan.bridge("br0").context("outside network")?;
        Ok(wan)
    }
}
