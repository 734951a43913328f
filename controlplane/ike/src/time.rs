//! The clock of a sans-io core: always an argument, never read.

use serde::{Deserialize, Serialize};
use std::ops::Add;
use std::time::Duration;

/// A moment, as time since boot (`CLOCK_BOOTTIME`), so that deadlines in a snapshot stay true when another
/// process takes over. Arithmetic saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(pub Duration);

impl Time {
    /// A deadline that never comes.
    pub const NEVER: Self = Self(Duration::MAX);

    /// `secs` seconds after boot.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// `millis` milliseconds after boot.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }
}
