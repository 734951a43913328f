//! The control plane without its sockets: one state machine between the document, IKE and the data plane.
//!
//! ```text
//!          connected                 configuration committed, SAs listed
//!   Away ───────────▶ Syncing ──────────────────────────────────────────▶ Ready
//!    ▲                   │                                                  │
//!    └───────────────────┴────────────────── disconnected ──────────────────┘
//! ```
//!
//! Call order: after any input (`connected`, `disconnected`, `handle_*`) drain [`Engine::poll_journal`], then
//! [`Engine::poll_command`], then [`Engine::poll_inject`]: what a successor must know is kept before anybody can
//! see its effect. Then sleep until [`Engine::poll_timeout`] or the next input.
//!
//! While the data plane is away IKE stands still: its timers wait, so that an IKE SA does not die of our own
//! outage, and what it wants to send or install is made anew afterwards.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ike::{ConnectionKey, IkeManager, JournalRecord, Time};
use shm::message::{Command, Epoch, Inject, OwnerTag, PathRecord, PortRecord, Spi, TunnelId, VrfId};
use zeroize::Zeroizing;

use crate::document::Loaded;
use crate::engine::diagnoses::Diagnoses;
use crate::engine::expiry::Expiry;
use crate::engine::link::Link;
use crate::engine::record::Recording;
use crate::engine::tell::Teller;
use crate::engine::tunnels::Ledger;
use crate::engine::wait::Waiter;
use crate::udp;

mod calls;
mod diagnoses;
mod diff;
mod events;
mod expiry;
mod hearing;
mod link;
mod paths;
mod peer_config;
pub mod reconcile;
mod record;
mod reload;
mod sas;
mod sync;
mod tell;
#[cfg(test)]
pub(crate) mod tests;
mod tunnels;
mod view;
mod wait;

pub use reload::failed as reload_failed;

/// How far we are with the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No session.
    Away,
    /// A session; configuration or SAs are not reconciled yet.
    Syncing,
    /// As the document says.
    Ready,
}

/// An IP packet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub inject: Inject,
    pub bytes: Vec<u8>,
}

/// The control plane's state.
#[derive(Debug)]
pub struct Engine {
    document: Loaded,
    /// Documents may leave pre-shared keys open: whoever keeps them makes the keys.
    makes_keys: bool,
    manager: IkeManager,
    started: Time,
    state: State,
    epoch: Epoch,
    /// What last went wrong with the data plane.
    last_error: Option<String>,
    /// When to try a refused configuration again.
    retry_at: Option<Time>,
    link: Link,
    ports: Vec<PortRecord>,
    /// What probes found of the tunnels' paths.
    paths: BTreeMap<TunnelId, PathRecord>,
    /// What the data plane has installed, by our inbound SPI.
    installed: BTreeMap<Spi, OwnerTag>,
    /// SAs of a control process before us that no IKE SA claims, by tunnel: deleted when a new child is up.
    orphans: BTreeMap<u32, Vec<Spi>>,
    /// Children that carry traffic, by tunnel.
    children: BTreeMap<u32, BTreeSet<ike::Spi>>,
    ledger: Ledger,
    /// Tunnels that an operator terminated: traffic does not bring them up.
    held_down: BTreeSet<ConnectionKey>,
    /// The newest snapshot of each IKE SA, for a data plane that comes back with an empty journal.
    snapshots: BTreeMap<u64, Zeroizing<Vec<u8>>>,
    journal: VecDeque<JournalRecord>,
    packets: VecDeque<Packet>,
    diagnoses: Diagnoses,
    teller: Teller,
    expiry: Expiry,
    waiters: Vec<Waiter>,
    recording: Option<Recording>,
    /// The first session brings the connections and the journal.
    begun: bool,
    restored: usize,
    adopted: usize,
    /// Asked to stop; how, and until when.
    leaving: Option<Time>,
}

impl Engine {
    /// An engine for `document`, without a data plane. `rng_seed` must be fresh in every process.
    #[must_use]
    pub fn new(document: Loaded, rng_seed: [u8; 32], now: Time) -> Self {
        let expiry = Expiry::new(&document, now);
        Self {
            document,
            makes_keys: false,
            manager: IkeManager::new(ike::Config::default(), rng_seed, now),
            started: now,
            state: State::Away,
            epoch: Epoch(0),
            last_error: None,
            retry_at: None,
            link: Link::default(),
            ports: Vec::new(),
            paths: BTreeMap::new(),
            installed: BTreeMap::new(),
            orphans: BTreeMap::new(),
            children: BTreeMap::new(),
            ledger: Ledger::default(),
            held_down: BTreeSet::new(),
            snapshots: BTreeMap::new(),
            journal: VecDeque::new(),
            packets: VecDeque::new(),
            diagnoses: Diagnoses::default(),
            teller: Teller::default(),
            expiry,
            waiters: Vec::new(),
            recording: None,
            begun: false,
            restored: 0,
            adopted: 0,
            leaving: None,
        }
    }

