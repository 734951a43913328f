//! What is measured with: EAL, packet buffers, a gateway's pipeline without ports, and clocks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use arrayvec::ArrayVec;
use crypto::Selection;
use dpdk::{Eal, EalConfig, Lcore, LcorePlan, Mbuf, MemoryMode, Mempool, MempoolConfig};
use esplanade_dataplane::config::{Config, LimitConfig};
use esplanade_dataplane::shared::{Offloads, PortFacts, Shared, Tables};
use esplanade_dataplane::steering::Steering;
use esplanade_dataplane::worker::counters::{self, WorkerCounters};
use esplanade_dataplane::worker::{Arrival, BURST, Pipeline, PipelineParts, Transmit};
use packet::{DropReason, PortId};
use rustix::time::{ClockId, clock_gettime};
use shm::counters::{CountersReader, CountersWriter};

use crate::gateway::OUR_MAC;
use crate::traffic::float;

/// Packet buffers of a worker: a capture in memory, and every queue of the virtual devices.
const BUFFERS: u32 = 32_768;
/// Interface slots of the counters page.
const SLOTS: usize = 4;
/// SA lines of the counters page, which the agent writes.
const SA_LINES: usize = 256;

/// The process-wide parts.
pub(crate) struct Machine {
    pub(crate) eal: Eal,
    pub(crate) pool: Mempool,
    pub(crate) engine: Selection,
    /// Lcores without work.
    idle: RefCell<Vec<Lcore>>,
}

impl Machine {
    /// Starts EAL with hugepages where there are some.
    pub(crate) fn start(preference: crypto::Preference, workers: usize) -> Result<Self> {
        let mbufs = BUFFERS * u32::try_from(workers.next_power_of_two())? - 1;
        let config = MempoolConfig { mbufs, data_bytes: 2176, cache: 256 };
        let eal = Eal::init(&EalConfig {
            lcores: LcorePlan::automatic(workers),
            memory: MemoryMode::Auto,
            memory_mib: config.memory_mib() + 128,
            ..EalConfig::default()
        })?;
        let pool = Mempool::new(&eal, "bench", &config)?;
        Ok(Self { eal, pool, engine: crypto::select(preference)?, idle: RefCell::default() })
    }

    /// So many lcores, or what there is.
    pub(crate) fn lcores(&self, count: usize) -> Vec<Lcore> {
        let mut idle = self.idle.borrow_mut();
        idle.extend(self.eal.take_workers());
        let count = count.min(idle.len());
        idle.drain(..count).collect()
    }

    /// One that has done its work.
    pub(crate) fn give_back(&self, lcore: Lcore) {
        self.idle.borrow_mut().push(lcore);
    }

    /// What workers over `tables` have in common. Frames are addressed before there are ports: these get the
    /// addresses that the frames have.
    pub(crate) fn shared(
        &self,
        mut ports: Vec<PortFacts>,
        tables: &Tables,
        workers: u16,
    ) -> Result<Arc<Shared>> {
        for (facts, mac) in ports.iter_mut().zip(OUR_MAC) {
            facts.mac = mac;
        }
        let shared = Shared::new(ports, workers.into(), &limits()?, tables.clone(), dpdk::tsc_hz());
        Ok(Arc::new(shared.with_pool(self.pool)))
    }

    /// The stages of one worker, and its counters.
    pub(crate) fn pipeline(&self, shared: &Arc<Shared>) -> Result<(Pipeline<Mbuf>, CountersReader)> {
        let (mut pipelines, reader) = self.pipelines(shared, 1)?;
        Ok((pipelines.swap_remove(0), reader))
    }

    /// The stages of several workers, and their counters.
    pub(crate) fn pipelines(
        &self,
        shared: &Arc<Shared>,
        workers: u16,
    ) -> Result<(Vec<Pipeline<Mbuf>>, CountersReader)> {
        let count = usize::from(workers);
        let page = CountersWriter::create(&counters::spec(count, SLOTS, SA_LINES, Vec::new()))?;
        let reader = CountersReader::map(&page.fd()?)?;
        let pipeline = |index: u16| {
            Ok(Pipeline::new(PipelineParts {
                index,
                shared: Arc::clone(shared),
                crypto: self.engine.backend.context()?,
                counters: WorkerCounters::new(&page, usize::from(index), SLOTS),
                early_packets: 64,
                reassembly_datagrams: 16,
                spare: Shared::spare,
            }))
        };
        Ok(((0..workers).map(pipeline).collect::<Result<_>>()?, reader))
    }
}

