//! The one place that reads the clocks.

use std::time::Duration;

use ike::Time;
use rustix::time::{ClockId, clock_gettime};

/// Time since boot, running on through suspend: comparable between a process and its successor.
pub(crate) fn now() -> Time {
    let now = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    Time(Duration::new(secs, u32::try_from(now.tv_nsec).unwrap_or(0)))
}

/// The wall clock, since the Unix epoch: what certificates are valid by.
pub(crate) fn wall() -> Duration {
    let now = clock_gettime(ClockId::Realtime);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(secs, u32::try_from(now.tv_nsec).unwrap_or(0))
}
