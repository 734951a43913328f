//! What was measured: the rows of the table and of the JSON.

use anyhow::Result;
use crypto::Suite;
use serde::{Deserialize, Serialize};

use crate::cycles::Cost;
use crate::engines;
use crate::gateway::SaSpec;
use crate::machine::{Drops, Machine, tsc_hz};
use crate::traffic::{Size, float};

/// Into the tunnel, or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Encap,
    Decap,
}

impl Direction {
    pub(crate) const BOTH: [Self; 2] = [Self::Encap, Self::Decap];
}

/// What of a worker was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// The stages, without receiving and transmitting.
    Path,
    /// The whole worker between two devices.
    Worker,
}

/// One row.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    pub(crate) direction: Direction,
    pub(crate) suite: String,
    /// Bytes of the inner IP packets; of a mixture, the mean.
    pub(crate) bytes: usize,
    /// The packets are a mixture of lengths.
    pub(crate) imix: bool,
    pub(crate) sas: usize,
    pub(crate) workers: u16,
    pub(crate) scope: Scope,
    pub(crate) mpps: f64,
    /// Of inner IP packets.
    pub(crate) gbit_per_s: f64,
    pub(crate) tsc_per_packet: f64,
    /// None where the machine counts no cycles.
    pub(crate) core_cycles_per_packet: Option<f64>,
    /// Of the cryptography alone, in the same run.
    pub(crate) raw_tsc_per_packet: f64,
    /// Our cycles to those of the cryptography alone.
    pub(crate) ratio_raw: f64,
    /// Share of its CPU that the worker got, 0 to 1.
    pub(crate) cpu_share: f64,
    pub(crate) drops: Drops,
    /// Several workers: how many times the rate of one alone; none where they share CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times_one_worker: Option<f64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) comparison: Option<Comparison>,
}

/// TSC cycles that the cryptography of a packet takes alone, in warm caches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawCost {
    pub(crate) seal: f64,
    pub(crate) open: f64,
}

impl RawCost {
    /// The mean over the lengths of a mixture, from so many runs of each.
    pub(crate) fn measure(machine: &Machine, suite: Suite, size: Size, runs: usize) -> Result<Self> {
        let lengths = size.lengths();
        let packets = float(lengths.values().sum());
        let mut sum = Self { seal: 0.0, open: 0.0 };
        for (bytes, share) in lengths {
            let share = float(share) / packets;
            let [seal, open] = engines::raw(&*machine.engine.backend, suite, bytes, runs)?;
            sum = Self { seal: sum.seal + seal * share, open: sum.open + open * share };
        }
        Ok(sum)
    }
}

/// The same packets through another gateway.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    pub(crate) peer: &'static str,
    pub(crate) peer_tsc_per_packet: f64,
    /// Of the devices with nothing between, which both gateways pay as well.
    pub(crate) io_tsc_per_packet: f64,
    #[serde(flatten)]
    pub(crate) ratio: Ratio,
    /// What it would be without receiving and transmitting.
    pub(crate) ratio_tsc_less_io: f64,
}

/// Our cycles to the peer's, over the rounds: below 1, ours is faster.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ratio {
    #[serde(rename = "ratio_tsc")]
    pub(crate) median: f64,
    #[serde(rename = "ratio_tsc_lowest")]
    pub(crate) lowest: f64,
    #[serde(rename = "ratio_tsc_highest")]
    pub(crate) highest: f64,
}

impl Ratio {
    pub(crate) fn of(rounds: impl Iterator<Item = f64>) -> Self {
        let mut rounds: Vec<_> = rounds.collect();
        rounds.sort_by(f64::total_cmp);
        let at = |n: usize| rounds.get(n).copied().unwrap_or(f64::NAN);
        Self { median: at(rounds.len() / 2), lowest: at(0), highest: at(rounds.len().saturating_sub(1)) }
    }
}

impl Measurement {
    /// What `cost` on each worker comes to.
    pub(crate) fn new(direction: Direction, spec: &SaSpec<'_>, size: Size, scope: Scope, cost: Cost) -> Self {
        let rate = tsc_hz() * f64::from(spec.workers) / cost.tsc;
        let bytes = size.bytes();
        Self {
            direction,
            suite: spec.suite.to_string(),
            bytes,
            imix: size == Size::Imix,
            sas: spec.count,
            workers: spec.workers,
            scope,
            mpps: rate / 1e6,
            gbit_per_s: rate * float(bytes) * 8.0 / 1e9,
            tsc_per_packet: cost.tsc,
            core_cycles_per_packet: cost.core,
            raw_tsc_per_packet: f64::NAN,
            ratio_raw: f64::NAN,
            cpu_share: 1.0,
            drops: Drops::new(),
            times_one_worker: None,
            comparison: None,
        }
    }

    pub(crate) fn with_raw(self, raw: &RawCost) -> Self {
        let raw_tsc_per_packet = match self.direction {
            Direction::Encap => raw.seal,
            Direction::Decap => raw.open,
        };
        Self { raw_tsc_per_packet, ratio_raw: self.tsc_per_packet / raw_tsc_per_packet, ..self }
    }

    pub(crate) fn with_cpu_share(self, cpu_share: f64) -> Self {
        Self { cpu_share, ..self }
    }

    pub(crate) fn with_drops(self, drops: impl IntoIterator<Item = (&'static str, u64)>) -> Self {
        let mut sum = self.drops;
        for (reason, count) in drops {
            *sum.entry(reason).or_default() += count;
        }
        Self { drops: sum, ..self }
    }

    pub(crate) fn with_times_one(self, times_one_worker: Option<f64>) -> Self {
        Self { times_one_worker, ..self }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row at `tsc` cycles, where the cryptography alone takes 50.
    pub(crate) fn row(tsc: f64, ratio_to_peer: Option<f64>) -> Measurement {
        let comparison = ratio_to_peer.map(|ratio| Comparison {
            peer: "ipsec-secgw",
            peer_tsc_per_packet: tsc / ratio,
            io_tsc_per_packet: 30.0,
            ratio: Ratio::of([ratio].into_iter()),
            ratio_tsc_less_io: ratio,
        });
        Measurement {
            direction: Direction::Encap,
            suite: "AES-GCM-16-128".to_owned(),
            bytes: 256,
            imix: false,
            sas: 1,
            workers: 1,
            scope: Scope::Worker,
            mpps: 10.0,
            gbit_per_s: 20.0,
            tsc_per_packet: tsc,
            core_cycles_per_packet: None,
            raw_tsc_per_packet: f64::NAN,
            ratio_raw: f64::NAN,
            cpu_share: 1.0,
            drops: Drops::new(),
            times_one_worker: None,
            comparison,
        }
        .with_raw(&RawCost { seal: 50.0, open: 50.0 })
    }

    #[test]
    fn a_ratio_is_the_median_with_its_spread() {
        let ratio = Ratio::of([0.7, 0.5, 0.6].into_iter());
        assert_eq!((ratio.lowest, ratio.median, ratio.highest), (0.5, 0.6, 0.7));
    }
}
