//! The smallest control that drives a data plane: one session, one transaction at a time.

use anyhow::{Context, Result, bail};
use arrayvec::ArrayVec;
use shm::message::{
    AddSelector, Address, Begin, Change, Command, Commit, Completion, ConnectionId, DeleteInbound, DfPolicy,
    DscpPolicy, InstallInbound, InstallOutbound, Interface, InterfaceId, Limits, NextHop, NextHopId,
    NextHopKind, Outer, OwnerTag, PortId, PortRange, Prefix, RequestId, ReserveSpi, Role, Route, RouteKey,
    SaKeys, Secret, Spi, Staged, Suite, TrafficSelector, Tunnel, TunnelId, TxnId, VrfId,
};
use shm::session::ControlEnd;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) struct Control {
    end: ControlEnd,
    last: u64,
}

/// What an SA pair is made of, keys apart.
pub(super) struct Install {
    pub(super) spi: Spi,
    pub(super) peer_spi: u32,
    pub(super) suite: Suite,
    pub(super) esn: bool,
    pub(super) outer: Outer,
}

const OWNER: OwnerTag =
    OwnerTag { connection: ConnectionId(1), tunnel: TunnelId(1), ike_sa: 1, generation: 1 };
const PATIENCE: Duration = Duration::from_secs(5);

impl Control {
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        Ok(Self { end: ControlEnd::connect(socket)?, last: 0 })
    }

    /// 192.0.2.1/24 outside, 10.1.0.1/24 inside, and 10.2.0.0/24 through tunnel 1.
    pub(super) fn configure(&mut self) -> Result<()> {
        let vrf = VrfId(0);
        let (outside, inside) = (InterfaceId(1), InterfaceId(2));
        let interface =
            |id, port, role| Interface { id, port: PortId(port), vlan: None, role, vrf, mtu: 1500 };
        let address =
            |interface, ip: [u8; 4]| Address { interface, ip: Ipv4Addr::from(ip).into(), prefix_len: 24 };
        let next_hop = |id, kind| Change::PutNextHop(NextHop { id: NextHopId(id), kind });
        let link = |interface| NextHopKind::Interface { interface, gateway: None };
        let route = |prefix: [u8; 4], next_hop| -> Result<Change> {
            let prefix = Prefix::new(Ipv4Addr::from(prefix).into(), 24).context("prefix")?;
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
        };
        let tunnels = ArrayVec::from_iter([TunnelId(1)]);
        self.commit(
            true,
            vec![
                Change::PutInterface(interface(outside, 0, Role::Outside)),
                Change::PutInterface(interface(inside, 1, Role::Inside)),
                Change::PutAddress(address(outside, [192, 0, 2, 1])),
                Change::PutAddress(address(inside, [10, 1, 0, 1])),
                Change::PutTunnel(tunnel),
                next_hop(1, link(outside)),
                next_hop(2, link(inside)),
                next_hop(3, NextHopKind::Tunnels { tunnels, active: 1 }),
                route([192, 0, 2, 0], 1)?,
                route([10, 1, 0, 0], 2)?,
                route([10, 2, 0, 0], 3)?,
            ],
        )
    }

    pub(super) fn reserve(&mut self) -> Result<Spi> {
        let request = RequestId(self.next());
        self.send(&Command::ReserveSpi(ReserveSpi { request, owner: OWNER, outer_vrf: VrfId(0) }))?;
        self.until(|completion| match completion {
            Completion::SpiReserved(reserved) if reserved.request == request => Some(Ok(reserved.spi)),
            Completion::Refused(refused) => Some(Err(anyhow::anyhow!("{refused:?}"))),
            _ => None,
        })?
    }

    pub(super) fn install(&mut self, what: &Install, encryption: &Secret, integrity: &Secret) -> Result<()> {
        let &Install { spi, suite, esn, outer, peer_spi } = what;
        let peer_spi = Spi::new(peer_spi).context("peer SPI")?;
        let keys = SaKeys { encryption: encryption.clone(), integrity: integrity.clone() };
        let (tunnel, owner, limits) = (TunnelId(1), OWNER, Limits::default());
        let net = |second: u8| TrafficSelector {
            protocol: 0,
            ports: PortRange::ANY,
            first: Ipv4Addr::new(10, second, 0, 0).into(),
            last: Ipv4Addr::new(10, second, 0, 255).into(),
        };
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
        let outbound =
            InstallOutbound { spi, peer_spi, owner, tunnel, suite, esn, keys, outer, limits, active: true };
        let selector = AddSelector { spi, local: net(1), remote: net(2) };
        self.commit(
            false,
            vec![
                Change::InstallInbound(inbound),
                Change::InstallOutbound(outbound),
                Change::AddSelector(selector),
            ],
        )
    }

    pub(super) fn remove(&mut self, spi: Spi) -> Result<()> {
        self.commit(
            false,
            vec![
                Change::DeleteOutbound(shm::message::DeleteOutbound { spi }),
                Change::DeleteInbound(DeleteInbound { spi, linger_ms: 0 }),
            ],
        )
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
