//! The invariants that are looked at from outside, between steps.

use std::collections::BTreeSet;
use std::time::Duration;

use super::World;
use crate::{Invariant, Side, Tally, Tunnel};

/// IKE SAs that one tunnel may have at one end: the one in use and its successor, crossing ones, and half-open
/// ones that live half a minute, of attempts a few seconds apart, twice each on a network that duplicates.
const MOST_IKE_SAS: usize = 40;
/// CHILD_SAs and exchanges waiting their turn that one tunnel may have at one end.
const MOST_CHILDREN: usize = 12;

impl World {
    /// Whether packets of a tunnel are sealed at each end with an SA that the other end opens.
    pub fn is_usable(&self, tunnel: &Tunnel) -> bool {
        [0, 1].into_iter().all(|at| {
            let spi = self.gateway(tunnel.ends[at]).data_plane.sends_to(tunnel.keys[at]);
            spi.is_some_and(|spi| self.gateway(tunnel.ends[1 - at]).data_plane.opens(spi, self.now))
        })
    }

    /// Both ends and the network are well, and every tunnel is up: it stays so.
    pub fn check_make_before_break(&mut self) {
        for at in 0..self.tunnels.len() {
            let usable = self.is_usable(&self.tunnels[at]);
            self.check(Invariant::MakeBeforeBreak, usable, |_| format!("tunnel {at} has no usable SA"));
        }
    }

    /// Looks at the size of everything.
    pub fn check_bounded(&mut self) {
        for side in self.sides() {
            let load = self.gateway(side).manager.load();
            let tunnels = self.tunnels_of(side);
            let bounded = load.ike_sas <= tunnels * MOST_IKE_SAS
                && load.children <= tunnels * MOST_CHILDREN
                && load.queued <= tunnels * MOST_CHILDREN
                && load.timers <= load.ike_sas + tunnels;
            self.check(Invariant::Bounded, bounded, |_| format!("{side:?}: {load:?}"));
            let spis: Vec<_> = self.gateway(side).manager.spis().collect();
            let unique = spis.iter().collect::<BTreeSet<_>>().len() == spis.len();
            self.check(Invariant::SpisDiffer, unique, |_| format!("{side:?}: {spis:08x?}"));
        }
    }

    /// Whether [`World::is_settled`] can hold: cheap enough to ask after every step.
    pub fn is_small(&self) -> bool {
        self.sides().all(|side| {
            let (load, tunnels) = (self.gateway(side).manager.load(), self.tunnels_of(side));
            load.ike_sas == tunnels && load.children == tunnels && load.queued == 0
        })
    }

    pub(super) fn tunnels_of(&self, side: Side) -> usize {
        self.tunnels.iter().filter(|t| t.ends.contains(&side)).count()
    }

    /// Runs for a time in which nothing may go wrong.
    pub fn run_undisturbed(&mut self, time: Duration) {
        let (end, lost) = (self.now + time, self.lost_packets);
        while self.step(end) {
            self.check_make_before_break();
            let kept = self.lost_packets == lost;
            self.check(Invariant::NoPacketLost, kept, |_| "a packet was lost".into());
        }
    }

    /// Counts a check; one that fails ends the run.
    pub fn check(&mut self, invariant: Invariant, holds: bool, otherwise: impl FnOnce(&Self) -> String) {
        let mut tally = self.tally;
        tally.check(invariant, holds, || format!("{}\n{}", otherwise(self), self.report()));
        self.tally = tally;
    }

    /// Every check so far.
    pub fn tally(&self) -> Tally {
        let mut all = self.tally;
        all.add(&self.audit.tally);
        for gateway in &self.gateways {
            all.add(&gateway.data_plane.tally);
            all.add(&gateway.tally);
        }
        all
    }
}
