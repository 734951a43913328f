//! Workers on ring ports, with packet buffers of DPDK: not for those who share [`crate::common`] without it.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part of it")]

use std::sync::Arc;

use arrayvec::ArrayVec;
use dpdk::{
    Eal, EalConfig, LcorePlan, Mbuf, MemoryMode, Mempool, MempoolConfig, Port, RingPeer, RingPortConfig,
};
use esplanade_dataplane::config::{PortConfig, RxMode};
use esplanade_dataplane::ports::{self, OpenPorts};
use esplanade_dataplane::shared::{Shared, Tables};
use esplanade_dataplane::worker::counters::WorkerCounters;
use esplanade_dataplane::worker::{Balance, Pipeline, PipelineParts, Worker, WorkerQueues};
use packet::MacAddr;
use shm::counters::CountersReader;

use crate::common::{SLOTS, limits, page};

/// DPDK, which starts once in a process, and packet buffers.
pub struct World {
    pub eal: Eal,
    pub pool: Mempool,
}

impl World {
    /// Two worker lcores, and so many buffers of 2,048 bytes.
    pub fn start(name: &str, buffers: u32) -> Self {
        let eal = Eal::init(&EalConfig {
            lcores: LcorePlan::automatic(2),
            memory: MemoryMode::Ordinary,
            memory_mib: 64,
            ..EalConfig::default()
        })
        .expect("EAL");
        let config = MempoolConfig { mbufs: buffers, ..MempoolConfig::default() };
        let pool = Mempool::new(&eal, name, &config).expect("a pool");
        Self { eal, pool }
    }
}

/// A gateway on two ring ports.
pub struct Rig {
    pub shared: Arc<Shared>,
    pub workers: Vec<Worker>,
    pub reader: CountersReader,
    pub wan: Vec<RingPeer>,
    pub lan: Vec<RingPeer>,
    pub pool: Mempool,
    pub open: OpenPorts,
}

impl Rig {
    pub fn new(
        world: &World,
        name: &str,
        workers: usize,
        tables: Tables,
        engine: &dyn crypto::Backend,
    ) -> Self {
        let mut open = OpenPorts::default();
        open.queues.resize_with(workers, || WorkerQueues { rx: Vec::new(), tx: Vec::new() });
        let mut peers = Vec::new();
        for side in ["wan", "lan"] {
            let config = RingPortConfig { queues: u16::try_from(workers).expect("few"), depth: 1024 };
            let (port, ring) =
                Port::ring(&world.eal, &format!("{name}_{side}"), config).expect("a ring port");
            ports::start(port, &port_config(side), workers, &world.pool, false, &mut open).expect("started");
            peers.push(ring);
        }
        let (lan, wan) = (peers.pop().expect("two"), peers.pop().expect("two"));
        let shared = Shared::new(open.facts.clone(), workers, &limits(), tables, dpdk::tsc_hz());
        let shared = Arc::new(shared.with_pool(world.pool));
        let (page, reader) = page(workers);
        let worker = |(index, queues): (u16, WorkerQueues)| {
            let pipeline = Pipeline::new(PipelineParts {
                index,
                shared: Arc::clone(&shared),
                crypto: engine.context().expect("a context"),
                counters: WorkerCounters::new(&page, index.into(), SLOTS),
                early_packets: 16,
                reassembly_datagrams: 16,
                spare: Shared::spare,
            });
            Worker::new(Arc::clone(&shared), pipeline, queues, RxMode::Adaptive).expect("a slot")
        };
        let workers = (0u16..).zip(open.queues.drain(..)).map(worker).collect();
        Self { shared, workers, reader, wan, lan, pool: world.pool, open }
    }

    /// Frames to a port, from its neighbour.
    pub fn mac(&self, port: usize) -> MacAddr {
        self.open.facts[port].mac
    }

    /// Every worker in turn until all are idle.
    pub fn settle(&mut self) {
        while self.workers.iter_mut().map(Worker::turn).sum::<usize>() > 0 {}
    }

    pub fn assert_balanced(&self) {
        let balance = Balance::read(&self.reader, self.workers.len());
        assert_eq!((balance.missing(), balance.in_handoff), (0, 0), "{balance:?}");
    }
}

fn port_config(name: &str) -> PortConfig {
    PortConfig {
        name: name.to_owned(),
        device: "net_ring0".to_owned(),
        rx_descriptors: 512,
        tx_descriptors: 512,
        promiscuous: false,
        mtu: 1500,
    }
}

/// Puts frames where the port receives them.
pub fn inject(peer: &mut RingPeer, pool: &Mempool, frames: &[Vec<u8>]) {
    for chunk in frames.chunks(32) {
        let mut burst = ArrayVec::<Mbuf, 32>::new();
        for frame in chunk {
            let mut mbuf = pool.alloc().expect("a buffer");
            mbuf.extend_from_slice(frame).expect("it fits");
            burst.push(mbuf);
        }
        assert_eq!(peer.inject(&mut burst), chunk.len(), "the ring has room");
    }
}

/// What the port has sent.
pub fn collect(peer: &mut RingPeer) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut burst = ArrayVec::<Mbuf, 32>::new();
    while peer.collect(&mut burst) > 0 {
        assert!(burst.iter().all(|mbuf| mbuf.mark() == 0), "a packet leaves without a mark");
        frames.extend(burst.drain(..).map(|mbuf| mbuf.data().to_vec()));
    }
    frames
}
