//! Workers' notices become control's events: converted, and limited where a stranger can cause them.

use std::collections::BTreeMap;
use std::time::Duration;

use packet::TunnelId;
use packet::sad::LimitKind;
use shm::message as contract;
use shm::message::Event;

use super::convert;
use super::rate::TokenBucket;
use crate::shared::{Direction, Limit, Notice};

/// Between two `Acquire` of one tunnel.
const ACQUIRE_INTERVAL: Duration = Duration::from_secs(1);
/// `InvalidSpi` per second: any host can send ESP.
const INVALID_SPI_RATE: u32 = 10;

/// Decides which hints pass.
#[derive(Debug)]
pub(super) struct Hints {
    acquired: BTreeMap<TunnelId, Duration>,
    invalid_spi: TokenBucket,
}

impl Hints {
    pub(super) fn new(now: Duration) -> Self {
        let invalid_spi = TokenBucket::new(INVALID_SPI_RATE, INVALID_SPI_RATE, now);
        Self { acquired: BTreeMap::new(), invalid_spi }
    }

    /// Whether control should hear of it now.
    pub(super) fn admit(&mut self, notice: &Notice, now: Duration) -> bool {
        match notice {
            Notice::Acquire { tunnel, .. } => {
                let recent = |last: &Duration| now.saturating_sub(*last) < ACQUIRE_INTERVAL;
                let admitted = !self.acquired.get(tunnel).is_some_and(recent);
                if admitted {
                    self.acquired.insert(*tunnel, now);
                }
                admitted
            }
            Notice::InvalidSpi { .. } => self.invalid_spi.take(now),
            Notice::FirstUse { .. }
            | Notice::SoftLimit { .. }
            | Notice::HardLimit { .. }
            | Notice::EchoAnswer { .. }
            | Notice::PeerMoved { .. } => true,
        }
    }

    /// Forgets tunnels that want nothing any more.
    pub(super) fn prune(&mut self, now: Duration) {
        self.acquired.retain(|_, last| now.saturating_sub(*last) < ACQUIRE_INTERVAL);
    }
}

/// The contract's form of a notice; `followed` is for `PeerMoved`. `None` for what is the agent's alone.
pub(super) fn event(notice: Notice, followed: bool) -> Option<Event> {
    Some(match notice {
        Notice::EchoAnswer { .. } => return None,
        Notice::FirstUse { spi } => contract::FirstUse { spi: convert::contract_spi(spi) }.into(),
        Notice::SoftLimit { spi, direction, limit } => contract::SoftLimit {
            spi: convert::contract_spi(spi),
            direction: contract_direction(direction),
            kind: contract_limit(limit),
        }
        .into(),
        Notice::HardLimit { spi, direction, limit } => contract::HardLimit {
            spi: convert::contract_spi(spi),
            direction: contract_direction(direction),
            kind: contract_limit(limit),
        }
        .into(),
        Notice::PeerMoved { spi, remote, port } => {
            contract::PeerMoved { spi: convert::contract_spi(spi), remote, port, followed }.into()
        }
        Notice::Acquire { tunnel, vrf, src, dst, protocol, src_port, dst_port } => contract::Acquire {
            tunnel: contract::TunnelId(tunnel.0),
            vrf: contract::VrfId(vrf.0),
            src,
            dst,
            protocol,
            src_port,
            dst_port,
        }
        .into(),
        Notice::InvalidSpi { vrf, src, dst, spi } => {
            contract::InvalidSpi { vrf: contract::VrfId(vrf.0), src, dst, spi }.into()
        }
    })
}

fn contract_direction(direction: Direction) -> contract::Direction {
    match direction {
        Direction::Inbound => contract::Direction::Inbound,
        Direction::Outbound => contract::Direction::Outbound,
    }
}

fn contract_limit(limit: Limit) -> contract::LimitKind {
    match limit {
        Limit::Volume(LimitKind::Bytes) => contract::LimitKind::Bytes,
        Limit::Volume(LimitKind::Packets) => contract::LimitKind::Packets,
        Limit::Sequence => contract::LimitKind::Sequence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::VrfId;
    use std::net::IpAddr;

    fn acquire(tunnel: u32) -> Notice {
        let (src, dst) = (IpAddr::from([10, 1, 0, 1]), IpAddr::from([10, 2, 0, 1]));
        let (tunnel, vrf) = (TunnelId(tunnel), VrfId(0));
        Notice::Acquire { tunnel, vrf, src, dst, protocol: 1, src_port: 0, dst_port: 0 }
    }

    #[test]
    fn an_acquire_per_tunnel_and_second() {
        let ms = Duration::from_millis;
        let mut hints = Hints::new(ms(0));
        assert!(hints.admit(&acquire(1), ms(10)));
        assert!(!hints.admit(&acquire(1), ms(900)));
        assert!(hints.admit(&acquire(2), ms(900)));
        assert!(hints.admit(&acquire(1), ms(1010)));
        hints.prune(ms(5000));
        assert!(hints.acquired.is_empty());
    }

    #[test]
    fn invalid_spis_are_limited_in_all() {
        let mut hints = Hints::new(Duration::ZERO);
        let address = IpAddr::from([192, 0, 2, 1]);
        let notice = |spi| Notice::InvalidSpi { vrf: VrfId(0), src: address, dst: address, spi };
        let admitted = (0..1000).filter(|spi| hints.admit(&notice(*spi), Duration::ZERO)).count();
        assert_eq!(admitted, 10);
    }
}
