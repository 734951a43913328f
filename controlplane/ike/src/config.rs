//! What the control plane wants negotiated.

mod renewal;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::crypto::{Encr, EspEncr, EspSuite, Group, IkeSuite, Integ, Prf, Secret};
use crate::identity::Identity;
use crate::pki::{Credential, Trust};
use crate::wire::iana::{AuthMethod, EncrId, IdType, IntegId, KeId, PrfId};
use crate::wire::{IdPayload, TrafficSelector};

pub(crate) use renewal::Fingerprint;
pub use renewal::Renewal;

/// Port of plain IKE (RFC 7296 section 2).
pub const IKE_PORT: u16 = 500;
/// Where messages are cut into fragments unless configured: IP packets of this size pass every path of IPv6, bytes.
pub const FRAGMENT_SIZE: u16 = 1280;
/// Port of IKE and ESP behind a NAT (RFC 3948): messages there carry the non-ESP marker.
pub const NAT_T_PORT: u16 = 4500;

/// Names one tunnel of one connection: the unit that has an IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionKey {
    /// The connection.
    pub connection: u32,
    /// The tunnel, as the data plane knows it.
    pub tunnel: u32,
}

impl fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.connection, self.tunnel)
    }
}

/// Limits and timers of the whole gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// When and how often requests are sent again.
    pub retransmit: Retransmit,
    /// Most IKE SAs as responder whose peer is not authenticated yet; beyond it IKE_SA_INIT is dropped.
    pub max_half_open: usize,
    /// Most of them with one address.
    pub max_half_open_per_source: usize,
    /// With so many of them, a peer has to show by a cookie that it receives at its address (RFC 7296 section 2.6).
    pub cookie_threshold: usize,
    /// The same for those with its address.
    pub cookie_threshold_per_source: usize,
    /// How long such an IKE SA lives.
    pub half_open_timeout: Duration,
    /// First and longest pause before a tunnel that failed is tried again; doubles in between, with jitter.
    pub retry: (Duration, Duration),
    /// How long an inbound ESP SA stays after its replacement is in use or its peer deleted it.
    pub linger: Duration,
    /// How long the data plane may take to answer a command before the exchange that waits for it fails.
    pub install_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retransmit: Retransmit::default(),
            max_half_open: 256,
            max_half_open_per_source: 32,
            cookie_threshold: 32,
            cookie_threshold_per_source: 4,
            half_open_timeout: Duration::from_secs(30),
            retry: (Duration::from_secs(2), Duration::from_secs(60)),
            linger: Duration::from_secs(10),
            install_timeout: Duration::from_secs(10),
        }
    }
}

/// Exponential backoff of requests (RFC 7296 section 2.4), each pause up to `jitter_percent` longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retransmit {
    /// Pause before the first repetition.
    pub first: Duration,
    /// Longest pause.
    pub max: Duration,
    /// Each pause is this many percent of the one before.
    pub growth_percent: u32,
    /// 0 to 100.
    pub jitter_percent: u32,
    /// Repetitions before the peer counts as dead.
    pub tries: u32,
}

impl Default for Retransmit {
    /// 1, 1.8, 3.2, 5.8, 10.5 s, then 18.9 s until giving up: about 41 s.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            max: Duration::from_secs(30),
            growth_percent: 180,
            jitter_percent: 10,
            tries: 5,
        }
    }
}

/// When a tunnel is negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Start {
    /// At once, and again whenever it is lost.
    #[default]
    Immediate,
    /// When a packet needs it ([`crate::Command::Acquire`]), or when the peer does.
    OnTraffic,
    /// Only when the peer does.
    Respond,
}

