//! Scope `worker`: the whole worker between two devices, from a capture file that is played for ever to a
//! device that swallows everything.

use std::cell::Cell;
use std::fs::File;
use std::path::{self, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dpdk::Port;
use esplanade_dataplane::config::{PortConfig, RxMode};
use esplanade_dataplane::ports::{self, OpenPorts};
use esplanade_dataplane::shared::{Shared, Tables};
use esplanade_dataplane::worker::{Worker, WorkerQueues};
use pcap_file::pcap::{PcapPacket, PcapWriter};
use shm::counters::CountersReader;
use tempfile::TempDir;

use crate::gateway::{OUR_MAC, SaSpec, Side, renew, tables};
use crate::machine::{CpuClock, Machine, drops, limits, lowest_tenth, thread_time, tsc_hz};
use crate::path::Path;
use crate::report::{Direction, Measurement, Scope};
use crate::traffic::{Size, float};

/// Packets in a capture file, at least; whole bursts.
const PACKETS: usize = 4096;

/// The packets of one suite, size and number of SAs, as files for both directions.
pub(crate) struct Captures {
    folder: TempDir,
    packets: usize,
}

impl Captures {
    pub(crate) fn write(machine: &Machine, spec: &SaSpec<'_>, size: Size) -> Result<Self> {
        let captures =
            Self { folder: tempfile::tempdir()?, packets: spec.count.next_power_of_two().max(PACKETS) };
        let frames = Path::new(machine, spec, size)?.record(machine, captures.packets)?;
        write(&captures.file(Direction::Encap), &frames.plain)?;
        write(&captures.file(Direction::Decap), &frames.sealed)?;
        Ok(captures)
    }

    /// What is played to the gateway in this direction.
    pub(crate) fn file(&self, direction: Direction) -> PathBuf {
        self.folder.path().join(match direction {
            Direction::Encap => "plain.pcap",
            Direction::Decap => "sealed.pcap",
        })
    }
}

/// Both directions of one suite, size and number of SAs.
pub(crate) fn measure(
    machine: &Machine,
    spec: &SaSpec<'_>,
    size: Size,
    passes: usize,
) -> Result<Vec<Measurement>> {
    let captures = Captures::write(machine, spec, size)?;
    let mut rows = Vec::new();
    for direction in Direction::BOTH {
        let mut rig = Rig::new(machine, spec, direction, &captures)?;
        let clock = CpuClock::start();
        let mut runs = Vec::with_capacity(passes);
        for pass in 0..passes + passes / 10 {
            let cycles = rig.pass()?;
            if pass >= passes / 10 {
                runs.push(cycles);
            }
            rig.rewind(spec)?;
        }
        rig.check()?;
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
pub(crate) struct Rig {
    side: Side,
    packets: usize,
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
    pub(crate) fn new(
        machine: &Machine,
        spec: &SaSpec<'_>,
        direction: Direction,
        captures: &Captures,
    ) -> Result<Self> {
        let number = DEVICES.replace(DEVICES.get() + 1);
        let player = format!("net_pcap{number},rx_pcap={},infinite_rx=1", captures.file(direction).display());
        let sink = format!("net_null{number},no-rx=1");
        let (side, devices) = match direction {
            Direction::Encap => (Side::Head, [sink, player]),
            Direction::Decap => (Side::Branches, [player, sink]),
        };
        let mut open = OpenPorts { ports: Vec::new(), facts: Vec::new(), queues: Vec::new() };
        open.queues.push(WorkerQueues { rx: Vec::new(), tx: Vec::new() });
        for (name, device) in ["wan", "lan"].into_iter().zip(devices) {
            let port = Port::open(&machine.eal, &device.parse()?).with_context(|| device.clone())?;
            ports::start(port, &port_config(name, device), 1, &machine.pool, false, &mut open)?;
        }
        // The frames were addressed before the devices were there.
        for (facts, mac) in open.facts.iter_mut().zip(OUR_MAC) {
            facts.mac = mac;
        }
        let tables = tables(side, spec)?;
        let shared = Shared::new(open.facts, 1, &limits()?, tables.clone(), dpdk::tsc_hz());
        let shared = Arc::new(shared.with_pool(machine.pool));
        let (pipeline, reader) = machine.pipeline(&shared)?;
        let queues = open.queues.pop().context("the worker's queues")?;
        let worker = Worker::new(Arc::clone(&shared), pipeline.with_endless_source(), queues, RxMode::Poll)?;
        Ok(Self { side, packets: captures.packets, shared, tables, worker, reader, _ports: open.ports })
    }

    /// Plays the capture once; returns TSC cycles a packet.
    pub(crate) fn pass(&mut self) -> Result<f64> {
        let before = dpdk::tsc();
        let mut taken = 0;
        while taken < self.packets {
            taken += self.worker.turn();
        }
        let cycles = dpdk::tsc() - before;
        ensure!(taken == self.packets, "a burst crossed the end of the capture");
        Ok(float(usize::try_from(cycles)?) / float(self.packets))
    }

    /// The packets come again: what was received once would be replays.
    pub(crate) fn rewind(&mut self, spec: &SaSpec<'_>) -> Result<()> {
        if self.side == Side::Branches {
            renew(&mut self.tables, self.side, spec)?;
            self.shared.tables.publish(self.tables.clone());
            // What was published before has been left behind during the pass.
            self.shared.domain.reclaim();
        }
        Ok(())
    }

    /// Plays the capture for that long; returns the TSC cycles of CPU time that a packet took.
    pub(crate) fn sustain(&mut self, spec: &SaSpec<'_>, time: Duration) -> Result<f64> {
        let end = Instant::now() + time;
        let (mut cpu, mut passes) = (Duration::ZERO, 0);
        while Instant::now() < end {
            let before = thread_time();
            self.pass()?;
            cpu += thread_time() - before;
            passes += 1;
            self.rewind(spec)?;
        }
        self.check()?;
        Ok(cpu.as_secs_f64() * tsc_hz() / float(passes * self.packets))
    }

    fn check(&self) -> Result<()> {
        let lost = drops(&self.reader);
        ensure!(lost.is_empty(), "packets were dropped: {lost:?}");
        Ok(())
    }
}

fn port_config(name: &str, device: String) -> PortConfig {
    PortConfig {
        name: name.to_owned(),
        device,
        rx_descriptors: 512,
        tx_descriptors: 512,
        promiscuous: false,
        mtu: 1500,
    }
}
