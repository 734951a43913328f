//! One pass: the generator, which offers packets at a pace, and the sink, which collects them, on one thread.

use std::time::Duration;

use anyhow::{Context, Result};
use arrayvec::ArrayVec;
use dpdk::{Mbuf, Mempool, RingPeer};
use hdrhistogram::Histogram;
use packet::PortId;

use crate::gateway::{LAN, WAN};
use crate::rate::clock;
use crate::rate::flow::Flow;
use crate::rate::presence::Presence;
use crate::rate::rig::{QUEUE, Rig, Watch};
use crate::report::Direction;

/// Packets offered or collected at a time.
const BURST: usize = 32;
/// Packets on their way when the pace is the gateway's own: too few to fill a queue.
const WINDOW: usize = 512;
/// Packets that a late generator makes up for; beyond that, it offers less than it was asked to.
const CATCH_UP: u64 = 128;
/// The pass is over when nothing came for so many rounds of the worker.
const SILENCE: u64 = 256;
/// A gateway at its own pace that sends nothing for so long has lost the packets on their way.
const STUCK: Duration = Duration::from_millis(500);
/// Of so many packets, the latency of one is measured: to read more of them costs more than to send them.
const SAMPLE: usize = 8;
/// Packets whose times are remembered: more than all queues and the worker hold.
const STAMPS: usize = 8 * QUEUE as usize;
/// The longest latency that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(10);

/// How fast packets are offered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Packets a second of each flow.
    Rate(u64),
    /// As the gateway takes them.
    Window,
}

/// Latencies in nanoseconds.
pub(crate) fn latencies() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(u64::try_from(LONGEST.as_nanos())?, 3)?)
}

/// What became of a pass, all flows together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) offered: usize,
    /// Found the receive queue full.
    pub(crate) refused: usize,
    pub(crate) collected: usize,
    /// From the first packet to the last one offered, TSC ticks.
    pub(crate) ticks: u64,
}

impl Passed {
    pub(crate) fn add(&mut self, other: Self) {
        self.offered += other.offered;
        self.refused += other.refused;
        self.collected += other.collected;
        self.ticks += other.ticks;
    }

    /// Packets offered to each of so many flows.
    pub(crate) fn share(&self, flows: usize) -> usize {
        self.offered / flows.max(1)
    }

    pub(crate) fn lost(&self) -> usize {
        self.offered.saturating_sub(self.collected)
    }
}

