//! The process from its start to its end.

use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use crypto::{KeyMemory, Selection};
use dpdk::{Eal, EalConfig, JoinHandle, MemoryMode, Mempool, Port};
use packet::PortId;
use packet::ids::SlotBits;
use rustix::process::DumpableBehavior;
use shm::counters::CountersWriter;
use shm::journal::DEFAULT_HALF_LEN;
use shm::session::{Listener, ListenerConfig};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::agent::{self, Agent, AgentParts, DpdkEnvironment, Link};
use crate::config::{self, Config, CryptoBackend, Hugepages, RxMode};
use crate::heap;
use crate::ports::{self, OpenPorts};
use crate::shared::{Shared, Tables};
use crate::steering::Rules;
use crate::worker::counters::{self, WorkerCounters};
use crate::worker::{Pipeline, PipelineParts, Worker, WorkerQueues};

/// Key memory for a SAD slot, bytes: two halves of the largest schedule.
const KEY_BYTES_PER_SLOT: usize = 4096;

/// Runs the data plane until SIGTERM or SIGINT.
///
/// # Errors
///
/// What could not be set up, by name; or a worker that stopped by itself.
pub fn run(config: &Config) -> Result<()> {
    harden();
    let signals = Signals::new([SIGTERM, SIGINT]).context("catching signals")?;
    let engine = engine(config)?;
    let mode = rx_mode(config);
    let (eal, pool, large) = start_eal(config, mode)?;
    let OpenPorts { ports, facts, queues, prophets, rules: _spreading } =
        ports::open(&eal, config, &pool, mode == RxMode::Interrupt)?;
    for (port, facts) in config.ports.iter().zip(&facts) {
        tracing::info!(
            "port {}: {} by {}, {}, MTU {}",
            facts.name,
            port.device,
            facts.driver,
            facts.mac,
            facts.mtu
        );
        tracing::info!("port {}: steering {}", facts.name, facts.steering);
    }
    let ports = Rc::new(ports);
    let kinds: Vec<_> = facts.iter().map(|facts| facts.steering.rules).zip(prophets).collect();
    let rules = Rules::new(Rc::clone(&ports), kinds);

    let bits = SlotBits::for_capacity(config.sad_slots).context("sad_slots")?;
    let tables = Tables::new(bits);
    let shared = Shared::new(facts, config.workers, &config.limits, tables.clone(), dpdk::tsc_hz());
    let (above, _) = ports::large_pool_config(config);
    let shared = Arc::new(shared.with_pool(pool).with_large_pool(above, large));
    let interfaces = config.limits.interfaces + 1;
    let page = page(config, interfaces, bits)?;
    let listener = listen(config, &page)?;
    let parts = AgentParts {
        environment: DpdkEnvironment::new(pool, Box::new(link_probe(ports)), Box::new(rules)),
        shared: Arc::clone(&shared),
        tables,
        backend: Arc::clone(&engine.backend),
        key_memory: key_memory(config)?,
        page: Arc::clone(&page),
        interface_slots: interfaces,
        sa_slots: bits.slots(),
        listener,
    };
    let mut agent = Agent::new(parts, config);
    stop_on(signals, Arc::clone(&shared))?;

    let failed = Arc::new(AtomicBool::new(false));
    let workers = start_workers(config, &eal, &shared, &engine, &page, queues, mode, &failed)?;
    tracing::info!("ready: control connects to {}", config.socket.display());
    notify_ready();
    let ended = agent.run();
    // A stuck worker cannot be joined: end here, leaving nothing to it.
    if let Err(error) = ended {
        tracing::error!("{error}: aborting");
        std::process::abort();
    }
    shared.request_stop();
    for worker in workers {
        drop(worker.join());
    }
    if failed.load(Ordering::Relaxed) {
        bail!("a worker could not run");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Keys must not be found in a core dump; a panic anywhere ends the process, for a worker that is gone
/// leaves its SAs without an owner.
fn harden() {
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process stays dumpable");
    }
    std::panic::set_hook(Box::new(|panic| {
        // Not by tracing: it may be what panicked.
        let _ = writeln!(std::io::stderr(), "esplanade-dataplane: {panic}; aborting");
        std::process::abort();
    }));
}

fn engine(config: &Config) -> Result<Selection> {
    let preference = match config.crypto_backend {
        CryptoBackend::Auto => crypto::Preference::Auto,
        CryptoBackend::IpsecMb => crypto::Preference::IpsecMb,
        CryptoBackend::Portable => crypto::Preference::Portable,
    };
    let engine = crypto::select(preference).context("crypto back-end")?;
    tracing::info!("crypto: {}", engine.description);
    Ok(engine)
}

fn rx_mode(config: &Config) -> RxMode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let hardware = config.ports.iter().all(|port| config::is_pci_address(&port.device));
    let mode = config.rx_mode.unwrap_or_else(|| RxMode::default_for(cores, config.workers, hardware));
    let why = match config.rx_mode {
        Some(_) => "as configured",
        None if hardware => "by the number of cores",
        None => "for virtual devices",
    };
    let workers = config.workers;
    tracing::info!("{workers} worker(s) and the agent on {cores} core(s), RX mode {} {why}", mode.name());
    mode
}

