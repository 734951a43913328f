//! A data plane alone, and the smallest control that drives it: one session, one transaction at a time.

use anyhow::{Context, Result, bail, ensure};
use arrayvec::ArrayVec;
use esplanade::lab::{Lab, Namespace, Process, programs};
use shm::counters::CountersReader;
use shm::message::{
    AddSelector, Address, Begin, Change, Command, Commit, Completion, ConnectionId, DeleteInbound, DfPolicy,
    DscpPolicy, Fragmentation, InstallInbound, InstallOutbound, Interface, InterfaceId, Limits, NextHop,
    NextHopId, NextHopKind, Outer, OwnerTag, PortId, PortRange, Prefix, RequestId, ReserveSpi, Role, Route,
    RouteKey, SaKeys, Secret, Spi, Staged, Suite, TrafficSelector, Tunnel, TunnelId, TxnId, VrfId,
};
use shm::session::ControlEnd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) struct Control {
    end: ControlEnd,
    last: u64,
}

/// What an SA pair is made of, keys apart.
pub(crate) struct Install {
    pub(crate) spi: Spi,
    pub(crate) peer_spi: u32,
    pub(crate) suite: Suite,
    pub(crate) esn: bool,
    pub(crate) outer: Outer,
}

const OWNER: OwnerTag =
    OwnerTag { connection: ConnectionId(1), tunnel: TunnelId(1), ike_sa: 1, generation: 1 };
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts a data plane of its own in a namespace, with ports `out` and `in` by this DPDK driver; returns it and its socket.
pub(crate) fn dataplane(lab: &Lab, namespace: &Namespace, driver: &str) -> Result<(Process, PathBuf)> {
    let folder = lab.folder();
    std::fs::create_dir_all(folder.join("dp"))?;
    let (socket, config) = (folder.join("dp/dataplane.sock"), folder.join("dataplane.toml"));
    let port = |index: usize, name: &str| {
        format!("[[dataplane.port]]\nname = \"{name}\"\ndevice = \"{driver}{index},iface={name}\"\n")
    };
    let ports = port(0, "out") + &port(1, "in");
    std::fs::write(&config, format!("[dataplane]\nworkers = 1\nsocket = {socket:?}\n{ports}"))?;
    let program = programs()?.join("esplanade-dataplane").to_string_lossy().into_owned();
    let args = ["--config", &*config.to_string_lossy()];
    let mut dataplane = namespace.start(&program, &args, &folder.join("dataplane.log"))?;
    lab.wait_for("the data plane", Duration::from_secs(20), || {
        ensure!(dataplane.is_alive(), "it ended: {}", dataplane.log());
        Ok(socket.exists().then_some(()))
    })?;
    Ok((dataplane, socket))
}

impl Control {
    pub(crate) fn connect(socket: &Path) -> Result<Self> {
        Ok(Self { end: ControlEnd::connect(socket)?, last: 0 })
    }

    /// 192.0.2.1/24 and 2001:db8::1/64 outside, 10.1.0.1/24 and 2001:db8:1::1/64 inside; 10.2.0.0/24 and 2001:db8:2::/64 through
    /// tunnel 1.
    pub(crate) fn configure(&mut self) -> Result<()> {
        let vrf = VrfId(0);
        let (outside, inside) = (InterfaceId(1), InterfaceId(2));
        let interface =
            |id, port, role| Interface { id, port: PortId(port), vlan: None, role, vrf, mtu: 1500 };
        let address = |interface, ip: &str, prefix_len| -> Result<Change> {
            Ok(Change::PutAddress(Address { interface, ip: ip.parse()?, prefix_len }))
        };
        let next_hop = |id, kind| Change::PutNextHop(NextHop { id: NextHopId(id), kind });
        let link = |interface| NextHopKind::Interface { interface, gateway: None };
        let route = |network: &str, length, next_hop| -> Result<Change> {
            let prefix = Prefix::new(network.parse()?, length).context("prefix")?;
            Ok(Change::PutRoute(Route { key: RouteKey { vrf, prefix }, next_hop: NextHopId(next_hop) }))
        };
        let tunnel = Tunnel {
            id: TunnelId(1),
            connection: ConnectionId(1),
            inner_vrf: vrf,
            outer_vrf: vrf,
            mtu: 0,
            mss: 0,
            df: DfPolicy::Copy,
            dscp: DscpPolicy::Copy,
            acquire: false,
            probe: None,
            fragmentation: Fragmentation::Before,
        };
        let tunnels = ArrayVec::from_iter([TunnelId(1)]);
        self.commit(
            true,
            vec![
                Change::PutInterface(interface(outside, 0, Role::Outside)),
                Change::PutInterface(interface(inside, 1, Role::Inside)),
                address(outside, "192.0.2.1", 24)?,
                address(outside, "2001:db8::1", 64)?,
                address(inside, "10.1.0.1", 24)?,
                address(inside, "2001:db8:1::1", 64)?,
                Change::PutTunnel(tunnel),
                next_hop(1, link(outside)),
                next_hop(2, link(inside)),
                next_hop(3, NextHopKind::Tunnels { tunnels, active: 1 }),
                route("192.0.2.0", 24, 1)?,
                route("2001:db8::", 64, 1)?,
                route("10.1.0.0", 24, 2)?,
                route("2001:db8:1::", 64, 2)?,
                route("10.2.0.0", 24, 3)?,
                route("2001:db8:2::", 64, 3)?,
            ],
        )
    }

