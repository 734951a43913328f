//! The beginning and the end of a session: ports, configuration, SAs; then IKE goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ike::{IkeSaId, JournalRecord, RestoreError, SaReply, Time};
use shm::journal::JournalEntry;
use shm::message::{Committed, Epoch, PortId, PortRecord, RejectCode, Rejected, ReleaseSpi, SaRecord, Spi};

use super::link::{Purpose, Question};
use super::reconcile::{Known, reconcile};
use super::{Engine, State};
use crate::convert;

/// When a configuration that was refused is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// The code of a failure that the data plane did not answer itself.
const NO_ANSWER: u32 = 0;

impl Engine {
    /// A session began. `journal` is what the data plane keeps for us.
    pub fn connected(&mut self, epoch: Epoch, journal: &[JournalEntry], now: Time) {
        tracing::info!(epoch = epoch.0, "connected to the data plane");
        self.state = State::Syncing;
        self.epoch = epoch;
        self.last_error = None;
        if !self.begun {
            self.begun = true;
            self.begin(journal, now);
        }
        self.rewrite_journal(journal);
        self.link.list(Question::SyncPorts(Vec::new()));
        self.settle(now);
    }

    /// The session is over, because of `why`.
    pub fn disconnected(&mut self, why: &str, now: Time) {
        tracing::warn!(why, "lost the data plane");
        self.state = State::Away;
        self.retry_at = None;
        self.last_error = Some(why.to_owned());
        self.ports.clear();
        self.paths.clear();
        self.ledger.disconnected();
        self.packets.clear();
        self.journal.clear();
        let (purposes, questions) = self.link.abandon();
        for purpose in purposes {
            if let Purpose::Install { request, .. } = purpose {
                self.manager.handle_sa_reply(SaReply::Failed { request, code: NO_ANSWER }, now);
            }
        }
        for question in questions {
            match question {
                Question::ReserveSpi(request) => {
                    self.manager.handle_sa_reply(SaReply::Failed { request, code: NO_ANSWER }, now);
                }
                Question::Ports(_, reply) => drop(reply.send(Err(api::Problem::dataplane_away(why)))),
                Question::Neighbours(_, reply) => drop(reply.send(Err(api::Problem::dataplane_away(why)))),
                Question::SyncPorts(_) | Question::SyncSas(_) | Question::SyncPaths => {}
            }
        }
        self.settle(now);
    }

    /// The first session: every connection, then every IKE SA that a control process before us had.
    fn begin(&mut self, journal: &[JournalEntry], now: Time) {
        for tunnel in &self.document.plan.tunnels {
            if let Some(auth) = self.document.auth.get(&tunnel.id) {
                self.manager.set_connection(convert::connection(tunnel, auth), now);
            }
        }
        for entry in journal {
            match self.manager.restore(&entry.data, now) {
                Ok(()) => {
                    self.snapshots.insert(entry.id, entry.data.clone());
                    self.restored += 1;
                }
                Err(why @ RestoreError::UnknownConnection(_)) => tracing::info!(%why, "IKE SA not restored"),
                Err(why) => tracing::warn!(%why, "IKE SA not restored"),
            }
        }
        for status in self.manager.ike_sas() {
            let Some(key) = status.key else { continue };
            let spis = status.children.iter().map(|child| child.spi);
            self.children.entry(key.tunnel).or_default().extend(spis);
            status.established.into_iter().for_each(|since| self.ledger.came_up(key.tunnel, since));
        }
        if self.restored > 0 {
            tracing::info!(count = self.restored, "IKE SAs restored from the journal");
        }
    }

