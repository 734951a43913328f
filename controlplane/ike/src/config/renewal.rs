//! What becomes of SAs when the connection that they were negotiated from changes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::time::Duration;

use super::{Connection, EspProposal, IkeProposal, Limits, LocalAuth, RemoteAuth};

/// What a change of a connection takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Renewal {
    /// Its SAs stay as they are.
    Nothing,
    /// Its IKE SA, or its CHILD_SAs, are rekeyed with the new parameters: make before break.
    Rekey,
    /// Its IKE SA is deleted and negotiated again: who the ends are, or what they protect, has to be agreed anew.
    Renegotiate,
}

/// Stands for everything SAs are negotiated from, by what it takes to change it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    /// The ends, how they prove who they are, and what they protect.
    pub(crate) ends: u64,
    pub(crate) ike: u64,
    pub(crate) child: u64,
}

impl Fingerprint {
    /// What SAs of `before` need to be as this one says.
    pub(crate) fn renewal(self, before: Self) -> Renewal {
        match (self.ends == before.ends, self == before) {
            (false, _) => Renewal::Renegotiate,
            (true, false) => Renewal::Rekey,
            (true, true) => Renewal::Nothing,
        }
    }
}

/// A hash of named fields; the same over restarts and releases.
struct Fields(Sha256);

impl Fields {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn add(&mut self, field: &str, value: impl fmt::Display) {
        self.0.update(format!("{field}={value};"));
    }

    fn finish(self) -> u64 {
        u64::from_be_bytes(self.0.finalize()[..8].try_into().expect("eight bytes"))
    }
}

fn seconds(lifetime: Option<Duration>) -> u64 {
    lifetime.map_or(0, |lifetime| lifetime.as_secs())
}

impl Connection {
    /// What SAs of `before` need to become those of this one.
    #[must_use]
    pub fn renewal(&self, before: &Self) -> Renewal {
        self.fingerprint().renewal(before.fingerprint())
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint { ends: self.of_the_ends(), ike: self.of_the_ike_sa(), child: self.of_the_child() }
    }

    fn of_the_ends(&self) -> u64 {
        let mut fields = Fields::new();
        fields.add("vrf", self.outer_vrf);
        fields.add("local", self.local);
        fields.add("remote", self.remote.map(|addr| addr.to_string()).unwrap_or_default());
        fields.add("local-id", &self.local_id);
        fields.add("remote-id", &self.remote_id);
        fields.add("nat-t", self.nat_traversal);
        fields.add("encap", self.force_encap);
        self.child.local_ts.iter().for_each(|ts| fields.add("local-ts", ts));
        self.child.remote_ts.iter().for_each(|ts| fields.add("remote-ts", ts));
        self.authentication(&mut fields.0);
        fields.finish()
    }

    fn of_the_ike_sa(&self) -> u64 {
        let mut fields = Fields::new();
        for p in &self.ike_proposals {
            let IkeProposal { encryption, key_bits, integrity, prf, group } = p;
            let text = format_args!("{}/{key_bits}/{}/{}/{}", encryption.0, integrity.0, prf.0, group.0);
            fields.add("ike", text);
        }
        fields.add("ike-life", seconds(self.ike_lifetime));
        fields.finish()
    }

    fn of_the_child(&self) -> u64 {
        let mut fields = Fields::new();
        let child = &self.child;
        for p in &child.proposals {
            let EspProposal { encryption, key_bits, integrity, group, esn } = p;
            let group = group.map_or(0, |group| group.0);
            fields.add("esp", format_args!("{}/{key_bits}/{}/{group}/{esn}", encryption.0, integrity.0));
        }
        fields.add("life", seconds(child.lifetime));
        let Limits { soft_bytes, hard_bytes, soft_packets, hard_packets } = child.limits;
        fields.add("limits", format_args!("{soft_bytes}/{hard_bytes}/{soft_packets}/{hard_packets}"));
        fields.add("window", child.replay_window);
        fields.add("keepalive", child.keepalive_secs);
        fields.finish()
    }

    /// How both sides prove who they are. Our own certificate is not part of it, nor are revocation lists:
    /// they are renewed without a word to the peer.
    fn authentication(&self, hash: &mut Sha256) {
        match &self.local_auth {
            LocalAuth::Psk(psk) => hash.update(psk.secret().expose()),
            LocalAuth::Certificate(_) => hash.update("local=certificate;"),
        }
        match &self.remote_auth {
            RemoteAuth::Psk(psk) if self.local_auth != LocalAuth::Psk(psk.clone()) => {
                hash.update(psk.secret().expose());
            }
            RemoteAuth::Psk(_) => {}
            RemoteAuth::Certificate(trust) => hash.update(trust.digest()),
        }
    }
}
