//! The `[dataplane]` section of the one configuration file.
//!
//! Everything else in the file belongs to the control process and is not looked at. A section that is
//! wrong is refused as a whole, with every mistake at its line: see [`Mistake`].
//!
//! ```toml
//! [dataplane]
//! workers = 1
//! rx-mode = "adaptive"
//! socket = "/run/esplanade/dataplane.sock"
//! port = [
//!   { name = "wan", device = "net_tap0,iface=wan0" },
//!   { name = "lan", device = "0000:03:00.0", mtu = 9000 },
//! ]
//! ```

mod section;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use section::Section;
pub use section::{Mistake, Mistakes};

/// How a worker waits for packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RxMode {
    /// Polls without a pause: lowest latency, one whole core.
    Poll,
    /// Polls; after many empty polls it sleeps 50 µs at a time.
    Adaptive,
    /// Polls while there is work, else sleeps until the device interrupts.
    Interrupt,
}

impl RxMode {
    const NAMES: &[(&str, Self)] =
        &[("poll", Self::Poll), ("adaptive", Self::Adaptive), ("interrupt", Self::Interrupt)];

    /// The word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        section::name_of(Self::NAMES, &self)
    }

    /// The mode where none is configured: polling pays only where every worker and the agent have a core of
    /// their own, and the packets come from hardware rather than from the same cores.
    #[must_use]
    pub fn default_for(cores: usize, workers: usize, hardware: bool) -> Self {
        if hardware && cores > workers { Self::Poll } else { Self::Adaptive }
    }
}

/// Whether packet memory lies on hugepages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hugepages {
    /// Where enough of them are free.
    Auto,
    /// Never.
    No,
}

/// Which crypto engine to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CryptoBackend {
    /// The fastest that this processor runs.
    Auto,
    /// intel-ipsec-mb, or fail.
    IpsecMb,
    /// RustCrypto.
    Portable,
}

/// What becomes of the process when a worker does not come round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StuckWorker {
    /// It ends, to be started anew.
    Abort,
    /// It goes on without that worker.
    Report,
}

/// One device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortConfig {
    /// How control and people call it.
    pub name: String,
    /// PCI address (`0000:03:00.0`) or vdev string (`net_tap0,iface=wan0`).
    pub device: String,
    /// Receive descriptors of each queue.
    pub rx_descriptors: u16,
    /// Transmit descriptors of each queue.
    pub tx_descriptors: u16,
    /// Let the device deliver frames for any station; workers still take only those for the port's address.
    pub promiscuous: bool,
    /// Largest IP packet, in bytes.
    pub mtu: u16,
}

/// Neighbour cache of the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeighbourConfig {
    /// Most entries over all interfaces.
    pub entries: usize,
    /// How long a confirmed address is trusted, in seconds.
    pub reachable_secs: u32,
    /// Packets held for one address while it is resolved.
    pub hold: usize,
}

/// Bounds of queues; each is in packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitConfig {
    /// Exceptions from one worker to the agent that wait.
    pub exceptions: usize,
    /// Packets from all other workers to one that wait.
    pub handoff: usize,
    /// Frames from the agent to a worker that wait.
    pub agent_frames: usize,
    /// Early packets that one worker holds for SAs without keys.
    pub early_packets: usize,
    /// Incomplete packets for us of which one worker holds fragments.
    pub reassembly_datagrams: usize,
    /// Packet buffers; 0 = as many as the queues can hold.
    pub buffers: usize,
    /// ICMP errors we send per second.
    pub icmp_errors_per_sec: u32,
    /// IKE SAs in the journal.
    pub journal_slots: usize,
    /// Interfaces with counters of their own.
    pub interfaces: usize,
    /// Memory for expanded keys, in MiB; 0 = by the number of SAD slots.
    pub key_memory_mib: usize,
}

/// The checked section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// In the order of the file: the index is the port's identity in the contract.
    pub ports: Vec<PortConfig>,
    /// Forwarding threads.
    pub workers: usize,
    /// `None`: by the number of cores.
    pub rx_mode: Option<RxMode>,
    /// Packet memory.
    pub hugepages: Hugepages,
    /// Crypto engine.
    pub crypto_backend: CryptoBackend,
    /// See [`StuckWorker`].
    pub stuck_worker: StuckWorker,
    /// Where control connects.
    pub socket: PathBuf,
    /// Users that may open a control session beside our own.
    pub control_uids: Vec<u32>,
    /// Most SA pairs.
    pub sad_slots: usize,
    /// Core of the agent, then of each worker; empty: floating over all we may use.
    pub cpus: Vec<usize>,
    /// Memory without hugepages, in MiB; 0 = by the number of buffers.
    pub memory_mib: usize,
    /// Neighbour cache.
    pub neighbour: NeighbourConfig,
    /// Queue bounds.
    pub limits: LimitConfig,
}

/// Most workers; one bit each in the masks of the agent.
pub const MAX_WORKERS: usize = 64;
/// Most ports.
pub const MAX_PORTS: usize = 32;
/// The largest MTU that fits one packet buffer with its ESP overhead.
pub const MAX_MTU: u16 = 9216;

