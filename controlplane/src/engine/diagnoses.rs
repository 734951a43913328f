//! The failures of the recent past, and how many of them the log tells: anyone can make negotiations fail.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ike::{Code, ConnectionKey, Diagnosis, Time};

/// Most failures that are kept.
const MOST: usize = 256;
/// Most of them of one tunnel, or of peers that belong to none.
const MOST_OF_ONE: usize = 32;
/// Most lines of the log at once about one tunnel, or about peers that belong to none.
const BURST: u32 = 10;
/// One more line after this time.
const INTERVAL: Duration = Duration::from_secs(10);

/// No negotiation takes longer.
const NEGOTIATION: Duration = Duration::from_secs(60);

/// A failure, and how often in a row.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// Rising with every failure.
    pub(super) id: u64,
    pub(super) diagnosis: Diagnosis,
    pub(super) at: Time,
    pub(super) count: u64,
    /// The tunnel came up since.
    pub(super) recovered: bool,
}

/// A token bucket: how many failures of one tunnel the log tells.
#[derive(Debug)]
struct Pace {
    tokens: u32,
    filled: Time,
    untold: u64,
}

impl Pace {
    fn fill(&mut self, now: Time) {
        let earned = now.since(self.filled).as_secs() / INTERVAL.as_secs();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(earned).min(BURST);
            self.filled = now;
        }
    }

    fn spend(&mut self, now: Time) -> bool {
        self.fill(now);
        let left = self.tokens.checked_sub(1);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }
}

/// Failures, the newest first; the same one again only counts.
#[derive(Debug, Default)]
pub(super) struct Diagnoses {
    failures: VecDeque<Failure>,
    /// The ID of the newest one.
    last: u64,
    /// By tunnel: those that failed lately.
    paces: BTreeMap<Option<ConnectionKey>, Pace>,
}

impl Diagnoses {
    pub(super) fn add(&mut self, diagnosis: Diagnosis, now: Time) {
        let same = |f: &Failure| !f.recovered && f.diagnosis == diagnosis;
        let known = self.failures.iter().position(same).and_then(|index| self.failures.remove(index));
        let count = known.map_or(1, |failure| failure.count + 1);
        let alike = |f: &Failure| f.diagnosis.connection == diagnosis.connection;
        if self.failures.iter().filter(|f| alike(f)).count() >= MOST_OF_ONE
            && let Some(oldest) = self.failures.iter().rposition(alike)
        {
            self.failures.remove(oldest);
        }
        self.last += 1;
        self.failures.push_front(Failure { id: self.last, diagnosis, at: now, count, recovered: false });
        self.failures.truncate(MOST);
    }

    /// True if the log may tell a failure of this tunnel; else it is counted for [`Diagnoses::untold`].
    pub(super) fn may_tell(&mut self, key: Option<ConnectionKey>, now: Time) -> bool {
        if !self.paces.contains_key(&key) {
            self.paces.retain(|_, pace| {
                pace.fill(now);
                pace.tokens < BURST || pace.untold > 0
            });
        }
        let pace = self.paces.entry(key).or_insert(Pace { tokens: BURST, filled: now, untold: 0 });
        let may = pace.spend(now);
        pace.untold += u64::from(!may);
        may
    }

    /// How many failures of which tunnels the log has not told: each number once, and once per interval.
    pub(super) fn untold(&mut self, now: Time) -> Vec<(Option<ConnectionKey>, u64)> {
        let mut due = Vec::new();
        for (key, pace) in &mut self.paces {
            if pace.untold > 0 && pace.spend(now) {
                due.push((*key, std::mem::take(&mut pace.untold)));
            }
        }
        due
    }

