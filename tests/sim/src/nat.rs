//! A NAT in front of one gateway.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::Side;

/// Address and port translation, endpoint independent, without timeouts.
#[derive(Debug)]
pub(crate) struct Nat {
    public: IpAddr,
    ports: BTreeMap<SocketAddr, u16>,
    next_port: u16,
}

impl Nat {
    /// The address on the outside of the NAT in front of a gateway.
    pub(crate) fn public(inside: Side) -> IpAddr {
        let last = u8::try_from(7 + inside.0).expect("few gateways");
        Ipv4Addr::new(198, 51, 100, last).into()
    }

    pub(crate) fn new(inside: Side) -> Self {
        Self { public: Self::public(inside), ports: BTreeMap::new(), next_port: 20_000 }
    }

    /// The source that the outside sees.
    pub(crate) fn outbound(&mut self, source: SocketAddr) -> SocketAddr {
        let port = *self.ports.entry(source).or_insert_with(|| {
            self.next_port += 1;
            self.next_port
        });
        SocketAddr::new(self.public, port)
    }

    /// Who is meant by a destination on the outside, if anybody.
    pub(crate) fn inbound(&self, destination: SocketAddr) -> Option<SocketAddr> {
        let known = |(_, port): &(&SocketAddr, &u16)| SocketAddr::new(self.public, **port) == destination;
        self.ports.iter().find(known).map(|(inside, _)| *inside)
    }

    /// Forgets all translations: what comes next has a new port.
    pub(crate) fn rebind(&mut self) {
        self.ports.clear();
    }
}
