//! A planned tunnel as a connection of IKE.

use std::time::Duration;

use gateway::algorithm::{Authentication, Encryption};
use gateway::model::Identity;
use gateway::plan::TunnelPlan;
use ike::wire::TrafficSelector;
use ike::wire::iana::{EncrId, IntegId, KeId, PrfId};
use ike::{ChildConfig, Connection, ConnectionKey, EspProposal, IkeProposal, Limits, Start};
use ipnet::IpNet;

use crate::credentials::TunnelAuth;

/// Seconds between NAT keepalives (RFC 3948 section 4).
const KEEPALIVE_SECS: u16 = 20;
/// Bytes after which an SA with 64-bit blocks is rekeyed: 2^28 blocks, a sixteenth of the birthday bound.
const SMALL_BLOCK_BYTES: u64 = 2 << 30;

/// The name of a tunnel in IKE and in owner tags.
#[must_use]
pub fn key(plan: &TunnelPlan) -> ConnectionKey {
    ConnectionKey { connection: plan.connection_id, tunnel: plan.id }
}

/// What IKE is told of a tunnel.
#[must_use]
pub fn connection(plan: &TunnelPlan, auth: &TunnelAuth) -> Connection {
    Connection {
        key: key(plan),
        name: plan.name(),
        outer_vrf: plan.outer_vrf,
        local: plan.local,
        remote: Some(plan.remote),
        local_id: known(&plan.local_id),
        remote_id: known(&plan.remote_id),
        local_auth: auth.local.clone(),
        remote_auth: auth.remote.clone(),
        ike_proposals: vec![ike_proposal(plan)],
        ike_lifetime: lifetime(plan.ike.lifetime),
        reauth: lifetime(plan.ike.reauth),
        child: child(plan),
        nat_traversal: plan.nat_traversal,
        force_encap: false,
        childless: plan.ike.childless,
        fragment_size: plan.fragments,
        dpd_timeout: plan.dpd.map(|dpd| dpd.timeout),
        start: if plan.initiate { Start::Immediate } else { Start::OnTraffic },
    }
}

fn child(plan: &TunnelPlan) -> ChildConfig {
    ChildConfig {
        proposals: vec![esp_proposal(plan)],
        local_ts: selectors(&plan.local_networks),
        remote_ts: selectors(&plan.remote_networks),
        lifetime: lifetime(plan.ipsec.lifetime),
        limits: limits(plan.ipsec.encryption),
        replay_window: plan.ipsec.replay_window.into(),
        keepalive_secs: KEEPALIVE_SECS,
        tfc: plan.ipsec.tfc,
    }
}

/// An identity for IKE.
///
/// # Errors
/// What is wrong with a distinguished name.
pub fn identity(identity: &Identity) -> Result<ike::Identity, ike::IdentityError> {
    Ok(match identity {
        Identity::Address(address) => ike::Identity::Address(*address),
        Identity::Fqdn(name) => ike::Identity::Fqdn(name.clone()),
        Identity::Email(name) => ike::Identity::Email(name.clone()),
        Identity::Dn(text) | Identity::KeyId(text) => text.parse()?,
    })
}

/// An identity that was checked when the document was loaded.
fn known(id: &Identity) -> ike::Identity {
    identity(id).unwrap_or_else(|_| ike::Identity::Fqdn(id.to_string()))
}

/// Zero is "never by time".
fn lifetime(lifetime: Duration) -> Option<Duration> {
    (!lifetime.is_zero()).then_some(lifetime)
}

fn ike_proposal(plan: &TunnelPlan) -> IkeProposal {
    let (encryption, key_bits) = plan.ike.encryption.transform();
    IkeProposal {
        encryption: EncrId(encryption),
        key_bits,
        integrity: integrity(plan.ike.encryption, plan.ike.authentication),
        prf: PrfId(plan.ike.authentication.prf()),
        group: KeId(plan.ike.dh_group.transform()),
    }
}

fn esp_proposal(plan: &TunnelPlan) -> EspProposal {
    let (encryption, key_bits) = plan.ipsec.encryption.transform();
    EspProposal {
        encryption: EncrId(encryption),
        key_bits,
        integrity: integrity(plan.ipsec.encryption, plan.ipsec.authentication),
        group: plan.ipsec.pfs.map(|group| KeId(group.transform())),
        esn: plan.ipsec.esn,
    }
}

fn integrity(encryption: Encryption, authentication: Authentication) -> IntegId {
    if encryption.is_aead() { IntegId::NONE } else { IntegId(authentication.integrity()) }
}

fn limits(encryption: Encryption) -> Limits {
    match encryption {
        Encryption::Des | Encryption::TripleDes => {
            Limits { soft_bytes: SMALL_BLOCK_BYTES, hard_bytes: 2 * SMALL_BLOCK_BYTES, ..Limits::default() }
        }
        _ => Limits::default(),
    }
}

fn selectors(networks: &[IpNet]) -> Vec<TrafficSelector> {
    networks.iter().filter_map(|n| TrafficSelector::from_network(n.network(), n.prefix_len()).ok()).collect()
}
