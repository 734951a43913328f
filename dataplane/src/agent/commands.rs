//! Control's commands.

use std::sync::Arc;
use std::time::Duration;

use crypto::Key;
use packet::Spi;
use packet::ids::PortId;
use packet::sad::{InboundSa, OutboundSa, SaState};
use packet::tables::Change;
use shm::message as contract;
use shm::message::{Aborted, Command, Pong, Refused, RejectCode, Rejected, ReserveSpi, SpiReserved, TxnId};

use super::environment::Environment;
use super::figures::AgentFigure;
use super::owners::Owners;
use super::transaction::{Refusal, Transaction};
use super::{After, Agent, convert};
use crate::shared::{AgentWork, Tables};

/// Commands of one turn: a full ring takes a few turns, so that packets are served between.
const BURST: usize = 256;
/// Injected packets of one turn.
const INJECT_BURST: usize = 64;

/// What a committed change means beyond the tables.
enum Effect {
    Installed { spi: Spi, suite: contract::Suite },
    OutboundGone { spi: Spi, sa: Arc<OutboundSa<Key>> },
    Lingers { spi: Spi, linger: Duration },
    Moved { spi: Spi },
}

impl<E: Environment> Agent<E> {
    pub(super) fn take_commands(&mut self, now: Duration) -> usize {
        for count in 0..BURST {
            if !self.control.is_receptive() || self.is_backed_up() {
                return count;
            }
            let Some(command) = self.control.receive_command() else { return count };
            self.execute(command, now);
        }
        BURST
    }

    fn execute(&mut self, command: Command, now: Duration) {
        match command {
            Command::Begin(begin) => {
                let begun = self.staging.begin(begin);
                self.unless_refused(begin.txn, begun);
            }
            Command::Change(staged) => {
                let txn = staged.txn;
                let result = self.staging.stage(staged);
                self.unless_refused(txn, result);
            }
            Command::Commit(commit) => match self.staging.commit(commit.txn) {
                Ok(transaction) => self.commit(commit.txn, &transaction, now),
                Err(refusal) => self.reject(commit.txn, refusal),
            },
            Command::Abort(abort) => match self.staging.abort(abort.txn) {
                Ok(()) => self.control.answer(Aborted { txn: abort.txn }),
                Err(refusal) => self.reject(abort.txn, refusal),
            },
            Command::ReserveSpi(reserve) => self.reserve(&reserve, now),
            Command::ReleaseSpi(release) => self.release(convert::spi(release.spi)),
            Command::List(list) => self.list(&list),
            Command::Ping(ping) => self.control.answer(Pong { request: ping.request }),
        }
    }

    fn unless_refused(&mut self, txn: TxnId, result: Result<(), Refusal>) {
        if let Err(refusal) = result {
            self.reject(txn, refusal);
        }
    }

    fn reject(&mut self, txn: TxnId, Refusal { index, code }: Refusal) {
        tracing::warn!(txn = txn.0, index, ?code, "transaction rejected");
        self.figures().add(AgentFigure::TransactionsRejected, 1);
        self.control.answer(Rejected { txn, index, code });
    }

    /// Applies all changes to a copy of the tables, or none.
    fn commit(&mut self, txn: TxnId, transaction: &Transaction, now: Duration) {
        let mut next = if transaction.full { self.tables.begin_full() } else { self.tables.clone() };
        let (mut effects, mut owners) = (Vec::new(), self.owners.clone());
        for (index, change) in transaction.changes.iter().enumerate() {
            if let Err(code) = self.apply(&mut next, change, &mut owners, &mut effects) {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                return self.reject(txn, Refusal { index, code });
            }
        }
        self.tables = next;
        self.owners = owners;
        // Also an empty transaction is acknowledged by a snapshot of its own.
        self.changed = true;
        effects.into_iter().for_each(|effect| self.take_effect(effect, now));
        if let Some(end) = self.control.end() {
            self.after.push(After::Committed { txn, epoch: end.epoch() });
        }
        self.figures().add(AgentFigure::Transactions, 1);
        self.follow_objects(transaction);
    }

    /// What follows from interfaces and addresses, where the transaction was about some: one that installs an SA
    /// does not look at a thousand interfaces.
    fn follow_objects(&mut self, transaction: &Transaction) {
        use contract::Change::{
            DeleteAddress, DeleteHostAddress, DeleteInterface, PutAddress, PutHostAddress, PutInterface,
        };
        let changes = || transaction.changes.iter();
        let of_interfaces = |change: &contract::Change| {
            matches!(change, PutInterface(_) | DeleteInterface(_) | PutAddress(_) | DeleteAddress(_))
        };
        let of_hosts = |change: &contract::Change| matches!(change, PutHostAddress(_) | DeleteHostAddress(_));
        if transaction.full || changes().any(of_interfaces) {
            let moved = self.describe_interfaces();
            self.announce_addresses();
            self.forget_neighbours(&moved);
        }
        if transaction.full || self.hosts.is_none() || changes().any(of_hosts) {
            self.serve_hosts();
        }
    }

