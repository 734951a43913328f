//! All IKE SAs of the gateway.

pub mod command;
pub(crate) mod connections;
pub(crate) mod context;
mod cookie;
mod dispatch;
mod effects;
pub mod event;
pub(crate) mod hint;
mod index;
mod pacing;
mod recording;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::{Config, Connection, ConnectionKey, Fingerprint, Start};
use crate::record::tape::Tape;
use crate::sa::core::Path;
use crate::sa::{IkeSa, Input};
use crate::time::Time;
use crate::v2::fault::{Fault, Stage};
use crate::v2::informational::DeleteReason;
use command::{Command, Datagram, IkeSaId, SaCommand, SaReply, Spi};
use connections::Connections;
use context::{Ctx, Effect, Ids, Outputs};
use cookie::{Cookies, Vain};
use event::{Counters, Event, Gone, IkeSaStatus, JournalRecord, Load};
use hint::Attention;
use index::Index;
use pacing::Pacing;

/// Between the rekeys of two children after the data plane lost them all.
const REBUILD_PACE: Duration = Duration::from_millis(5);

/// Why a snapshot cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Written by another version, or damaged.
    #[error("snapshot cannot be read: {0}")]
    Unreadable(String),
    /// Its connection is no longer configured: the SA should be deleted in the data plane.
    #[error("connection {0} is not configured")]
    UnknownConnection(ConnectionKey),
    /// This IKE SA is there already.
    #[error("IKE SA {0} is there already")]
    Duplicate(IkeSaId),
}

/// All IKE SAs of the gateway, sans-io.
///
/// Call order: feed one input (`handle_*`), then drain, in this order, [`IkeManager::poll_journal`] (keep
/// the records), [`IkeManager::poll_sa_command`], [`IkeManager::poll_transmit`],
/// [`IkeManager::poll_event`], then sleep until [`IkeManager::poll_timeout`] or the next input. Nothing
/// here reads a clock or a random source: the same seed and the same inputs give the same outputs.
///
/// After a restart: `new`, `set_connection` for each, `restore` each kept snapshot, then drain as above.
/// `rng_seed` must be fresh then. Nothing is initiated before the first `handle_timeout`, so that
/// restored IKE SAs are not negotiated again.
#[derive(Debug)]
pub struct IkeManager {
    config: Config,
    /// The wall clock, since the Unix epoch, when the boot clock was zero.
    booted: Duration,
    rng: ChaCha20Rng,
    ids: Ids,
    connections: Connections,
    pacing: Pacing,
    sas: BTreeMap<IkeSaId, IkeSa>,
    index: Index,
    cookies: Cookies,
    vain: Vain,
    attention: Attention,
    /// IKE SAs whose snapshot is out of date.
    dirty: BTreeSet<IkeSaId>,
    out: Outputs,
    tape: Tape,
}

impl IkeManager {
    /// A manager without connections.
    pub fn new(config: Config, rng_seed: [u8; 32], _now: Time) -> Self {
        Self {
            config,
            booted: Duration::ZERO,
            rng: ChaCha20Rng::from_seed(rng_seed),
            ids: Ids::default(),
            connections: Connections::default(),
            pacing: Pacing::default(),
            sas: BTreeMap::new(),
            index: Index::default(),
            cookies: Cookies::default(),
            vain: Vain::default(),
            attention: Attention::default(),
            dirty: BTreeSet::new(),
            out: Outputs::default(),
            tape: Tape::Off,
        }
    }

    /// What the wall clock says at `now`, since the Unix epoch. Certificates are checked by it: call it before
    /// the first input, and again when the clock may have been set. Without it every certificate is too new.
    pub fn set_wall_clock(&mut self, since_epoch: Duration, now: Time) {
        self.booted = since_epoch.saturating_sub(now.0);
    }

    fn wall_clock(&self, now: Time) -> Duration {
        self.booted.saturating_add(now.0)
    }

