//! The devices of the configuration: opened, sized, and their queues dealt out to the workers.

use anyhow::{Context, Result, bail, ensure};
use dpdk::{
    Capabilities, Device, Eal, FlowRule, HASH_KEY_MAX, HashFields, LcorePlan, Mempool, MempoolConfig, Port,
};
use packet::MacAddr;
use packet::fair::BATCH;
use packet::reassembly::{MAX_BYTES, MAX_FRAGMENTS};

use crate::config::{self, Config, PortConfig, RxMode};
use crate::shared::{Offloads, PortFacts};
use crate::steering::hash::Prophet;
use crate::steering::probe::{self, Hashing};
use crate::steering::{Path, Steering, plan};
use crate::worker::{BURST, HOLD, WorkerQueues};

/// Bytes that a packet grows behind its end: ESP padding, trailer and tag, rounded up. What comes before
/// its start fits the headroom.
const TAILROOM: usize = 64;
/// Buffers for the longest packets, per worker.
const LARGE_BUFFERS: usize = 128;
/// Ethernet header with two tags, which is what ports are sized for.
const LINK_OVERHEAD: usize = 22;
/// Buffers that each lcore keeps to itself.
const POOL_CACHE: u32 = 256;

/// Drivers that read packets of the kernel's devices, without its word about checksums: of what a program behind a
/// veth sent, it has left them to a device that never saw the packet.
const UNFINISHED: [&str; 2] = ["net_af_packet", "net_af_xdp"];

/// Everything that was opened.
#[derive(Debug, Default)]
pub struct OpenPorts {
    /// By port; they close when dropped, after all queues.
    pub ports: Vec<Port>,
    /// By port.
    pub facts: Vec<PortFacts>,
    /// By worker.
    pub queues: Vec<WorkerQueues>,
    /// By port: what foretells its hash.
    pub prophets: Vec<Option<Prophet>>,
    /// Rules that stay while the ports run.
    pub rules: Vec<FlowRule>,
}

/// The devices by their strings.
///
/// # Errors
///
/// A string that is neither a PCI address nor a virtual device.
pub fn devices(config: &Config) -> Result<Vec<Device>> {
    let parse = |port: &PortConfig| {
        port.device.parse().with_context(|| format!("port {}: device {}", port.name, port.device))
    };
    config.ports.iter().map(parse).collect()
}

/// The lcores: pinned as configured; pinned to cores of their own where they poll without a pause; else free
/// to move, for a sleeping worker leaves its core to others.
#[must_use]
pub fn lcores(config: &Config, mode: RxMode) -> LcorePlan {
    match (config.cpus.split_first(), mode) {
        (Some((main, workers)), _) => LcorePlan::pinned(*main, workers),
        (None, RxMode::Poll) => LcorePlan::automatic(config.workers),
        (None, RxMode::Adaptive | RxMode::Interrupt) => LcorePlan::floating(config.workers, &allowed_cpus()),
    }
}

/// The CPUs this process may use.
fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return vec![0] };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// A pool that cannot run dry while every queue is full.
#[must_use]
pub fn pool_config(config: &Config) -> MempoolConfig {
    let mtu = config.ports.iter().map(|port| usize::from(port.mtu)).max().unwrap_or(1500);
    let data_bytes = (mtu + LINK_OVERHEAD + TAILROOM).next_multiple_of(64).max(2048);
    let mbufs = if config.limits.buffers > 0 { config.limits.buffers } else { buffers(config) };
    MempoolConfig {
        mbufs: u32::try_from(mbufs).unwrap_or(u32::MAX),
        data_bytes: u16::try_from(data_bytes).unwrap_or(u16::MAX),
        cache: POOL_CACHE,
    }
}

/// Buffers for packets made of fragments, where those of [`pool_config`] are too small for the longest; with
/// the longest packet that these do hold, bytes.
#[must_use]
pub fn large_pool_config(config: &Config) -> (usize, MempoolConfig) {
    let above = usize::from(pool_config(config).data_bytes) - LINK_OVERHEAD - TAILROOM;
    let data_bytes = (usize::from(MAX_BYTES) + LINK_OVERHEAD + TAILROOM).next_multiple_of(64);
    // As many as may wait for the agent and come back from it, at a rate that nobody needs.
    let mbufs = (LARGE_BUFFERS * config.workers).next_power_of_two() - 1;
    let large = MempoolConfig {
        mbufs: u32::try_from(mbufs).unwrap_or(u32::MAX),
        data_bytes: u16::try_from(data_bytes).unwrap_or(u16::MAX),
        cache: 0,
    };
    (above, large)
}

fn buffers(config: &Config) -> usize {
    let limits = &config.limits;
    let descriptors = |port: &PortConfig| usize::from(port.rx_descriptors) + usize::from(port.tx_descriptors);
    let in_queues: usize = config.ports.iter().map(descriptors).sum();
    let handoff = if config.workers > 1 { limits.handoff } else { 0 };
    let in_worker = BURST * (2 + config.ports.len())
        + BATCH
        + HOLD
        + handoff
        + limits.exceptions
        + limits.agent_frames
        + limits.early_packets
        + limits.reassembly_datagrams * MAX_FRAGMENTS
        + POOL_CACHE as usize * 3 / 2;
    let in_agent = config.neighbour.hold * 64 + BURST;
    // A power of two less one wastes least.
    ((in_queues + in_worker) * config.workers + in_agent).next_power_of_two() - 1
}

