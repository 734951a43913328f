//! The worker thread: poll, process, report, sleep.

use std::sync::Arc;

use arrayvec::ArrayVec;
use dpdk::{Mbuf, RxQueue, TxQueue, WaitError};
use packet::PortId;

use super::burst::{Arrival, BURST};
use super::counters::Figure;
use super::idle::{Idle, Next};
use super::pipeline::Pipeline;
use super::stopwatch::Pace;
use super::transmit::Transmit;
use crate::config::RxMode;
use crate::shared::Shared;

/// Packets taken from one receive queue at a time.
const RX_BURST: usize = 32;

/// One queue pair of every port.
#[derive(Debug)]
pub struct WorkerQueues {
    /// By port.
    pub rx: Vec<RxQueue>,
    /// By port.
    pub tx: Vec<TxQueue>,
}

/// One worker: owns its queues, its counters and its SAs, and shares nothing that it writes.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    rcu: rcu::Worker,
    rx: Vec<RxQueue>,
    tx: TxQueues,
    pipeline: Pipeline<Mbuf>,
    mode: RxMode,
    pace: Pace,
    /// The port that is polled first, in turn.
    first: usize,
}

#[derive(Debug)]
struct TxQueues(Vec<TxQueue>);

impl Transmit<Mbuf> for TxQueues {
    #[inline]
    fn transmit(&mut self, port: PortId, frames: &mut ArrayVec<Mbuf, BURST>) {
        if let Some(queue) = self.0.get_mut(port.index()) {
            queue.tx(frames);
        }
    }
}

impl Worker {
    /// A worker over `queues`, registered in the domain of `shared` from this moment; run it soon.
    ///
    /// # Errors
    ///
    /// The domain has no slot left: more workers than mailboxes.
    pub fn new(
        shared: Arc<Shared>,
        pipeline: Pipeline<Mbuf>,
        queues: WorkerQueues,
        mode: RxMode,
    ) -> Result<Self, rcu::RegisterError> {
        let rcu = shared.domain.register()?;
        Ok(Self {
            shared,
            rcu,
            rx: queues.rx,
            tx: TxQueues(queues.tx),
            pipeline,
            mode,
            pace: Pace::default(),
            first: 0,
        })
    }

    /// Runs until [`Shared::request_stop`]. Call it on the worker's own thread.
    ///
    /// # Errors
    ///
    /// Interrupt mode, and a port has no interrupts: told before the first packet.
    pub fn run(mut self) -> Result<(), WaitError> {
        let shared = Arc::clone(&self.shared);
        let mailbox = &shared.mailboxes[usize::from(self.pipeline.index)];
        mailbox.take_seat();
        let mut idle = Idle::new(self.mode, self.rx.iter_mut(), mailbox)?;
        while !shared.is_stopping() {
            let packets = self.turn();
            if idle.observe(packets) == Next::Sleep {
                if idle.arm(mailbox) && self.turn() == 0 {
                    self.pipeline.counters.add(Figure::Sleeps, 1);
                    self.rcu.offline(|| idle.sleep());
                    self.pace.slept();
                }
                mailbox.awake();
            }
        }
        Ok(())
    }

    /// One round: polls everything once and takes what came through the stages. Returns how many packets
    /// that were.
    pub fn turn(&mut self) -> usize {
        let tables = self.shared.tables.load(&self.rcu);
        let now = dpdk::tsc();
        self.pace.begin(now, &mut self.pipeline.counters);
        let mut arrivals = ArrayVec::new();
        let more = self.pipeline.gather(tables, &mut arrivals, now);
        if self.pipeline.is_behind() {
            let full = drain(&mut self.rx, self.first, &mut self.pipeline);
            self.pipeline.choose(tables, &mut arrivals, full || more, now);
        } else {
            let full = receive(&mut self.rx, self.first, &mut arrivals);
            self.pipeline.note_load(full || more);
        }
        self.first = if self.first + 1 < self.rx.len() { self.first + 1 } else { 0 };
        let packets = arrivals.len();
        if packets > 0 {
            self.pipeline.process(tables, &mut arrivals, &mut self.tx, now);
        }
        self.pace.end(packets, &mut self.pipeline.counters);
        // Nothing of the burst refers to the snapshot any more.
        self.rcu.quiescent();
        packets
    }

    /// Packets it holds back, for a balance of the counters.
    #[must_use]
    pub fn held(&self) -> usize {
        self.pipeline.held()
    }
}

/// Polls the queues, beginning with `first`, while there is room for a whole burst of one. True if one gave that.
#[inline]
fn receive(queues: &mut [RxQueue], first: usize, arrivals: &mut ArrayVec<Arrival<Mbuf>, BURST>) -> bool {
    let ports = queues.len();
    let mut full = false;
    for turn in 0..ports {
        if arrivals.remaining_capacity() < RX_BURST {
            return full;
        }
        let index = (first + turn) % ports;
        let mut frames = ArrayVec::<Mbuf, RX_BURST>::new();
        if queues[index].rx(&mut frames) == 0 {
            continue;
        }
        full |= frames.is_full();
        let port = PortId(u16::try_from(index).unwrap_or(u16::MAX));
        for frame in frames {
            frame.prefetch_header();
            arrivals.push(Arrival::Frame { port, frame });
        }
    }
    full
}

/// Polls the queues in turn, beginning with `first`, until they are empty or the batch of the round is full. True
/// if it is.
#[cold]
fn drain(queues: &mut [RxQueue], first: usize, pipeline: &mut Pipeline<Mbuf>) -> bool {
    let ports = queues.len();
    let mut polled = 0;
    let mut short = 0;
    while short < ports {
        if pipeline.staging_room() < RX_BURST {
            return true;
        }
        let index = (first + polled) % ports;
        polled += 1;
        let mut frames = ArrayVec::<Mbuf, RX_BURST>::new();
        queues[index].rx(&mut frames);
        short = if frames.is_full() { 0 } else { short + 1 };
        let port = PortId(u16::try_from(index).unwrap_or(u16::MAX));
        pipeline.stage(port, frames.into_iter().inspect(Mbuf::prefetch_header));
    }
    false
}