/// A packet buffer with `bytes` in it.
pub(crate) fn packet(pool: Mempool, bytes: &[u8]) -> Result<Mbuf> {
    let mut packet = pool.alloc()?;
    packet.extend_from_slice(bytes)?;
    Ok(packet)
}

/// The limits of a configuration that sets none.
fn limits() -> Result<LimitConfig> {
    let text = "[dataplane]\n[[dataplane.port]]\nname = 'x'\ndevice = 'net_null0'\n";
    Ok(Config::parse(std::path::Path::new("bench"), text)?.limits)
}

/// Dropped packets by the name of the reason.
pub(crate) type Drops = BTreeMap<&'static str, u64>;

/// What a worker dropped, over all interfaces.
pub(crate) fn drops(reader: &CountersReader) -> Drops {
    let count = |reason: DropReason| {
        (0..SLOTS).map(|slot| reader.interface_totals(slot).drops[reason.index()]).sum::<u64>()
    };
    let all = DropReason::ALL.iter().map(|&reason| (reason.name(), count(reason)));
    all.filter(|(_, count)| *count > 0).collect()
}

/// What workers over `tables` have in common, with two ports that there are not.
pub(crate) fn shared(machine: &Machine, tables: &Tables, workers: u16) -> Result<Arc<Shared>> {
    let facts = |(name, mac): (&str, _)| PortFacts {
        name: name.to_owned(),
        driver: "none".to_owned(),
        mac,
        mtu: 9000,
        queues: workers,
        promiscuous: false,
        offloads: Offloads::default(),
        steering: Steering::default(),
    };
    let ports = ["wan", "lan"].into_iter().zip(OUR_MAC).map(facts).collect();
    machine.shared(ports, tables, workers)
}

/// One worker's stages over `tables`, with nothing before or behind them.
pub(crate) struct Bench {
    pub(crate) tables: Tables,
    pub(crate) sent: Sent,
    pub(crate) reader: CountersReader,
    pipeline: Pipeline<Mbuf>,
}

/// What the pipeline sends.
#[derive(Default)]
pub(crate) struct Sent(pub(crate) Vec<Mbuf>);

impl Transmit<Mbuf> for Sent {
    #[inline]
    fn transmit(&mut self, _: PortId, frames: &mut ArrayVec<Mbuf, BURST>) {
        self.0.extend(frames.drain(..));
    }
}

impl Bench {
    pub(crate) fn new(machine: &Machine, tables: Tables) -> Result<Self> {
        let shared = shared(machine, &tables, 1)?;
        let (pipeline, reader) = machine.pipeline(&shared)?;
        Ok(Self { tables, sent: Sent(Vec::with_capacity(4096)), reader, pipeline })
    }

    /// Takes one burst through all stages; returns the TSC cycles that took.
    #[inline(never)]
    pub(crate) fn burst(&mut self, arrivals: &mut ArrayVec<Arrival<Mbuf>, BURST>) -> u64 {
        let before = dpdk::tsc();
        self.pipeline.process(&self.tables, arrivals, &mut self.sent, before);
        dpdk::tsc() - before
    }
}

/// TSC cycles in a second.
pub(crate) fn tsc_hz() -> f64 {
    float(usize::try_from(dpdk::tsc_hz() / 1000).unwrap_or(0)) * 1000.0
}

/// How much of the CPU this thread got while something ran.
pub(crate) struct CpuClock {
    wall: Instant,
    cpu: Duration,
}

impl CpuClock {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: thread_time() }
    }

    /// 1 for an undisturbed thread.
    pub(crate) fn share(&self) -> f64 {
        let wall = self.wall.elapsed().as_secs_f64();
        ((thread_time() - self.cpu).as_secs_f64() / wall.max(1e-9)).min(1.0)
    }

    /// How long the thread was off the CPU.
    pub(crate) fn away(&self) -> Duration {
        self.wall.elapsed().saturating_sub(thread_time().saturating_sub(self.cpu))
    }
}

/// CPU time of this thread.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
