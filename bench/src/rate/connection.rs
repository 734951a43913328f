//! One connection as IKE negotiates it: two gateways, each from a document as an operator writes it.
//!
//! The documents are checked and planned, IKE negotiates between two managers in memory, and what control would tell
//! the data plane about all that goes through the agent's words into the tables.

use std::net::{IpAddr, Ipv4Addr};

use ::gateway::model::PskSource;
use ::gateway::plan::{InterfaceIds, Plan};
use anyhow::{Context, Result, anyhow, bail, ensure};
use crypto::KeyMemory;
use esplanade_controlplane::convert;
use esplanade_controlplane::credentials::TunnelAuth;
use esplanade_dataplane::agent::Expander;
use esplanade_dataplane::shared::Tables;
use ike::{Datagram, IkeManager, InstallChild, SaCommand, SaReply, Time};
use packet::ids::SlotBits;
use packet::neighbour::{Neighbour, NeighbourState};
use packet::sad::SpiAllocator;
use packet::tables::Change;
use packet::{InterfaceId, PortId, Spi};
use shm::message as contract;

use crate::gateway::{HEAD_HOST, LAN, NEIGHBOUR_MAC, Side, WAN, branch_host};
use crate::machine::Machine;

/// What the documents say of the suite of ESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing: the default is used.
    Default,
    /// AES-GCM with a key of 128 bits.
    AesGcm,
}

impl Wish {
    pub(crate) const BOTH: [Self; 2] = [Self::Default, Self::AesGcm];

    fn line(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::AesGcm => "ipsec = { encryption = \"aes128gcm16\" }",
        }
    }
}

/// When all of this happens; nothing in a negotiation without loss takes time.
const NOW: Time = Time::from_secs(1);
/// More rounds of messages than any negotiation has.
const ROUNDS: usize = 32;

/// The host behind a gateway, and the gateway's own address beside it.
fn inside(side: Side) -> [Ipv4Addr; 2] {
    let host = match side {
        Side::Head => HEAD_HOST,
        Side::Branches => branch_host(0),
    };
    let [a, b, c, _] = host.octets();
    [host, Ipv4Addr::new(a, b, c, 254)]
}

/// What an operator of this side writes. The head begins; otherwise both would.
fn document(side: Side, wish: Wish) -> String {
    let ([host, lan], [remote, _]) = (inside(side), inside(side.other()));
    let network = |host: Ipv4Addr| {
        let [a, b, c, _] = host.octets();
        format!("{a}.{b}.{c}.0/24")
    };
    format!(
        r#"
[[interface]]
name = "outside"
port = "wan"
role = "outside"
addresses = ["{wan}/24"]
[[interface]]
name = "inside"
port = "lan"
role = "inside"
addresses = ["{lan}/24"]
[vpn-gateway]
name = "ours"
addresses = ["{wan}"]
[[customer-gateway]]
name = "theirs"
ip = "{peer}"
[[connection]]
name = "one"
routing-mode = "protected-data-flows"
local-networks = ["{local}"]
remote-networks = ["{remote}"]
effective-immediately = {begins}
[[connection.tunnel]]
customer-gateway = "theirs"
psk = "known-to-both-gateways"
{suite}
"#,
        wan = side.outside(),
        peer = side.other().outside(),
        local = network(host),
        remote = network(remote),
        begins = side == Side::Head,
        suite = wish.line(),
    )
}

/// One of the two gateways.
pub(crate) struct Site {
    pub(crate) tables: Tables,
    manager: IkeManager,
    spis: SpiAllocator,
    expander: Expander,
    child: Option<Child>,
}

/// The CHILD_SA of a site, and all that the data plane was told to install it.
#[derive(Debug, Clone)]
struct Child {
    spi: Spi,
    suite: ike::EspSuite,
    changes: Vec<contract::Change>,
}

impl Site {
    fn new(machine: &Machine, memory: &KeyMemory, side: Side, wish: Wish) -> Result<Self> {
        let report = ::gateway::check(&document(side, wish), "bench");
        let desired = report.desired.as_ref().with_context(|| report.to_string())?;
        let plan = ::gateway::plan(desired, &InterfaceIds::default());
        let tunnel = plan.tunnels.first().context("a tunnel")?;
        let Some(PskSource::Inline(psk)) = tunnel.auth.psk() else { bail!("the key is in the document") };
        let mut manager = IkeManager::new(ike::Config::default(), [side as u8 + 1; 32], NOW);
        manager.set_connection(convert::connection(tunnel, &TunnelAuth::psk(psk)), NOW);
        let backend = machine.engine.backend.clone();
        let expander = Expander::new(backend, memory.clone(), 1, dpdk::tsc_hz());
        let mut site = Self {
            tables: Tables::new(SlotBits::DEFAULT),
            manager,
            spis: SpiAllocator::new(SlotBits::DEFAULT),
            expander,
            child: None,
        };
        site.configure(side, &plan)?;
        Ok(site)
    }

