//! NAT keepalives (RFC 3948 section 4): while nothing else leaves through a NAT, one octet of 0xff does.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use packet::VrfId;
use packet::esp::{Encap, OuterEndpoints};
use packet::headers::ipv4::Ipv4Repr;
use packet::headers::ipv6::Ipv6Repr;
use packet::headers::{protocol, udp};

const OCTET: u8 = 0xff;
const UDP_LEN: usize = 8 + 1;
const HOP_LIMIT: u8 = 64;

/// A way through a NAT: what its binding consists of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Path {
    vrf: VrfId,
    local: IpAddr,
    remote: IpAddr,
    local_port: u16,
    remote_port: u16,
}

/// Remembers when each path was last kept open.
#[derive(Debug, Default)]
pub(super) struct Keepalives {
    sent: BTreeMap<Path, Duration>,
}

impl Keepalives {
    /// Whether a keepalive is due on the path of an SA that has sent nothing for `idle`. It then counts as
    /// sent, for all SAs of the path.
    pub(super) fn due(&mut self, outer: &OuterEndpoints, idle: Option<Duration>, now: Duration) -> bool {
        let Encap::Udp { local_port, remote_port } = outer.encap else { return false };
        let interval = Duration::from_secs(outer.keepalive_secs.into());
        if interval.is_zero() || idle.is_some_and(|idle| idle < interval) {
            return false;
        }
        let path = Path { vrf: outer.vrf, local: outer.local, remote: outer.remote, local_port, remote_port };
        let recent = self.sent.get(&path).is_some_and(|sent| now.saturating_sub(*sent) < interval);
        if !recent {
            self.sent.insert(path, now);
        }
        !recent
    }

    /// Forgets paths that nothing keeps open any more.
    pub(super) fn prune(&mut self, now: Duration) {
        const LONGEST: Duration = Duration::from_secs(u16::MAX as u64);
        self.sent.retain(|_, sent| now.saturating_sub(*sent) <= LONGEST);
    }
}

/// The keepalive packet of a path; `None` for native ESP.
pub(super) fn packet(outer: &OuterEndpoints) -> Option<Vec<u8>> {
    let Encap::Udp { local_port, remote_port } = outer.encap else { return None };
    let payload_len = u16::try_from(UDP_LEN).ok()?;
    let mut packet = match (outer.local, outer.remote) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => Ipv4Repr {
            tos: 0,
            identification: 0,
            dont_fragment: true,
            ttl: HOP_LIMIT,
            protocol: protocol::UDP,
            src,
            dst,
            payload_len,
        }
        .emit()
        .to_vec(),
        (IpAddr::V6(src), IpAddr::V6(dst)) => Ipv6Repr {
            traffic_class: 0,
            next_header: protocol::UDP,
            hop_limit: HOP_LIMIT,
            src,
            dst,
            payload_len,
        }
        .emit()
        .to_vec(),
        _ => return None,
    };
    let header_len = packet.len();
    packet.resize(header_len + UDP_LEN, OCTET);
    let written = udp::emit(&mut packet[header_len..], outer.local, outer.remote, local_port, remote_port);
    written.then_some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::flow::Flow;

    const OUTER: OuterEndpoints = OuterEndpoints {
        vrf: VrfId(0),
        local: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
        remote: IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)),
        encap: Encap::Udp { local_port: 4500, remote_port: 61_000 },
        keepalive_secs: 20,
    };

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn one_per_path_and_interval_and_only_when_idle() {
        let mut keepalives = Keepalives::default();
        assert!(!keepalives.due(&OUTER, Some(secs(19)), secs(100)));
        assert!(keepalives.due(&OUTER, Some(secs(20)), secs(100)));
        assert!(!keepalives.due(&OUTER, None, secs(119)), "another SA of the path");
        assert!(keepalives.due(&OUTER, None, secs(120)));
        let off = OuterEndpoints { keepalive_secs: 0, ..OUTER };
        let native = OuterEndpoints { encap: Encap::Native, ..OUTER };
        assert!(!keepalives.due(&off, None, secs(500)) && !keepalives.due(&native, None, secs(500)));
        keepalives.prune(secs(1_000_000));
        assert!(keepalives.sent.is_empty());
    }

    #[test]
    fn the_packet_is_one_octet_from_port_to_port() {
        let bytes = packet(&OUTER).unwrap();
        let flow = Flow::parse(&bytes).unwrap();
        assert_eq!((flow.src, flow.dst, flow.protocol), (OUTER.local, OUTER.remote, protocol::UDP));
        assert_eq!(flow.ports.map(|p| (p.src, p.dst)), Some((4500, 61_000)));
        assert_eq!(bytes[28..], [0xff]);
        assert!(packet(&OuterEndpoints { encap: Encap::Native, ..OUTER }).is_none());
        let (local, remote) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let bytes = packet(&OuterEndpoints { local, remote, ..OUTER }).unwrap();
        let flow = Flow::parse(&bytes).unwrap();
        assert_eq!((flow.src, flow.dst, flow.protocol, bytes[48]), (local, remote, protocol::UDP, 0xff));
    }
}
