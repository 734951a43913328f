//! Certificates that end: ours, those of the CAs, and those that peers showed.

use std::collections::BTreeMap;
use std::time::Duration;

use ike::pki::{Certificate, date};
use ike::{ConnectionKey, LocalAuth, RemoteAuth, Time};

use super::Engine;
use crate::credentials::TunnelAuth;
use crate::document::Loaded;

const DAY: Duration = Duration::from_secs(86_400);
/// How long before its end, in days, somebody is told of a certificate; and at its end.
const TOLD_AT: [u32; 4] = [30, 7, 1, 0];
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(3600);

/// What is known about the end of certificates.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// The wall clock when the boot clock was zero.
    booted: Duration,
    /// The certificate that a tunnel's peer last showed: its subject and its end.
    peers: BTreeMap<ConnectionKey, (String, Duration)>,
    /// How many of [`TOLD_AT`] somebody was told at.
    told: BTreeMap<(String, Duration), usize>,
    /// When to look next; `None` while no certificate is in use.
    look_at: Option<Time>,
}

/// Whose certificate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    Us,
    Authority,
    Peer,
}

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InUse {
    /// Since the Unix epoch.
    pub(super) not_after: Duration,
    pub(super) subject: String,
    pub(super) holder: Holder,
    /// Names of the tunnels that use it.
    pub(super) tunnels: Vec<String>,
}

impl Expiry {
    /// The first look is at `now`, if there is anything to look at.
    pub(super) fn new(document: &Loaded, now: Time) -> Self {
        let certified = |auth: &TunnelAuth| {
            matches!(auth.local, LocalAuth::Certificate(_))
                || matches!(auth.remote, RemoteAuth::Certificate(_))
        };
        Self { look_at: document.auth.values().any(certified).then_some(now), ..Self::default() }
    }

    fn wall_clock(&self, now: Time) -> Duration {
        self.booted.saturating_add(now.0)
    }

    /// How many of [`TOLD_AT`] have come for a certificate that ends then.
    fn steps(&self, not_after: Duration, now: Time) -> usize {
        let left = not_after.checked_sub(self.wall_clock(now));
        TOLD_AT.iter().filter(|days| left.is_none_or(|left| left < DAY * **days)).count()
    }
}

impl Engine {
    /// What the wall clock says at `now`, since the Unix epoch; before any other input, and again when it may
    /// have been set.
    pub fn set_wall_clock(&mut self, since_epoch: Duration, now: Time) {
        self.manager.set_wall_clock(since_epoch, now);
        self.expiry.booted = since_epoch.saturating_sub(now.0);
    }

    /// A peer proved itself with a certificate.
    pub(super) fn peer_showed(
        &mut self,
        key: ConnectionKey,
        subject: String,
        not_after: Duration,
        now: Time,
    ) {
        let (tunnel, until) = (self.tunnel_name(key), date(not_after));
        tracing::info!(tunnel, subject, until, "the peer proved itself by certificate");
        self.expiry.peers.insert(key, (subject, not_after));
        self.expiry.look_at = Some(now);
    }

    /// Seconds until a moment of the wall clock; negative once it has passed.
    pub(super) fn seconds_left(&self, moment: Duration, now: Time) -> i64 {
        let signed = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        signed(moment) - signed(self.expiry.wall_clock(now))
    }

    /// Every certificate in use, the one that ends first ahead.
    pub(super) fn certificates_in_use(&self) -> Vec<InUse> {
        let mut found: BTreeMap<(Duration, String, Holder), Vec<String>> = BTreeMap::new();
        let mut add = |not_after, subject: String, holder, tunnel: &str| {
            let tunnels = found.entry((not_after, subject, holder)).or_default();
            if !tunnels.iter().any(|known| known == tunnel) {
                tunnels.push(tunnel.to_owned());
            }
        };
        for plan in &self.document.plan.tunnels {
            let name = plan.name();
            let mut all = |certificates: &[Certificate], holder| {
                for certificate in certificates {
                    add(certificate.not_after(), certificate.subject().to_string(), holder, &name);
                }
            };
            let Some(auth) = self.document.auth.get(&plan.id) else { continue };
            if let LocalAuth::Certificate(own) = &auth.local {
                all(own.chain(), Holder::Us);
            }
            if let RemoteAuth::Certificate(trust) = &auth.remote {
                all(trust.authorities(), Holder::Authority);
                let shown = self.expiry.peers.get(&crate::convert::key(plan));
                if let Some((subject, not_after)) = shown {
                    add(*not_after, subject.clone(), Holder::Peer, &name);
                }
            }
        }
        let in_use = |((not_after, subject, holder), tunnels)| InUse { not_after, subject, holder, tunnels };
        found.into_iter().map(in_use).collect()
    }

    /// When [`Engine::tell_of_ends`] wants to be called.
    pub(super) fn next_look(&self) -> Option<Time> {
        self.expiry.look_at
    }

    /// Tells of certificates that end soon or have ended, once at each step.
    pub(super) fn tell_of_ends(&mut self, now: Time) {
        let all = self.certificates_in_use();
        self.expiry.look_at = (!all.is_empty()).then_some(now + PAUSE);
        let name = |certificate: &InUse| (certificate.subject.clone(), certificate.not_after);
        let present: Vec<_> = all.iter().map(name).collect();
        self.expiry.told.retain(|known, _| present.contains(known));
        for certificate in all {
            let steps = self.expiry.steps(certificate.not_after, now);
            let told = self.expiry.told.insert(name(&certificate), steps).unwrap_or(0);
            if steps <= told {
                continue;
            }
            let InUse { subject, holder, not_after, tunnels } = certificate;
            let (until, days) = (date(not_after), self.seconds_left(not_after, now) / 86_400);
            if steps == TOLD_AT.len() {
                tracing::error!(subject, ?holder, until, ?tunnels, "CertificateExpired: renew it");
            } else {
                tracing::warn!(subject, ?holder, until, days, ?tunnels, "CertificateExpires: renew it");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_comes_once_its_days_have_begun() {
        let expiry = Expiry { booted: DAY * 1000, ..Expiry::default() };
        let now = Time(DAY);
        let steps = |days: u32| expiry.steps(DAY * (1001 + days), now);
        assert_eq!([31, 30, 29, 7, 6, 1].map(steps), [0, 0, 1, 1, 2, 2]);
        assert_eq!(expiry.steps(DAY * 1001 + DAY / 2, now), 3);
        assert_eq!(expiry.steps(DAY * 1001 - Duration::from_secs(1), now), 4);
    }
}
