//! The devices that a worker is measured between: one plays a capture file for ever, one swallows everything.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{self, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrayvec::ArrayVec;
use dpdk::{Mbuf, Port, RxQueue, TxQueue};
use esplanade_dataplane::config::PortConfig;
use esplanade_dataplane::ports::{self, OpenPorts};
use esplanade_dataplane::worker::WorkerQueues;
use pcap_file::pcap::{PcapPacket, PcapWriter};
use tempfile::TempDir;

use crate::gateway::{LAN, SaSpec, WAN};
use crate::machine::{Machine, thread_time, tsc_hz};
use crate::path::Path;
use crate::report::Direction;
use crate::traffic::{Size, float};

/// Packets in a capture file, at least; whole bursts. So few that they stay in the caches, or what is measured is
/// how the device that plays them waits for memory.
const PACKETS: usize = 512;
/// Packets taken at a time, as a worker and ipsec-secgw do.
const RX_BURST: usize = 32;

/// The packets of one suite, size and number of SAs, as a file for each worker in both directions.
pub(crate) struct Captures {
    folder: TempDir,
    workers: u16,
    /// In each file.
    pub(crate) packets: usize,
}

impl Captures {
    pub(crate) fn write(machine: &Machine, spec: &SaSpec<'_>, size: Size) -> Result<Self> {
        let each = spec.count.div_ceil(usize::from(spec.workers));
        let packets = each.next_power_of_two().max(PACKETS);
        let captures = Self { folder: tempfile::tempdir()?, workers: spec.workers, packets };
        for worker in 0..spec.workers {
            let frames = Path::new(machine, spec, size, worker)?.record(packets)?;
            write(&captures.file(Direction::Encap, worker), &frames.plain)?;
            write(&captures.file(Direction::Decap, worker), &frames.sealed)?;
        }
        Ok(captures)
    }

    /// What is played to a worker in this direction.
    pub(crate) fn file(&self, direction: Direction, worker: u16) -> PathBuf {
        self.folder.path().join(match direction {
            Direction::Encap => format!("plain{worker}.pcap"),
            Direction::Decap => format!("sealed{worker}.pcap"),
        })
    }
}

fn write(path: &path::Path, frames: &[Vec<u8>]) -> Result<()> {
    let mut file = PcapWriter::new(File::create(path)?)?;
    for frame in frames {
        let len = u32::try_from(frame.len())?;
        file.write_packet(&PcapPacket::new(Duration::ZERO, len, frame))?;
    }
    Ok(())
}

thread_local! {
    /// Devices made so far: their names are unique in the process.
    static DEVICES: Cell<usize> = const { Cell::new(0) };
}

/// Both devices, by port, with a queue pair for each worker.
pub(crate) fn open(machine: &Machine, direction: Direction, captures: &Captures) -> Result<OpenPorts> {
    let number = DEVICES.replace(DEVICES.get() + 1);
    let mut player = format!("net_pcap{number}");
    for worker in 0..captures.workers {
        write!(player, ",rx_pcap={}", captures.file(direction, worker).display())?;
    }
    player.push_str(",infinite_rx=1");
    let sink = format!("net_null{number},no-rx=1");
    let devices = match direction {
        Direction::Encap => [sink, player],
        Direction::Decap => [player, sink],
    };
    let mut open = OpenPorts::default();
    let workers = usize::from(captures.workers);
    open.queues.resize_with(workers, || WorkerQueues { rx: Vec::new(), tx: Vec::new() });
    for (name, device) in ["wan", "lan"].into_iter().zip(devices) {
        let port = Port::open(&machine.eal, &device.parse()?).with_context(|| device.clone())?;
        ports::start(port, &port_config(name, device), workers, &machine.pool, false, &mut open)?;
    }
    Ok(open)
}

/// The port of a device without offloads or queues of note.
pub(crate) fn port_config(name: &str, device: String) -> PortConfig {
    PortConfig {
        name: name.to_owned(),
        device,
        rx_descriptors: 512,
        tx_descriptors: 512,
        promiscuous: false,
        mtu: 1500,
    }
}

/// The same two devices with nothing between: what receiving and transmitting alone cost.
pub(crate) struct Wire {
    from: RxQueue,
    to: TxQueue,
    packets: usize,
    /// They close after the queues.
    _ports: Vec<Port>,
}

impl Wire {
    pub(crate) fn new(machine: &Machine, direction: Direction, captures: &Captures) -> Result<Self> {
        let mut open = open(machine, direction, captures)?;
        let (from, to) = match direction {
            Direction::Encap => (LAN, WAN),
            Direction::Decap => (WAN, LAN),
        };
        let mut queues = open.queues.pop().context("its queues")?;
        Ok(Self {
            from: queues.rx.swap_remove(from.index()),
            to: queues.tx.swap_remove(to.index()),
            packets: captures.packets,
            _ports: open.ports,
        })
    }

    /// Passes the capture on for that long; returns the TSC cycles of CPU time that a packet took.
    pub(crate) fn sustain(&mut self, time: Duration) -> Result<f64> {
        let end = Instant::now() + time;
        let before = thread_time();
        let mut passed = 0;
        while Instant::now() < end {
            let target = passed + self.packets;
            while passed < target {
                let mut frames = ArrayVec::<Mbuf, RX_BURST>::new();
                passed += self.from.rx(&mut frames);
                self.to.tx(&mut frames);
            }
        }
        ensure!(passed > 0, "the capture was not played");
        Ok((thread_time() - before).as_secs_f64() * tsc_hz() / float(passed))
    }
}
