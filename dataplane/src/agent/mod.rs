//! The agent: everything that is not per packet, on the main lcore.
//!
//! ```text
//!   control ══ session ══► commands ─► transaction ─► tables ══ rcu ══► workers
//!           ◄═ answers, events, punts ═╗                                   │
//!                                      agent ◄═ exceptions, notices ═══════╡
//!                                        ╚════ frames, packets ═══════════►┘
//! ```
//!
//! One [`Agent::turn`] serves everything once: sessions, commands, injected packets, what the workers left,
//! timers; then publishes at most one snapshot, and only then hands packets to workers, so that they find
//! what was decided here. It never waits: an answer that needs the workers is sent by a later turn.

mod arp;
mod commands;
mod control;
mod convert;
mod environment;
mod exceptions;
mod figures;
mod hints;
mod hosts;
mod icmp;
mod icmp_source;
mod inspect;
mod keepalive;
mod lists;
mod ndp;
mod neighbours;
mod owners;
mod path_mtu;
mod periodic;
mod probing;
mod punts;
mod rate;
mod sas;
#[cfg(test)]
mod tests;
mod thread;
mod transaction;
mod tun;
mod watchdog;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::{Backend, Key, KeyMemory};
use packet::sad::{OutboundSa, SadEntry};
use packet::tables::{Change, ChangeError};
use packet::{InterfaceId, Spi};
use rcu::Ticket;
use rustix::event::{PollFd, PollFlags, Timespec};
use shm::counters::{CountersWriter, InterfaceDescription};
use shm::inspect::MAX_INSPECTORS;
use shm::message::{Committed, Epoch, MAX_PACKET_LEN, SaDeleted, TxnId};
use shm::session::{Listener, ListenerEvent};

pub use environment::{DpdkEnvironment, Environment, Link, LinkProbe, Programs, boot_time};
pub use figures::{AgentFigure, texts as figure_texts};
pub use sas::Expander;
pub use thread::{Activity, ThreadState};
pub use tun::{HostAddresses, TunDevices};
pub use watchdog::Silence;

use crate::config::{Config, StuckWorker};
use crate::shared::{AgentWork, FromAgent, Shared, Tables};
use crate::worker::counters::WorkerCounters;
use control::Control;
use exceptions::Held;
use figures::Figures;
use hints::Hints;
use inspect::Inspectors;
use keepalive::Keepalives;
use lists::ListedRoutes;
use neighbours::Neighbours;
use owners::Owners;
use path_mtu::PathMtus;
use periodic::Schedule;
use probing::Probing;
use punts::PuntBudgets;
use rate::TokenBucket;
use sas::{SaKeeper, Ticks};
use transaction::Staging;
use watchdog::Watchdog;

/// How long the agent sleeps when a turn found nothing to do; control's doorbell wakes it earlier, workers
/// do not. It bounds the latency of ARP and IKE.
const NAP: Duration = Duration::from_micros(500);
/// Packets held for neighbours in all.
const HOLD_TOTAL: usize = 512;
/// Old versions of the tables that may wait for a worker; beyond, changes gather until it comes round.
const MAX_RETIRED: usize = 1024;

/// What an agent is made of.
pub struct AgentParts<E: Environment> {
    /// Time, chance, buffers, links.
    pub environment: E,
    /// Queues and tables; its snapshot is empty and of this very SAD size.
    pub shared: Arc<Shared<E::Packet>>,
    /// Tables as published in `shared`.
    pub tables: Tables,
    /// Expands keys.
    pub backend: Arc<dyn Backend>,
    /// Where expanded keys live.
    pub key_memory: KeyMemory,
    /// The counters page, made by [`crate::worker::counters::spec`] with [`figure_texts`].
    pub page: Arc<CountersWriter>,
    /// Interface slots of the page.
    pub interface_slots: usize,
    /// SA slots of the page.
    pub sa_slots: usize,
    /// Where control connects.
    pub listener: Listener,
}

impl<E: Environment> std::fmt::Debug for AgentParts<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentParts").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// Why the agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A worker is stuck; the process must be aborted, since nothing can be taken from that worker.
    #[error("worker {worker} is stuck: {silence}")]
    WorkerStuck {
        /// Which one.
        worker: usize,
        /// What it does.
        silence: Silence,
    },
}

/// What happens when every worker sees a snapshot.
enum After {
    /// Control learns it.
    Committed { txn: TxnId, epoch: Epoch },
    /// The half's counters are final.
    OutboundGone { spi: Spi, sa: Arc<OutboundSa<Key>> },
    /// The SPI's slot is free; keys are zeroized.
    Freed(Box<SadEntry<Key>>),
}