/// Opens, configures and starts every port of the configuration.
///
/// # Errors
///
/// The first port that does not come up, by its name and device, and why.
pub fn open(eal: &Eal, config: &Config, pool: &Mempool, rx_interrupts: bool) -> Result<OpenPorts> {
    let mut opened = OpenPorts::default();
    opened.queues.resize_with(config.workers, || WorkerQueues { rx: Vec::new(), tx: Vec::new() });
    for (port_config, device) in config.ports.iter().zip(devices(config)?) {
        let name = &port_config.name;
        let port = Port::open(eal, &device).with_context(|| format!("port {name}"))?;
        start(port, port_config, config.workers, pool, rx_interrupts, &mut opened)
            .with_context(|| format!("port {name} ({})", port_config.device))?;
    }
    Ok(opened)
}

/// Configures and starts a port, and deals its queues out.
///
/// # Errors
///
/// What the device cannot do or the driver refused.
pub fn start(
    mut port: Port,
    config: &PortConfig,
    workers: usize,
    pool: &Mempool,
    rx_interrupts: bool,
    into: &mut OpenPorts,
) -> Result<()> {
    let queues = u16::try_from(workers)?;
    // A virtual device does in software what it offers, and of the whole packet.
    let hardware = config::is_pci_address(&config.device);
    let able = port.capabilities()?;
    let wanted = dpdk::PortConfig {
        rx_queues: queues,
        tx_queues: queues,
        rx_descriptors: config.rx_descriptors,
        tx_descriptors: config.tx_descriptors,
        mtu: config.mtu,
        promiscuous: config.promiscuous,
        hash: HashFields::NONE,
        hash_key: hash_key(),
        ipv4_checksum: hardware,
        rx_interrupts,
    };
    let hashing = configure(&mut port, &able, wanted, pool)?;
    let all = port.start()?;
    ensure!(all.rx.len() == workers && all.tx.len() == workers, "it has not a queue for every worker");
    for ((rx, tx), worker) in all.rx.into_iter().zip(all.tx).zip(&mut into.queues) {
        worker.rx.push(rx);
        worker.tx.push(tx);
    }
    let (found, rules) = probe::probe(&port, &able, queues, hashing);
    let steering = Steering::new(found);
    into.prophets.push(prophet(&port, &steering));
    into.rules.extend(rules);
    into.facts.push(PortFacts {
        name: config.name.clone(),
        offloads: Offloads {
            rss: steering.path > Path::HandOver,
            ipv4_checksum: hardware && able.ipv4_checksum,
            completes_checksums: UNFINISHED.contains(&able.driver.as_str()),
        },
        driver: able.driver,
        mac: MacAddr(port.mac()?),
        mtu: config.mtu,
        queues,
        promiscuous: config.promiscuous,
        steering,
    });
    into.ports.push(port);
    Ok(())
}

/// Configures the best hash that the device takes.
fn configure(
    port: &mut Port,
    able: &Capabilities,
    wanted: dpdk::PortConfig,
    pool: &Mempool,
) -> Result<Hashing> {
    let mut refused = None;
    let offered =
        if wanted.rx_queues > 1 { plan::believed(&able.driver, able.hash) } else { HashFields::NONE };
    for fields in plan::hashes(offered) {
        match port.configure(&dpdk::PortConfig { hash: fields, ..wanted.clone() }, pool) {
            Ok(()) => return Ok(Hashing { fields, refused }),
            // It may be refused for something else, too.
            Err(error) if fields == HashFields::NONE => return Err(error.into()),
            Err(error) => _ = refused.get_or_insert_with(|| error.to_string()),
        }
    }
    bail!("it takes no configuration")
}

/// A key that nobody outside knows, lest packets be made that all come to one worker.
fn hash_key() -> Option<[u8; HASH_KEY_MAX]> {
    let mut key = [0; HASH_KEY_MAX];
    let filled = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty());
    matches!(filled, Ok(HASH_KEY_MAX)).then_some(key)
}

/// What foretells the hash of a port, where its driver tells key and queues.
fn prophet(port: &Port, steering: &Steering) -> Option<Prophet> {
    if steering.hashing == HashFields::NONE && !steering.spreads_by_spi {
        return None;
    }
    let table = port.hash_table().ok()?;
    Some(Prophet { table, fields: steering.hashing, spi_alone: steering.spreads_by_spi })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(text: &str) -> Config {
        Config::parse(Path::new("gw.toml"), text).expect("valid")
    }

    #[test]
    fn the_pool_covers_every_queue_and_the_largest_frame() {
        let two = config(
            "[dataplane]\nport = [{name='a',device='net_null0'},{name='b',device='net_null1',mtu=9000}]\n",
        );
        let pool = pool_config(&two);
        assert!(pool.mbufs >= 4 * 512 + 2 * 1024, "{pool:?}");
        assert!((pool.mbufs + 1).is_power_of_two());
        assert!(usize::from(pool.data_bytes) >= 9000 + LINK_OVERHEAD + TAILROOM);
        let small =
            config("[dataplane]\nport = [{name='a',device='net_null0'}]\nlimits = {buffers = 4095}\n");
        assert_eq!((pool_config(&small).mbufs, pool_config(&small).data_bytes), (4095, 2048));
    }
}
