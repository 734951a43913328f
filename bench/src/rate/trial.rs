//! One trial: a rate held for a time.
//!
//! A trial is made of passes. One that loses packets ends it, but for one in which the worker or the generator was off
//! its CPU for longer than the queues last: that speaks of the machine, and the pass is void.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::machine::Drops;
use crate::rate::clock;
use crate::rate::flow::Flow;
use crate::rate::pass::{self, Pace, Passed};
use crate::rate::presence::{Attendance, Presence};
use crate::rate::rig::{QUEUE, Rig};

/// How many times as many passes may be void as a trial has.
const VOID: usize = 3;
/// Passes a second.
const PASSES: u64 = 10;
/// Runs at the gateway's own pace, of which the fastest counts, and the packets of each.
const CEILING_RUNS: usize = 16;
const CEILING_PACKETS: usize = 1 << 12;
/// Absences that a measurement of latency bears.
const QUIET: Duration = Duration::from_micros(50);

/// A rate, and what became of the packets.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Packets a second that were offered to each flow.
    pub(crate) offered: u64,
    pub(crate) lost: usize,
    /// What was lost, by reason.
    pub(crate) drops: Drops,
    pub(crate) worker: Attendance,
    pub(crate) generator: Attendance,
    /// Nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Passes that did not count.
    pub(crate) void: usize,
}

/// What a trial is for: it decides which passes are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Is anything lost? A pass without a loss counts whoever was away.
    Loss,
    /// How long does it take? Nobody may be away.
    Latency,
}

impl Trial {
    /// True if the generator was busy all the time while the worker was not: the rate is the generator's.
    pub(crate) fn is_generator_at_its_end(&self) -> bool {
        self.generator.busy() > 0.95 && self.worker.busy() < 0.9
    }
}

/// Packets a second of each flow at the gateway's own pace, with few on their way. It takes at least one run, and not
/// much longer than so many seconds.
pub(crate) fn ceiling(rig: &mut Rig<'_>, seconds: f64) -> Result<u64> {
    let start = Instant::now();
    let mut fastest = 0;
    for _ in 0..CEILING_RUNS {
        let (passed, ..) = single(rig, Pace::Window, CEILING_PACKETS)?;
        fastest = fastest.max(rate(rig, passed));
        if start.elapsed().as_secs_f64() > seconds {
            break;
        }
    }
    Ok(fastest)
}

/// Offers `rate` packets a second to each flow for so many seconds, or until some are lost.
pub(crate) fn run(rig: &mut Rig<'_>, rate: u64, seconds: f64, purpose: Purpose) -> Result<Trial> {
    let packets = (Duration::from_secs_f64(seconds).as_nanos() * u128::from(rate) / 1_000_000_000).max(1);
    let mut left = usize::try_from(packets)?;
    let pass = usize::try_from(rate / PASSES)?.max(1);
    let most = VOID * left.div_ceil(pass);
    let queue = Duration::from_secs(u64::from(QUEUE / 2)) / u32::try_from(rate.max(1))?;
    let mut sum = Passed::default();
    let mut trial = Trial {
        offered: 0,
        lost: 0,
        drops: Drops::new(),
        worker: Attendance::default(),
        generator: Attendance::default(),
        latency: pass::latencies()?,
        void: 0,
    };
    while left > 0 && trial.lost == 0 {
        let before = rig.drops();
        let count = left.min(pass);
        let (passed, worker, generator, latency) = single(rig, Pace::Rate(rate), count)?;
        let bearable = match purpose {
            Purpose::Loss if passed.lost() == 0 => Duration::MAX,
            Purpose::Loss => queue,
            Purpose::Latency => QUIET,
        };
        if trial.void < most && (worker.was_away(bearable) || generator.was_away(bearable)) {
            trial.void += 1;
            continue;
        }
        left -= passed.share(rig.flows.len()).min(left);
        sum.add(passed);
        trial.lost = sum.lost();
        trial.drops = difference(&before, &rig.drops());
        trial.worker.add(worker);
        trial.generator.add(generator);
        trial.latency.add(latency)?;
    }
    if sum.refused > 0 {
        trial.drops.insert("receive_queue_full", sum.refused as u64);
    }
    Ok(Trial { offered: self::rate(rig, sum), ..trial })
}

/// Packets a second of each flow.
fn rate(rig: &Rig<'_>, passed: Passed) -> u64 {
    clock::rate(passed.offered / rig.flows.len(), passed.ticks)
}

/// At most so many packets of each flow, with fresh SAs; attendance of the worker and of the generator, and latencies.
fn single(
    rig: &mut Rig<'_>,
    pace: Pace,
    packets: usize,
) -> Result<(Passed, Attendance, Attendance, Histogram<u64>)> {
    let packets = rig.flows.iter().filter_map(Flow::once).fold(packets, usize::min);
    let mut latency = pass::latencies()?;
    rig.renew()?;
    rig.attendance()?;
    let mut presence = Presence::start();
    let passed = pass::run(rig, pace, packets, &mut presence, &mut latency)?;
    let generator = presence.finish();
    Ok((passed, rig.attendance()?, generator, latency))
}

/// What was counted since `before`.
fn difference(before: &Drops, after: &Drops) -> Drops {
    let since = after.iter().map(|(&reason, count)| (reason, count - before.get(reason).unwrap_or(&0)));
    since.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_a_trial_are_those_since_it_began() {
        let before = Drops::from([("replay", 3), ("tx_full", 1)]);
        let after = Drops::from([("replay", 3), ("tx_full", 5), ("overload_fair_share", 2)]);
        let expected = Drops::from([("tx_full", 4), ("overload_fair_share", 2)]);
        assert_eq!(difference(&before, &after), expected);
    }
}
