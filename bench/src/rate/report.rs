//! Rates and latencies, as a table and as JSON.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::machine::Drops;
use crate::rate::trial::Trial;

/// Packets a second that a connection is to carry without loss in each direction.
const MARK_PPS: u64 = 120_000;
/// Bytes of inner packets a second that a connection is to carry, a gigabit: 488,281 packets of 256 bytes.
const MARK_BYTES: u64 = 125_000_000;

/// One row: the highest rate without loss.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// `encap`, `decap`, or `both` at once at this rate each.
    pub(crate) direction: &'static str,
    pub(crate) suite: String,
    /// Bytes of the inner IP packets; of a mixture, the mean.
    pub(crate) bytes: usize,
    /// The packets are a mixture of lengths.
    pub(crate) imix: bool,
    /// Of each direction; 0 if packets were lost at every rate.
    pub(crate) ndr_pps: u64,
    /// Of inner IP packets, of each direction.
    pub(crate) gbit_per_s: f64,
    /// What a connection is to carry.
    pub(crate) marks: [Mark; 2],
    /// What came to its end first: `worker` or `generator`.
    pub(crate) limit: &'static str,
    /// Share of its CPU that the worker got in the trial at this rate, 0 to 1.
    pub(crate) cpu_share: f64,
    pub(crate) generator_cpu_share: f64,
    pub(crate) latency: Vec<Latency>,
    pub(crate) trials: usize,
    /// Tenths of a second that did not count, since the worker or the generator was off its CPU.
    pub(crate) void: usize,
    /// The lowest rate at which packets were lost.
    pub(crate) loss: Option<Loss>,
    /// Generator and worker had to share a CPU: the figures speak of the scheduler.
    pub(crate) shared_cpu: bool,
}

/// A rate that a connection is to carry without loss.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Mark {
    pub(crate) pps: u64,
    pub(crate) met: bool,
}

/// Latencies at a share of the highest rate, microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    /// Percent of the highest rate.
    pub(crate) load: u64,
    pub(crate) offered_pps: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    #[serde(rename = "p99.9")]
    pub(crate) p999: f64,
    pub(crate) max: f64,
    /// Packets lost all the same: a thread was off its CPU.
    pub(crate) lost: usize,
}

/// A trial that lost packets.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Loss {
    pub(crate) offered_pps: u64,
    pub(crate) lost: usize,
    /// By reason; `receive_queue_full` is what the worker did not come to take.
    pub(crate) drops: Drops,
    pub(crate) cpu_share: f64,
    pub(crate) generator_cpu_share: f64,
}

impl Loss {
    pub(crate) fn of(trial: &Trial) -> Self {
        Self {
            offered_pps: trial.offered,
            lost: trial.lost,
            drops: trial.drops.clone(),
            cpu_share: trial.worker.share(),
            generator_cpu_share: trial.generator.share(),
        }
    }
}

impl Latency {
    pub(crate) fn of(load: u64, trial: &Trial) -> Self {
        let at = |quantile| micros(trial.latency.value_at_quantile(quantile));
        Self {
            load,
            offered_pps: trial.offered,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(Histogram::max(&trial.latency)),
            lost: trial.lost,
        }
    }
}

fn micros(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1e6
}

/// Both marks, for packets of so many bytes in the mean.
pub(crate) fn marks(pps: u64, bytes: usize) -> [Mark; 2] {
    [MARK_PPS, MARK_BYTES / (bytes as u64).max(1)].map(|mark| Mark { pps: mark, met: pps >= mark })
}

/// Thousands, as text with one decimal.
pub(crate) fn kilo(count: u64) -> String {
    format!("{}.{}", count / 1000, count % 1000 / 100)
}

/// The rows as a table.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "direction",
        "suite",
        "bytes",
        "kpps",
        "Gbit/s",
        "marks kpps",
        "limit",
        "CPU",
        "load",
        "p50 µs",
        "p90",
        "p99",
        "p99.9",
        "max",
    ]);
    for row in rows {
        let mut before = [
            row.direction.to_owned(),
            row.suite.clone(),
            if row.imix { "imix".to_owned() } else { row.bytes.to_string() },
            kilo(row.ndr_pps),
            format!("{:.2}", row.gbit_per_s),
            row.marks.iter().map(Mark::to_string).collect::<Vec<_>>().join(", "),
            row.limit.to_owned(),
            format!("{:.2}", row.cpu_share),
        ];
        for latency in &row.latency {
            let shown = std::mem::take(&mut before);
            table.add_row(shown.into_iter().chain(latency.cells()));
        }
        if row.latency.is_empty() {
            table.add_row(before);
        }
    }
    for n in (2..5).chain(7..14) {
        if let Some(column) = table.column_mut(n) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", kilo(self.pps), if self.met { "met" } else { "missed" })
    }
}

impl Latency {
    fn cells(&self) -> Vec<String> {
        let times = [self.p50, self.p90, self.p99, self.p999, self.max];
        let lost = if self.lost > 0 { format!(" (lost {})", self.lost) } else { String::new() };
        std::iter::once(format!("{} %{lost}", self.load))
            .chain(times.map(|time| format!("{time:.1}")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabit_of_256_bytes_is_488281_packets() {
        let [first, second] = marks(200_000, 256);
        assert_eq!((first.to_string(), second.to_string()), ("120.0 met".into(), "488.2 missed".into()));
        assert_eq!(second.pps, 488_281);
        assert!(marks(488_281, 256)[1].met);
    }
}
