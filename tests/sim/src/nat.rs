//! A NAT in front of one end.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::Side;

/// Address and port translation, endpoint independent, without timeouts.
#[derive(Debug)]
pub(crate) struct Nat {
    /// Who is behind it.
    pub(crate) inside: Side,
    ports: BTreeMap<SocketAddr, u16>,
    next_port: u16,
}

impl Nat {
    /// Its address on the outside.
    pub(crate) const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

    pub(crate) fn new(inside: Side) -> Self {
        Self { inside, ports: BTreeMap::new(), next_port: 20_000 }
    }

    /// The source that the outside sees.
    pub(crate) fn outbound(&mut self, source: SocketAddr) -> SocketAddr {
        let port = *self.ports.entry(source).or_insert_with(|| {
            self.next_port += 1;
            self.next_port
        });
        SocketAddr::new(Self::PUBLIC, port)
    }

    /// Who is meant by a destination on the outside, if anybody.
    pub(crate) fn inbound(&self, destination: SocketAddr) -> Option<SocketAddr> {
        let known = |(_, port): &(&SocketAddr, &u16)| SocketAddr::new(Self::PUBLIC, **port) == destination;
        self.ports.iter().find(known).map(|(inside, _)| *inside)
    }

    /// Forgets all translations: what comes next has a new port.
    pub(crate) fn rebind(&mut self) {
        self.ports.clear();
    }
}
