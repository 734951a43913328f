//! Scope `worker`: the whole worker between two devices, from a capture file that is played for ever to a
//! device that swallows everything.

use std::cell::Cell;
use std::fs::File;
use std::path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dpdk::Port;
use esplanade_dataplane::config::{PortConfig, RxMode};
use esplanade_dataplane::ports::{self, OpenPorts};
use esplanade_dataplane::shared::{Shared, Tables};
use esplanade_dataplane::worker::counters::WorkerCounters;
use esplanade_dataplane::worker::{Pipeline, PipelineParts, Worker, WorkerQueues};
use pcap_file::pcap::{PcapPacket, PcapWriter};
use shm::counters::CountersReader;

use crate::gateway::{LAN, OUR_MAC, SaSpec, Side, WAN, renew, tables};
use crate::machine::{CpuClock, Machine, SLOTS, drops, limits, lowest_tenth, page};
use crate::path::Path;
use crate::report::{Direction, Measurement, Scope};
use crate::traffic::Size;

/// Packets in a capture file, at least; whole bursts.
const PACKETS: usize = 4096;

/// Both directions of one suite, size and number of SAs.
pub(crate) fn measure(
    machine: &Machine,
    spec: &SaSpec<'_>,
    size: Size,
    passes: usize,
) -> Result<Vec<Measurement>> {
    let folder = tempfile::tempdir()?;
    let packets = spec.count.next_power_of_two().max(PACKETS);
    let (plain, sealed) = Path::new(machine, spec, size)?.captures(machine, packets)?;
    let sides = [(Direction::Encap, Side::Head, plain), (Direction::Decap, Side::Branches, sealed)];
    let mut rows = Vec::new();
    for (direction, side, frames) in sides {
        let file = folder.path().join("packets.pcap");
        write(&file, &frames)?;
        let mut rig = Rig::new(machine, spec, side, &file)?;
        let clock = CpuClock::start();
        let mut runs = Vec::with_capacity(passes);
        for pass in 0..passes + passes / 10 {
            let cycles = rig.pass(packets)?;
            if pass >= passes / 10 {
                runs.push(cycles);
            }
            // The packets come again: what was received once would be replays.
            if side == Side::Branches {
                rig.renew(spec)?;
            }
        }
        let lost = drops(&rig.reader);
        ensure!(lost.is_empty(), "{direction:?} {size}: packets were dropped: {lost:?}");
        let row = Measurement::new(direction, spec, size, Scope::Worker, lowest_tenth(&mut runs));
        rows.push(row.with_cpu_share(clock.share()));
    }
    Ok(rows)
}

fn write(path: &path::Path, frames: &[Vec<u8>]) -> Result<()> {
    let mut file = PcapWriter::new(File::create(path)?)?;
    for frame in frames {
        let len = u32::try_from(frame.len())?;
        file.write_packet(&PcapPacket::new(Duration::ZERO, len, frame))?;
    }
    Ok(())
}

/// A worker on its two devices.
struct Rig {
    side: Side,
    shared: Arc<Shared>,
    tables: Tables,
    worker: Worker,
    reader: CountersReader,
    /// They close after the worker's queues.
    _ports: Vec<Port>,
}

thread_local! {
    /// Devices made so far: their names are unique in the process.
    static DEVICES: Cell<usize> = const { Cell::new(0) };
}

impl Rig {
    fn new(machine: &Machine, spec: &SaSpec<'_>, side: Side, packets: &path::Path) -> Result<Self> {
        let number = DEVICES.replace(DEVICES.get() + 1);
        let player = format!("net_pcap{number},rx_pcap={},infinite_rx=1", packets.display());
        let sink = format!("net_null{number},no-rx=1");
        let devices = match side {
            Side::Head => [sink, player],
            Side::Branches => [player, sink],
        };
        let mut open = OpenPorts { ports: Vec::new(), facts: Vec::new(), queues: Vec::new() };
        open.queues.push(WorkerQueues { rx: Vec::new(), tx: Vec::new() });
        for (name, device) in ["wan", "lan"].into_iter().zip(devices) {
            let port = Port::open(&machine.eal, &device.parse()?).with_context(|| device.clone())?;
            let config = PortConfig {
                name: name.to_owned(),
                device,
                rx_descriptors: 512,
                tx_descriptors: 512,
                promiscuous: false,
                mtu: 1500,
            };
            ports::start(port, &config, 1, &machine.pool, false, &mut open)?;
        }
        // The frames are addressed before the devices exist.
        open.facts[WAN.index()].mac = OUR_MAC[WAN.index()];
        open.facts[LAN.index()].mac = OUR_MAC[LAN.index()];
        let tables = tables(side, spec)?;
        let shared = Shared::new(open.facts, 1, &limits()?, tables.clone(), dpdk::tsc_hz());
        let shared = Arc::new(shared.with_pool(machine.pool));
        let (page, reader) = page(1, 256)?;
        let pipeline = Pipeline::new(PipelineParts {
            index: 0,
            shared: Arc::clone(&shared),
            crypto: machine.engine.backend.context()?,
            counters: WorkerCounters::new(&page, 0, SLOTS),
            early_packets: 64,
            reassembly_datagrams: 16,
            spare: Shared::spare,
        });
        let queues = open.queues.pop().context("the worker's queues")?;
        let worker = Worker::new(Arc::clone(&shared), pipeline, queues, RxMode::Poll)?;
        Ok(Self { side, shared, tables, worker, reader, _ports: open.ports })
    }

    /// Plays the capture once; returns TSC cycles a packet.
    fn pass(&mut self, packets: usize) -> Result<f64> {
        let before = dpdk::tsc();
        let mut taken = 0;
        while taken < packets {
            taken += self.worker.turn();
        }
        let cycles = dpdk::tsc() - before;
        ensure!(taken == packets, "a burst crossed the end of the capture");
        Ok(f64::from(u32::try_from(cycles)?) / f64::from(u32::try_from(packets)?))
    }

    fn renew(&mut self, spec: &SaSpec<'_>) -> Result<()> {
        renew(&mut self.tables, self.side, spec)?;
        self.shared.tables.publish(self.tables.clone());
        // What was published before has been left behind during the pass.
        self.shared.domain.reclaim();
        Ok(())
    }
}
