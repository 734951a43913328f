//! What was measured, as a table and as JSON.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::gateway::SaSpec;
use crate::machine::tsc_hz;
use crate::traffic::Size;

/// Into the tunnel, or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Encap,
    Decap,
}

impl Direction {
    pub(crate) const BOTH: [Self; 2] = [Self::Encap, Self::Decap];
}

/// What of a worker was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
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
    /// Bytes of the inner IP packets; `imix` has its mean.
    pub(crate) bytes: f64,
    pub(crate) sas: usize,
    pub(crate) workers: u16,
    pub(crate) scope: Scope,
    pub(crate) mpps: f64,
    /// Of inner IP packets.
    pub(crate) gbit_per_s: f64,
    pub(crate) tsc_per_packet: f64,
    /// None where the machine counts no cycles.
    pub(crate) core_cycles_per_packet: Option<f64>,
    /// Share of its CPU that the worker got, 0 to 1.
    pub(crate) cpu_share: f64,
    pub(crate) drops: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) comparison: Option<Comparison>,
}

/// The same packets through another gateway.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    pub(crate) peer: &'static str,
    pub(crate) peer_tsc_per_packet: f64,
    /// Ours to the peer's, the median of the rounds: below 1, ours is faster.
    pub(crate) ratio_tsc: f64,
}

impl Measurement {
    /// A row at `tsc` cycles a packet.
    pub(crate) fn new(direction: Direction, spec: &SaSpec<'_>, size: Size, scope: Scope, tsc: f64) -> Self {
        let rate = tsc_hz() / tsc;
        Self {
            direction,
            suite: spec.suite.to_string(),
            bytes: size.mean(),
            sas: spec.count,
            workers: spec.workers,
            scope,
            mpps: rate / 1e6,
            gbit_per_s: rate * size.mean() * 8.0 / 1e9,
            tsc_per_packet: tsc,
            core_cycles_per_packet: None,
            cpu_share: 1.0,
            drops: 0,
            comparison: None,
        }
    }

    pub(crate) fn with_cpu_share(self, cpu_share: f64) -> Self {
        Self { cpu_share, ..self }
    }
}

/// The rows as a table.
pub(crate) fn table(rows: &[Measurement]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "scope",
        "direction",
        "suite",
        "bytes",
        "SAs",
        "workers",
        "t/packet",
        "Mpps",
        "Gbit/s",
        "CPU",
        "peer t",
        "ratio",
    ]);
    for row in rows {
        table.add_row([
            format!("{:?}", row.scope).to_lowercase(),
            format!("{:?}", row.direction).to_lowercase(),
            row.suite.clone(),
            format!("{:.0}", row.bytes),
            row.sas.to_string(),
            row.workers.to_string(),
            format!("{:.1}", row.tsc_per_packet),
            format!("{:.3}", row.mpps),
            format!("{:.2}", row.gbit_per_s),
            format!("{:.2}", row.cpu_share),
            row.comparison.as_ref().map_or_else(String::new, |c| format!("{:.1}", c.peer_tsc_per_packet)),
            row.comparison.as_ref().map_or_else(String::new, |c| format!("{:.3}", c.ratio_tsc)),
        ]);
    }
    (3..12)
        .filter_map(|n| table.column_mut(n).map(|column| column.set_cell_alignment(CellAlignment::Right)))
        .count();
    table
}