/// One tunnel of a connection: peers, proofs, algorithms, selectors, lifetimes.
///
/// It serializes without secrets, for [`crate::record`]: what is read back proves nothing to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its name in every interface.
    pub key: ConnectionKey,
    /// Its name for people.
    pub name: String,
    /// VRF of the outer packets.
    pub outer_vrf: u16,
    /// Our outer address.
    pub local: IpAddr,
    /// The peer's outer address; `None`: any, and we never initiate.
    pub remote: Option<IpAddr>,
    /// Who we say we are.
    pub local_id: Identity,
    /// Who the peer must be.
    pub remote_id: Identity,
    /// How we prove it.
    pub local_auth: LocalAuth,
    /// How the peer must prove it.
    pub remote_auth: RemoteAuth,
    /// Acceptable combinations for the IKE SA, best first. Never empty.
    pub ike_proposals: Vec<IkeProposal>,
    /// Lifetime of the IKE SA: rekeyed before, deleted at its end; `None`: never by time.
    pub ike_lifetime: Option<Duration>,
    /// Both sides prove who they are again, on a new IKE SA beside the old one, before so much time has passed since they
    /// last did (RFC 7296 section 2.8.3); `None`: never.
    pub reauth: Option<Duration>,
    /// The CHILD_SA.
    pub child: ChildConfig,
    /// As initiator begin without a CHILD_SA where there is no IKE SA yet and the peer takes that (RFC 6023): it comes by
    /// an exchange of its own.
    pub childless: bool,
    /// Detect NAT and use UDP encapsulation where there is one (RFC 7296 section 2.23).
    pub nat_traversal: bool,
    /// Use UDP encapsulation even where there is no NAT.
    pub force_encap: bool,
    /// Messages that make longer IP packets go in fragments, where the peer takes them (RFC 7383), bytes; `None`:
    /// neither way.
    pub fragment_size: Option<u16>,
    /// A peer of which nothing authentic was heard, IKE or ESP, is dead when this is over, whatever is under way; it is
    /// asked for a sign of life after a third of it. `None`: never.
    pub dpd_timeout: Option<Duration>,
    /// When it is negotiated.
    pub start: Start,
}

/// What the CHILD_SAs of a tunnel look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildConfig {
    /// Acceptable combinations, best first. Never empty.
    pub proposals: Vec<EspProposal>,
    /// Networks on our side. Never empty.
    pub local_ts: Vec<TrafficSelector>,
    /// Networks on the peer's side. Never empty.
    pub remote_ts: Vec<TrafficSelector>,
    /// Lifetime: rekeyed before, deleted at its end; `None`: never by time.
    pub lifetime: Option<Duration>,
    /// The data plane reports [`crate::Command::SoftLimit`] and refuses packets beyond the hard limit.
    pub limits: Limits,
    /// Anti-replay window in packets, 32 to 32768.
    pub replay_window: u32,
    /// Seconds between NAT keepalives when UDP encapsulated and we are behind the NAT; 0: none.
    pub keepalive_secs: u16,
    /// Length to which packets are padded where the peer takes it (RFC 4303 section 2.7), bytes; 0: none.
    pub tfc: u16,
}

impl Connection {
    /// A tunnel between two addresses, ours first, that are the identities too; both ends prove themselves by the same
    /// pre-shared key. It waits for the peer, has no lifetimes, detects NAT, and everything else is as usual.
    #[must_use]
    pub fn by_psk(
        key: ConnectionKey,
        name: impl Into<String>,
        [local, remote]: [IpAddr; 2],
        psk: Psk,
        ike: IkeProposal,
        child: ChildConfig,
    ) -> Self {
        Self {
            key,
            name: name.into(),
            outer_vrf: 0,
            local,
            remote: Some(remote),
            local_id: Identity::Address(local),
            remote_id: Identity::Address(remote),
            local_auth: LocalAuth::Psk(psk.clone()),
            remote_auth: RemoteAuth::Psk(psk),
            ike_proposals: vec![ike],
            ike_lifetime: None,
            reauth: None,
            child,
            childless: false,
            nat_traversal: true,
            force_encap: false,
            fragment_size: Some(crate::FRAGMENT_SIZE),
            dpd_timeout: Some(Duration::from_secs(30)),
            start: Start::Respond,
        }
    }
}

impl ChildConfig {
    /// Between one network on each side, ours first; without lifetime or limits.
    #[must_use]
    pub fn new(proposal: EspProposal, [local, remote]: [TrafficSelector; 2]) -> Self {
        Self {
            proposals: vec![proposal],
            local_ts: vec![local],
            remote_ts: vec![remote],
            lifetime: None,
            limits: Limits::default(),
            replay_window: 1024,
            keepalive_secs: 20,
            tfc: 0,
        }
    }
}

/// How much one SA may carry; 0: unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes after which the SA is rekeyed.
    pub soft_bytes: u64,
    /// Bytes after which the SA stops.
    pub hard_bytes: u64,
    /// Packets after which the SA is rekeyed.
    pub soft_packets: u64,
    /// Packets after which the SA stops.
    pub hard_packets: u64,
}

/// One combination of algorithms for an IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IkeProposal {
    /// Encryption.
    pub encryption: EncrId,
    /// Its key length in bits; 0 where the algorithm has only one.
    pub key_bits: u16,
    /// Integrity; [`IntegId::NONE`] with an AEAD.
    pub integrity: IntegId,
    /// Pseudorandom function.
    pub prf: PrfId,
    /// Key exchange method.
    pub group: KeId,
}

