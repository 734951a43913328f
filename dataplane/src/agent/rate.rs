//! Rates of what others can make us do.

use std::time::Duration;

/// A token bucket: `rate` events per second on average, at most `burst` at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    rate: u32,
    burst: u32,
    /// In millionths of a token.
    level: u64,
    filled_at: Duration,
}

/// Millionths of a token per token.
const TOKEN: u64 = 1_000_000;

impl TokenBucket {
    /// A full bucket. A rate of 0 lets `burst` events pass, then none.
    #[must_use]
    pub(super) fn new(rate: u32, burst: u32, now: Duration) -> Self {
        Self { rate, burst, level: u64::from(burst) * TOKEN, filled_at: now }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let micros = u64::try_from(now.saturating_sub(self.filled_at).as_micros()).unwrap_or(u64::MAX);
        let full = u64::from(self.burst) * TOKEN;
        self.level = micros.saturating_mul(self.rate.into()).saturating_add(self.level).min(full);
        self.filled_at = self.filled_at.max(now);
        let enough = self.level >= TOKEN;
        if enough {
            self.level -= TOKEN;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refills_at_its_rate_and_never_above_its_burst() {
        let at = Duration::from_millis;
        let mut bucket = TokenBucket::new(10, 2, at(0));
        assert_eq!([0; 3].map(|ms| bucket.take(at(ms))), [true, true, false]);
        assert!(!bucket.take(at(99)));
        assert!(bucket.take(at(100)));
        assert_eq!([10_000; 3].map(|ms| bucket.take(at(ms))), [true, true, false]);
        assert!(!bucket.take(at(5)), "time that runs backwards gives nothing");
        assert!(!TokenBucket::new(0, 0, at(0)).take(at(1_000_000)));
    }
}