    /// When [`Diagnoses::untold`] has something to tell.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.paces.values().filter(|pace| pace.untold > 0).map(|pace| pace.filled + INTERVAL).min()
    }

    /// The tunnel works again, though half a failure may still be one.
    pub(super) fn recovered(&mut self, key: ConnectionKey) {
        self.forgive(key, |failure| !failure.diagnosis.code.is_half_failure());
    }

    /// A new negotiation succeeded: half a failure of those before it is none any more.
    pub(super) fn renewed(&mut self, key: ConnectionKey, now: Time) {
        self.forgive(key, |failure| now.since(failure.at) > NEGOTIATION);
    }

    fn forgive(&mut self, key: ConnectionKey, which: impl Fn(&Failure) -> bool) {
        let of_tunnel = |f: &&mut Failure| f.diagnosis.connection == Some(key);
        for failure in self.failures.iter_mut().filter(of_tunnel).filter(|f| which(f)) {
            failure.recovered = true;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter()
    }

    /// Why a tunnel is down, unless it came up since.
    pub(super) fn current(&self, key: ConnectionKey) -> Option<&Failure> {
        self.failures.iter().find(|f| f.diagnosis.connection == Some(key) && !f.recovered)
    }

    /// The newest failure of a tunnel since `then`.
    pub(super) fn since(&self, key: ConnectionKey, then: Time) -> Option<&Failure> {
        self.current(key).filter(|failure| failure.at >= then)
    }

    /// The code of the current failure of a tunnel.
    pub(super) fn code(&self, key: ConnectionKey) -> Option<Code> {
        self.current(key).map(|failure| failure.diagnosis.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(code: Code, tunnel: u32) -> Diagnosis {
        Diagnosis {
            code,
            side: ike::Side::Local,
            connection: Some(ConnectionKey { connection: 1, tunnel }),
            parameter: String::new(),
            ours: String::new(),
            theirs: String::new(),
            rfc: String::new(),
            confidence: ike::Confidence::Certain,
            fix_here: String::new(),
            fix_there: String::new(),
        }
    }

    #[test]
    fn repetitions_count_until_the_tunnel_recovers() {
        let mut log = Diagnoses::default();
        let key = ConnectionKey { connection: 1, tunnel: 1 };
        log.add(diagnosis(Code::NoResponse, 1), Time::from_secs(1));
        log.add(diagnosis(Code::PskMismatch, 2), Time::from_secs(2));
        log.add(diagnosis(Code::NoResponse, 1), Time::from_secs(3));
        let first = log.iter().next().expect("an entry");
        assert_eq!((first.count, first.at, log.iter().count()), (2, Time::from_secs(3), 2));
        assert_eq!(log.code(key), Some(Code::NoResponse));
        assert!(log.since(key, Time::from_secs(4)).is_none());
        log.recovered(key);
        assert_eq!(log.code(key), None);
        log.add(diagnosis(Code::NoResponse, 1), Time::from_secs(5));
        assert_eq!(log.iter().next().map(|f| f.count), Some(1));
    }

    #[test]
    fn a_flood_of_strangers_is_told_in_few_lines_and_takes_no_place_of_tunnels() {
        let mut log = Diagnoses::default();
        let key = ConnectionKey { connection: 1, tunnel: 1 };
        log.add(diagnosis(Code::PskMismatch, 1), Time::from_secs(1));
        let (mut lines, mut told) = (0, 0);
        let mut wake = |log: &mut Diagnoses, now: Time| {
            if log.poll_timeout().is_some_and(|at| at <= now) {
                for (key, untold) in log.untold(now) {
                    assert_eq!(key, None);
                    (lines, told) = (lines + 1, told + untold);
                }
            }
        };
        let mut single = 0;
        for packet in 0..60_000 {
            let now = Time::from_millis(1_000 + packet);
            wake(&mut log, now);
            single += u64::from(log.may_tell(None, now));
            let theirs = packet.to_string();
            log.add(Diagnosis { connection: None, theirs, ..diagnosis(Code::NoResponse, 1) }, now);
        }
        assert!(log.may_tell(Some(key), Time::from_secs(60)), "tunnels have lines of their own");
        wake(&mut log, Time::from_secs(75));
        assert_eq!((single, lines, single + told), (10, 6, 60_000), "nothing is told twice or not at all");
        assert_eq!(log.poll_timeout(), None);
        assert_eq!((log.iter().count(), log.code(key)), (MOST_OF_ONE + 1, Some(Code::PskMismatch)));
        assert!(log.may_tell(Some(ConnectionKey { tunnel: 2, ..key }), Time::from_secs(200)));
        assert_eq!(log.paces.len(), 1, "only tunnels that failed lately");
    }
}
