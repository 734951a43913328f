//! The connections of the gateway, and which of them a first message may be for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::{Connection, ConnectionKey};

/// VRF, our address, and the peer's; `None`: any.
pub(crate) type Place = (u16, IpAddr, Option<IpAddr>);

/// All connections. Whoever sends a first message, a stranger too, costs no look at each of them.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    by_key: BTreeMap<ConnectionKey, Connection>,
    by_place: BTreeSet<(Place, ConnectionKey)>,
}

impl Connections {
    pub(crate) fn get(&self, key: ConnectionKey) -> Option<&Connection> {
        self.by_key.get(&key)
    }

    /// Adds or replaces one.
    pub(crate) fn insert(&mut self, connection: Connection) {
        self.remove(connection.key);
        self.by_place.insert((connection.place(), connection.key));
        self.by_key.insert(connection.key, connection);
    }

    pub(crate) fn remove(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.by_key.remove(&key) {
            self.by_place.remove(&(connection.place(), key));
        }
    }

    /// Those that a peer at `remote` may use, in the order of their keys; those that name its address come first.
    pub(crate) fn between(
        &self,
        vrf: u16,
        local: IpAddr,
        remote: IpAddr,
    ) -> impl Iterator<Item = &Connection> {
        const FIRST: ConnectionKey = ConnectionKey { connection: 0, tunnel: 0 };
        const LAST: ConnectionKey = ConnectionKey { connection: u32::MAX, tunnel: u32::MAX };
        let places = [Some(remote), None].map(|remote| (vrf, local, remote));
        let keys = places.into_iter().flat_map(|place| self.by_place.range((place, FIRST)..=(place, LAST)));
        keys.filter_map(|(_, key)| self.by_key.get(key))
    }
}

impl Connection {
    pub(crate) fn place(&self) -> Place {
        (self.outer_vrf, self.local, self.remote)
    }
}
