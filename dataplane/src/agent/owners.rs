//! Which worker owns an SA, and how its packets get there.

use packet::PortId;
use packet::Spi;
use packet::esp::OuterEndpoints;
use packet::tables::Role;

use super::Agent;
use super::environment::Environment;
use crate::shared::Tables;
use crate::steering::Peer;

/// How many SAs each worker owns.
#[derive(Clone, Debug)]
pub(super) struct Owners {
    loads: Vec<usize>,
}

impl Owners {
    pub(super) fn new(workers: usize) -> Self {
        Self { loads: vec![0; workers.max(1)] }
    }

    /// The owner of one more SA: the worker that its packets come to anyway, unless that has more than its part of all
    /// SAs by a quarter and two (a pair that is being rekeyed stays together); else the one with the fewest.
    pub(super) fn choose(&mut self, arriving: Option<u16>) -> u16 {
        let total: usize = self.loads.iter().sum();
        let enough = 2 + total * 5 / (4 * self.loads.len());
        let arriving = arriving.map(usize::from);
        let arriving = arriving.filter(|worker| self.loads.get(*worker).is_some_and(|load| *load < enough));
        let fewest =
            || self.loads.iter().enumerate().min_by_key(|(_, load)| **load).map(|(worker, _)| worker);
        let worker = arriving.or_else(fewest).unwrap_or(0);
        if let Some(load) = self.loads.get_mut(worker) {
            *load += 1;
        }
        u16::try_from(worker).unwrap_or(0)
    }

    pub(super) fn release(&mut self, worker: u16) {
        if let Some(load) = self.loads.get_mut(usize::from(worker)) {
            *load = load.saturating_sub(1);
        }
    }
}

impl<E: Environment> Agent<E> {
    /// The worker to which packets of an SA would come.
    pub(super) fn foretell(&mut self, tables: &Tables, spi: Spi, outer: OuterEndpoints) -> Option<u16> {
        let several = self.shared.mailboxes.len() > 1;
        several.then(|| self.environment.steering().foretell(&peer(tables, spi, outer))).flatten()
    }

    /// Has packets of an SA led to its owner, wherever they come from now.
    pub(super) fn steer(&mut self, spi: Spi) {
        if self.shared.mailboxes.len() < 2 {
            return;
        }
        let Some(entry) = self.tables.sad().entry(spi) else { return };
        let (Some(sa), Some(template)) = (&entry.inbound, &entry.template) else { return };
        let worker = sa.owner();
        let peer = peer(&self.tables, spi, template.endpoints);
        self.environment.steering().lead(peer, worker);
    }
}

/// The SA as devices see it: its packets come in on the outside interfaces of its VRF.
fn peer(tables: &Tables, spi: Spi, outer: OuterEndpoints) -> Peer {
    let outside = tables.interfaces().filter(|i| i.role == Role::Outside && i.vrf == outer.vrf);
    let mut ports: Vec<PortId> = outside.map(|interface| interface.port).collect();
    ports.sort_unstable();
    ports.dedup();
    Peer { spi, outer, ports }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_sas_get_one_more() {
        let mut owners = Owners::new(3);
        assert_eq!([(); 4].map(|()| owners.choose(None)), [0, 1, 2, 0]);
        owners.release(1);
        assert_eq!([(); 3].map(|()| owners.choose(None)), [1, 1, 2]);
    }

    #[test]
    fn packets_that_come_to_a_worker_stay_there_while_it_has_not_too_many() {
        let mut owners = Owners::new(2);
        let alike: Vec<_> = (0..100).map(|_| owners.choose(Some(1))).collect();
        let there = alike.iter().filter(|worker| **worker == 1).count();
        assert!((55..=65).contains(&there), "{there} of 100: {alike:?}");
        assert_eq!(owners.choose(Some(7)), 0, "a queue that nobody polls");
    }
}