    /// Makes the journal hold exactly what we know: the data plane may have come back without one.
    fn rewrite_journal(&mut self, journal: &[JournalEntry]) {
        for entry in journal.iter().filter(|entry| !self.snapshots.contains_key(&entry.id)) {
            self.journal.push_back(JournalRecord::Remove { ike_sa: IkeSaId(entry.id) });
        }
        let kept: BTreeMap<u64, &[u8]> =
            journal.iter().map(|entry| (entry.id, entry.data.as_slice())).collect();
        for (&id, snapshot) in &self.snapshots {
            if kept.get(&id) != Some(&snapshot.as_slice()) {
                self.journal
                    .push_back(JournalRecord::Put { ike_sa: IkeSaId(id), snapshot: snapshot.clone() });
            }
        }
    }

    /// The data plane's ports are known: its configuration can be written.
    pub(super) fn ports_listed(&mut self, ports: Vec<PortRecord>, now: Time) {
        self.ports = ports;
        self.push_configuration(now);
    }

    /// Queues the whole configuration.
    pub(super) fn push_configuration(&mut self, now: Time) {
        if self.state == State::Away {
            return;
        }
        let ports: BTreeMap<String, PortId> =
            self.ports.iter().map(|port| (port.name.as_str().to_owned(), port.id)).collect();
        let up = self.tunnels_up();
        match convert::configuration(&self.document.plan.dataplane, &ports, &up) {
            Ok(changes) => self.link.transact(true, changes.clone(), Purpose::Configure(changes)),
            Err(why) => {
                tracing::error!(%why, "the configuration cannot be applied");
                self.last_error = Some(why.to_string());
                self.retry_at = Some(now + RETRY);
            }
        }
    }

    /// Tunnels with a child that carries traffic.
    pub(super) fn tunnels_up(&self) -> BTreeSet<u32> {
        self.children.iter().filter(|(_, spis)| !spis.is_empty()).map(|(tunnel, _)| *tunnel).collect()
    }

    pub(super) fn committed(&mut self, committed: Committed, now: Time) {
        match self.link.answered(committed.txn) {
            Some(Purpose::Configure(_)) => {
                tracing::info!("configuration is in force");
                self.last_error = None;
                if self.state == State::Syncing {
                    self.link.list(Question::SyncSas(Vec::new()));
                }
                self.paths.clear();
                self.link.list(Question::SyncPaths);
            }
            Some(Purpose::Install { request, spi, owner }) => {
                self.installed.insert(spi, owner);
                self.manager.handle_sa_reply(SaReply::Installed { request }, now);
            }
            Some(Purpose::Delete(spi)) => {
                if let Some(owner) = self.installed.remove(&spi) {
                    self.ledger.lingers(spi, owner);
                }
            }
            Some(Purpose::Steer | Purpose::Activate(_) | Purpose::UpdateOuter(_)) => {}
            None => tracing::warn!(txn = committed.txn.0, "answer to an unknown transaction"),
        }
        self.settle(now);
    }

    pub(super) fn rejected(&mut self, rejected: Rejected, now: Time) {
        let Rejected { txn, index, code } = rejected;
        match self.link.answered(txn) {
            Some(Purpose::Configure(changes)) => {
                let change = usize::try_from(index).ok().and_then(|index| changes.get(index));
                let why = match change {
                    Some(change) => format!("the data plane refused {change:?}: {code:?}"),
                    None => format!("the data plane refused the configuration: {code:?}"),
                };
                tracing::error!(why);
                self.last_error = Some(why);
                self.retry_at = Some(now + RETRY);
            }
            Some(Purpose::Install { request, spi, .. }) => {
                tracing::error!(%spi, ?code, "the data plane refused a CHILD_SA");
                self.manager.handle_sa_reply(SaReply::Failed { request, code: reject_number(code) }, now);
            }
            Some(Purpose::Delete(spi)) => {
                // It was gone already.
                tracing::debug!(%spi, ?code, "SA not deleted");
                self.installed.remove(&spi);
            }
            Some(Purpose::Activate(spi) | Purpose::UpdateOuter(spi)) => {
                tracing::warn!(%spi, ?code, "the data plane refused a change of an SA");
            }
            Some(Purpose::Steer) => {
                tracing::error!(?code, "the data plane refused to change a group of tunnels")
            }
            None => tracing::warn!(txn = txn.0, "answer to an unknown transaction"),
        }
        self.settle(now);
    }

