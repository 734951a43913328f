//! What the two ends are configured with.

use ike::wire::TrafficSelector;
use ike::wire::iana::{EncrId, IntegId, KeId, PrfId};
use ike::{ChildConfig, Config, Connection, ConnectionKey, EspProposal, Identity, IkeProposal, Psk, Start};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::Side;
use crate::nat::Nat;

/// Both ends' configuration. The defaults agree with each other; change a field to see them disagree.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Of both managers.
    pub config: Config,
    /// The connection of each side, the initiator first.
    pub connections: [Connection; 2],
    /// Who is behind a NAT.
    pub nat: Option<Side>,
}

impl Scenario {
    /// AES-GCM with Curve25519 and PFS: the fast one.
    pub fn modern() -> Self {
        let ike = IkeProposal {
            encryption: EncrId::AES_GCM_16,
            key_bits: 128,
            integrity: IntegId::NONE,
            prf: PrfId::HMAC_SHA2_256,
            group: KeId::CURVE25519,
        };
        let esp = EspProposal {
            encryption: EncrId::AES_GCM_16,
            key_bits: 128,
            integrity: IntegId::NONE,
            group: Some(KeId::CURVE25519),
            esn: true,
        };
        Self::with(ike, esp)
    }

    /// The requirements' default: AES-CBC, SHA-1, MODP-1024.
    pub fn classic() -> Self {
        let ike = IkeProposal {
            encryption: EncrId::AES_CBC,
            key_bits: 128,
            integrity: IntegId::HMAC_SHA1_96,
            prf: PrfId::HMAC_SHA1,
            group: KeId::MODP_1024,
        };
        let esp = EspProposal {
            encryption: EncrId::AES_CBC,
            key_bits: 128,
            integrity: IntegId::HMAC_SHA1_96,
            group: Some(KeId::MODP_1024),
            esn: false,
        };
        Self::with(ike, esp)
    }

    /// One combination of algorithms on both sides; A initiates, B waits. Lifetimes are long: a test asks for
    /// what it wants to see.
    pub fn with(ike: IkeProposal, esp: EspProposal) -> Self {
        let a = connection([1, 2], ["10.1.0.0", "10.2.0.0"], Start::Immediate, ike, esp);
        let b = connection([2, 1], ["10.2.0.0", "10.1.0.0"], Start::Respond, ike, esp);
        Self { config: Config::default(), connections: [a, b], nat: None }
    }

    /// A, who initiates, is behind a NAT; the identities are names, since A's address is not seen.
    pub fn behind_nat(mut self) -> Self {
        let (a, b) = (Identity::Fqdn("a.example".into()), Identity::Fqdn("b.example".into()));
        let [initiator, responder] = &mut self.connections;
        (initiator.local_id, initiator.remote_id) = (a.clone(), b.clone());
        (responder.local_id, responder.remote_id) = (b, a);
        responder.remote = Some(Nat::public(Side::A));
        self.nat = Some(Side::A);
        self
    }

    /// The same change on both sides.
    pub fn both(mut self, change: impl Fn(&mut Connection)) -> Self {
        self.connections.iter_mut().for_each(change);
        self
    }
}

fn connection(
    [ours, theirs]: [u8; 2],
    [local_net, remote_net]: [&str; 2],
    start: Start,
    ike: IkeProposal,
    esp: EspProposal,
) -> Connection {
    let psk = Psk::new(*b"a shared secret");
    let addr = |last| IpAddr::from(Ipv4Addr::new(192, 0, 2, last));
    let key = ConnectionKey { connection: u32::from(ours), tunnel: u32::from(ours) };
    let day = Some(Duration::from_secs(86_400));
    let child =
        ChildConfig { lifetime: day, ..ChildConfig::new(esp, [network(local_net), network(remote_net)]) };
    Connection {
        ike_lifetime: day,
        start,
        ..Connection::by_psk(key, format!("end-{ours}"), [ours, theirs].map(addr), psk, ike, child)
    }
}

fn network(addr: &str) -> TrafficSelector {
    TrafficSelector::from_network(addr.parse().expect("an address"), 16).expect("a network")
}
