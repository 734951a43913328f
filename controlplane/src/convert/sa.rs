//! IKE's SA commands as changes of a transaction.

use std::time::Duration;

use ike::wire::TrafficSelector;
use shm::message::{
    AddSelector, Change, ConnectionId, DeleteInbound, DeleteOutbound, Encap, InstallInbound, InstallOutbound,
    Limits, Outer, OwnerTag, PortRange, SaKeys, Secret, Spi, Suite, TrafficSelector as WireSelector,
    TunnelId, UpdateOuter, VrfId,
};

/// A value of IKE's that the contract has no form for. None of them is ever negotiated by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unrepresentable {
    #[error("the SPI {0:#x} is reserved")]
    Spi(u32),
    #[error("a key of {0} bytes is too long")]
    Key(usize),
    #[error("a replay window of {0} packets is out of range")]
    ReplayWindow(u32),
    #[error("a selector of opaque ports is not supported")]
    OpaquePorts,
}

/// Checks an SPI.
///
/// # Errors
/// 0 to 255.
pub fn spi(value: u32) -> Result<Spi, Unrepresentable> {
    Spi::new(value).ok_or(Unrepresentable::Spi(value))
}

/// The owner tag of the contract.
#[must_use]
pub fn owner(owner: &ike::Owner) -> OwnerTag {
    OwnerTag {
        connection: ConnectionId(owner.key.connection),
        tunnel: TunnelId(owner.key.tunnel),
        ike_sa: owner.ike_sa.0,
        generation: owner.generation,
    }
}

/// Both halves of a child and every pair of its selectors, for one transaction.
///
/// # Errors
/// [`Unrepresentable`].
pub fn install(child: &ike::InstallChild) -> Result<Vec<Change>, Unrepresentable> {
    let (name, owner) = (spi(child.spi)?, owner(&child.owner));
    let tunnel = owner.tunnel;
    let suite = Suite {
        encryption: child.suite.encryption,
        key_bits: child.suite.key_bits,
        integrity: child.suite.integrity,
    };
    let window = u16::try_from(child.replay_window);
    let mut changes: Vec<Change> = vec![
        InstallInbound {
            spi: name,
            owner,
            tunnel,
            suite,
            esn: child.esn,
            replay_window: window.map_err(|_| Unrepresentable::ReplayWindow(child.replay_window))?,
            keys: keys(&child.inbound)?,
            outer: outer(&child.outer),
            follow_nat: child.follow_nat,
            limits: limits(child.limits),
        }
        .into(),
    ];
    for local in &child.local_ts {
        let same_family = |remote: &&TrafficSelector| remote.first().is_ipv4() == local.first().is_ipv4();
        for remote in child.remote_ts.iter().filter(same_family) {
            changes
                .push(AddSelector { spi: name, local: selector(local)?, remote: selector(remote)? }.into());
        }
    }
    changes.push(
        InstallOutbound {
            spi: name,
            peer_spi: spi(child.peer_spi)?,
            owner,
            tunnel,
            suite,
            esn: child.esn,
            keys: keys(&child.outbound)?,
            outer: outer(&child.outer),
            limits: limits(child.limits),
            active: child.active,
            tfc: child.tfc,
        }
        .into(),
    );
    Ok(changes)
}

/// Outbound at once, inbound after `linger`.
#[must_use]
pub fn delete(spi: Spi, linger: Duration) -> Vec<Change> {
    let linger_ms = u32::try_from(linger.as_millis()).unwrap_or(u32::MAX);
    vec![DeleteOutbound { spi }.into(), DeleteInbound { spi, linger_ms }.into()]
}

/// A new outer header for both halves.
#[must_use]
pub fn update_outer(spi: Spi, to: &ike::Outer) -> Change {
    UpdateOuter { spi, outer: outer(to) }.into()
}

fn keys(keys: &ike::ChildKeys) -> Result<SaKeys, Unrepresentable> {
    let secret = |key: &[u8]| Secret::new(key).ok_or(Unrepresentable::Key(key.len()));
    Ok(SaKeys { encryption: secret(&keys.encryption)?, integrity: secret(&keys.integrity)? })
}

fn outer(outer: &ike::Outer) -> Outer {
    Outer {
        vrf: VrfId(outer.vrf),
        local: outer.local,
        remote: outer.remote,
        encap: match outer.encap {
            ike::Encap::Native => Encap::Native,
            ike::Encap::Udp { local_port, remote_port } => Encap::Udp { local_port, remote_port },
        },
        keepalive_secs: outer.keepalive_secs,
    }
}

