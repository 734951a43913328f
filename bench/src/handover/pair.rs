//! Two workers at both gateways, in turn on one thread or each on its own.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use arrayvec::ArrayVec;
use dpdk::{JoinHandle, Mbuf, Mempool};
use esplanade_dataplane::shared::Tables;
use esplanade_dataplane::worker::counters::Figure;
use esplanade_dataplane::worker::{Arrival, BURST, Pipeline};
use shm::counters::CountersReader;

use super::{OTHER, OWNER, WORKERS, Way};
use crate::cycles::{CoreClock, Cost};
use crate::gateway::{LAN, SaSpec, Side, WAN, tables};
use crate::machine::{Drops, Machine, Sent, drops, packet, shared, thread_time};
use crate::path::POLL;
use crate::traffic::float;

/// Both workers at both gateways.
pub(super) struct Pair {
    owner: Post,
    other: Worker,
    head: CountersReader,
    branches: CountersReader,
}

/// What a batch cost on its way through one gateway.
pub(super) struct Passage {
    /// Of the worker that the packets came to without being the owner of their SA.
    pub(super) giver: Cost,
    /// Of the owner.
    pub(super) owner: Cost,
    /// Share of the packets that were handed over.
    pub(super) handed_over: f64,
}

impl Pair {
    /// With one thread both work on this one; else the owner works on an lcore of its own.
    pub(super) fn new(machine: &Machine, spec: &SaSpec<'_>, threads: u16) -> Result<Self> {
        let (head, head_reader) = stages(machine, Side::Head, spec)?;
        let (branches, branches_reader) = stages(machine, Side::Branches, spec)?;
        let workers = head.into_iter().zip(branches).map(|(head, branches)| Worker {
            pool: machine.pool,
            head,
            branches,
            core: None,
            cpu: Duration::ZERO,
            wall: Duration::ZERO,
        });
        let [owner, other] = <[Worker; WORKERS as usize]>::try_from(workers.collect::<Vec<_>>())
            .map_err(|_| anyhow!("there are {WORKERS} workers"))?;
        let owner = if threads > 1 { Post::lcore(machine, owner)? } else { Post::Here(Box::new(owner)) };
        Ok(Self { owner, other, head: head_reader, branches: branches_reader })
    }

    /// Frames come to a gateway by one worker, and leave it by the owner of their SA; returns what left.
    pub(super) fn carry(
        &mut self,
        side: Side,
        way: Way,
        frames: Arc<[Vec<u8>]>,
    ) -> Result<(Passage, Vec<Vec<u8>>)> {
        let count = frames.len();
        let before = self.handed_over(side);
        let (giver, owner) = match way {
            Way::Direct => (Done::NOTHING, self.owner.follow(Order { side, frames })?),
            Way::HandedOver => {
                let giver = self.other.follow(&Order { side, frames })?;
                (giver, self.owner.follow(Order { side, frames: Arc::default() })?)
            }
        };
        ensure!(owner.sent.len() == count, "not every packet was sent: {:?}", self.drops(side));
        let handed = usize::try_from(self.handed_over(side) - before)?;
        let [giver, cost] = [&giver, &owner].map(|done| Cost::of(count, done.tsc, done.core));
        Ok((Passage { giver, owner: cost, handed_over: float(handed) / float(count) }, owner.sent))
    }

    fn reader(&self, side: Side) -> &CountersReader {
        match side {
            Side::Head => &self.head,
            Side::Branches => &self.branches,
        }
    }

    fn handed_over(&self, side: Side) -> u64 {
        self.reader(side).worker_figure(usize::from(OTHER), Figure::HandedOver as usize)
    }

    pub(super) fn drops(&self, side: Side) -> Drops {
        drops(self.reader(side))
    }

    /// The least share of its CPU that one of the workers got.
    pub(super) fn dismiss(self, machine: &Machine) -> Result<f64> {
        let owner = match self.owner {
            Post::Here(worker) => worker.cpu_share(),
            Post::Lcore { orders, handle, .. } => {
                drop(orders);
                let (lcore, share) = handle.join();
                machine.give_back(lcore);
                share.ok().context("the owner panicked")?
            }
        };
        Ok(owner.min(self.other.cpu_share()))
    }
}

/// Both workers' stages at one gateway.
fn stages(machine: &Machine, side: Side, spec: &SaSpec<'_>) -> Result<(Vec<Stages>, CountersReader)> {
    let tables = tables(side, spec)?;
    let (pipelines, reader) = machine.pipelines(&shared(machine, &tables, WORKERS)?, WORKERS)?;
    let stages = |pipeline| Stages { tables: tables.clone(), pipeline, sent: Sent::default() };
    Ok((pipelines.into_iter().map(stages).collect(), reader))
}

