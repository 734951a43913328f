//! What the agent does by the clock.

use std::time::Duration;

use crypto::Key;
use packet::sad::SadEntry;
use shm::counters::InterfaceDescription;
use shm::message as contract;
use shm::message::{Label, PortLink, SaTotals};

use super::environment::Environment;
use super::figures::AgentFigure;
use super::watchdog;
use super::{Agent, AgentError, convert, keepalive, probing, sas};
use crate::shared::AgentWork;
use crate::worker::counters::slot_of;

/// Between looks at the control socket: each is a few system calls.
const SESSION_INTERVAL: Duration = Duration::from_millis(1);
/// Between updates of the counters page, looks at links, and rounds over the SAs.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two parts of a round over the SAs: packets are served between.
const PART_INTERVAL: Duration = Duration::from_millis(10);
/// Parts of a round, where there are many SAs.
const PARTS: usize = 50;
/// SAs of a part, at least.
const PART: usize = 64;
/// Between looks for what nobody needs any more: it grows old in hours.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// When things are due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    sessions: Duration,
    update: Duration,
    watchdog: Duration,
    probes: Duration,
    prune: Duration,
    part: Duration,
    /// The slot where the round over the SAs goes on; none between rounds.
    slot: Option<usize>,
}

impl Schedule {
    pub(super) fn check_sessions(&mut self, now: Duration) -> bool {
        due(&mut self.sessions, SESSION_INTERVAL, now)
    }
}

fn due(at: &mut Duration, interval: Duration, now: Duration) -> bool {
    let due = now >= *at;
    if due {
        *at = now + interval;
    }
    due
}

impl<E: Environment> Agent<E> {
    pub(super) fn run_timers(&mut self, now: Duration) -> Result<usize, AgentError> {
        let mut actions = Vec::new();
        self.neighbours.poll(now, |action| actions.push(action));
        let mut work = actions.len();
        self.perform(actions, now);
        while let Some(spi) = self.sas.pop_due(now) {
            self.free(spi);
            work += 1;
        }
        if due(&mut self.schedule.watchdog, watchdog::INTERVAL, now) {
            self.watch_workers()?;
        }
        if due(&mut self.schedule.probes, probing::INTERVAL, now) {
            self.run_probes(now);
        }
        if due(&mut self.schedule.update, UPDATE_INTERVAL, now) {
            self.update(now);
        }
        if self.schedule.slot.is_some() && due(&mut self.schedule.part, PART_INTERVAL, now) {
            self.visit_sas(now);
        }
        Ok(work)
    }

    fn update(&mut self, now: Duration) {
        self.schedule.slot.get_or_insert(0);
        self.visit_links();
        if due(&mut self.schedule.prune, PRUNE_INTERVAL, now) {
            self.keepalives.prune(now);
        }
        self.hints.prune(now);
        self.retry_hosts();
        self.forget_path_mtus(now);
        self.review_probes();
        self.write_figures();
    }

    /// Goes on with the round over the SAs: writes each one's counters to the page, and keeps its NAT binding open.
    fn visit_sas(&mut self, now: Duration) {
        let Some(slot) = self.schedule.slot.take() else { return };
        let ticks = self.ticks();
        let sad = self.tables.sad();
        let mut keepalives = Vec::new();
        let mut rest = sad.iter_from(slot);
        for entry in rest.by_ref().take((sad.len() / PARTS).max(PART)) {
            let totals = sas::totals(entry, self.sas.book(entry.spi), ticks);
            self.publish_sa(entry, Some((&totals, sas::heard(entry, ticks, now))));
            let (Some(sa), Some(template)) = (&entry.outbound, &entry.template) else { continue };
            let idle = ticks.millis_since(sa.usage.last_use()).map(Duration::from_millis);
            if self.keepalives.due(&template.endpoints, idle, now) {
                keepalives.push(template.endpoints);
            }
        }
        self.schedule.slot = rest.next().map(|entry| entry.spi.slot(sad.bits()));
        drop(rest);
        for outer in keepalives {
            let Some(packet) = keepalive::packet(&outer) else { continue };
            if self.send(&packet, AgentWork::Own { vrf: outer.vrf }) {
                self.figures().add(AgentFigure::Keepalives, 1);
            }
        }
    }

    /// Writes or clears the line of an SA on the counters page.
    pub(super) fn publish_sa(&self, entry: &SadEntry<Key>, sa: Option<(&SaTotals, Duration)>) {
        let slot = entry.spi.slot(self.tables.sad().bits());
        if slot < self.sa_slots {
            let spi = convert::contract_spi(entry.spi);
            self.page.set_sa(slot, sa.map(|(totals, heard)| (spi, totals, heard)));
        }
    }

    fn visit_links(&mut self) {
        for index in 0..self.links.len() {
            let Ok(id) = u16::try_from(index) else { break };
            let link = self.environment.link(packet::PortId(id));
            let before = std::mem::replace(&mut self.links[index], link);
            if link.up != before.up {
                let port = &self.shared.ports[index].name;
                tracing::info!(port, up = link.up, speed_mbit = link.speed_mbit, "link");
                self.control.event(PortLink { port: contract::PortId(id), up: link.up });
            }
        }
    }

    fn write_figures(&mut self) {
        let (rules, refused) = self.environment.steering().figures();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let figures = self.figures();
        figures.set(AgentFigure::Held, count(self.neighbours.held()));
        figures.set(AgentFigure::Neighbours, count(self.neighbours.len()));
        figures.set(AgentFigure::PathMtus, count(self.path_mtus.len()));
        figures.set(AgentFigure::Sas, count(self.tables.sad().len()));
        figures.set(AgentFigure::NicRules, rules);
        figures.set(AgentFigure::NicRulesRefused, refused);
        figures.set(AgentFigure::Events, self.control.events);
        figures.set(AgentFigure::EventsLost, self.control.events_lost);
        figures.set(AgentFigure::InspectLost, self.inspectors.lost());
        figures.set(AgentFigure::SessionFaults, self.control.faults);
        figures.set(AgentFigure::Retired, count(self.shared.domain.pending()));
    }

    /// Says on the counters page what its interface slots stand for; returns the interfaces that are on
    /// another port or VLAN, or in another VRF, than before.
    pub(super) fn describe_interfaces(&mut self) -> Vec<packet::InterfaceId> {
        let describe = |interface: &packet::tables::Interface| {
            let what = convert::contract_interface(interface);
            let port = self.shared.port(interface.port).map_or("", |port| port.name.as_str());
            let name = match interface.vlan {
                None => Label::new(port),
                Some(vlan) => Label::new(&format!("{port}.{}", vlan.value())),
            };
            let description =
                InterfaceDescription { id: what.id, port: what.port, vlan: what.vlan, vrf: what.vrf, name };
            (interface.id, description)
        };
        let described = self.tables.interfaces().map(describe).collect();
        let old = std::mem::replace(&mut self.described, described);
        let slot = |id| slot_of(Some(id), self.interface_slots);
        for id in old.keys().filter(|id| !self.described.contains_key(id)) {
            self.page.describe_interface(slot(*id), None);
        }
        for (id, what) in self.described.iter().filter(|(id, what)| old.get(id) != Some(what)) {
            // Slot 0 is shared by all that are beyond the page.
            if slot(*id) != 0 {
                self.page.describe_interface(slot(*id), Some(what));
            }
        }
        let moved = |id: &packet::InterfaceId| old.contains_key(id) && old.get(id) != self.described.get(id);
        self.described.keys().filter(|id| moved(id)).copied().collect()
    }
}
