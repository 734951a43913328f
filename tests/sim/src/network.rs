//! Who is where, and what stands between.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::Side;
use crate::nat::Nat;

/// Where a datagram arrives: at whom, and with which source and destination.
pub(crate) type Arrives = (Side, SocketAddr, SocketAddr);

/// Addresses, NATs and partitions.
#[derive(Debug, Default)]
pub(crate) struct Network {
    homes: BTreeMap<IpAddr, Side>,
    nats: BTreeMap<Side, Nat>,
    /// Nothing goes to or comes from these.
    pub(crate) cut_off: BTreeSet<Side>,
}

impl Network {
    pub(crate) fn add(&mut self, side: Side, address: IpAddr, behind_nat: bool) {
        self.homes.insert(address, side);
        if behind_nat {
            self.nats.insert(side, Nat::new(side));
        }
    }

    pub(crate) fn rebind(&mut self, side: Side) {
        if let Some(nat) = self.nats.get_mut(&side) {
            nat.rebind();
        }
    }

    /// The way of a datagram; `None` if it leads nowhere.
    pub(crate) fn route(&mut self, from: Side, source: SocketAddr, to: SocketAddr) -> Option<Arrives> {
        let source = self.nats.get_mut(&from).map_or(source, |nat| nat.outbound(source));
        let inside = self.nats.values().find_map(|nat| nat.inbound(to));
        let hidden = self.homes.get(&to.ip()).is_some_and(|side| self.nats.contains_key(side));
        let to = inside.or((!hidden).then_some(to))?;
        Some((*self.homes.get(&to.ip())?, source, to))
    }

    /// Whether datagrams between the two get through now.
    pub(crate) fn connects(&self, one: Side, other: Side) -> bool {
        !self.cut_off.contains(&one) && !self.cut_off.contains(&other)
    }
}