    /// Adds or replaces a connection. A change of what its SAs were negotiated from rekeys
    /// them, or deletes and renegotiates them ([`Renewal`](crate::Renewal)); name, start and DPD timeout change at once without that. Proposals with an algorithm that we do not
    /// have are left out.
    pub fn set_connection(&mut self, mut connection: Connection, now: Time) {
        connection.ike_proposals.retain(|p| p.suite().is_some());
        connection.child.proposals.retain(|p| p.suite().is_some());
        let key = connection.key;
        if self.connections.get(key) == Some(&connection) {
            return;
        }
        self.tape.cut(key);
        self.pacing.set_wanted(key, connection.start == Start::Immediate);
        let fingerprint = connection.fingerprint();
        let ids: Vec<_> = self.index.of_connection(key).collect();
        ids.into_iter().for_each(|id| self.touch(id, now, |sa, cx| sa.retime(&connection, cx)));
        self.connections.insert(connection);
        self.renew_where(key, now, fingerprint, |_| true);
        self.end_revoked(key, now);
        self.pacing.retry(key, now);
    }

    /// Removes a connection and deletes its SAs.
    pub fn remove_connection(&mut self, key: ConnectionKey, now: Time) {
        self.pacing.forget(key);
        self.delete_all(key, now);
        self.connections.remove(key);
    }

    /// Takes back one snapshot. Its connection must be set already; if that changed since, the IKE SA is renewed as by
    /// [`IkeManager::set_connection`].
    pub fn restore(&mut self, snapshot: &[u8], now: Time) -> Result<(), RestoreError> {
        let sa = IkeSa::from_snapshot(snapshot).map_err(|e| RestoreError::Unreadable(e.to_string()))?;
        if let Some(key) = sa.core.key.filter(|key| self.connections.get(*key).is_none()) {
            return Err(RestoreError::UnknownConnection(key));
        }
        let (id, sa_key) = (sa.core.id, sa.core.key);
        if self.sas.contains_key(&id) {
            return Err(RestoreError::Duplicate(id));
        }
        self.ids.ike_sa = self.ids.ike_sa.max(id.0);
        let requests = sa.awaited_requests();
        self.ids.request = requests.iter().map(|r| r.0).fold(self.ids.request, u64::max);
        self.sas.insert(id, sa);
        self.touch(id, now, |sa, cx| sa.resume(cx));
        if let Some(connection) = sa_key.and_then(|key| self.connections.get(key)) {
            let (key, fingerprint) = (connection.key, connection.fingerprint());
            self.renew_where(key, now, fingerprint, |sa| sa.core.id == id);
            self.end_revoked(key, now);
        }
        Ok(())
    }

    /// A datagram arrived.
    pub fn handle_message(&mut self, datagram: Datagram, now: Time) {
        self.out.counters.received += 1;
        self.tape.attend(&Path::of(&datagram), None, &self.connections, now);
        self.dispatch(&datagram, now);
    }