impl Config {
    /// Reads and checks `path`.
    ///
    /// # Errors
    ///
    /// Every mistake of the section, or the reason why the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let text = std::fs::read_to_string(path).map_err(|e| Mistakes::unreadable(path, &e))?;
        Self::parse(path, &text)
    }

    /// Checks the text of the file; `path` is for the messages.
    ///
    /// # Errors
    ///
    /// Every mistake of the section.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Mistakes> {
        section::with_table(path, text, "dataplane", |s| {
            let config = Self {
                ports: ports(s),
                workers: s.integer("workers", 1..=MAX_WORKERS, 1),
                rx_mode: s.word_optional("rx-mode", RxMode::NAMES),
                hugepages: s.word("hugepages", &[("auto", Hugepages::Auto), ("no", Hugepages::No)]),
                crypto_backend: s.word("crypto-backend", BACKENDS),
                stuck_worker: s.word("stuck-worker", STUCK_WORKER),
                socket: s.path("socket", "/run/esplanade/dataplane.sock"),
                control_uids: s.integers("control-uids", 0..=u32::MAX - 1),
                sad_slots: s.integer("sad-slots", 256..=1 << 20, 16_384),
                cpus: s.integers("cpus", 0..=4095),
                memory_mib: s.integer("memory-mib", 0..=1 << 20, 0),
                neighbour: s.table("neighbour", neighbour),
                limits: s.table("limits", limits),
            };
            check_cpus(s, &config);
            config
        })
    }
}

const BACKENDS: &[(&str, CryptoBackend)] = &[
    ("auto", CryptoBackend::Auto),
    ("ipsec-mb", CryptoBackend::IpsecMb),
    ("portable", CryptoBackend::Portable),
];

const STUCK_WORKER: &[(&str, StuckWorker)] =
    &[("abort", StuckWorker::Abort), ("report", StuckWorker::Report)];

fn ports(s: &mut Section<'_, '_>) -> Vec<PortConfig> {
    let mut names = HashSet::new();
    let mut devices = HashSet::new();
    s.tables("port", 1..=MAX_PORTS, |port| {
        let config = PortConfig {
            name: port.string("name", "1 to 31 of letters, digits, '-', '_' and '.'", is_port_name),
            device: port.string(
                "device",
                "a PCI address or a vdev string such as net_tap0,iface=wan0",
                is_device,
            ),
            rx_descriptors: port.integer("rx-desc", 32..=8192, 512),
            tx_descriptors: port.integer("tx-desc", 32..=8192, 512),
            promiscuous: port.boolean("promiscuous", false),
            mtu: port.integer("mtu", 576..=MAX_MTU, 1500),
        };
        if !names.insert(config.name.clone()) {
            port.refuse("name", "a name that no other port has");
        }
        let device = config.device.split(',').next().unwrap_or_default().to_owned();
        if !devices.insert(device) {
            port.refuse("device", "a device that no other port uses");
        }
        config
    })
}

fn neighbour(s: &mut Section<'_, '_>) -> NeighbourConfig {
    NeighbourConfig {
        entries: s.integer("entries", 16..=65_536, 4096),
        reachable_secs: s.integer("reachable-secs", 1..=86_400, 30),
        hold: s.integer("hold", 1..=64, 8),
    }
}

fn limits(s: &mut Section<'_, '_>) -> LimitConfig {
    LimitConfig {
        exceptions: s.integer("exceptions", 64..=65_536, 1024),
        handoff: s.integer("handoff", 64..=65_536, 2048),
        agent_frames: s.integer("agent-frames", 64..=65_536, 1024),
        early_packets: s.integer("early-packets", 0..=1024, 64),
        reassembly_datagrams: s.integer("reassembly-datagrams", 0..=256, 16),
        buffers: s.integer("buffers", 0..=1 << 22, 0),
        icmp_errors_per_sec: s.integer("icmp-errors-per-sec", 0..=1_000_000, 1000),
        journal_slots: s.integer("journal-slots", 16..=65_536, 1024),
        interfaces: s.integer("interfaces", 16..=65_536, 1024),
        key_memory_mib: s.integer("key-memory-mib", 0..=1 << 20, 0),
    }
}

fn check_cpus(s: &mut Section<'_, '_>, config: &Config) {
    if !config.cpus.is_empty() && config.cpus.len() != config.workers + 1 {
        s.refuse("cpus", &format!("no entry, or workers + 1 = {} of them", config.workers + 1));
    }
}

fn is_port_name(name: &str) -> bool {
    (1..=31).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A PCI address with or without its domain, or the name of a DPDK virtual device and its arguments.
fn is_device(device: &str) -> bool {
    let name = device.split(',').next().unwrap_or_default();
    is_pci_address(name)
        || (name.len() < 64
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !device.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()))
}

/// `[dddd:]bb:dd.f`, hexadecimal.
#[must_use]
pub fn is_pci_address(name: &str) -> bool {
    let hex = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit());
    let Some((rest, function)) = name.rsplit_once('.') else { return false };
    let mut parts = rest.rsplit(':');
    let (device, bus) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let domain = parts.next();
    parts.next().is_none()
        && matches!(function.as_bytes(), [b'0'..=b'7'])
        && hex(device, 2)
        && hex(bus, 2)
        && domain.is_none_or(|d| hex(d, 4))
}

#[cfg(test)]
mod tests;