fn start_eal(config: &Config, mode: RxMode) -> Result<(Eal, Mempool, Mempool)> {
    let pool_config = ports::pool_config(config);
    let (_, large_config) = ports::large_pool_config(config);
    let own = match config.memory_mib {
        // Rings, queues and what drivers take beside the pool.
        0 => pool_config.memory_mib() + large_config.memory_mib() + 32,
        mib => u32::try_from(mib)?,
    };
    let eal = Eal::init(&EalConfig {
        devices: ports::devices(config)?,
        lcores: ports::lcores(config, mode),
        memory: match config.hugepages {
            Hugepages::Auto => MemoryMode::Auto,
            Hugepages::No => MemoryMode::Ordinary,
        },
        memory_mib: own,
        ..EalConfig::default()
    })?;
    let pool = Mempool::new(&eal, "packets", &pool_config)?;
    tracing::info!("{} packet buffers of {} bytes", pool_config.mbufs, pool_config.data_bytes);
    let large = Mempool::new(&eal, "large_packets", &large_config)?;
    Ok((eal, pool, large))
}

fn page(config: &Config, interfaces: usize, bits: SlotBits) -> Result<Arc<CountersWriter>> {
    let spec = counters::spec(config.workers, interfaces, bits.slots(), agent::figure_texts());
    Ok(Arc::new(CountersWriter::create(&spec).context("counters page")?))
}

fn listen(config: &Config, page: &CountersWriter) -> Result<Listener> {
    let journal =
        shm::journal::create(config.limits.journal_slots, DEFAULT_HALF_LEN).context("IKE journal")?;
    Ok(Listener::bind(ListenerConfig {
        path: config.socket.clone(),
        allowed_uids: config.control_uids.clone(),
        counters: page.fd().context("counters page")?,
        journal,
    })?)
}

fn key_memory(config: &Config) -> Result<KeyMemory> {
    let bytes = match config.limits.key_memory_mib {
        0 => config.sad_slots * KEY_BYTES_PER_SLOT,
        mib => mib << 20,
    };
    let arena = rcu::Arena::new(bytes).context("key memory")?;
    let pages = match arena.pages() {
        rcu::Pages::Huge => "reserved hugepages",
        rcu::Pages::Transparent => "transparent hugepages, as far as the kernel gives them",
    };
    let tables = if heap::has_huge_pages() { "transparent hugepages likewise" } else { "small pages" };
    tracing::info!("memory of keys: {} MiB in {pages}; tables: {tables}", arena.capacity() >> 20);
    Ok(Arc::new(arena))
}

fn link_probe(ports: Rc<Vec<Port>>) -> impl FnMut(PortId) -> Link {
    move |id| {
        let link = ports.get(id.index()).and_then(|port| port.link().ok());
        link.map_or(Link::default(), |link| Link { up: link.up, speed_mbit: link.mbit_per_s.unwrap_or(0) })
    }
}

#[expect(clippy::too_many_arguments, reason = "each is a part of the process that a worker is made of")]
fn start_workers(
    config: &Config,
    eal: &Eal,
    shared: &Arc<Shared>,
    engine: &Selection,
    page: &CountersWriter,
    queues: Vec<WorkerQueues>,
    mode: RxMode,
    failed: &Arc<AtomicBool>,
) -> Result<Vec<JoinHandle<()>>> {
    let mut handles = Vec::new();
    for ((index, queues), lcore) in (0u16..).zip(queues).zip(eal.take_workers()) {
        let pipeline = Pipeline::new(PipelineParts {
            index,
            shared: Arc::clone(shared),
            crypto: engine.backend.context()?,
            counters: WorkerCounters::new(page, index.into(), config.limits.interfaces + 1),
            early_packets: config.limits.early_packets,
            reassembly_datagrams: config.limits.reassembly_datagrams,
            spare: Shared::spare,
        });
        let worker = Worker::new(Arc::clone(shared), pipeline, queues, mode)?;
        let (shared, failed) = (Arc::clone(shared), Arc::clone(failed));
        handles.push(lcore.spawn(move || {
            if let Err(error) = worker.run() {
                tracing::error!("worker {index}: {error}");
                failed.store(true, Ordering::Relaxed);
                shared.request_stop();
            }
        }));
    }
    if handles.len() != config.workers {
        shared.request_stop();
        bail!("DPDK gave {} lcores for {} workers", handles.len(), config.workers);
    }
    Ok(handles)
}

/// Ends the process in good order on a signal; a second one ends it at once.
fn stop_on(mut signals: Signals, shared: Arc<Shared>) -> Result<()> {
    let wait = move || {
        let mut signals = signals.forever();
        if let Some(signal) = signals.next() {
            tracing::info!("signal {signal}: stopping");
            shared.request_stop();
        }
        if signals.next().is_some() {
            std::process::exit(1);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}

/// Tells the service manager, where one asked (sd_notify(3)).
fn notify_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let path = path.to_string_lossy();
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&*path),
    };
    let sent = UnixDatagram::unbound()
        .and_then(|socket| address.and_then(|address| socket.send_to_addr(b"READY=1", &address)));
    if let Err(error) = sent {
        tracing::warn!(%error, "the service manager was not told");
    }
}
