//! Workers that do not come round (rule 7): named after a second, fatal after several.

use std::time::Duration;

use rcu::{Domain, Laggard};

/// How often every worker is asked.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);
/// A worker that is silent for so long is named.
const REPORT: Duration = Duration::from_secs(1);
/// One that is silent for so long costs the process: its packets, keys and SAs are stuck with it.
const FATAL: Duration = Duration::from_secs(10);

/// What the workers' silence amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    /// This worker cannot be helped.
    Stuck(Laggard),
}

/// Names each silent worker once.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    reported: Vec<usize>,
}

impl Watchdog {
    /// Call every [`INTERVAL`]. A machine that slept shows no lag: asking starts anew with each answer.
    pub(super) fn check(&mut self, domain: &Domain, now: Duration) -> Health {
        self.judge(domain.laggards(now))
    }

    fn judge(&mut self, laggards: Vec<Laggard>) -> Health {
        let silent: Vec<_> = laggards.into_iter().filter(|laggard| laggard.lag >= REPORT).collect();
        for laggard in silent.iter().filter(|l| !self.reported.contains(&l.worker)) {
            tracing::error!(worker = laggard.worker, lag = ?laggard.lag, "worker is stuck");
        }
        self.reported = silent.iter().map(|laggard| laggard.worker).collect();
        let fatal = silent.into_iter().find(|laggard| laggard.lag >= FATAL);
        fatal.map_or(Health::Well, Health::Stuck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_reported_then_fatal() {
        let mut dog = Watchdog::default();
        let lag = |ms| Laggard { worker: 1, lag: Duration::from_millis(ms) };
        assert_eq!(dog.judge(vec![lag(300)]), Health::Well);
        assert!(dog.reported.is_empty());
        assert_eq!(dog.judge(vec![lag(1200)]), Health::Well);
        assert_eq!(dog.reported, [1]);
        assert_eq!(dog.judge(vec![]), Health::Well);
        assert!(dog.reported.is_empty(), "it came round");
        assert_eq!(dog.judge(vec![lag(10_000)]), Health::Stuck(lag(10_000)));
    }

    #[test]
    fn a_worker_that_never_reports_lags() {
        let domain = Domain::new(1);
        let worker = domain.register().unwrap();
        let mut dog = Watchdog::default();
        let at = Duration::from_secs;
        assert_eq!(dog.check(&domain, at(0)), Health::Well);
        assert!(matches!(dog.check(&domain, at(11)), Health::Stuck(Laggard { lag, .. }) if lag == at(11)));
        drop(worker);
    }
}
