//! Which gateways there are, and which tunnels between them.

use ike::{Config, Connection, ConnectionKey};
use std::fmt;

use crate::Scenario;

/// One of the gateways, by its letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side(pub usize);

impl Side {
    /// The first.
    pub const A: Self = Self(0);
    /// The second.
    pub const B: Self = Self(1);
    /// Where there are only two.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The other one of two.
    pub fn peer(self) -> Self {
        Self(1 - self.0)
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = u8::try_from(self.0).ok().and_then(|at| b'A'.checked_add(at)).unwrap_or(b'?');
        write!(f, "{}", char::from(letter))
    }
}

/// A tunnel between two gateways.
#[derive(Debug, Clone, Copy)]
pub struct Tunnel {
    /// Both ends.
    pub ends: [Side; 2],
    /// Its name at each end.
    pub keys: [ConnectionKey; 2],
}

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Of all managers.
    pub config: Config,
    /// The connections of each gateway; all of one have the same local address.
    pub gateways: Vec<Vec<Connection>>,
    /// Between which traffic flows.
    pub tunnels: Vec<Tunnel>,
    /// Who is behind a NAT.
    pub behind_nat: Vec<Side>,
}

impl From<Scenario> for Topology {
    fn from(scenario: Scenario) -> Self {
        let keys = [scenario.connections[0].key, scenario.connections[1].key];
        Self {
            config: scenario.config,
            gateways: scenario.connections.map(|connection| vec![connection]).to_vec(),
            tunnels: vec![Tunnel { ends: Side::BOTH, keys }],
            behind_nat: scenario.nat.into_iter().collect(),
        }
    }
}

impl Topology {
    /// A hub, the first gateway, with a tunnel to each spoke. Each pair is a spoke's scenario: its A is the hub.
    pub fn star(config: Config, spokes: Vec<Scenario>) -> Self {
        let mut star =
            Self { config, gateways: vec![Vec::new()], tunnels: Vec::new(), behind_nat: Vec::new() };
        for Scenario { connections: [hub, spoke], nat, .. } in spokes {
            let side = Side(star.gateways.len());
            star.tunnels.push(Tunnel { ends: [Side::A, side], keys: [hub.key, spoke.key] });
            star.gateways[0].push(hub);
            star.gateways.push(vec![spoke]);
            star.behind_nat.extend(nat.map(|_| side));
        }
        star
    }
}