    /// The data plane's SAs are known: take over what is ours, then let IKE go on.
    pub(super) fn sas_listed(&mut self, found: &[SaRecord], now: Time) {
        let known = self.known();
        let verdict = reconcile(found, &known);
        let believed = known.children.values().filter(|installed| **installed).count();
        tracing::info!(
            found = found.len(),
            adopted = verdict.adopted.len(),
            orphans = verdict.orphans.values().map(Vec::len).sum::<usize>(),
            deleted = verdict.delete.len(),
            missing = verdict.missing.len(),
            "reconciled with the data plane"
        );
        self.adopted = verdict.adopted.len();
        self.installed = verdict.adopted;
        self.orphans = verdict.orphans;
        for spi in verdict.delete {
            self.link.transact(false, convert::delete(spi, Duration::ZERO), Purpose::Delete(spi));
        }
        for spi in verdict.release {
            self.link.tell(ReleaseSpi { spi }.into());
        }
        self.state = State::Ready;
        if believed > 0 && verdict.missing.len() == believed {
            self.manager.handle_command(ike::Command::DataPlaneRestarted, now);
        } else {
            for spi in verdict.missing {
                self.manager.handle_command(ike::Command::RekeyChild(spi), now);
            }
        }
        self.handle_timeout(now);
    }

    fn known(&self) -> Known {
        let mut known =
            Known { tunnels: self.document.plan.tunnels.iter().map(|t| t.id).collect(), ..Known::default() };
        for status in self.manager.ike_sas() {
            known.ike_sas.insert(status.id.0);
            for child in status.children {
                known.children.insert(child.spi, child.state != ike::ChildState::Installing);
            }
        }
        known
    }

    /// Deletes the SAs of a control process before us that `tunnel` no longer needs.
    pub(super) fn delete_orphans(&mut self, tunnel: u32, linger: Duration) {
        for spi in self.orphans.remove(&tunnel).unwrap_or_default() {
            tracing::info!(%spi, "replaced an SA of the control process before");
            self.link.transact(false, convert::delete(spi, linger), Purpose::Delete(spi));
        }
    }

    pub(super) fn spi_reserved(&mut self, request: shm::message::RequestId, spi: Spi, now: Time) {
        match self.link.close(request) {
            Some(Question::ReserveSpi(request)) => {
                self.manager.handle_sa_reply(SaReply::SpiReserved { request, spi: spi.value() }, now);
                self.settle(now);
            }
            _ => self.link.tell(ReleaseSpi { spi }.into()),
        }
    }

    pub(super) fn refused(&mut self, request: shm::message::RequestId, code: RejectCode, now: Time) {
        let problem = || api::Problem::new(502, "Refused", "The data plane refused", format!("{code:?}"));
        match self.link.close(request) {
            Some(Question::ReserveSpi(request)) => {
                tracing::error!(?code, "the data plane reserves no SPI");
                self.manager.handle_sa_reply(SaReply::Failed { request, code: reject_number(code) }, now);
                self.settle(now);
            }
            Some(Question::Ports(_, reply)) => drop(reply.send(Err(problem()))),
            Some(Question::Neighbours(_, reply)) => drop(reply.send(Err(problem()))),
            Some(Question::SyncPorts(_) | Question::SyncSas(_) | Question::SyncPaths) => {
                tracing::error!(?code, "the data plane refused a list");
                self.last_error = Some(format!("the data plane refused a list: {code:?}"));
            }
            None => tracing::warn!(request = request.0, "answer to an unknown request"),
        }
    }
}

/// The number of a reject code, for IKE's diagnosis.
fn reject_number(code: RejectCode) -> u32 {
    u32::from(code as u8)
}