/// See the [module](self).
pub struct Agent<E: Environment> {
    environment: E,
    shared: Arc<Shared<E::Packet>>,
    page: Arc<CountersWriter>,
    counters: WorkerCounters,
    interface_slots: usize,
    sa_slots: usize,
    listener: Listener,
    control: Control,
    inspectors: Inspectors,
    staging: Staging,
    expander: Expander,
    /// The newest tables; published at the end of the turn if `changed`.
    tables: Tables,
    changed: bool,
    /// For the snapshot to be published next.
    after: Vec<After>,
    /// In the order of their tickets.
    awaited: VecDeque<(Ticket, After)>,
    sas: SaKeeper,
    owners: Owners,
    neighbours: Neighbours<Held<E::Packet>>,
    /// For workers, once the snapshot is published.
    outgoing: Vec<FromAgent<E::Packet>>,
    keepalives: Keepalives,
    hints: Hints,
    listed_routes: Option<ListedRoutes>,
    path_mtus: PathMtus,
    probing: Probing,
    punts: PuntBudgets,
    icmp: TokenBucket,
    /// Log lines that a stranger can cause.
    complaints: TokenBucket,
    watchdog: Watchdog,
    stuck_worker: StuckWorker,
    schedule: Schedule,
    /// Addresses that neighbours were told of.
    announced: BTreeSet<(InterfaceId, IpAddr)>,
    /// What the counters page says of interfaces.
    described: BTreeMap<InterfaceId, InterfaceDescription>,
    links: Vec<Link>,
    inject: Box<[u8; MAX_PACKET_LEN]>,
    /// What the programs of this machine are to have, once control has said it.
    hosts: Option<HostAddresses>,
}

impl<E: Environment> std::fmt::Debug for Agent<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("control", &self.control)
            .field("version", &self.tables.version())
            .field("awaited", &self.awaited.len())
            .finish_non_exhaustive()
    }
}

impl<E: Environment> Agent<E> {
    /// An agent without a session, over empty tables.
    #[must_use]
    pub fn new(parts: AgentParts<E>, config: &Config) -> Self {
        let AgentParts { environment, shared, tables, page, interface_slots, .. } = parts;
        let now = environment.now();
        let workers = shared.mailboxes.len();
        let limits = neighbours::Limits {
            entries: config.neighbour.entries,
            reachable: Duration::from_secs(config.neighbour.reachable_secs.into()),
            hold: config.neighbour.hold,
            hold_total: HOLD_TOTAL,
        };
        let icmp = config.limits.icmp_errors_per_sec;
        Self {
            counters: WorkerCounters::new(&page, workers, interface_slots),
            expander: Expander::new(
                parts.backend,
                parts.key_memory,
                u16::try_from(workers).unwrap_or(u16::MAX),
                shared.ticks_per_second,
            ),
            owners: Owners::new(workers),
            sas: SaKeeper::new(tables.sad().bits()),
            links: vec![Link::default(); shared.ports.len()],
            environment,
            shared,
            page,
            interface_slots,
            sa_slots: parts.sa_slots,
            listener: parts.listener,
            control: Control::default(),
            inspectors: Inspectors::default(),
            staging: Staging::default(),
            tables,
            changed: false,
            after: Vec::new(),
            awaited: VecDeque::new(),
            neighbours: Neighbours::new(limits),
            outgoing: Vec::new(),
            keepalives: Keepalives::default(),
            hints: Hints::new(now),
            listed_routes: None,
            path_mtus: PathMtus::new(now),
            probing: Probing::new(now),
            punts: PuntBudgets::new(now),
            icmp: TokenBucket::new(icmp, icmp.max(1), now),
            complaints: TokenBucket::new(1, 5, now),
            watchdog: Watchdog::default(),
            stuck_worker: config.stuck_worker,
            schedule: Schedule::default(),
            announced: BTreeSet::new(),
            described: BTreeMap::new(),
            inject: Box::new([0; MAX_PACKET_LEN]),
            hosts: None,
        }
    }

    /// Serves until the process is asked to stop.
    ///
    /// # Errors
    ///
    /// [`AgentError::WorkerStuck`]: abort the process.
    pub fn run(&mut self) -> Result<(), AgentError> {
        while !self.shared.is_stopping() {
            if !self.turn()? {
                self.nap();
            }
        }
        Ok(())
    }

    /// Serves everything once; false if there was nothing to do.
    ///
    /// # Errors
    ///
    /// As [`Agent::run`].
    pub fn turn(&mut self) -> Result<bool, AgentError> {
        let now = self.environment.now();
        let mut work = self.accept_sessions();
        work += self.take_commands(now);
        work += self.take_injected();
        work += self.take_from_programs();
        work += self.take_exceptions(now);
        work += self.take_notices(now);
        work += self.run_timers(now)?;
        work += self.environment.steering().work();
        self.publish();
        work += self.send_outgoing();
        self.settle();
        self.control.flush();
        work += self.serve_inspectors();
        Ok(work > 0)
    }

    fn ticks(&self) -> Ticks {
        Ticks { now: self.environment.ticks(), per_second: self.shared.ticks_per_second }
    }