    /// The time of [`IkeManager::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(id) = self.index.pop_due(now) {
            self.touch(id, now, |sa, cx| sa.handle_timeout(cx));
        }
        while let Some(key) = self.pacing.pop_due(now) {
            self.bring_up(key, None, now);
        }
    }

    /// Somebody wants something done.
    pub fn handle_command(&mut self, command: Command, now: Time) {
        match command {
            Command::Initiate(key) => {
                if let Some(connection) = self.connections.get(key) {
                    self.pacing.set_wanted(key, connection.start == Start::Immediate);
                    self.bring_up(key, None, now);
                }
            }
            Command::Acquire { key, packet } => {
                if self.pacing.may_try(key, now) {
                    self.bring_up(key, Some(packet), now);
                }
            }
            Command::RekeyChild(spi) | Command::SoftLimit(spi) => self.rekey_child(spi, now),
            Command::RekeyIke(id) => self.touch(id, now, |sa, cx| sa.rekey(cx)),
            Command::DeleteChild(spi) => self.delete_child(spi, now),
            Command::DeleteIke(id) => {
                if let Some(key) = self.sas.get(&id).and_then(|sa| sa.core.key) {
                    self.tape.down(key, now);
                    self.pacing.set_wanted(key, false);
                }
                self.touch(id, now, |sa, cx| sa.delete(DeleteReason::Command, cx));
            }
            Command::Down(key) => {
                self.tape.down(key, now);
                self.pacing.set_wanted(key, false);
                self.delete_all(key, now);
            }
            Command::FirstUse(spi) => self.touch_child(spi, now, |sa, cx| sa.first_use(spi, cx)),
            Command::HardLimit(spi) => self.touch_child(spi, now, |sa, cx| sa.hard_limit(spi, cx)),
            Command::Heard { spi, at } => self.heard(spi, at.min(now)),
            Command::PeerMoved { spi, remote } => {
                self.touch_child(spi, now, |sa, cx| sa.peer_moved(remote, cx));
            }
            Command::UnknownSpi(key) => self.esp_unknown(key, now),
            Command::DataPlaneRestarted => self.rebuild(now),
        }
    }

    /// The data plane answered a command.
    pub fn handle_sa_reply(&mut self, reply: SaReply, now: Time) {
        let (SaReply::SpiReserved { request, .. }
        | SaReply::Installed { request }
        | SaReply::Failed { request, .. }) = reply;
        match (self.index.waiting_for(request), reply) {
            (Some(id), _) => self.touch(id, now, |sa, cx| {
                cx.tape.answer(sa.core.key, reply);
                sa.handle(&Input::Reply(reply), cx);
            }),
            // Nobody waits any more: the SPI goes back.
            (None, SaReply::SpiReserved { spi, .. }) => {
                self.out.commands.push_back(SaCommand::ReleaseSpi { spi });
            }
            (None, SaReply::Installed { .. } | SaReply::Failed { .. }) => {}
        }
    }

    /// The next snapshot to keep.
    pub fn poll_journal(&mut self) -> Option<JournalRecord> {
        let ike_sa = self.dirty.pop_first()?;
        let snapshot = self.sas.get(&ike_sa).and_then(IkeSa::snapshot);
        Some(match snapshot {
            Some(snapshot) => JournalRecord::Put { ike_sa, snapshot },
            None => JournalRecord::Remove { ike_sa },
        })
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        self.out.transmits.pop_front()
    }

    /// The next command to the data plane.
    pub fn poll_sa_command(&mut self) -> Option<SaCommand> {
        self.out.commands.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// When `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.index.next_timeout().into_iter().chain(self.pacing.next_timeout()).min()
    }

    /// Every IKE SA, in order of age.
    pub fn ike_sas(&self) -> impl Iterator<Item = IkeSaStatus> {
        let connection = |sa: &IkeSa| sa.core.key.and_then(|key| self.connections.get(key));
        self.sas.values().map(move |sa| sa.status(connection(sa)))
    }

    /// The IKE SAs of one connection, in order of age.
    pub fn ike_sas_of(&self, key: ConnectionKey) -> impl Iterator<Item = IkeSaStatus> {
        self.of_connection(key).map(move |sa| sa.status(self.connections.get(key)))
    }

    /// Every inbound SPI that an IKE SA relies on, installed or reserved. After a restart, what the data
    /// plane has beyond these is nobody's.
    pub fn spis(&self) -> impl Iterator<Item = Spi> {
        self.sas.values().flat_map(|sa| sa.child_spis().chain(sa.reserved_spi()))
    }

    /// What happened to datagrams so far.
    pub fn counters(&self) -> Counters {
        self.out.counters
    }

    /// The children whose peers are about to be probed or given up: whoever sees ESP says when it last arrived
    /// ([`Command::Heard`]) before [`IkeManager::handle_timeout`].
    pub fn listening_for(&self, now: Time) -> Vec<Spi> {
        let due = self.index.due(now).filter_map(|id| self.sas.get(&id));
        due.filter(|sa| sa.is_listening(now)).flat_map(IkeSa::child_spis).collect()
    }

    /// Needs no place in the journal: whoever takes over begins to listen anew.
    fn heard(&mut self, spi: Spi, at: Time) {
        let Some(sa) = self.index.of_child(spi).and_then(|id| self.sas.get_mut(&id)) else { return };
        sa.traffic_heard(at, sa.core.key.and_then(|key| self.connections.get(key)));
        self.index.update(sa);
    }

    /// How much there is of everything.
    pub fn load(&self) -> Load {
        let established = || self.sas.values().filter_map(IkeSa::established);
        Load {
            ike_sas: self.sas.len(),
            half_open: self.index.half_open_count(),
            children: established().map(|sa| sa.children.len()).sum(),
            queued: established().map(|sa| sa.queue.len() + usize::from(sa.running.is_some())).sum(),
            timers: self.index.timers() + self.pacing.timers(),
        }
    }

    /// Lets one IKE SA act, then brings everything that depends on it up to date.
    fn touch(&mut self, id: IkeSaId, now: Time, act: impl FnOnce(&mut IkeSa, &mut Ctx<'_>)) {
        let wall = self.wall_clock(now);
        let Self { sas, connections, config, rng, ids, out, index, tape, .. } = self;
        let Some(sa) = sas.get_mut(&id) else { return };
        tape.attend(&sa.core.path, Some(id), connections, now);
        act(sa, &mut Ctx { now, wall, config, connections, rng, ids, out, index, tape });
        self.sync(id);
        self.apply_effects(now);
    }

    /// The same for the IKE SA of a child.
    fn touch_child(&mut self, spi: Spi, now: Time, act: impl FnOnce(&mut IkeSa, &mut Ctx<'_>)) {
        if let Some(id) = self.index.of_child(spi) {
            self.touch(id, now, act);
        }
    }

    /// Updates the indexes after an IKE SA changed, and removes it when it is over.
    fn sync(&mut self, id: IkeSaId) {
        self.dirty.insert(id);
        let Some(sa) = self.sas.get(&id) else { return };
        let Some(why) = sa.closed() else { return self.index.update(sa) };
        if let Some(key) = sa.core.key {
            let others = |other: &IkeSa| other.core.id != id && other.established().is_some();
            if why == Gone::Peer && !self.of_connection(key).any(others) {
                let fault = Fault::Deleted { what: "IKE SA", after: None };
                let diagnosis = fault.diagnosis(Stage::Auth, Some(key), self.connections.get(key));
                self.raise(Event::Failed(diagnosis));
            }
            self.raise(Event::IkeDeleted { key: Some(key), ike_sa: id, why });
            self.out.effects.push_back(Effect::Closed(key, why));
        }
        self.index.remove(id);
        self.sas.remove(&id);
    }

    fn of_connection(&self, key: ConnectionKey) -> impl Iterator<Item = &IkeSa> {
        self.index.of_connection(key).filter_map(|id| self.sas.get(&id))
    }

    fn delete_all(&mut self, key: ConnectionKey, now: Time) {
        self.delete_where(key, now, |_| true);
    }

    fn delete_where(&mut self, key: ConnectionKey, now: Time, doomed: impl Fn(&IkeSa) -> bool) {
        let ids: Vec<_> = self.of_connection(key).filter(|sa| doomed(sa)).map(|sa| sa.core.id).collect();
        for id in ids {
            self.touch(id, now, |sa, cx| sa.delete(DeleteReason::Command, cx));
        }
    }

    /// What was negotiated from something else is renewed.
    fn renew_where(
        &mut self,
        key: ConnectionKey,
        now: Time,
        wanted: Fingerprint,
        concerned: impl Fn(&IkeSa) -> bool,
    ) {
        let ids: Vec<_> = self.of_connection(key).filter(|sa| concerned(sa)).map(|sa| sa.core.id).collect();
        for id in ids {
            self.touch(id, now, |sa, cx| sa.renew(wanted, cx));
        }
    }

    fn rekey_child(&mut self, spi: Spi, now: Time) {
        self.touch_child(spi, now, |sa, cx| sa.rekey_child(spi, cx));
    }

    fn delete_child(&mut self, spi: Spi, now: Time) {
        let owner = self.index.of_child(spi).and_then(|id| self.sas.get(&id));
        if let Some(key) = owner.and_then(|sa| sa.core.key) {
            self.pacing.set_wanted(key, false);
        }
        self.touch_child(spi, now, |sa, cx| sa.delete_child(spi, cx));
    }

    /// The data plane is empty: every child gets a successor, one after the other.
    fn rebuild(&mut self, now: Time) {
        let ids: Vec<_> = self.sas.keys().copied().collect();
        let spread = REBUILD_PACE * u32::try_from(ids.len()).unwrap_or(u32::MAX);
        for id in ids {
            self.touch(id, now, |sa, cx| sa.rebuild(spread, cx));
        }
    }
}
