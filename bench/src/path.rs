//! Scope `path`: everything a worker does with a packet but receiving and transmitting it.

use anyhow::{Result, ensure};
use arrayvec::ArrayVec;
use dpdk::Mbuf;
use esplanade_dataplane::worker::{Arrival, BURST};
use packet::PortId;

use crate::cycles::{CoreClock, Cost};
use crate::gateway::{LAN, OUR_MAC, SaSpec, Side, WAN, tables};
use crate::machine::{Bench, CpuClock, Machine, drops};
use crate::report::{Direction, Measurement, Scope};
use crate::traffic::{self, Size};

/// Packets in one burst, as a receive queue gives them.
const POLL: usize = 32;
/// Packets prepared at once: in cache, as a device that writes there leaves them.
const BATCH: usize = 256;

/// Both gateways, and the packets between them.
pub(crate) struct Path {
    head: Bench,
    branches: Bench,
    frames: Frames,
    core: CoreClock,
}

impl Path {
    pub(crate) fn new(machine: &Machine, spec: &SaSpec<'_>, size: Size) -> Result<Self> {
        Ok(Self {
            head: Bench::new(machine, tables(Side::Head, spec)?)?,
            branches: Bench::new(machine, tables(Side::Branches, spec)?)?,
            frames: Frames::new(spec.count, size)?,
            core: CoreClock::start(),
        })
    }

    /// Seals `packets`; returns the cycles of each, and the frames as they reach the branches.
    fn seal(&mut self, packets: Vec<Mbuf>) -> (Cost, Vec<Mbuf>) {
        let cost = run_batch(&mut self.head, LAN, packets, &mut self.core);
        let mut sealed = std::mem::take(&mut self.head.sent.0);
        for frame in &mut sealed {
            // The branches' port in place of the router.
            frame.data_mut()[..6].copy_from_slice(&OUR_MAC[WAN.index()].0);
        }
        (cost, sealed)
    }

    fn open(&mut self, packets: Vec<Mbuf>) -> Cost {
        let cost = run_batch(&mut self.branches, WAN, packets, &mut self.core);
        self.branches.sent.0.clear();
        cost
    }

    /// So many frames for the head, and what it makes of them.
    pub(crate) fn record(mut self, machine: &Machine, packets: usize) -> Result<Recording> {
        let mut recording = Recording::default();
        let bytes = |frames: &[Mbuf]| frames.iter().map(|frame| frame.data().to_vec()).collect::<Vec<_>>();
        while recording.plain.len() < packets {
            let batch = self.frames.batch(machine)?;
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

/// Frames as they reach the head and, sealed, the branches: sequence numbers from 1.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) plain: Vec<Vec<u8>>,
    pub(crate) sealed: Vec<Vec<u8>>,
}

/// Both directions of one suite, size and number of SAs.
pub(crate) fn measure(
    machine: &Machine,
    spec: &SaSpec<'_>,
    size: Size,
    runs: usize,
) -> Result<Vec<Measurement>> {
    let mut path = Path::new(machine, spec, size)?;
    let (mut encap, mut decap) = (Vec::with_capacity(runs), Vec::with_capacity(runs));
    let clock = CpuClock::start();
    for run in 0..runs + runs / 10 {
        let batch = path.frames.batch(machine)?;
        let (sealing, sealed) = path.seal(batch);
        ensure!(!sealed.is_empty(), "no packet was sealed: {:?}", drops(&path.head.reader));
        let opening = path.open(sealed);
        // The first tenth warms up.
        if run >= runs / 10 {
            encap.push(sealing);
            decap.push(opening);
        }
    }
    let share = clock.share();
    let row = |direction, costs: &[Cost], gateway: &Bench| {
        Measurement::new(direction, spec, size, Scope::Path, Cost::lowest_tenth(costs))
            .with_cpu_share(share)
            .with_drops(drops(&gateway.reader))
    };
    Ok(vec![row(Direction::Encap, &encap, &path.head), row(Direction::Decap, &decap, &path.branches)])
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

/// A frame for each SA, in an order that no cache foresees.
struct Frames {
    frames: Vec<Vec<u8>>,
    next: usize,
}

impl Frames {
    fn new(sas: usize, size: Size) -> Result<Self> {
        // A stride prime to the number of SAs that jumps pages and sets.
        let stride = (0..).map(|more| 7919 + more).find(|stride| gcd(*stride, sas) == 1).unwrap_or(1);
        let frames = (0..sas.max(12)).map(|n| traffic::frame(n * stride % sas, size.of(n)));
        Ok(Self { frames: frames.collect::<Result<_>>()?, next: 0 })
    }

    fn batch(&mut self, machine: &Machine) -> Result<Vec<Mbuf>> {
        let mut next = || {
            let frame = machine.packet(&self.frames[self.next]);
            self.next = (self.next + 1) % self.frames.len();
            frame
        };
        (0..BATCH).map(|_| next()).collect()
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
