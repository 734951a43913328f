//! Scope `path`: everything a worker does with a packet but receiving and transmitting it.

use anyhow::{Result, ensure};
use arrayvec::ArrayVec;
use dpdk::{Mbuf, Mempool};
use esplanade_dataplane::worker::{Arrival, BURST};
use packet::PortId;

use crate::cycles::{CoreClock, Cost};
use crate::gateway::{LAN, OUR_MAC, SaSpec, Side, WAN, tables};
use crate::machine::{Bench, Machine, drops, packet};
use crate::report::{Direction, Measurement, Scope};
use crate::team::{self, Work};
use crate::traffic::{self, Size};

/// Packets in one burst, as a receive queue gives them.
pub(crate) const POLL: usize = 32;
/// Packets prepared at once: in cache, as a device that writes there leaves them.
pub(crate) const BATCH: usize = 256;

/// Both gateways, and the packets of one worker between them.
pub(crate) struct Path {
    head: Bench,
    branches: Bench,
    frames: Frames,
    /// Of the thread that measures, from its first pass on.
    core: Option<CoreClock>,
}

impl Path {
    pub(crate) fn new(machine: &Machine, spec: &SaSpec<'_>, size: Size, worker: u16) -> Result<Self> {
        // Its tables are its own, so it owns all SAs in them.
        let own = SaSpec { workers: 1, ..*spec };
        Ok(Self {
            head: Bench::new(machine, tables(Side::Head, &own)?)?,
            branches: Bench::new(machine, tables(Side::Branches, &own)?)?,
            frames: Frames::new(machine.pool, spec, size, worker)?,
            core: None,
        })
    }

    /// Seals `packets`; returns the cycles of each, and the frames as they reach the branches.
    fn seal(&mut self, packets: Vec<Mbuf>) -> (Cost, Vec<Mbuf>) {
        let clock = self.core.get_or_insert_with(CoreClock::start);
        let cost = run_batch(&mut self.head, LAN, packets, clock);
        let mut sealed = std::mem::take(&mut self.head.sent.0);
        sealed.iter_mut().for_each(|frame| route_to_branches(frame.data_mut()));
        (cost, sealed)
    }

    fn open(&mut self, packets: Vec<Mbuf>) -> Cost {
        let clock = self.core.get_or_insert_with(CoreClock::start);
        let cost = run_batch(&mut self.branches, WAN, packets, clock);
        self.branches.sent.0.clear();
        cost
    }

    /// So many frames for the head, and what it makes of them.
    pub(crate) fn record(mut self, packets: usize) -> Result<Recording> {
        let mut recording = Recording::default();
        let bytes = |frames: &[Mbuf]| frames.iter().map(|frame| frame.data().to_vec()).collect::<Vec<_>>();
        while recording.plain.len() < packets {
            let batch = self.frames.batch()?;
            recording.plain.extend(bytes(&batch));
            let (_, sealed) = self.seal(batch);
            recording.sealed.extend(bytes(&sealed));
            let drops = drops(&self.head.reader);
            ensure!(
                recording.sealed.len() == recording.plain.len(),
                "not every packet was sealed: {drops:?}"
            );
        }
        Ok(recording)
    }
}

impl Work for Path {
    /// Seals a batch, and opens it.
    fn pass(&mut self) -> Result<Vec<Cost>> {
        let batch = self.frames.batch()?;
        let (sealing, sealed) = self.seal(batch);
        ensure!(!sealed.is_empty(), "no packet was sealed: {:?}", drops(&self.head.reader));
        Ok(vec![sealing, self.open(sealed)])
    }
}

/// Frames as they reach the head and, sealed, the branches: sequence numbers from 1.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) plain: Vec<Vec<u8>>,
    pub(crate) sealed: Vec<Vec<u8>>,
}

/// What the routers between the gateways make of a frame: the branches' port in place of the first router.
pub(crate) fn route_to_branches(frame: &mut [u8]) {
    frame[..6].copy_from_slice(&OUR_MAC[WAN.index()].0);
}

/// Both directions of one suite, size and number of SAs.
pub(crate) fn measure(
    machine: &Machine,
    spec: &SaSpec<'_>,
    size: Size,
    runs: usize,
) -> Result<Vec<Measurement>> {
    let paths = (0..spec.workers).map(|worker| Path::new(machine, spec, size, worker));
    let measured = team::measure(machine, paths.collect::<Result<_>>()?, runs, || Ok(()))?;
    let rows = Direction::BOTH.into_iter().enumerate().map(|(n, direction)| {
        let dropped = measured.work.iter().map(|path| match direction {
            Direction::Encap => drops(&path.head.reader),
            Direction::Decap => drops(&path.branches.reader),
        });
        Measurement::new(direction, spec, size, Scope::Path, measured.costs[n])
            .with_cpu_share(measured.cpu_share)
            .with_drops(dropped.flatten())
            .with_times_one(measured.times_one.as_ref().map(|times| times[n]))
    });
    Ok(rows.collect())
}

/// Takes the packets through a gateway, burst by burst.
fn run_batch(bench: &mut Bench, port: PortId, packets: Vec<Mbuf>, clock: &mut CoreClock) -> Cost {
    let count = packets.len();
    let mut packets = packets.into_iter();
    let (mut cycles, core) = (0, clock.now());
    loop {
        let mut arrivals: ArrayVec<_, BURST> =
            packets.by_ref().take(POLL).map(|frame| Arrival::Frame { port, frame }).collect();
        if arrivals.is_empty() {
            return Cost::of(count, cycles, (core, clock.now()));
        }
        cycles += bench.burst(&mut arrivals);
    }
}

/// A frame for each SA of a worker, in an order that no cache foresees.
struct Frames {
    pool: Mempool,
    frames: Vec<Vec<u8>>,
    next: usize,
}

impl Frames {
    fn new(pool: Mempool, spec: &SaSpec<'_>, size: Size, worker: u16) -> Result<Self> {
        let (worker, workers) = (usize::from(worker), usize::from(spec.workers));
        let sas = spec.count.saturating_sub(worker).div_ceil(workers);
        ensure!(sas > 0, "worker {worker} owns no SA: there are {}", spec.count);
        // A stride prime to the number of SAs that jumps pages and sets.
        let stride = (0..).map(|more| 7919 + more).find(|stride| gcd(*stride, sas) == 1).unwrap_or(1);
        let sa = |n: usize| n * stride % sas * workers + worker;
        let frames = (0..sas.max(12)).map(|n| traffic::frame(sa(n), size.of(n)));
        Ok(Self { pool, frames: frames.collect::<Result<_>>()?, next: 0 })
    }

    fn batch(&mut self) -> Result<Vec<Mbuf>> {
        let mut next = || {
            let frame = packet(self.pool, &self.frames[self.next]);
            self.next = (self.next + 1) % self.frames.len();
            frame
        };
        (0..BATCH).map(|_| next()).collect()
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
