//! A gateway between two ports of rings: its worker on a core of its own, the other ends of the rings here.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, Result, anyhow};
use dpdk::{JoinHandle, Lcore, Mempool, Port, RingPeer, RingPortConfig};
use esplanade_dataplane::config::RxMode;
use esplanade_dataplane::ports::{self, OpenPorts};
use esplanade_dataplane::shared::{Shared, Tables};
use esplanade_dataplane::worker::{Worker, WorkerQueues};
use shm::counters::CountersReader;

use crate::devices::port_config;
use crate::machine::{Drops, Machine, drops};
use crate::rate::flow::Flow;
use crate::rate::presence::{Attendance, Presence};

/// Packets that a queue holds, in each direction.
pub(crate) const QUEUE: u32 = 1024;

/// Installs the SAs anew, so that their sequence numbers and replay windows start afresh.
type Renew<'a> = Box<dyn Fn(&mut Tables) -> Result<()> + 'a>;

/// What is measured: a gateway, and what is offered to it.
pub(crate) struct Scene<'a> {
    pub(crate) tables: Tables,
    pub(crate) flows: Vec<Flow>,
    pub(crate) renew: Renew<'a>,
}

/// The gateway runs until this is stopped.
pub(crate) struct Rig<'a> {
    pub(crate) flows: Vec<Flow>,
    /// The other ends of the rings, by port.
    pub(crate) peers: Vec<RingPeer>,
    pub(crate) pool: Mempool,
    tables: Tables,
    renew: Renew<'a>,
    shared: Arc<Shared>,
    reader: CountersReader,
    pub(crate) watch: Arc<Watch>,
    attendance: Receiver<Attendance>,
    worker: JoinHandle<()>,
    /// They close after the worker's queues.
    _ports: Vec<Port>,
}

thread_local! {
    /// Ports made so far: their names are unique in the process.
    static PORTS: Cell<usize> = const { Cell::new(0) };
}

impl<'a> Rig<'a> {
    pub(crate) fn start(machine: &Machine, lcore: Lcore, scene: Scene<'a>) -> Result<Self> {
        let Scene { tables, flows, renew } = scene;
        let mut open = OpenPorts::default();
        open.queues.push(WorkerQueues { rx: Vec::new(), tx: Vec::new() });
        let mut peers = Vec::new();
        for name in ["wan", "lan"] {
            let device = format!("rate{}", PORTS.replace(PORTS.get() + 1));
            let rings = RingPortConfig { queues: 1, depth: QUEUE };
            let (port, mut queue) = Port::ring(&machine.eal, &device, rings)?;
            ports::start(port, &port_config(name, device), 1, &machine.pool, false, &mut open)?;
            peers.append(&mut queue);
        }
        let shared = machine.shared(open.facts, &tables, 1)?;
        let (pipeline, reader) = machine.pipeline(&shared)?;
        let queues = open.queues.pop().context("the worker's queues")?;
        let worker = Worker::new(Arc::clone(&shared), pipeline, queues, RxMode::Poll)?;
        let watch = Arc::new(Watch::default());
        let (sender, attendance) = sync_channel(1);
        let worker = {
            let (shared, watch) = (Arc::clone(&shared), Arc::clone(&watch));
            lcore.spawn(move || work(worker, &shared, &watch, &sender))
        };
        let pool = machine.pool;
        Ok(Self {
            flows,
            peers,
            pool,
            tables,
            renew,
            shared,
            reader,
            watch,
            attendance,
            worker,
            _ports: open.ports,
        })
    }

    /// Stops the worker and gives its core back.
    pub(crate) fn stop(self) -> Result<Lcore> {
        self.shared.request_stop();
        let (lcore, result) = self.worker.join();
        result.map_err(|_| anyhow!("the worker panicked"))?;
        Ok(lcore)
    }

    /// Installs the SAs anew; when it returns the worker uses them. No packet may be on its way.
    pub(crate) fn renew(&mut self) -> Result<()> {
        (self.renew)(&mut self.tables)?;
        let seen = self.shared.tables.publish(self.tables.clone());
        while !self.shared.domain.grace_passed(seen) {
            std::thread::yield_now();
        }
        self.shared.domain.reclaim();
        Ok(())
    }

    /// What the worker did since it was asked last.
    pub(crate) fn attendance(&self) -> Result<Attendance> {
        self.watch.asked.fetch_add(1, Ordering::Relaxed);
        self.attendance.recv().context("the worker has ended")
    }

    /// Drops of the worker so far, by reason.
    pub(crate) fn drops(&self) -> Drops {
        drops(&self.reader)
    }
}

/// Between the worker's thread and this one.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Changes when the worker's attendance is asked for.
    asked: AtomicU32,
    /// Rounds of the worker.
    rounds: AtomicU64,
}

impl Watch {
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Acquire)
    }
}

/// The worker's thread; it answers on `attendance` when `watch` changes.
fn work(mut worker: Worker, shared: &Shared, watch: &Watch, attendance: &SyncSender<Attendance>) {
    let mut presence = Presence::start();
    let (mut answered, mut rounds) = (0, 0);
    while !shared.is_stopping() {
        let packets = worker.turn();
        presence.round(packets, dpdk::tsc());
        rounds += 1;
        watch.rounds.store(rounds, Ordering::Release);
        if packets == 0 {
            std::hint::spin_loop();
        }
        let asked = watch.asked.load(Ordering::Relaxed);
        if asked != answered {
            answered = asked;
            // Nobody listens any more when the measurement failed.
            let _ = attendance.send(presence.finish());
            presence = Presence::start();
        }
    }
}
