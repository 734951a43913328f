//! A gateway's workers without devices: frames in, frames out, on heap buffers.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part of it")]

pub mod frames;
pub mod golden;
pub mod journey;
pub mod setup;

use std::sync::Arc;

use arrayvec::ArrayVec;
use esplanade_dataplane::config::{Config, LimitConfig};
use esplanade_dataplane::journey::{Journey, Lens};
use esplanade_dataplane::shared::{Exception, FromAgent, Notice, Offloads, PortFacts, Shared, Tables};
use esplanade_dataplane::steering::Steering;
use esplanade_dataplane::worker::counters::{self, WorkerCounters};
use esplanade_dataplane::worker::{
    Arrival, BURST, Balance, Buffer, HeapBuffer, Pipeline, PipelineParts, Transmit,
};
use packet::{DropReason, MacAddr, PortId};
use shm::counters::{CountersReader, CountersWriter};

/// Port of the outside and of the inside interface.
pub const WAN: PortId = PortId(0);
pub const LAN: PortId = PortId(1);
/// Ticks of the tests' clock: milliseconds.
pub const TICKS_PER_SECOND: u64 = 1000;
/// Interface slots of the counters page.
pub const SLOTS: usize = 17;

/// Our port's address: port 0 is ..:10, port 1 is ..:11.
pub fn port_mac(port: PortId) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, 0x10 + u8::try_from(port.0).expect("few ports")])
}

pub fn ports() -> Vec<PortFacts> {
    let fact = |name: &str, id| PortFacts {
        name: name.to_owned(),
        driver: "test".to_owned(),
        mac: port_mac(id),
        mtu: 1500,
        queues: 1,
        promiscuous: false,
        offloads: Offloads::default(),
        steering: Steering::default(),
    };
    vec![fact("wan", WAN), fact("lan", LAN)]
}

pub fn limits() -> LimitConfig {
    let text = "[dataplane]\n[[dataplane.port]]\nname = 'x'\ndevice = 'net_null0'\n";
    Config::parse(std::path::Path::new("test.toml"), text).expect("valid").limits
}

/// A counters page for `workers`.
pub fn page(workers: usize) -> (CountersWriter, CountersReader) {
    let spec = counters::spec(workers, SLOTS, 256, Vec::new());
    let page = CountersWriter::create(&spec).expect("a page");
    let reader = CountersReader::map(&page.fd().expect("a descriptor")).expect("mapped");
    (page, reader)
}

/// What was transmitted.
#[derive(Debug, Default)]
pub struct Wire {
    pub frames: Vec<(PortId, Vec<u8>)>,
    /// Ports that take nothing.
    pub stuck: Vec<PortId>,
}

impl Transmit<HeapBuffer> for Wire {
    fn transmit(&mut self, port: PortId, frames: &mut ArrayVec<HeapBuffer, BURST>) {
        if !self.stuck.contains(&port) {
            self.frames.extend(frames.drain(..).map(|frame| (port, frame.data().to_vec())));
        }
    }
}

/// The workers of one gateway.
pub struct Gateway {
    pub shared: Arc<Shared<HeapBuffer>>,
    pub tables: Tables,
    pub pipelines: Vec<Pipeline<HeapBuffer>>,
    pub wire: Wire,
    pub now: u64,
    pub reader: CountersReader,
    pub engine: Arc<dyn crypto::Backend>,
}

impl Gateway {
    /// `workers` workers over `tables`, by the portable engine.
    pub fn new(workers: usize, tables: Tables) -> Self {
        Self::with_engine(workers, tables, setup::engine())
    }

    pub fn with_engine(workers: usize, tables: Tables, engine: Arc<dyn crypto::Backend>) -> Self {
        let shared = Shared::new(ports(), workers, &limits(), tables.clone(), TICKS_PER_SECOND);
        let shared = Arc::new(shared);
        let (page, reader) = page(workers);
        let pipeline = |index: u16| {
            Pipeline::new(PipelineParts {
                index,
                shared: Arc::clone(&shared),
                crypto: engine.context().expect("a context"),
                counters: WorkerCounters::new(&page, index.into(), SLOTS),
                early_packets: 64,
                reassembly_datagrams: 64,
                spare: |_, len| Some(HeapBuffer::new(&vec![0; len.max(2048)])),
            })
        };
        let pipelines = (0..u16::try_from(workers).expect("few")).map(pipeline).collect();
        Self { shared, tables, pipelines, wire: Wire::default(), now: 1, reader, engine }
    }