fn limits(limits: ike::Limits) -> Limits {
    Limits {
        soft_bytes: limits.soft_bytes,
        hard_bytes: limits.hard_bytes,
        soft_packets: limits.soft_packets,
        hard_packets: limits.hard_packets,
    }
}

fn selector(selector: &TrafficSelector) -> Result<WireSelector, Unrepresentable> {
    let ports = selector.ports();
    Ok(WireSelector {
        protocol: selector.protocol(),
        ports: PortRange::new(ports.first(), ports.last()).ok_or(Unrepresentable::OpaquePorts)?,
        first: selector.first(),
        last: selector.last(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ike::{ChildKeys, ConnectionKey, EspSuite, IkeSaId, InstallChild, Owner, RequestId};

    fn child() -> InstallChild {
        let ts = |net: &str| TrafficSelector::from_network(net.parse().expect("ip"), 24).expect("a network");
        let keys = |byte| ChildKeys { encryption: vec![byte; 20], integrity: Vec::new() };
        InstallChild {
            request: RequestId(1),
            spi: 0x1000,
            peer_spi: 0x2000,
            owner: Owner {
                key: ConnectionKey { connection: 5, tunnel: 6 },
                ike_sa: IkeSaId(7),
                generation: 8,
            },
            suite: EspSuite { encryption: 20, key_bits: 128, integrity: 0 },
            esn: true,
            inbound: keys(1),
            outbound: keys(2),
            local_ts: vec![ts("10.1.0.0")],
            remote_ts: vec![ts("10.2.0.0"), ts("10.3.0.0")],
            outer: ike::Outer {
                vrf: 9,
                local: "192.0.2.1".parse().expect("ip"),
                remote: "192.0.2.2".parse().expect("ip"),
                encap: ike::Encap::Udp { local_port: 4500, remote_port: 1024 },
                keepalive_secs: 20,
            },
            follow_nat: true,
            active: false,
            replay_window: 1024,
            limits: ike::Limits::default(),
            replaces: None,
            tfc: 600,
        }
    }

    #[test]
    fn a_child_becomes_inbound_selectors_outbound() {
        let changes = install(&child()).expect("representable");
        assert_eq!(changes.len(), 4);
        let Change::InstallInbound(inbound) = &changes[0] else { panic!("{:?}", changes[0]) };
        assert_eq!((inbound.spi.value(), inbound.tunnel, inbound.owner.ike_sa), (0x1000, TunnelId(6), 7));
        assert_eq!(inbound.keys.encryption.expose(), [1; 20]);
        let Change::InstallOutbound(outbound) = &changes[3] else { panic!("{:?}", changes[3]) };
        assert_eq!(
            (outbound.spi.value(), outbound.peer_spi.value(), outbound.active, outbound.tfc),
            (0x1000, 0x2000, false, 600)
        );
        assert_eq!(outbound.keys.encryption.expose(), [2; 20]);
        assert!(matches!(&changes[1], Change::AddSelector(s) if s.remote.first.to_string() == "10.2.0.0"));
    }

    #[test]
    fn selectors_are_paired_within_their_family() {
        let mut child = child();
        let ts = |net: &str| TrafficSelector::from_network(net.parse().expect("ip"), 64).expect("a network");
        child.local_ts.push(ts("2001:db8:1::"));
        child.remote_ts = vec![child.remote_ts[0], ts("2001:db8:2::")];
        let changes = install(&child).expect("representable");
        let pairs: Vec<_> = changes
            .iter()
            .filter_map(|change| match change {
                Change::AddSelector(s) => Some((s.local.first.to_string(), s.remote.first.to_string())),
                _ => None,
            })
            .collect();
        let expected = [("10.1.0.0", "10.2.0.0"), ("2001:db8:1::", "2001:db8:2::")];
        assert_eq!(pairs, expected.map(|(local, remote)| (local.to_owned(), remote.to_owned())));
    }

    #[test]
    fn what_has_no_form_is_refused() {
        let with = |change: fn(&mut InstallChild)| {
            let mut child = child();
            change(&mut child);
            install(&child).expect_err("refused")
        };
        assert_eq!(with(|c| c.peer_spi = 255), Unrepresentable::Spi(255));
        assert_eq!(with(|c| c.inbound.encryption = vec![0; 65]), Unrepresentable::Key(65));
        assert_eq!(with(|c| c.replay_window = 65_536), Unrepresentable::ReplayWindow(65_536));
    }
}
