//! Our worker and ipsec-secgw in turns, on the same devices and packets.

use std::time::Duration;

use anyhow::Result;

use crate::gateway::SaSpec;
use crate::machine::Machine;
use crate::report::{Comparison, Direction, Measurement, Scope};
use crate::secgw::Secgw;
use crate::traffic::Size;
use crate::worker::{Captures, Rig};

/// Seconds of each in a round.
const SECONDS: usize = 2;

/// Both directions, in so many rounds.
pub(crate) fn measure(
    machine: &Machine,
    secgw: &Secgw,
    spec: &SaSpec<'_>,
    size: Size,
    rounds: usize,
) -> Result<Vec<Measurement>> {
    let captures = Captures::write(machine, spec, size)?;
    let mut rows = Vec::new();
    for direction in Direction::BOTH {
        let mut rig = Rig::new(machine, spec, direction, &captures)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(rig.sustain(spec, Duration::from_secs(SECONDS as u64))?);
            theirs.push(secgw.sustain(spec.suite, direction, &captures.file(direction), SECONDS)?);
        }
        let mut ratios: Vec<_> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        let comparison = Comparison {
            peer: "ipsec-secgw",
            peer_tsc_per_packet: least(&theirs),
            ratio_tsc: median(&mut ratios),
        };
        let row = Measurement::new(direction, spec, size, Scope::Worker, least(&ours));
        rows.push(Measurement { comparison: Some(comparison), ..row });
    }
    Ok(rows)
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
