//! Gateways for the targets that negotiate: a manager with one connection, and a data plane that does as it is told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ike::wire::TrafficSelector;
use ike::wire::iana::{EncrId, IntegId, KeId, PrfId};
use ike::{
    ChildConfig, Config, Connection, ConnectionKey, Datagram, EspProposal, Event, IkeManager, IkeProposal,
    InstallChild, Psk, SaCommand, SaReply, Start, Time,
};

/// What both ends know.
pub(crate) const PSK: &[u8] = b"known to both";
/// The tunnel.
pub(crate) const KEY: ConnectionKey = ConnectionKey { connection: 1, tunnel: 1 };
/// When everything begins.
pub(crate) const START: Time = Time::from_secs(1000);

/// IKE SAs of one connection that may be there at once, whatever the peer does: two at work in a crossing, those they
/// replace, and one being negotiated by each side; and half-open ones up to the limit of one address.
const MAX_IKE_SAS: usize = 48;
/// CHILD_SAs, each with the one that replaces it, and exchanges that wait.
const MAX_CHILDREN: usize = 256;
const MAX_QUEUED: usize = 2 * MAX_CHILDREN;

/// One gateway. Its inbound SPIs tell whose they are: side 1 or 2 in their first half.
pub(crate) struct End {
    pub(crate) side: u8,
    pub(crate) manager: IkeManager,
    /// Every child that was installed.
    pub(crate) installed: Vec<InstallChild>,
    /// Inbound SPIs that the data plane holds.
    pub(crate) spis: Vec<u32>,
    next_spi: u32,
    /// The data plane refuses.
    failing: bool,
}

impl End {
    /// Side 1, which begins if it is told to, or 2.
    pub(crate) fn new(side: u8, psk: &[u8], start: Start, fragment_size: Option<u16>) -> Self {
        let mut manager = IkeManager::new(Config::default(), [side; 32], START);
        manager.set_connection(connection(side, psk, start, fragment_size), START);
        let next_spi = u32::from(side) << 16;
        Self { side, manager, installed: Vec::new(), spis: Vec::new(), next_spi, failing: false }
    }

    /// Its data plane refuses everything from now on, or again does as it is told.
    pub(crate) fn toggle_failing(&mut self) {
        self.failing = !self.failing;
    }

    /// Does what the manager wants; returns what it sends.
    pub(crate) fn drain(&mut self, now: Time) -> Vec<Datagram> {
        while self.manager.poll_journal().is_some() {}
        while let Some(command) = self.manager.poll_sa_command() {
            if let Some(reply) = self.obey(command) {
                self.manager.handle_sa_reply(reply, now);
            }
        }
        while let Some(event) = self.manager.poll_event() {
            std::hint::black_box::<Event>(event);
        }
        self.check_bounds();
        std::iter::from_fn(|| self.manager.poll_transmit()).collect()
    }

    fn obey(&mut self, command: SaCommand) -> Option<SaReply> {
        match command {
            SaCommand::ReserveSpi { request, .. } if self.failing => {
                Some(SaReply::Failed { request, code: 1 })
            }
            SaCommand::InstallChild(child) if self.failing => {
                Some(SaReply::Failed { request: child.request, code: 1 })
            }
            SaCommand::ReserveSpi { request, .. } => {
                self.next_spi += 1;
                self.spis.push(self.next_spi);
                Some(SaReply::SpiReserved { request, spi: self.next_spi })
            }
            SaCommand::InstallChild(child) => {
                let request = child.request;
                self.installed.push(*child);
                Some(SaReply::Installed { request })
            }
            SaCommand::ReleaseSpi { spi } | SaCommand::DeleteChild { spi, .. } => {
                self.spis.retain(|held| *held != spi);
                None
            }
            SaCommand::ActivateOutbound { .. } | SaCommand::UpdateOuter { .. } => None,
        }
    }

    /// # Panics
    /// When there is more of anything than a peer may make us keep.
    fn check_bounds(&self) {
        let load = self.manager.load();
        assert!(load.ike_sas <= MAX_IKE_SAS, "{load:?}");
        assert!(load.children <= MAX_CHILDREN && self.spis.len() <= 2 * MAX_CHILDREN, "{load:?}");
        assert!(load.queued <= MAX_QUEUED && load.timers <= MAX_IKE_SAS + 1, "{load:?}");
    }
}

/// The outer address of a side.
pub(crate) fn address(side: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, side))
}

/// What is behind it.
pub(crate) fn network(side: u8) -> TrafficSelector {
    TrafficSelector::from_network(Ipv4Addr::new(10, side, 0, 0).into(), 16).expect("a network")
}

fn connection(side: u8, psk: &[u8], start: Start, fragment_size: Option<u16>) -> Connection {
    let [local, remote] = [side, 3 - side].map(address);
    let ike = IkeProposal {
        encryption: EncrId::AES_GCM_16,
        key_bits: 128,
        integrity: IntegId::NONE,
        prf: PrfId::HMAC_SHA2_256,
        group: KeId::CURVE25519,
    };
    let esp = EspProposal {
        encryption: EncrId::AES_GCM_16,
        key_bits: 128,
        integrity: IntegId::NONE,
        group: None,
        esn: false,
    };
    let child = ChildConfig {
        lifetime: Some(Duration::from_secs(300)),
        replay_window: 64,
        ..ChildConfig::new(esp, [side, 3 - side].map(network))
    };
    Connection {
        ike_lifetime: Some(Duration::from_secs(900)),
        fragment_size,
        start,
        ..Connection::by_psk(KEY, "fuzzed", [local, remote], Psk::new(psk), ike, child)
    }
}