    /// Takes frames in at a port's queue of `worker`, and lets every worker run until all is quiet. Returns
    /// what was transmitted.
    pub fn feed(&mut self, worker: usize, port: PortId, frames: &[Vec<u8>]) -> Vec<(PortId, Vec<u8>)> {
        for burst in frames.chunks(32) {
            let mut arrivals: ArrayVec<_, BURST> =
                burst.iter().map(|frame| Arrival::Frame { port, frame: HeapBuffer::new(frame) }).collect();
            self.process(worker, &mut arrivals);
            self.settle();
        }
        std::mem::take(&mut self.wire.frames)
    }

    /// Takes frames in at a port's queue of `worker`, while the others stand still.
    pub fn feed_without_others(&mut self, worker: usize, port: PortId, frames: &[Vec<u8>]) {
        for burst in frames.chunks(32) {
            let mut arrivals: ArrayVec<_, BURST> =
                burst.iter().map(|frame| Arrival::Frame { port, frame: HeapBuffer::new(frame) }).collect();
            self.process(worker, &mut arrivals);
        }
    }

    /// As [`Gateway::feed`], one frame to the first worker, with what the device says of it.
    pub fn feed_received(&mut self, port: PortId, frame: HeapBuffer) -> Vec<(PortId, Vec<u8>)> {
        self.process(0, &mut [Arrival::Frame { port, frame }].into_iter().collect());
        self.settle();
        std::mem::take(&mut self.wire.frames)
    }

    /// Gives a packet to the first worker as the agent does.
    pub fn send_by_agent(&mut self, from_agent: FromAgent<HeapBuffer>) -> Vec<(PortId, Vec<u8>)> {
        self.shared.mailboxes[0].from_agent.push(from_agent).expect("room");
        self.settle();
        std::mem::take(&mut self.wire.frames)
    }

    /// One burst at a time for each worker until none has anything to do.
    pub fn settle(&mut self) {
        loop {
            let mut busy = false;
            for worker in 0..self.pipelines.len() {
                let mut arrivals = ArrayVec::new();
                self.pipelines[worker].gather(&self.tables, &mut arrivals, self.now);
                busy |= !arrivals.is_empty();
                self.process(worker, &mut arrivals);
            }
            if !busy {
                return;
            }
        }
    }

    fn process(&mut self, worker: usize, arrivals: &mut ArrayVec<Arrival<HeapBuffer>, BURST>) {
        self.pipelines[worker].process(&self.tables, arrivals, &mut self.wire, self.now);
    }

    /// Packets that ended under `reason`, over all workers and interfaces.
    pub fn drops(&self, reason: DropReason) -> u64 {
        (0..SLOTS).map(|slot| self.reader.interface_totals(slot).drops[reason.index()]).sum()
    }

    /// Every reason that was counted, with its number.
    pub fn all_drops(&self) -> Vec<(DropReason, u64)> {
        let mut counts = [0; DropReason::COUNT];
        for slot in 0..SLOTS {
            let drops = self.reader.interface_totals(slot).drops;
            counts.iter_mut().zip(drops).for_each(|(count, more)| *count += more);
        }
        let drops = DropReason::ALL.iter().copied().zip(counts);
        drops.filter(|(_, count)| *count > 0).collect()
    }

    /// Lets the workers look through these, as the agent does.
    pub fn watch(&self, lenses: &[Lens]) {
        self.shared.stock.fill(true);
        for mailbox in &self.shared.mailboxes {
            mailbox.lenses.force_push(lenses.iter().copied().collect());
        }
    }

    /// The journeys that have ended and are shown.
    pub fn journeys(&self) -> Vec<Journey> {
        let stock = &self.shared.stock;
        let finished = std::iter::from_fn(|| stock.next_finished());
        finished
            .map(|journey| {
                let copy = (*journey).clone();
                stock.give_back(journey);
                copy
            })
            .collect()
    }

    pub fn balance(&self) -> Balance {
        Balance::read(&self.reader, self.pipelines.len())
    }

    /// Panics unless every packet is accounted for exactly once.
    pub fn assert_balanced(&self) {
        let held: usize = self.pipelines.iter().map(Pipeline::held).sum();
        let balance = self.balance();
        assert_eq!(balance.missing(), held as i128, "{balance:?} {:?}", self.all_drops());
        assert_eq!(balance.in_handoff, 0, "{balance:?}");
    }

    pub fn exceptions(&self) -> Vec<Exception<HeapBuffer>> {
        self.shared.mailboxes.iter().flat_map(|m| std::iter::from_fn(|| m.exceptions.pop())).collect()
    }

    pub fn notices(&self) -> Vec<Notice> {
        self.shared.mailboxes.iter().flat_map(|m| std::iter::from_fn(|| m.notices.pop())).collect()
    }
}
