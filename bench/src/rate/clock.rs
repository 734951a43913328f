//! TSC ticks as times and shares.

use std::time::Duration;

/// TSC ticks in a millisecond.
fn ticks_per_ms() -> u64 {
    (dpdk::tsc_hz() / 1000).max(1)
}

/// Nanoseconds of so many ticks, up to hours.
#[inline]
pub(crate) fn nanos(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000) / ticks_per_ms()
}

pub(crate) fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(nanos(ticks))
}

/// Ticks of a duration.
pub(crate) fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).saturating_mul(ticks_per_ms()) / 1000
}

/// Packets a second.
pub(crate) fn rate(packets: usize, ticks: u64) -> u64 {
    (packets as u64).saturating_mul(1_000_000_000) / nanos(ticks).max(1)
}
