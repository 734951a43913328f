//! The path MTU of each peer, as routers on the way tell it (RFC 4301 section 8.2, RFC 1191, RFC 8201).
//!
//! Whoever tells must quote an ESP packet that an SA of ours sent lately: its addresses, its SPI and its sequence
//! number. That proves that they saw it, not that they tell the truth; so the MTU is believed only within
//! bounds, and forgotten after a while.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use packet::VrfId;
use packet::esp::quoted::QuotedEsp;
use packet::headers::too_big::TooBig;
use packet::tables::Change;

use super::environment::Environment;
use super::figures::AgentFigure;
use super::{Agent, TokenBucket};

/// How long a path MTU is believed (RFC 1191 section 6.3, RFC 8201 section 4).
const AGE: Duration = Duration::from_secs(600);
/// Messages looked at per second: each searches the SAs.
const RATE: u32 = 20;

/// What was learned, and until when it holds.
#[derive(Debug)]
pub(super) struct PathMtus {
    until: BTreeMap<(VrfId, IpAddr), Duration>,
    budget: TokenBucket,
}

impl PathMtus {
    pub(super) fn new(now: Duration) -> Self {
        Self { until: BTreeMap::new(), budget: TokenBucket::new(RATE, RATE, now) }
    }

    /// Peers towards which less than the link's MTU passes.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.until.len()
    }

    fn pop_expired(&mut self, now: Duration) -> Option<(VrfId, IpAddr)> {
        let peer = *self.until.iter().find(|(_, until)| **until <= now)?.0;
        self.until.remove(&peer);
        Some(peer)
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
        let remote = quoted.remote;
        if let Err(error) = self.change(Change::PutPathMtu { vrf, remote, mtu }) {
            tracing::warn!(%remote, mtu, %error, "path MTU");
            return false;
        }
        tracing::info!(%remote, vrf = vrf.0, mtu, "the path takes less than the link");
        self.path_mtus.until.insert((vrf, remote), now + AGE);
        self.figures().add(AgentFigure::PathMtuMessages, 1);
        true
    }

    /// True if an SA sent the quoted packet lately, and larger ones than `mtu` are sent on it still.
    fn is_news(&self, vrf: VrfId, quoted: &QuotedEsp, mtu: u16) -> bool {
        self.tables.sad().iter().any(|entry| {
            let (Some(sa), Some(template)) = (&entry.outbound, &entry.template) else { return false };
            let endpoints = &template.endpoints;
            sa.config.peer_spi == quoted.spi
                && endpoints.vrf == vrf
                && quoted.is_of(endpoints)
                && sa.sequence.issued_lately(quoted.sequence_low)
                && mtu < self.tables.path_mtu(endpoints)
        })
    }

    /// Tries the link's MTU again where what was learned is old.
    pub(super) fn forget_path_mtus(&mut self, now: Duration) {
        while let Some((vrf, remote)) = self.path_mtus.pop_expired(now) {
            // Deleting what is not there is no error.
            let _ = self.change(Change::DeletePathMtu { vrf, remote });
        }
    }
}
