//! Ways to find an IKE SA: by SPI, by child, by awaited answer, by deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::command::{Datagram, IkeSaId, RequestId, Spi};
use crate::config::ConnectionKey;
use crate::sa::{IkeSa, Phase};
use crate::time::Time;
use crate::wire::IkeSpi;

/// Names the first message of a peer: the VRF and where it came from, and its SPI.
type First = (u16, SocketAddr, IkeSpi);

/// What one IKE SA has in the maps.
#[derive(Debug, Default)]
struct Entry {
    connection: Option<ConnectionKey>,
    spi: IkeSpi,
    first: Option<First>,
    children: Vec<Spi>,
    requests: Vec<RequestId>,
    deadline: Option<Time>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeMap<IkeSaId, Entry>,
    by_connection: BTreeSet<(ConnectionKey, IkeSaId)>,
    by_spi: BTreeMap<IkeSpi, IkeSaId>,
    half_open: BTreeMap<First, IkeSaId>,
    by_child: BTreeMap<Spi, IkeSaId>,
    by_request: BTreeMap<RequestId, IkeSaId>,
    deadlines: BTreeSet<(Time, IkeSaId)>,
}

impl Index {
    pub(super) fn update(&mut self, sa: &IkeSa) {
        let id = sa.core.id;
        self.remove(id);
        let half_open = matches!(sa.phase, Phase::HalfOpen(_));
        let entry = Entry {
            connection: sa.core.key,
            spi: sa.core.our_spi(),
            first: half_open.then_some((sa.core.path.vrf, sa.core.path.remote, sa.core.spis.initiator)),
            children: sa.child_spis().collect(),
            requests: sa.awaited_requests(),
            deadline: sa.next_timeout(),
        };
        self.by_connection.extend(entry.connection.map(|key| (key, id)));
        self.by_spi.insert(entry.spi, id);
        self.half_open.extend(entry.first.map(|first| (first, id)));
        self.by_child.extend(entry.children.iter().map(|spi| (*spi, id)));
        self.by_request.extend(entry.requests.iter().map(|request| (*request, id)));
        self.deadlines.extend(entry.deadline.map(|at| (at, id)));
        self.entries.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: IkeSaId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        // A child that moved belongs to another IKE SA already: only our own entries go.
        fn unlink<K: Ord>(map: &mut BTreeMap<K, IkeSaId>, key: &K, id: IkeSaId) {
            if map.get(key) == Some(&id) {
                map.remove(key);
            }
        }
        entry.connection.iter().for_each(|key| {
            self.by_connection.remove(&(*key, id));
        });
        unlink(&mut self.by_spi, &entry.spi, id);
        entry.first.iter().for_each(|first| unlink(&mut self.half_open, first, id));
        entry.children.iter().for_each(|spi| unlink(&mut self.by_child, spi, id));
        entry.requests.iter().for_each(|request| unlink(&mut self.by_request, request, id));
        entry.deadline.iter().for_each(|at| {
            self.deadlines.remove(&(*at, id));
        });
    }

    /// The IKE SAs of a connection, oldest first.
    pub(super) fn of_connection(&self, key: ConnectionKey) -> impl Iterator<Item = IkeSaId> {
        self.by_connection.range((key, IkeSaId(0))..=(key, IkeSaId(u64::MAX))).map(|(_, id)| *id)
    }

    /// Whether another IKE SA of a connection has a child that is not being deleted.
    pub(crate) fn has_child_beside(&self, key: ConnectionKey, id: IkeSaId) -> bool {
        let has_child = |other| self.entries.get(&other).is_some_and(|entry| !entry.children.is_empty());
        self.of_connection(key).any(|other| other != id && has_child(other))
    }

    pub(super) fn by_our_spi(&self, spi: IkeSpi) -> Option<IkeSaId> {
        self.by_spi.get(&spi).copied()
    }

    /// The half-open IKE SA that answered this first message.
    pub(super) fn half_open(&self, datagram: &Datagram, initiator_spi: IkeSpi) -> Option<IkeSaId> {
        self.half_open.get(&(datagram.vrf, datagram.remote, initiator_spi)).copied()
    }

    pub(super) fn half_open_count(&self) -> usize {
        self.half_open.len()
    }

    /// Half-open IKE SAs with peers where this datagram is from, whatever their port: at its IPv4 address, or in the /64 of
    /// its IPv6 address, which a host has for itself.
    pub(super) fn half_open_from(&self, datagram: &Datagram) -> usize {
        const HOST: u128 = u64::MAX as u128;
        let [first, last] = match datagram.remote.ip() {
            IpAddr::V4(address) => [address.into(); 2],
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                [bits & !HOST, bits | HOST].map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits)))
            }
        };
        let [first, last] = [SocketAddr::new(first, 0), SocketAddr::new(last, u16::MAX)];
        let vrf = datagram.vrf;
        self.half_open.range((vrf, first, IkeSpi(0))..=(vrf, last, IkeSpi(u64::MAX))).count()
    }

    pub(super) fn of_child(&self, spi: Spi) -> Option<IkeSaId> {
        self.by_child.get(&spi).copied()
    }

    pub(super) fn waiting_for(&self, request: RequestId) -> Option<IkeSaId> {
        self.by_request.get(&request).copied()
    }

    pub(super) fn timers(&self) -> usize {
        self.deadlines.len()
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Those whose deadline has come.
    pub(super) fn due(&self, now: Time) -> impl Iterator<Item = IkeSaId> {
        self.deadlines.range(..=(now, IkeSaId(u64::MAX))).map(|(_, id)| *id)
    }

    pub(super) fn pop_due(&mut self, now: Time) -> Option<IkeSaId> {
        let (at, id) = *self.deadlines.first()?;
        (at <= now).then(|| {
            self.deadlines.remove(&(at, id));
            id
        })
    }
}
