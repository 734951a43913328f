//! Scope `worker`: the whole worker between two devices, from a capture file that is played for ever to a
//! device that swallows everything.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dpdk::Port;
use esplanade_dataplane::config::RxMode;
use esplanade_dataplane::shared::{Shared, Tables};
use esplanade_dataplane::worker::{Pipeline, Worker};
use shm::counters::CountersReader;

use crate::cycles::{CoreClock, Cost};
use crate::devices::{self, Captures};
use crate::gateway::{SaSpec, Side, renew, tables};
use crate::machine::{Drops, Machine, drops, thread_time, tsc_hz};
use crate::report::{Direction, Measurement, Scope};
use crate::team::{self, Work};
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
        let players = mem::take(&mut rig.players);
        let measured = team::measure(machine, players, passes, || rig.rewind(spec))?;
        let row = Measurement::new(direction, spec, size, Scope::Worker, measured.costs[0])
            .with_cpu_share(measured.cpu_share)
            .with_drops(rig.drops())
            .with_times_one(measured.times_one.map(|times| times[0]));
        rows.push(row);
    }
    Ok(rows)
}

/// Workers on their two devices.
pub(crate) struct Rig {
    side: Side,
    shared: Arc<Shared>,
    tables: Tables,
    players: Vec<Player>,
    reader: CountersReader,
    /// They close after the workers' queues.
    _ports: Vec<Port>,
}

/// A worker that plays its capture.
struct Player {
    worker: Worker,
    packets: usize,
    /// Of the thread it runs on, from its first pass on.
    core: Option<CoreClock>,
}

impl Player {
    /// Plays the capture once.
    fn play(&mut self) -> Result<Cost> {
        let clock = self.core.get_or_insert_with(CoreClock::start);
        let core = clock.now();
        let before = dpdk::tsc();
        let mut taken = 0;
        while taken < self.packets {
            taken += self.worker.turn();
        }
        let cycles = dpdk::tsc() - before;
        ensure!(taken == self.packets, "a burst crossed the end of the capture");
        Ok(Cost::of(taken, cycles, (core, clock.now())))
    }
}

impl Work for Player {
    fn pass(&mut self) -> Result<Vec<Cost>> {
        Ok(vec![self.play()?])
    }
}

impl Rig {
    pub(crate) fn new(
        machine: &Machine,
        spec: &SaSpec<'_>,
        direction: Direction,
        captures: &Captures,
    ) -> Result<Self> {
        let open = devices::open(machine, direction, captures)?;
        let side = match direction {
            Direction::Encap => Side::Head,
            Direction::Decap => Side::Branches,
        };
        let tables = tables(side, spec)?;
        let shared = machine.shared(open.facts, &tables, spec.workers)?;
        let (pipelines, reader) = machine.pipelines(&shared, spec.workers)?;
        let player = |(pipeline, queues): (Pipeline<_>, _)| {
            let pipeline = pipeline.with_endless_source();
            let worker = Worker::new(Arc::clone(&shared), pipeline, queues, RxMode::Poll)?;
            Ok(Player { worker, packets: captures.packets, core: None })
        };
        let players = pipelines.into_iter().zip(open.queues).map(player).collect::<Result<_>>()?;
        Ok(Self { side, shared, tables, players, reader, _ports: open.ports })
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

    /// The first worker plays its capture for that long; returns the cycles of CPU time that a packet took.
    pub(crate) fn sustain(&mut self, spec: &SaSpec<'_>, time: Duration) -> Result<Cost> {
        let end = Instant::now() + time;
        let (mut cpu, mut core, mut passes, mut packets) = (Duration::ZERO, Some(0.0), 0, 0);
        while Instant::now() < end {
            let player = self.players.first_mut().context("a worker")?;
            let before = thread_time();
            let cost = player.play()?;
            cpu += thread_time() - before;
            core = core.zip(cost.core).map(|(sum, core)| sum + core);
            (passes, packets) = (passes + 1, packets + player.packets);
            self.rewind(spec)?;
        }
        let tsc = cpu.as_secs_f64() * tsc_hz() / float(packets);
        Ok(Cost { tsc, core: core.map(|sum| sum / float(passes)) })
    }

    pub(crate) fn drops(&self) -> Drops {
        drops(&self.reader)
    }
}