/// Offers `packets` of each flow of `rig`, whose SAs are fresh, and waits for them.
pub(crate) fn run(
    rig: &mut Rig<'_>,
    pace: Pace,
    packets: usize,
    presence: &mut Presence,
    latency: &mut Histogram<u64>,
) -> Result<Passed> {
    let mut lanes: Vec<_> = rig.flows.iter().map(|flow| Lane::new(flow, packets)).collect();
    let mut schedule = Schedule::new(pace, lanes.len());
    let start = dpdk::tsc();
    schedule.begin(start);
    let (mut last, mut moving) = (start, start);
    while lanes.iter().any(|lane| lane.offered < packets) {
        let now = dpdk::tsc();
        let mut moved = 0;
        for (n, lane) in lanes.iter_mut().enumerate() {
            let due = schedule.due(n, now, lane);
            moved += lane.offer(&mut rig.peers, &rig.pool, due)?;
            moved += lane.collect(&mut rig.peers, latency);
        }
        last = dpdk::tsc();
        presence.round(moved, last);
        if moved > 0 {
            moving = last;
        } else if matches!(pace, Pace::Window) && last - moving > clock::ticks(STUCK) {
            break;
        }
    }
    drain(&mut rig.peers, &rig.watch, &mut lanes, latency);
    let sum = |count: fn(&Lane<'_>) -> usize| lanes.iter().map(count).sum();
    Ok(Passed {
        offered: sum(|lane| lane.offered),
        refused: sum(|lane| lane.refused),
        collected: sum(|lane| lane.collected),
        ticks: last - start,
    })
}

/// Collects what is still on its way.
fn drain(peers: &mut [RingPeer], watch: &Watch, lanes: &mut [Lane<'_>], latency: &mut Histogram<u64>) {
    let mut heard = watch.rounds();
    while lanes.iter().any(|lane| lane.on_the_way() > 0) {
        let rounds = watch.rounds();
        let came: usize = lanes.iter_mut().map(|lane| lane.collect(peers, latency)).sum();
        if came > 0 {
            heard = rounds;
        } else if rounds - heard > SILENCE {
            return;
        }
    }
}

/// When the next packet of each flow is due.
struct Schedule {
    pace: Pace,
    /// TSC ticks from one packet to the next, as a binary fraction.
    interval: u64,
    next: ArrayVec<u64, 2>,
}

/// Binary places of times in a [`Schedule`]: hours of ticks still fit above them.
const FRACTION: u32 = 16;

impl Schedule {
    fn new(pace: Pace, flows: usize) -> Self {
        let interval = match pace {
            Pace::Rate(rate) => (dpdk::tsc_hz() << FRACTION) / rate.max(1),
            Pace::Window => 0,
        };
        Self { pace, interval, next: (0..flows).map(|_| 0).collect() }
    }

    fn begin(&mut self, now: u64) {
        self.next.iter_mut().for_each(|next| *next = now << FRACTION);
    }

    /// How many packets a flow is to offer now.
    #[inline]
    fn due(&mut self, flow: usize, now: u64, lane: &Lane<'_>) -> usize {
        let most = BURST.min(lane.packets - lane.offered);
        if let Pace::Window = self.pace {
            return most.min(WINDOW.saturating_sub(lane.on_the_way()));
        }
        let mut due = 0;
        let earliest = (now << FRACTION).saturating_sub(CATCH_UP * self.interval);
        self.next[flow] = self.next[flow].max(earliest);
        while due < most && self.next[flow] <= now << FRACTION {
            self.next[flow] += self.interval;
            due += 1;
        }
        due
    }
}

/// One flow in a pass.
struct Lane<'a> {
    flow: &'a Flow,
    into: PortId,
    out_of: PortId,
    packets: usize,
    offered: usize,
    refused: usize,
    collected: usize,
    /// When packets were offered, by their number.
    stamps: Box<[u64]>,
}

impl<'a> Lane<'a> {
    fn new(flow: &'a Flow, packets: usize) -> Self {
        let (into, out_of) = match flow.direction {
            Direction::Encap => (LAN, WAN),
            Direction::Decap => (WAN, LAN),
        };
        let stamps = vec![0; STAMPS].into_boxed_slice();
        Self { flow, into, out_of, packets, offered: 0, refused: 0, collected: 0, stamps }
    }

    fn on_the_way(&self) -> usize {
        (self.offered - self.refused).saturating_sub(self.collected)
    }

    /// Offers so many packets; returns how many.
    #[inline]
    fn offer(&mut self, peers: &mut [RingPeer], pool: &Mempool, count: usize) -> Result<usize> {
        if count == 0 {
            return Ok(0);
        }
        let mut burst = ArrayVec::<Mbuf, BURST>::new();
        pool.alloc_bulk(&mut burst, count).context("no packet buffer is free")?;
        for (n, packet) in (self.offered..).zip(&mut burst) {
            packet.extend_from_slice(self.flow.frames.of(n))?;
        }
        let now = dpdk::tsc();
        for n in self.offered..self.offered + count {
            self.stamps[n % STAMPS] = now;
        }
        peers[self.into.index()].inject(&mut burst);
        self.offered += count;
        self.refused += burst.len();
        Mbuf::free_bulk(&mut burst);
        Ok(count)
    }

    /// Collects what the gateway sent; returns how many.
    #[inline]
    fn collect(&mut self, peers: &mut [RingPeer], latency: &mut Histogram<u64>) -> usize {
        let mut burst = ArrayVec::<Mbuf, BURST>::new();
        let count = peers[self.out_of.index()].collect(&mut burst);
        if count == 0 {
            return 0;
        }
        let now = dpdk::tsc();
        let first = self.collected.next_multiple_of(SAMPLE) - self.collected;
        for packet in burst.iter().skip(first).step_by(SAMPLE) {
            if let Some(number) = self.flow.number(packet.data()) {
                latency.saturating_record(clock::nanos(now.saturating_sub(self.stamps[number % STAMPS])));
            }
        }
        Mbuf::free_bulk(&mut burst);
        self.collected += count;
        count
    }
}