    /// The objects of the plan, and the neighbours as if they had answered.
    fn configure(&mut self, side: Side, plan: &Plan) -> Result<()> {
        let ports = [("wan", WAN), ("lan", LAN)];
        let ports = ports.map(|(name, PortId(id))| (name.to_owned(), contract::PortId(id))).into();
        let up = plan.tunnels.iter().map(|tunnel| tunnel.id).collect();
        for change in convert::configuration(&plan.dataplane, &ports, &up)? {
            apply(&mut self.tables, &self.expander, &change)?;
        }
        for (interface, mac) in plan.dataplane.interfaces.iter().zip(NEIGHBOUR_MAC) {
            let address = if interface.port == "wan" { side.other().outside() } else { inside(side)[0] };
            self.tables.apply(Change::PutNeighbour {
                interface: InterfaceId(interface.id),
                address: IpAddr::V4(address),
                neighbour: Neighbour { state: NeighbourState::Reachable, mac },
            })?;
        }
        self.tables.commit();
        Ok(())
    }

    /// Does what IKE asks of the data plane.
    fn execute(&mut self, command: SaCommand) -> Result<()> {
        match command {
            SaCommand::ReserveSpi { request, .. } => {
                let spi = self.spis.allocate(1).context("an SPI")?;
                self.tables.apply(Change::Reserve(spi))?;
                self.manager.handle_sa_reply(SaReply::SpiReserved { request, spi: spi.value() }, NOW);
            }
            SaCommand::InstallChild(child) => {
                self.install(&child)?;
                self.manager.handle_sa_reply(SaReply::Installed { request: child.request }, NOW);
            }
            SaCommand::ActivateOutbound { .. }
            | SaCommand::ReleaseSpi { .. }
            | SaCommand::DeleteChild { .. }
            | SaCommand::UpdateOuter { .. } => bail!("not in a first negotiation: {command:?}"),
        }
        Ok(())
    }

    fn install(&mut self, child: &InstallChild) -> Result<()> {
        ensure!(child.active && child.outer.encap == ike::Encap::Native, "no NAT, and it is used at once");
        let spi = Spi::new(child.spi).context("an SPI")?;
        let changes = convert::install(child)?;
        for change in &changes {
            apply(&mut self.tables, &self.expander, change)?;
        }
        self.tables.commit();
        self.child = Some(Child { spi, suite: child.suite, changes });
        Ok(())
    }

    /// What installs the CHILD_SA anew.
    pub(crate) fn renewal(&self) -> Result<impl Fn(&mut Tables) -> Result<()> + use<>> {
        let (child, expander) = (self.child.clone().context("a CHILD_SA")?, self.expander.clone());
        Ok(move |tables: &mut Tables| {
            tables.apply(Change::FreeSpi(child.spi))?;
            tables.apply(Change::Reserve(child.spi))?;
            for change in &child.changes {
                apply(tables, &expander, change)?;
            }
            tables.commit();
            Ok(())
        })
    }

    /// What was negotiated.
    pub(crate) fn suite(&self) -> Result<crypto::Suite> {
        let ike::EspSuite { encryption, key_bits, integrity } =
            self.child.as_ref().context("no CHILD_SA was negotiated")?.suite;
        Ok(crypto::Suite::from_transforms(encryption, key_bits, integrity)?)
    }
}

/// A change in the words of the contract, for the one worker.
fn apply(tables: &mut Tables, expander: &Expander, change: &contract::Change) -> Result<()> {
    let change = expander.change(change, 0).map_err(|code| anyhow!("the data plane refuses: {code:?}"))?;
    Ok(tables.apply(change)?)
}

/// The head and its peer with one CHILD_SA between them.
pub(crate) fn negotiate(machine: &Machine, memory: &KeyMemory, wish: Wish) -> Result<[Site; 2]> {
    let mut head = Site::new(machine, memory, Side::Head, wish)?;
    let mut peer = Site::new(machine, memory, Side::Branches, wish)?;
    head.manager.handle_timeout(NOW);
    for _ in 0..ROUNDS {
        exchange(&mut head, &mut peer)?;
        exchange(&mut peer, &mut head)?;
        if head.child.is_some() && peer.child.is_some() {
            return Ok([head, peer]);
        }
    }
    let events: Vec<_> = std::iter::from_fn(|| head.manager.poll_event()).collect();
    bail!("IKE negotiated nothing: {events:?}")
}

/// Does what one manager wants done.
fn exchange(from: &mut Site, to: &mut Site) -> Result<()> {
    while let Some(command) = from.manager.poll_sa_command() {
        from.execute(command)?;
    }
    // Nobody restarts.
    while from.manager.poll_journal().is_some() {}
    while let Some(sent) = from.manager.poll_transmit() {
        let arriving = Datagram { local: sent.remote, remote: sent.local, ..sent };
        to.manager.handle_message(arriving, NOW);
    }
    Ok(())
}