impl IkeProposal {
    /// The algorithms, if we have all of them and they go together.
    pub fn suite(&self) -> Option<IkeSuite> {
        let encr = Encr::from_transform(self.encryption, key_length(self.key_bits))?;
        let integ = integrity(self.integrity, encr.is_aead())?;
        Some(IkeSuite { encr, integ, prf: Prf::from_id(self.prf)?, group: Group::from_id(self.group)? })
    }
}

impl EspProposal {
    /// The algorithms, if we have all of them and they go together.
    pub fn suite(&self) -> Option<EspSuite> {
        let encr = EspEncr::from_transform(self.encryption, key_length(self.key_bits))?;
        let integ = integrity(self.integrity, encr.is_aead())?;
        let group = match self.group {
            Some(id) => Some(Group::from_id(id)?),
            None => None,
        };
        Some(EspSuite { encr, integ, group, esn: self.esn })
    }
}

/// The Key Length attribute; none for an algorithm of one length.
fn key_length(key_bits: u16) -> Option<u16> {
    (key_bits != 0).then_some(key_bits)
}

/// The integrity algorithm that goes with a cipher: none exactly with an AEAD.
fn integrity(id: IntegId, with_aead: bool) -> Option<Option<Integ>> {
    match (id, with_aead) {
        (IntegId::NONE, true) => Some(None),
        (IntegId::NONE, false) | (_, true) => None,
        (id, false) => Integ::from_id(id).map(Some),
    }
}

/// One combination of algorithms for a CHILD_SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EspProposal {
    /// Encryption.
    pub encryption: EncrId,
    /// Its key length in bits; 0 where the algorithm has only one.
    pub key_bits: u16,
    /// Integrity; [`IntegId::NONE`] with an AEAD.
    pub integrity: IntegId,
    /// Key exchange method for perfect forward secrecy; `None`: keys derive from the IKE SA's.
    pub group: Option<KeId>,
    /// Offer extended sequence numbers too, and prefer them.
    pub esn: bool,
}

/// A shared secret. `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Psk(Secret);

impl Psk {
    /// Takes the secret's bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Secret::new(bytes.into()))
    }

    /// The key itself, for the configuration of the peer that shares it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Psk({} bytes)", self.0.len())
    }
}

/// How we prove who we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalAuth {
    /// By a shared secret.
    Psk(#[serde(skip)] Psk),
    /// By a certificate that holds our identity.
    Certificate(#[serde(with = "crate::record::credential")] Arc<Credential>),
}

/// How a peer must prove who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteAuth {
    /// By a shared secret.
    Psk(#[serde(skip)] Psk),
    /// By a certificate of one of these CAs that holds its identity.
    Certificate(#[serde(with = "crate::record::trust")] Arc<Trust>),
}

impl RemoteAuth {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Psk(_) => "pre-shared key",
            Self::Certificate(_) => "certificate",
        }
    }

    /// The CAs, with certificates.
    pub(crate) fn trust(&self) -> Option<&Trust> {
        match self {
            Self::Psk(_) => None,
            Self::Certificate(trust) => Some(trust),
        }
    }

    /// Whether a proof by `method` can be one of these.
    pub(crate) fn accepts(&self, method: AuthMethod) -> bool {
        match self {
            Self::Psk(_) => method == AuthMethod::SHARED_KEY,
            Self::Certificate(_) => matches!(
                method,
                AuthMethod::RSA_SIGNATURE
                    | AuthMethod::ECDSA_SHA256_P256
                    | AuthMethod::ECDSA_SHA384_P384
                    | AuthMethod::ECDSA_SHA512_P521
                    | AuthMethod::DIGITAL_SIGNATURE
            ),
        }
    }
}

impl Connection {
    /// Who we say we are, as it stands on the wire: with a certificate, a distinguished name is written as
    /// its subject.
    pub(crate) fn local_id_payload(&self) -> IdPayload {
        match (&self.local_id, &self.local_auth) {
            (Identity::Dn(name), LocalAuth::Certificate(own))
                if own.certificate().subject().matches(name) =>
            {
                IdPayload::new(IdType::DER_ASN1_DN, own.certificate().subject().as_der())
            }
            (id, _) => id.to_payload(),
        }
    }

    /// Where our first message goes, if the peer's address is known.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.remote.map(|addr| SocketAddr::new(addr, IKE_PORT))
    }
}
