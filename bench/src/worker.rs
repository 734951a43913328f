//! Scope `worker`: the whole worker between two devices, from a capture file that is played for ever to a
//! device that swallows everything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dpdk::Port;
use esplanade_dataplane::config::RxMode;
use esplanade_dataplane::shared::{Shared, Tables};
use esplanade_dataplane::worker::Worker;
use shm::counters::CountersReader;

use crate::cycles::{CoreClock, Cost};
use crate::devices::{self, Captures};
use crate::gateway::{OUR_MAC, SaSpec, Side, renew, tables};
use crate::machine::{CpuClock, Drops, Machine, drops, limits, thread_time, tsc_hz};
use crate::report::{Direction, Measurement, Scope};
use crate::traffic::{Size, float};

/// Both directions of one suite, size and number of SAs.
pub(crate) fn measure(
    machine: &Machine,
    spec: &SaSpec<'_>,
    size: Size,
    passes: usize,
) -> Result<Vec<Measurement>> {
    let captures = Captures::write(machine, spec, size)?;
    let mut rows = Vec::new();
    for direction in Direction::BOTH {
        let mut rig = Rig::new(machine, spec, direction, &captures)?;
        let clock = CpuClock::start();
        let mut runs = Vec::with_capacity(passes);
        for pass in 0..passes + passes / 10 {
            let cost = rig.pass()?;
            // The first tenth warms up.
            if pass >= passes / 10 {
                runs.push(cost);
            }
            rig.rewind(spec)?;
        }
        let row = Measurement::new(direction, spec, size, Scope::Worker, Cost::lowest_tenth(&runs));
        rows.push(row.with_cpu_share(clock.share()).with_drops(rig.drops()));
    }
    Ok(rows)
}

/// A worker on its two devices.
pub(crate) struct Rig {
    side: Side,
    packets: usize,
    shared: Arc<Shared>,
    tables: Tables,
    worker: Worker,
    reader: CountersReader,
    core: CoreClock,
    /// They close after the worker's queues.
    _ports: Vec<Port>,
}

impl Rig {
    pub(crate) fn new(
        machine: &Machine,
        spec: &SaSpec<'_>,
        direction: Direction,
        captures: &Captures,
    ) -> Result<Self> {
        let mut open = devices::open(machine, direction, captures)?;
        // The frames were addressed before the devices were there.
        for (facts, mac) in open.facts.iter_mut().zip(OUR_MAC) {
            facts.mac = mac;
        }
        let side = match direction {
            Direction::Encap => Side::Head,
            Direction::Decap => Side::Branches,
        };
        let tables = tables(side, spec)?;
        let shared = Shared::new(open.facts, 1, &limits()?, tables.clone(), dpdk::tsc_hz());
        let shared = Arc::new(shared.with_pool(machine.pool));
        let (pipeline, reader) = machine.pipeline(&shared)?;
        let queues = open.queues.pop().context("the worker's queues")?;
        let worker = Worker::new(Arc::clone(&shared), pipeline.with_endless_source(), queues, RxMode::Poll)?;
        let (packets, core) = (captures.packets, CoreClock::start());
        Ok(Self { side, packets, shared, tables, worker, reader, core, _ports: open.ports })
    }

    /// Plays the capture once.
    fn pass(&mut self) -> Result<Cost> {
        let core = self.core.now();
        let before = dpdk::tsc();
        let mut taken = 0;
        while taken < self.packets {
            taken += self.worker.turn();
        }
        let cycles = dpdk::tsc() - before;
        ensure!(taken == self.packets, "a burst crossed the end of the capture");
        Ok(Cost::of(taken, cycles, (core, self.core.now())))
    }

    /// The packets come again: what was received once would be replays.
    fn rewind(&mut self, spec: &SaSpec<'_>) -> Result<()> {
        if self.side == Side::Branches {
            renew(&mut self.tables, self.side, spec)?;
            self.shared.tables.publish(self.tables.clone());
            // What was published before has been left behind during the pass.
            self.shared.domain.reclaim();
        }
        Ok(())
    }

    /// Plays the capture for that long; returns the cycles of CPU time that a packet took.
    pub(crate) fn sustain(&mut self, spec: &SaSpec<'_>, time: Duration) -> Result<Cost> {
        let end = Instant::now() + time;
        let (mut cpu, mut core, mut passes) = (Duration::ZERO, Some(0.0), 0);
        while Instant::now() < end {
            let before = thread_time();
            let cost = self.pass()?;
            cpu += thread_time() - before;
            core = core.zip(cost.core).map(|(sum, core)| sum + core);
            passes += 1;
            self.rewind(spec)?;
        }
        let tsc = cpu.as_secs_f64() * tsc_hz() / float(passes * self.packets);
        Ok(Cost { tsc, core: core.map(|sum| sum / float(passes)) })
    }

    pub(crate) fn drops(&self) -> Drops {
        drops(&self.reader)
    }
}