/// One worker's stages at one gateway, without devices.
struct Stages {
    tables: Tables,
    pipeline: Pipeline<Mbuf>,
    sent: Sent,
}

impl Stages {
    /// Takes what comes and what was handed over, burst by burst as a worker does; returns the TSC cycles that took.
    #[inline(never)]
    fn run(&mut self, mut frames: impl Iterator<Item = Arrival<Mbuf>>) -> u64 {
        let mut cycles = 0;
        loop {
            let before = dpdk::tsc();
            let mut arrivals = ArrayVec::<_, BURST>::new();
            self.pipeline.gather(&self.tables, &mut arrivals, before);
            arrivals.extend(frames.by_ref().take(POLL));
            if arrivals.is_empty() {
                return cycles;
            }
            self.pipeline.process(&self.tables, &mut arrivals, &mut self.sent, before);
            cycles += dpdk::tsc() - before;
        }
    }
}

/// Where the owner works.
enum Post {
    Here(Box<Worker>),
    Lcore { orders: SyncSender<Order>, done: Receiver<Result<Done>>, handle: JoinHandle<f64> },
}

impl Post {
    fn lcore(machine: &Machine, worker: Worker) -> Result<Self> {
        let lcore = machine.lcores(1).pop().with_context(|| format!("an lcore for worker {OWNER}"))?;
        let (orders, ordered) = sync_channel(1);
        let (told, done) = sync_channel(1);
        let handle = lcore.spawn(move || serve(worker, &ordered, &told));
        Ok(Self::Lcore { orders, done, handle })
    }

    fn follow(&mut self, order: Order) -> Result<Done> {
        match self {
            Self::Here(worker) => worker.follow(&order),
            Self::Lcore { orders, done, .. } => {
                orders.send(order).context("the owner is gone")?;
                await_next(done).context("the owner is gone")?
            }
        }
    }
}

/// The owner on its lcore; returns the share of the CPU that it got.
fn serve(mut worker: Worker, orders: &Receiver<Order>, told: &SyncSender<Result<Done>>) -> f64 {
    while let Some(order) = await_next(orders) {
        if told.send(worker.follow(&order)).is_err() {
            break;
        }
    }
    worker.cpu_share()
}

/// Without sleep: a core that slept would have to be woken, and would have lost its caches to somebody.
fn await_next<T>(receiver: &Receiver<T>) -> Option<T> {
    loop {
        match receiver.try_recv() {
            Ok(item) => return Some(item),
            Err(TryRecvError::Empty) => spin_loop(),
            Err(TryRecvError::Disconnected) => return None,
        }
    }
}

/// What a worker is to do.
struct Order {
    side: Side,
    /// What comes to it from a device. What was handed to it, it takes as well.
    frames: Arc<[Vec<u8>]>,
}

/// What that cost, and what was sent.
struct Done {
    tsc: u64,
    /// Readings of the core's clock before and after.
    core: (Option<u64>, Option<u64>),
    sent: Vec<Vec<u8>>,
}

impl Done {
    /// Of a worker that the packets do not come to.
    const NOTHING: Self = Self { tsc: 0, core: (Some(0), Some(0)), sent: Vec::new() };
}

/// One worker at both gateways, and how much of its CPU it got.
struct Worker {
    pool: Mempool,
    head: Stages,
    branches: Stages,
    /// Of the thread that it works on, from its first order on.
    core: Option<CoreClock>,
    cpu: Duration,
    wall: Duration,
}

impl Worker {
    fn follow(&mut self, order: &Order) -> Result<Done> {
        let frames = order.frames.iter().map(|bytes| packet(self.pool, bytes));
        let frames = frames.collect::<Result<Vec<_>>>()?;
        let (stages, port) = match order.side {
            Side::Head => (&mut self.head, LAN),
            Side::Branches => (&mut self.branches, WAN),
        };
        let clock = self.core.get_or_insert_with(CoreClock::start);
        let (cpu, wall) = (thread_time(), Instant::now());
        let before = clock.now();
        let tsc = stages.run(frames.into_iter().map(|frame| Arrival::Frame { port, frame }));
        let core = (before, clock.now());
        self.wall += wall.elapsed();
        self.cpu += thread_time() - cpu;
        let sent = stages.sent.0.drain(..).map(|frame| frame.data().to_vec()).collect();
        Ok(Done { tsc, core, sent })
    }

    fn cpu_share(&self) -> f64 {
        (self.cpu.as_secs_f64() / self.wall.as_secs_f64().max(1e-9)).min(1.0)
    }
}