    pub(crate) fn reserve(&mut self) -> Result<Spi> {
        let request = RequestId(self.next());
        self.send(&Command::ReserveSpi(ReserveSpi { request, owner: OWNER, outer_vrf: VrfId(0) }))?;
        self.until(|completion| match completion {
            Completion::SpiReserved(reserved) if reserved.request == request => Some(Ok(reserved.spi)),
            Completion::Refused(refused) => Some(Err(anyhow::anyhow!("{refused:?}"))),
            _ => None,
        })?
    }

    pub(crate) fn install(&mut self, what: &Install, encryption: &Secret, integrity: &Secret) -> Result<()> {
        let &Install { spi, suite, esn, outer, peer_spi } = what;
        let peer_spi = Spi::new(peer_spi).context("peer SPI")?;
        let keys = SaKeys { encryption: encryption.clone(), integrity: integrity.clone() };
        let (tunnel, owner, limits) = (TunnelId(1), OWNER, Limits::default());
        let net = |first: &str, last: &str| -> Result<TrafficSelector> {
            let (first, last) = (first.parse()?, last.parse()?);
            Ok(TrafficSelector { protocol: 0, ports: PortRange::ANY, first, last })
        };
        let v4 = |site: u8| net(&format!("10.{site}.0.0"), &format!("10.{site}.0.255"));
        let v6 = |site: u8| net(&format!("2001:db8:{site}::"), &format!("2001:db8:{site}::ffff"));
        let selector = |local, remote| Change::AddSelector(AddSelector { spi, local, remote });
        let replay_window = 1024;
        let inbound = InstallInbound {
            spi,
            owner,
            tunnel,
            suite,
            esn,
            replay_window,
            keys: keys.clone(),
            outer,
            follow_nat: false,
            limits,
        };
        let outbound = InstallOutbound {
            spi,
            peer_spi,
            owner,
            tunnel,
            suite,
            esn,
            keys,
            outer,
            limits,
            active: true,
            tfc: 0,
        };
        self.commit(
            false,
            vec![
                Change::InstallInbound(inbound),
                Change::InstallOutbound(outbound),
                selector(v4(1)?, v4(2)?),
                selector(v6(1)?, v6(2)?),
            ],
        )
    }

    pub(crate) fn remove(&mut self, spi: Spi) -> Result<()> {
        self.commit(
            false,
            vec![
                Change::DeleteOutbound(shm::message::DeleteOutbound { spi }),
                Change::DeleteInbound(DeleteInbound { spi, linger_ms: 0 }),
            ],
        )
    }

    /// What the data plane has counted so far.
    pub(crate) fn counters(&self) -> &CountersReader {
        self.end.counters()
    }

    /// One transaction, acknowledged by every worker.
    fn commit(&mut self, full: bool, changes: Vec<Change>) -> Result<()> {
        let txn = TxnId(self.next());
        self.send(&Command::Begin(Begin { txn, full }))?;
        for change in changes {
            self.send(&Command::Change(Staged { txn, change }))?;
        }
        self.send(&Command::Commit(Commit { txn }))?;
        self.until(|completion| match completion {
            Completion::Committed(done) if done.txn == txn => Some(Ok(())),
            Completion::Rejected(rejected) => Some(Err(anyhow::anyhow!("{rejected:?}"))),
            _ => None,
        })?
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn send(&mut self, command: &Command) -> Result<()> {
        self.end.send_command(command)?;
        Ok(self.end.notify()?)
    }

    fn until<T>(&mut self, mut wanted: impl FnMut(Completion) -> Option<T>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.end.receive_completion()? {
                Some(completion) => {
                    if let Some(value) = wanted(completion) {
                        return Ok(value);
                    }
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        bail!("the data plane does not answer")
    }
}
