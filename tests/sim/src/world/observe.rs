//! What a test looks at.

use ike::wire::Header;
use ike::{ChildSaStatus, ChildState, Datagram, Event, IkeSaStatus, IkeState, SaCommand, Spi};
use std::collections::BTreeSet;
use std::time::Duration;

use super::World;
use crate::{Side, Tunnel};

impl World {
    /// Both ends' only IKE SA of a tunnel, if each has exactly one, established, and they are the same.
    pub fn ike_pair_of(&self, tunnel: &Tunnel) -> Option<[IkeSaStatus; 2]> {
        let [a, b] = [0, 1].map(|at| self.gateway(tunnel.ends[at]).ike_sas_of(tunnel.keys[at]));
        let ([a], [b]) = (&a[..], &b[..]) else { return None };
        let established = a.state == IkeState::Established && b.state == IkeState::Established;
        let same = (a.initiator_spi, a.responder_spi) == (b.initiator_spi, b.responder_spi);
        (established && same && a.initiator != b.initiator).then(|| [a.clone(), b.clone()])
    }

    /// The same of the first tunnel.
    pub fn ike_pair(&self) -> Option<[IkeSaStatus; 2]> {
        self.ike_pair_of(&self.tunnels[0])
    }

    /// Both ends' children of a tunnel in the same order, if they mirror each other, are installed and send.
    pub fn child_pairs_of(&self, tunnel: &Tunnel) -> Option<Vec<[ChildSaStatus; 2]>> {
        let [a, b] = self.ike_pair_of(tunnel)?;
        let pair = |ours: ChildSaStatus| {
            let theirs = b.children.iter().find(|c| c.spi == ours.peer_spi && c.peer_spi == ours.spi)?;
            let ready = |child: &ChildSaStatus| child.active && child.state == ChildState::Installed;
            (ready(&ours) && ready(theirs)).then(|| [ours, theirs.clone()])
        };
        let pairs: Option<Vec<_>> = a.children.into_iter().map(pair).collect();
        pairs.filter(|pairs| pairs.len() == b.children.len())
    }

    /// The same of the first tunnel.
    pub fn child_pairs(&self) -> Option<Vec<[ChildSaStatus; 2]>> {
        self.child_pairs_of(&self.tunnels[0])
    }

    /// Whether each tunnel has one IKE SA, `children` CHILD_SAs, and nothing is left over anywhere.
    pub fn is_settled(&self, children: usize) -> bool {
        let mut known: Vec<BTreeSet<Spi>> = vec![BTreeSet::new(); self.gateways.len()];
        for tunnel in &self.tunnels {
            let Some(pairs) = self.child_pairs_of(tunnel).filter(|p| p.len() == children) else {
                return false;
            };
            for (at, side) in tunnel.ends.into_iter().enumerate() {
                known[side.0].extend(pairs.iter().map(|pair| pair[at].spi));
            }
        }
        self.sides().all(|side| {
            let gateway = self.gateway(side);
            gateway.data_plane.live().into_keys().eq(known[side.0].iter().copied())
                && gateway.data_plane.reserved().is_empty()
                && gateway.journaled() == self.tunnels_of(side)
        })
    }

    /// Runs until [`World::is_settled`] with one child; the run fails after `limit`.
    pub fn settle(&mut self, limit: Duration) {
        if !self.run_until(limit, |world| world.is_settled(1)) {
            panic!("not settled after {limit:?}:\n{}", self.report());
        }
    }

    /// What there is at all ends, for a failing test.
    pub fn report(&self) -> String {
        let side = |side: Side| {
            let gateway = self.gateway(side);
            let live: Vec<Spi> = gateway.data_plane.live().into_keys().collect();
            format!(
                "{side:?}: {:#?}\nlive {live:08x?} reserved {:08x?} journal {} {:?}\n{:#?}\n",
                gateway.ike_sas(),
                gateway.data_plane.reserved(),
                gateway.journaled(),
                gateway.manager.counters(),
                gateway.events,
            )
        };
        let sides: String = self.sides().map(side).collect();
        format!("at {:?}, step {}\n{sides}", self.now, self.steps)
    }

    /// Events of one end that `select` picks.
    pub fn count_events(&self, side: Side, select: impl Fn(&Event) -> bool) -> usize {
        self.gateway(side).events.iter().filter(|event| select(event)).count()
    }
}

pub(super) fn describe(datagram: &Datagram) -> String {
    let Ok((header, _)) = Header::decode(&datagram.payload) else { return "?".into() };
    let kind = if header.flags.response { "response" } else { "request" };
    let Header { exchange, message_id, initiator_spi, .. } = header;
    format!("{exchange} {kind} {message_id} of {initiator_spi}, {} bytes", datagram.payload.len())
}

pub(super) fn describe_command(command: &SaCommand) -> String {
    match command {
        SaCommand::InstallChild(child) => format!(
            "InstallChild {:08x} peer {:08x} active {} replaces {:08x?}",
            child.spi, child.peer_spi, child.active, child.replaces
        ),
        other => format!("{other:x?}"),
    }
}
