//! What happens, told to whoever follows the API's events.

use std::collections::BTreeMap;

use api::server::{Feed, Publisher};
use api::{Occurrence, Reason};
use gateway::plan::TunnelPlan;
use ike::{ConnectionKey, Diagnosis, Gone};

use super::Engine;
use crate::convert;

/// Tells events, also of tunnels that are no longer configured.
#[derive(Debug, Default)]
pub(super) struct Teller {
    publisher: Publisher,
    /// Names of the tunnels that the last change of the document took away: their SAs end after it.
    departed: BTreeMap<u32, (String, u8)>,
}

impl Teller {
    pub(super) fn feed(&self) -> Feed {
        self.publisher.feed()
    }

    /// Remembers the tunnels that go.
    pub(super) fn depart<'a>(&mut self, gone: impl Iterator<Item = &'a TunnelPlan>) {
        self.departed = gone.map(|tunnel| (tunnel.id, name(tunnel))).collect();
    }
}

impl Engine {
    /// Tells what became of the document.
    pub fn tell(&self, what: Occurrence) {
        self.teller.publisher.publish(None, what);
    }

    /// Tells what happened to a tunnel.
    pub(super) fn tell_of(&self, key: ConnectionKey, what: Occurrence) {
        let configured = self.document.plan.tunnel(key.tunnel).filter(|plan| convert::key(plan) == key);
        let of = configured.map(name).or_else(|| self.teller.departed.get(&key.tunnel).cloned());
        self.teller.publisher.publish(of, what);
    }

    /// Tells of a failed negotiation; the peer may be one that no tunnel knows.
    pub(super) fn tell_failure(&self, diagnosis: &Diagnosis) {
        let (code, confidence) = (format!("{:?}", diagnosis.code), diagnosis.confidence.to_string());
        let what = Occurrence::TunnelFailed { code, confidence };
        match diagnosis.connection {
            Some(key) => self.tell_of(key, what),
            None => self.tell(what),
        }
    }
}

fn name(tunnel: &TunnelPlan) -> (String, u8) {
    (tunnel.connection.clone(), tunnel.index)
}

/// An SPI as the API shows it.
pub(super) fn spi(spi: ike::Spi) -> String {
    format!("{spi:08x}")
}

pub(super) fn reason(why: Gone) -> Reason {
    match why {
        Gone::Command => Reason::Command,
        Gone::Peer => Reason::Peer,
        Gone::Expired => Reason::Expired,
        Gone::PeerDead => Reason::PeerDead,
        Gone::Replaced => Reason::Replaced,
        Gone::PeerRestarted => Reason::PeerRestarted,
        Gone::Failed => Reason::Failed,
    }
}
