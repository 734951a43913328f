//! Our worker, ipsec-secgw, and the devices alone, in turns, on the same devices and packets.

use std::time::Duration;

use anyhow::{Result, ensure};
use indicatif::ProgressBar;

use crate::cycles::Cost;
use crate::devices::{Captures, Wire};
use crate::gateway::SaSpec;
use crate::machine::{CpuClock, Machine};
use crate::report::{Comparison, Direction, Measurement, Ratio, Scope};
use crate::secgw::Secgw;
use crate::traffic::Size;
use crate::worker::Rig;

/// Seconds of each gateway in a round.
const SECONDS: usize = 2;
/// Of the devices alone in a round.
const WIRE_TIME: Duration = Duration::from_millis(500);

/// TSC cycles a packet in one round.
struct Round {
    ours: Cost,
    theirs: f64,
    wire: f64,
}

/// Both directions, in so many rounds.
pub(crate) fn measure(
    machine: &Machine,
    secgw: &Secgw,
    spec: &SaSpec<'_>,
    size: Size,
    rounds: usize,
    bar: &ProgressBar,
) -> Result<Vec<Measurement>> {
    let captures = Captures::write(machine, spec, size)?;
    let mut rows = Vec::new();
    for direction in Direction::BOTH {
        let mut rig = Rig::new(machine, spec, direction, &captures)?;
        let mut wire = Wire::new(machine, direction, &captures)?;
        let mut taken = Vec::with_capacity(rounds);
        let mut share = 0.0;
        for _ in 0..rounds {
            let clock = CpuClock::start();
            let ours = rig.sustain(spec, Duration::from_secs(SECONDS as u64))?;
            share = clock.share().max(share);
            let theirs = secgw.sustain(spec.suite, direction, &captures.file(direction, 0), SECONDS)?;
            taken.push(Round { ours, theirs, wire: wire.sustain(WIRE_TIME)? });
            bar.inc(1);
        }
        let drops = rig.drops();
        ensure!(drops.is_empty(), "packets were dropped: {drops:?}");
        let row = Measurement::new(direction, spec, size, Scope::Worker, least(&taken));
        rows.push(Measurement { comparison: Some(compare(&taken)), ..row.with_cpu_share(share) });
    }
    Ok(rows)
}

/// Our round of the fewest cycles.
fn least(rounds: &[Round]) -> Cost {
    let none = Cost { tsc: f64::INFINITY, core: None };
    rounds.iter().map(|round| round.ours).fold(none, |a, b| if b.tsc < a.tsc { b } else { a })
}

fn compare(rounds: &[Round]) -> Comparison {
    let least = |of: fn(&Round) -> f64| rounds.iter().map(of).fold(f64::INFINITY, f64::min);
    Comparison {
        peer: "ipsec-secgw",
        peer_tsc_per_packet: least(|round| round.theirs),
        io_tsc_per_packet: least(|round| round.wire),
        ratio: Ratio::of(rounds.iter().map(|round| round.ours.tsc / round.theirs)),
        ratio_tsc_less_io: Ratio::of(
            rounds.iter().map(|round| (round.ours.tsc - round.wire) / (round.theirs - round.wire)),
        )
        .median,
    }
}