    /// How far we are with the data plane.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The document in force.
    #[must_use]
    pub fn document(&self) -> &Loaded {
        &self.document
    }

    /// A packet was punted to us; `packet` is an IP packet received in `vrf`.
    pub fn handle_punt(&mut self, vrf: VrfId, packet: &[u8], now: Time) {
        match udp::parse(vrf.0, packet) {
            Ok(datagram) if self.begun => {
                self.manager.handle_message(datagram, now);
                self.settle(now);
            }
            Ok(_) => tracing::debug!("IKE message before the first synchronisation"),
            Err(why) => tracing::debug!(%why, len = packet.len(), "punted packet is not IKE"),
        }
    }

    /// The time of [`Engine::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.push_configuration(now);
        }
        if self.state == State::Ready && self.manager.poll_timeout().is_some_and(|at| at <= now) {
            self.manager.handle_timeout(now);
        }
        if self.diagnoses.poll_timeout().is_some_and(|at| at <= now) {
            self.tell_untold(now);
        }
        if self.next_look().is_some_and(|at| at <= now) {
            self.tell_of_ends(now);
        }
        self.settle(now);
    }

    /// When [`Engine::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let ike = (self.state == State::Ready).then(|| self.manager.poll_timeout()).flatten();
        let waiting = self.waiters.iter().map(Waiter::deadline);
        let recording = self.recording.as_ref().map(Recording::deadline);
        let untold = self.diagnoses.poll_timeout();
        let look = self.next_look();
        waiting
            .chain(recording)
            .chain(ike)
            .chain(self.retry_at)
            .chain(self.leaving)
            .chain(untold)
            .chain(look)
            .min()
    }

    /// The next record for the journal.
    pub fn poll_journal(&mut self) -> Option<JournalRecord> {
        self.journal.pop_front()
    }

    /// The next command; put it back with [`Engine::unsent`] if there is no room for it.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.link.next_command()
    }

    /// Takes back the command that [`Engine::poll_command`] gave last.
    pub fn unsent(&mut self, command: Command) {
        self.link.put_back(command);
    }

    /// The next packet to send.
    pub fn poll_inject(&mut self) -> Option<Packet> {
        self.packets.pop_front()
    }

    /// Whether a stop that was asked for is complete: every SA is gone, or its time is over.
    #[must_use]
    pub fn has_left(&self, now: Time) -> bool {
        let Some(deadline) = self.leaving else { return false };
        let quiet = self.manager.ike_sas().next().is_none() && self.link.is_idle() && self.packets.is_empty();
        deadline <= now || quiet || self.state != State::Ready
    }

    /// Drains IKE after any input to it.
    fn settle(&mut self, now: Time) {
        while let Some(record) = self.manager.poll_journal() {
            self.keep(record);
        }
        if self.state == State::Ready {
            while let Some(command) = self.manager.poll_sa_command() {
                self.handle_sa_command(command, now);
            }
            while let Some(datagram) = self.manager.poll_transmit() {
                self.send(&datagram);
            }
        }
        while let Some(event) = self.manager.poll_event() {
            self.handle_ike_event(event, now);
        }
        self.resolve_waiters(now);
        self.end_recording(now);
    }

    /// Queues a record, and remembers the newest snapshot of each IKE SA.
    fn keep(&mut self, record: JournalRecord) {
        match &record {
            JournalRecord::Put { ike_sa, snapshot } => {
                self.snapshots.insert(ike_sa.0, snapshot.clone());
            }
            JournalRecord::Remove { ike_sa } => {
                self.snapshots.remove(&ike_sa.0);
            }
        }
        self.journal.push_back(record);
    }

    fn send(&mut self, datagram: &ike::Datagram) {
        match udp::emit(datagram) {
            Ok(bytes) => {
                self.packets.push_back(Packet { inject: Inject { vrf: VrfId(datagram.vrf) }, bytes });
            }
            Err(why) => tracing::warn!(%why, remote = %datagram.remote, "IKE message not sent"),
        }
    }

    /// The name people know a tunnel by.
    fn tunnel_name(&self, key: ConnectionKey) -> String {
        let plan = self.document.plan.tunnel(key.tunnel);
        plan.map_or_else(|| key.to_string(), gateway::plan::TunnelPlan::name)
    }

    /// The key of a tunnel's number.
    fn tunnel_key(&self, tunnel: u32) -> Option<ConnectionKey> {
        self.document.plan.tunnel(tunnel).map(crate::convert::key)
    }
}