    fn apply(
        &mut self,
        next: &mut Tables,
        change: &contract::Change,
        owners: &mut Owners,
        effects: &mut Vec<Effect>,
    ) -> Result<(), RejectCode> {
        self.check_port(change)?;
        let owner = match change {
            contract::Change::InstallInbound(install) => {
                let spi = convert::spi(install.spi);
                if next.sad().entry(spi).is_none() {
                    return Err(RejectCode::SpiNotReserved);
                }
                effects.push(Effect::Installed { spi, suite: install.suite });
                let arriving = self.foretell(next, spi, convert::outer(&install.outer));
                owners.choose(arriving)
            }
            contract::Change::InstallOutbound(install) => {
                // Both halves of a pair have one owner.
                let entry = next.sad().entry(convert::spi(install.spi));
                entry.and_then(|entry| entry.inbound.as_deref()).map_or(0, InboundSa::owner)
            }
            contract::Change::UpdateOuter(update) => {
                effects.push(Effect::Moved { spi: convert::spi(update.spi) });
                0
            }
            _ => 0,
        };
        let converted = self.expander.change(change, owner)?;
        note_deletion(next, change, effects);
        next.apply(converted).map_err(|error| {
            tracing::warn!(%error, "change refused");
            convert::reject_code(&error)
        })
    }

    /// The tables do not know the ports.
    fn check_port(&self, change: &contract::Change) -> Result<(), RejectCode> {
        let contract::Change::PutInterface(interface) = change else { return Ok(()) };
        let port = self.shared.port(PortId(interface.port.0)).ok_or(RejectCode::UnknownPort)?;
        if interface.mtu <= port.mtu { Ok(()) } else { Err(RejectCode::Invalid) }
    }

    fn take_effect(&mut self, effect: Effect, now: Duration) {
        match effect {
            Effect::Installed { spi, suite } => {
                self.sas.installed(spi, suite, now);
                self.steer(spi);
            }
            Effect::Moved { spi } => self.steer(spi),
            Effect::OutboundGone { spi, sa } => self.after.push(After::OutboundGone { spi, sa }),
            Effect::Lingers { spi, linger } => self.sas.free_at(spi, now + linger),
        }
    }

    fn reserve(&mut self, reserve: &ReserveSpi, now: Duration) {
        let request = reserve.request;
        let random = self.environment.random();
        let spi = self.sas.reserve(random, reserve.owner, now);
        let reserved = spi.ok_or(RejectCode::NoCapacity).and_then(|spi| {
            self.change(Change::Reserve(spi)).map_err(|error| {
                self.sas.release(spi);
                convert::reject_code(&error)
            })?;
            Ok(spi)
        });
        match reserved {
            Ok(spi) => self.control.answer(SpiReserved { request, spi: convert::contract_spi(spi) }),
            Err(code) => {
                self.figures().add(AgentFigure::TransactionsRejected, 1);
                self.control.answer(Refused { request, code });
            }
        }
    }

    fn release(&mut self, spi: Spi) {
        match self.tables.sad().entry(spi).map(|entry| entry.state) {
            Some(SaState::Reserved) => self.free(spi),
            state => tracing::warn!(%spi, ?state, "not a reserved SPI: not released"),
        }
    }

    /// Takes an SPI out of the tables; its slot is free once every worker has seen that.
    pub(super) fn free(&mut self, spi: Spi) {
        let Some(entry) = self.tables.sad().entry(spi).cloned() else { return };
        match self.change(Change::FreeSpi(spi)) {
            Ok(()) => {
                self.publish_sa(&entry, None);
                self.after.push(After::Freed(Box::new(entry)));
            }
            Err(error) => tracing::error!(%spi, %error, "SPI cannot be freed"),
        }
    }

    pub(super) fn take_injected(&mut self) -> usize {
        let mut inject = std::mem::replace(&mut self.inject, Box::new([0; contract::MAX_PACKET_LEN]));
        let mut count = 0;
        while count < INJECT_BURST {
            let Some((descriptor, len)) = self.control.receive_inject(&mut inject) else { break };
            self.inject(convert::vrf(descriptor.vrf), &inject[..len]);
            count += 1;
        }
        self.inject = inject;
        count
    }

    /// Sends a packet of control in clear: only from an address of ours (rule 2).
    fn inject(&mut self, vrf: packet::VrfId, bytes: &[u8]) {
        let ours = packet::flow::Flow::parse(bytes)
            .is_ok_and(|flow| usize::from(flow.len) == bytes.len() && self.tables.is_local(vrf, flow.src));
        if !ours {
            self.figures().add(AgentFigure::InjectRefused, 1);
        } else if self.send(bytes, AgentWork::Own { vrf }) {
            self.figures().add(AgentFigure::Injected, 1);
        }
    }
}

/// Before a deletion is applied: what is to be counted and timed of what it deletes.
fn note_deletion(tables: &Tables, change: &contract::Change, effects: &mut Vec<Effect>) {
    let spi = match change {
        contract::Change::DeleteOutbound(delete) => convert::spi(delete.spi),
        contract::Change::DeleteInbound(delete) => {
            let spi = convert::spi(delete.spi);
            let linger = Duration::from_millis(delete.linger_ms.into());
            effects.push(Effect::Lingers { spi, linger });
            spi
        }
        _ => return,
    };
    if let Some(sa) = tables.sad().entry(spi).and_then(|entry| entry.outbound.clone()) {
        effects.push(Effect::OutboundGone { spi, sa });
    }
}
