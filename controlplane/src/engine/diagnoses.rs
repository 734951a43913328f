//! The failures of the recent past.

use std::collections::VecDeque;

use ike::{Code, ConnectionKey, Diagnosis, Time};

/// Most failures that are kept.
const MOST: usize = 256;

/// A failure, and how often in a row.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) diagnosis: Diagnosis,
    pub(super) at: Time,
    pub(super) count: u64,
    /// The tunnel came up since.
    pub(super) recovered: bool,
}

/// Failures, the newest first; the same one again only counts.
#[derive(Debug, Default)]
pub(super) struct Diagnoses(VecDeque<Failure>);

impl Diagnoses {
    pub(super) fn add(&mut self, diagnosis: Diagnosis, now: Time) {
        let same = |f: &Failure| !f.recovered && f.diagnosis == diagnosis;
        let known = self.0.iter().position(same).and_then(|index| self.0.remove(index));
        let count = known.map_or(1, |failure| failure.count + 1);
        self.0.push_front(Failure { diagnosis, at: now, count, recovered: false });
        self.0.truncate(MOST);
    }

    /// The tunnel works again.
    pub(super) fn recovered(&mut self, key: ConnectionKey) {
        for failure in self.0.iter_mut().filter(|f| f.diagnosis.connection == Some(key)) {
            failure.recovered = true;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Failure> {
        self.0.iter()
    }

    /// Why a tunnel is down, unless it came up since.
    pub(super) fn current(&self, key: ConnectionKey) -> Option<&Failure> {
        self.0.iter().find(|f| f.diagnosis.connection == Some(key) && !f.recovered)
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
            fix: String::new(),
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
}
