//! When a connection that is down is tried again.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::ConnectionKey;
use crate::time::Time;

/// One connection.
#[derive(Debug, Default)]
struct Pace {
    /// It shall be up.
    wanted: bool,
    /// Failures since it last worked.
    failures: u32,
    /// Nothing is tried before.
    not_before: Time,
    /// When it is looked at again.
    retry_at: Option<Time>,
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    paces: BTreeMap<ConnectionKey, Pace>,
    due: BTreeSet<(Time, ConnectionKey)>,
}

impl Pacing {
    pub(super) fn set_wanted(&mut self, key: ConnectionKey, wanted: bool) {
        self.paces.entry(key).or_default().wanted = wanted;
        if !wanted {
            self.cancel(key);
        }
    }

    pub(super) fn is_wanted(&self, key: ConnectionKey) -> bool {
        self.paces.get(&key).is_some_and(|pace| pace.wanted)
    }

    pub(super) fn forget(&mut self, key: ConnectionKey) {
        self.cancel(key);
        self.paces.remove(&key);
    }

    fn cancel(&mut self, key: ConnectionKey) {
        if let Some(at) = self.paces.get_mut(&key).and_then(|pace| pace.retry_at.take()) {
            self.due.remove(&(at, key));
        }
    }

    /// Looks at a wanted connection at `at`, or earlier if that was arranged already.
    pub(super) fn retry(&mut self, key: ConnectionKey, at: Time) {
        let Some(pace) = self.paces.get_mut(&key).filter(|pace| pace.wanted) else { return };
        let at = at.max(pace.not_before);
        if pace.retry_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        if let Some(later) = pace.retry_at.replace(at) {
            self.due.remove(&(later, key));
        }
        self.due.insert((at, key));
    }

    /// Failures so far, before this one.
    pub(super) fn count_failure(&mut self, key: ConnectionKey) -> u32 {
        let pace = self.paces.entry(key).or_default();
        pace.failures = pace.failures.saturating_add(1);
        pace.failures - 1
    }

    /// Nothing is tried before `at`.
    pub(super) fn hold_back(&mut self, key: ConnectionKey, at: Time) {
        self.paces.entry(key).or_default().not_before = at;
        self.cancel(key);
        self.retry(key, at);
    }

    /// It works.
    pub(super) fn succeeded(&mut self, key: ConnectionKey) {
        let pace = self.paces.entry(key).or_default();
        (pace.failures, pace.not_before) = (0, Time::default());
    }

    /// Whether traffic may start it now.
    pub(super) fn may_try(&self, key: ConnectionKey, now: Time) -> bool {
        self.paces.get(&key).is_none_or(|pace| pace.not_before <= now)
    }

    pub(super) fn timers(&self) -> usize {
        self.due.len()
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Time) -> Option<ConnectionKey> {
        let (at, key) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ConnectionKey = ConnectionKey { connection: 1, tunnel: 1 };

    #[test]
    fn a_failure_holds_back_and_success_forgets_it() {
        let mut pacing = Pacing::default();
        pacing.set_wanted(KEY, true);
        pacing.retry(KEY, Time::from_secs(1));
        assert_eq!(pacing.count_failure(KEY), 0);
        pacing.hold_back(KEY, Time::from_secs(9));
        assert_eq!(pacing.next_timeout(), Some(Time::from_secs(9)));
        assert!(!pacing.may_try(KEY, Time::from_secs(8)));
        pacing.succeeded(KEY);
        assert!(pacing.may_try(KEY, Time::from_secs(8)));
        assert_eq!(pacing.count_failure(KEY), 0);
    }

    #[test]
    fn an_unwanted_connection_is_not_looked_at() {
        let mut pacing = Pacing::default();
        pacing.set_wanted(KEY, true);
        pacing.retry(KEY, Time::from_secs(1));
        pacing.set_wanted(KEY, false);
        assert_eq!(pacing.pop_due(Time::from_secs(5)), None);
    }
}
