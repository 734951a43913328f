//! What handing a packet over to the worker that owns its SA costs: `esplanade bench --handover`.
//!
//! The same packets come to the owner itself, or to another worker that hands them over; what both workers spend on
//! the latter less what the owner spends on the former is the price of a packet that the device did not steer. With
//! both workers on one thread in turn it is that of the instructions. With a thread each it has the way of the
//! packet's cache lines from one core to the other in it.

mod pair;

use std::sync::Arc;

use anyhow::Result;
use comfy_table::Table;
use crypto::{Preference, Suite};
use serde::Serialize;

use self::pair::{Pair, Passage};
use crate::cycles::Cost;
use crate::gateway::{self, SaSpec, Side};
use crate::machine::Machine;
use crate::path::{BATCH, route_to_branches};
use crate::report::{Direction, Measurement, RawCost, Scope};
use crate::traffic::{self, Size, float};
use crate::{progress, table};

const WORKERS: u16 = 2;
/// Owner of the only SA, and the worker that packets come to instead.
const OWNER: u16 = 0;
const OTHER: u16 = 1;

/// By whom a packet comes to the owner of its SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the device.
    Direct,
    /// By the other worker.
    HandedOver,
}

impl Way {
    const BOTH: [Self; 2] = [Self::Direct, Self::HandedOver];
}

/// One row: packets of one size, in one direction, on one of the ways.
#[derive(Debug, Clone, Serialize)]
struct Row {
    /// Cycles are those of both workers; the rate is that of two workers with equal shares of all SAs.
    #[serde(flatten)]
    measurement: Measurement,
    /// On which the two workers ran.
    threads: u16,
    /// Share of the packets that were handed over.
    handed_over: f64,
    /// Of `tsc_per_packet`, what the worker spent that packets came to without being the owner.
    giver_tsc_per_packet: f64,
    /// And what the owner spent.
    owner_tsc_per_packet: f64,
}

/// Measures and prints.
pub(crate) fn run(suites: &[Suite], sizes: &[Size], runs: usize, json: bool) -> Result<()> {
    let machine = Machine::start(Preference::Auto, 1)?;
    let threads: &[u16] = if machine.eal.shares_cpus() {
        eprintln!("two workers on two threads need two CPUs: none to spare");
        &[1]
    } else {
        &[1, 2]
    };
    let memory = gateway::key_memory(1)?;
    let bar = progress::bar(suites.len() * sizes.len());
    let mut rows = Vec::new();
    for &suite in suites {
        let engine = &*machine.engine.backend;
        let spec = SaSpec { suite, count: 1, workers: WORKERS, engine, memory: &memory };
        for &size in sizes {
            bar.set_message(format!("{suite} {size}"));
            rows.extend(measure(&machine, &spec, size, threads, runs)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let engine = &machine.engine.description;
    if json {
        println!("{}", serde_json::json!({ "engine": engine, "results": rows }));
    } else {
        println!("{engine}\n{}\n\n{LEGEND}", render(&rows));
    }
    Ok(())
}

/// Two workers, and what became of each batch, by direction and way.
struct Round {
    threads: u16,
    pair: Pair,
    passages: [[Vec<Passage>; 2]; 2],
}

impl Round {
    /// Seals a batch, and opens it, on both ways in turn.
    fn pass(&mut self, plain: &Arc<[Vec<u8>]>) -> Result<()> {
        let [sealing, opening] = &mut self.passages;
        for way in Way::BOTH {
            let (passage, mut sealed) = self.pair.carry(Side::Head, way, Arc::clone(plain))?;
            sealing[way as usize].push(passage);
            sealed.iter_mut().for_each(|frame| route_to_branches(frame));
            let (passage, _) = self.pair.carry(Side::Branches, way, sealed.into())?;
            opening[way as usize].push(passage);
        }
        Ok(())
    }

    fn rows(self, machine: &Machine, spec: &SaSpec<'_>, size: Size, raw: &RawCost) -> Result<Vec<Row>> {
        let drops = [Side::Head, Side::Branches].map(|side| self.pair.drops(side));
        let cpu_share = self.pair.dismiss(machine)?;
        let directions = Direction::BOTH.into_iter().zip(self.passages).zip(drops);
        let rows = directions.flat_map(|((direction, ways), drops)| {
            ways.map(|passages| {
                let [giver, owner] = [|passage: &Passage| passage.giver, |passage: &Passage| passage.owner]
                    .map(|cost| Cost::lowest_tenth(&passages.iter().map(cost).collect::<Vec<_>>()));
                let measurement = Measurement::new(direction, spec, size, Scope::Path, giver.and(owner))
                    .with_raw(raw)
                    .with_cpu_share(cpu_share)
                    .with_drops(drops.clone());
                Row {
                    measurement,
                    threads: self.threads,
                    handed_over: passages.iter().map(|passage| passage.handed_over).sum::<f64>()
                        / float(passages.len()),
                    giver_tsc_per_packet: giver.tsc,
                    owner_tsc_per_packet: owner.tsc,
                }
            })
        });
        Ok(rows.collect())
    }
}

/// Both directions and ways, on each number of threads, all in turn.
fn measure(
    machine: &Machine,
    spec: &SaSpec<'_>,
    size: Size,
    threads: &[u16],
    runs: usize,
) -> Result<Vec<Row>> {
    let raw = RawCost::measure(machine, spec.suite, size, runs)?;
    let plain = (0..BATCH).map(|n| traffic::frame(0, size.of(n)));
    let plain: Arc<[_]> = plain.collect::<Result<Vec<_>>>()?.into();
    let round = |&threads| {
        Ok(Round { threads, pair: Pair::new(machine, spec, threads)?, passages: Default::default() })
    };
    let mut rounds = threads.iter().map(round).collect::<Result<Vec<_>>>()?;
    for run in 0..runs + runs / 10 {
        for round in &mut rounds {
            if run == runs / 10 {
                // So far they warmed up.
                round.passages = Default::default();
            }
            round.pass(&plain)?;
        }
    }
    let rows = rounds.into_iter().map(|round| round.rows(machine, spec, size, &raw));
    Ok(rows.collect::<Result<Vec<_>>>()?.concat())
}

const LEGEND: &str = "\
direct: TSC cycles of a packet that comes to the owner of its SA; giver, owner: of the two workers for one that comes
to the other; price: what that costs more, both together. CPU: the least share of its CPU that one of them got";

/// A line for both ways.
fn render(rows: &[Row]) -> Table {
    let header = ["direction", "suite", "bytes", "threads", "direct", "giver", "owner", "price", "CPU"];
    let cells = |ways: &[Row]| {
        let [direct, handed] = ways else { return None };
        let Measurement { direction, suite, .. } = &direct.measurement;
        let price = handed.measurement.tsc_per_packet - direct.measurement.tsc_per_packet;
        Some([
            table::lowercase(direction),
            suite.clone(),
            table::bytes(&direct.measurement),
            direct.threads.to_string(),
            format!("{:.1}", direct.measurement.tsc_per_packet),
            format!("{:.1}", handed.giver_tsc_per_packet),
            format!("{:.1}", handed.owner_tsc_per_packet),
            format!("{price:.1}"),
            format!("{:.2}", handed.measurement.cpu_share),
        ])
    };
    table::plain(header, rows.chunks(Way::BOTH.len()).filter_map(cells), 2)
}
