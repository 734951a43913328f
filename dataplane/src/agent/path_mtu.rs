//! The path MTU of each peer: as routers on the way tell it (RFC 4301 section 8.2, RFC 1191, RFC 8201), and as
//! probes of the tunnels find it.
//!
//! Whoever tells must quote an ESP packet that an SA of ours sent lately: its addresses, its SPI and its sequence
//! number. That proves that they saw it, not that they tell the truth; so the MTU is believed only within
//! bounds, and until it is old or a probe knows better.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crypto::Key;
use packet::VrfId;
use packet::esp::quoted::QuotedEsp;
use packet::headers::too_big::TooBig;
use packet::sad::SadEntry;
use packet::tables::{Change, PathMtu};

use super::environment::Environment;
use super::figures::AgentFigure;
use super::{Agent, TokenBucket};

/// How long a path MTU is believed (RFC 1191 section 6.3, RFC 8201 section 4).
const AGE: Duration = Duration::from_secs(600);
/// Messages looked at per second: each searches the SAs of a peer.
const RATE: u32 = 20;
/// The least that the tables take, bytes.
const LEAST: u16 = 576;

/// A peer: its routing domain and its address.
pub(super) type Peer = (VrfId, IpAddr);

/// What was learned, and until when it holds.
#[derive(Debug)]
pub(super) struct PathMtus {
    peers: BTreeMap<Peer, Learned>,
    /// When what routers said grows old; some was said again since, or is forgotten.
    ends: BTreeSet<(Duration, Peer)>,
    budget: TokenBucket,
}

/// What is known of the path to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Learned {
    /// What a router said, bytes, and when that is old.
    told: Option<(u16, Duration)>,
    probed: Option<PathMtu>,
}

impl Learned {
    fn bound(self) -> PathMtu {
        let PathMtu { outbound, inbound } = self.probed.unwrap_or(PathMtu::UNKNOWN);
        let told = self.told.map_or(u16::MAX, |(mtu, _)| mtu);
        let bounded = |mtu: u16| if mtu == 0 { u16::MAX } else { mtu.max(LEAST) };
        PathMtu { outbound: bounded(outbound.min(told)), inbound: bounded(inbound) }
    }
}

impl PathMtus {
    pub(super) fn new(now: Duration) -> Self {
        Self { peers: BTreeMap::new(), ends: BTreeSet::new(), budget: TokenBucket::new(RATE, RATE, now) }
    }

    /// Peers towards which less than the link's MTU passes.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.peers.values().filter(|learned| learned.bound().outbound != u16::MAX).count()
    }

    /// True if what is known of the path is a router's word.
    pub(super) fn was_told(&self, peer: Peer) -> bool {
        self.peers.get(&peer).is_some_and(|learned| learned.told.is_some())
    }

    fn tell(&mut self, peer: Peer, mtu: u16, until: Duration) {
        self.peers.entry(peer).or_default().told = Some((mtu, until));
        self.ends.insert((until, peer));
    }

    fn pop_expired(&mut self, now: Duration) -> Option<Peer> {
        while self.ends.first().is_some_and(|(end, _)| *end <= now) {
            let (end, peer) = self.ends.pop_first()?;
            if let Some(learned) = self.peers.get_mut(&peer)
                && learned.told.take_if(|(_, until)| *until == end).is_some()
            {
                return Some(peer);
            }
        }
        None
    }
}

impl<E: Environment> Agent<E> {
    /// Takes an ICMP message to an outside address in `vrf`; true if it was a believable word about the path
    /// of an SA.
    pub(super) fn learn_path_mtu(&mut self, vrf: VrfId, message: &[u8], now: Duration) -> bool {
        let Some(too_big) = TooBig::parse(message) else { return false };
        let Some(quoted) = QuotedEsp::parse(too_big.quoted) else { return false };
        if !self.path_mtus.budget.take(now) {
            return false;
        }
        let Some(mtu) = too_big.believable_mtu(quoted.len).filter(|mtu| self.is_news(vrf, &quoted, *mtu))
        else {
            return false;
        };
        let peer = (vrf, quoted.remote);
        self.path_mtus.tell(peer, mtu, now + AGE);
        if !self.apply_path_mtu(peer) {
            return false;
        }
        tracing::info!(remote = %quoted.remote, vrf = vrf.0, mtu, "the path takes less than the link");
        self.figures().add(AgentFigure::PathMtuMessages, 1);
        self.probe_after_too_big(peer, mtu);
        true
    }

    /// True if an SA sent the quoted packet lately, and larger ones than `mtu` are sent on it still.
    fn is_news(&self, vrf: VrfId, quoted: &QuotedEsp, mtu: u16) -> bool {
        let is_its = |entry: &SadEntry<Key>| {
            let (Some(sa), Some(template)) = (&entry.outbound, &entry.template) else { return false };
            sa.config.peer_spi == quoted.spi
                && quoted.is_of(&template.endpoints)
                && sa.sequence.issued_lately(quoted.sequence_low)
                && mtu < self.tables.path_mtu(&template.endpoints).outbound
        };
        self.tables.find_sa_of_peer(vrf, quoted.remote, is_its).is_some()
    }

    /// Probes found what passes: that counts from now on, and no longer what a router said. `None`: they stopped.
    pub(super) fn put_probed_mtu(&mut self, peer: Peer, probed: Option<PathMtu>) {
        let before = self.path_mtus.peers.get(&peer).copied().unwrap_or_default();
        let told = before.told.filter(|_| probed.is_none());
        let learned = Learned { told, probed };
        if learned != before {
            self.path_mtus.peers.insert(peer, learned);
            self.apply_path_mtu(peer);
        }
    }

    /// Tries the link's MTU again where what a router said is old.
    pub(super) fn forget_path_mtus(&mut self, now: Duration) {
        while let Some(peer) = self.path_mtus.pop_expired(now) {
            self.apply_path_mtu(peer);
        }
    }

    /// Brings the tables to what is known of a peer.
    fn apply_path_mtu(&mut self, peer: Peer) -> bool {
        let (vrf, remote) = peer;
        let mtu = self.path_mtus.peers.get(&peer).map_or(PathMtu::UNKNOWN, |learned| learned.bound());
        let change = if mtu == PathMtu::UNKNOWN {
            if self.path_mtus.peers.get(&peer).is_some_and(|learned| learned.probed.is_none()) {
                self.path_mtus.peers.remove(&peer);
            }
            Change::DeletePathMtu { vrf, remote }
        } else {
            Change::PutPathMtu { vrf, remote, mtu }
        };
        self.change(change).inspect_err(|error| tracing::warn!(%remote, %error, "path MTU")).is_ok()
    }
}