    fn figures(&self) -> Figures<'_> {
        Figures(&self.page)
    }

    fn accept_sessions(&mut self) -> usize {
        if !self.schedule.check_sessions(self.environment.now()) {
            return 0;
        }
        self.control.check();
        match self.listener.poll(Instant::now()) {
            Ok(None) => 0,
            Ok(Some(ListenerEvent::Connected(end))) => {
                self.staging = Staging::default();
                self.control.connect(end);
                self.figures().add(AgentFigure::Sessions, 1);
                1
            }
            Ok(Some(ListenerEvent::Observed { pid })) => {
                tracing::debug!(pid, "counters page handed out");
                1
            }
            Ok(Some(ListenerEvent::Inspecting(end))) => {
                self.inspectors.admit(end);
                1
            }
            Ok(Some(ListenerEvent::Refused { pid, uid, reason })) => {
                tracing::warn!(pid, uid, %reason, "refused a caller");
                1
            }
            Err(error) => {
                tracing::error!(%error, "control socket");
                0
            }
        }
    }

    /// Applies one change to the newest tables, which stay as they are if it is refused.
    fn change(&mut self, change: Change<Key>) -> Result<(), ChangeError> {
        let mut next = self.tables.clone();
        next.apply(change)?;
        self.tables = next;
        self.changed = true;
        Ok(())
    }

    /// True while a worker that does not come round keeps so many old versions that no new one is published.
    fn is_backed_up(&self) -> bool {
        self.changed && self.shared.domain.pending() >= MAX_RETIRED
    }

    /// Shows the workers what changed in this turn.
    fn publish(&mut self) {
        if self.is_backed_up() || !std::mem::take(&mut self.changed) {
            return;
        }
        self.tables.commit();
        let ticket = self.shared.tables.publish(self.tables.clone());
        self.awaited.extend(self.after.drain(..).map(|after| (ticket, after)));
        self.figures().add(AgentFigure::Snapshots, 1);
        // Those who sleep until they are woken may hold packets for what is new.
        self.shared.mailboxes.iter().for_each(|mailbox| mailbox.wake());
    }

    /// Does what waited for the workers to see a snapshot, and frees what none uses any more.
    fn settle(&mut self) {
        while let Some((ticket, _)) = self.awaited.front() {
            if !self.shared.domain.grace_passed(*ticket) {
                break;
            }
            if let Some((_, after)) = self.awaited.pop_front() {
                self.finish(after);
            }
        }
        if self.shared.domain.pending() > 0 {
            self.shared.domain.reclaim();
        }
    }

    fn finish(&mut self, after: After) {
        match after {
            After::Committed { txn, epoch } => {
                if self.control.end().is_some_and(|end| end.epoch() == epoch) {
                    self.control.answer(Committed { txn });
                }
            }
            After::OutboundGone { spi, sa } => self.sas.outbound_gone(spi, &sa),
            After::Freed(entry) => {
                let spi = entry.spi;
                let totals = sas::totals(&entry, self.sas.book(spi), self.ticks());
                self.sas.release(spi);
                self.environment.steering().release(spi);
                if let Some(sa) = &entry.inbound {
                    self.owners.release(sa.owner());
                    let owner = convert::contract_owner(sa.config.owner_tag);
                    self.control.answer(SaDeleted { spi: convert::contract_spi(spi), owner, totals });
                }
            }
        }
    }

    /// Queues a packet of ours for a worker; it is lost when no buffer is left.
    fn send(&mut self, bytes: &[u8], work: AgentWork) -> bool {
        match self.environment.packet(bytes) {
            Some(packet) => {
                self.outgoing.push(FromAgent { packet, work });
                true
            }
            None => {
                self.figures().add(AgentFigure::FramesLost, 1);
                false
            }
        }
    }

    /// Hands queued packets to the first worker, which has a transmit queue of every port.
    fn send_outgoing(&mut self) -> usize {
        let Some(mailbox) = self.shared.mailboxes.first() else { return 0 };
        // Without the newest tables, a packet whose neighbour was found just now would come back.
        let unready = |work| matches!(work, AgentWork::Neighbour { .. });
        let (count, backed_up) = (self.outgoing.len(), self.is_backed_up());
        for outgoing in self.outgoing.drain(..) {
            if backed_up && unready(outgoing.work) || mailbox.from_agent.push(outgoing).is_err() {
                Figures(&self.page).add(AgentFigure::FramesLost, 1);
            }
        }
        if count > 0 {
            mailbox.wake();
        }
        count
    }

    /// Sleeps until control rings or a moment has passed.
    fn nap(&self) {
        let mut fds = arrayvec::ArrayVec::<PollFd<'_>, { 4 + MAX_INSPECTORS }>::new();
        fds.push(PollFd::from_borrowed_fd(self.listener.fd(), PollFlags::IN));
        if let Some(end) = self.control.end() {
            fds.push(PollFd::from_borrowed_fd(end.doorbell_fd(), PollFlags::IN));
            fds.push(PollFd::from_borrowed_fd(end.socket_fd(), PollFlags::IN));
        }
        fds.extend(self.inspectors.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        fds.extend(self.environment.programs_fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let timeout = Timespec::try_from(NAP).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        // An interrupted sleep is as good as a whole one.
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
    }
}
