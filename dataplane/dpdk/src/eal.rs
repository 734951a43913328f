//! DPDK's environment abstraction layer: started once in a process.

use std::ffi::{CStr, CString, c_char};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::device::Device;
use crate::error::Errno;
use crate::lcore::{Lcore, LcorePlan};
use crate::log;
use crate::memory::{Memory, MemoryMode};

/// Set by the first [`Eal::init`], for good: EAL does not start twice in a process.
static STARTED: AtomicBool = AtomicBool::new(false);

/// How EAL starts.
#[derive(Debug, Clone)]
pub struct EalConfig {
    /// The ports to come. NICs must be named here, for EAL looks at no others; virtual devices may be.
    pub devices: Vec<Device>,
    /// Where the main lcore and the workers run.
    pub lcores: LcorePlan,
    /// Hugepages or not.
    pub memory: MemoryMode,
    /// What all pools take by [`crate::MempoolConfig::memory_mib`], and 32 more for queues and rings, MiB;
    /// at least 64. All of it is taken at the start.
    pub memory_mib: u32,
    /// The least severe messages of DPDK that reach `tracing`.
    pub log_level: LogLevel,
}

impl Default for EalConfig {
    /// No NIC, one worker, 256 MiB.
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            lcores: LcorePlan::automatic(1),
            memory: MemoryMode::Auto,
            memory_mib: 256,
            log_level: LogLevel::Warning,
        }
    }
}

/// DPDK's levels, as far as one wants to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what is odd.
    #[default]
    Warning,
    /// And what EAL found.
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Proof that EAL is up. It is never taken down: buffers, pools and ports may outlive this value, and
/// the end of the process leaves nothing behind.
#[derive(Debug)]
pub struct Eal {
    memory: Memory,
    shared_cpus: bool,
    workers: Mutex<Vec<Lcore>>,
}

impl Eal {
    /// Starts EAL; this thread becomes the main lcore and is moved to its CPUs. Threads made later
    /// inherit that. Processes do not disturb each other: nothing is shared or left in the file system.
    ///
    /// # Errors
    /// See [`EalError`]. After [`EalError::Start`] only a new process can try again.
    pub fn init(config: &EalConfig) -> Result<Self, EalError> {
        let need = config.memory_mib.max(64);
        let memory = Memory::decide(config.memory, need, hugepages::System::host().free_hugepages_mib())?;
        let arguments = arguments(config, &memory, need)?;
        if !dpdk_sys::layout_agrees() {
            return Err(EalError::Layout);
        }
        check_version()?;
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EalError::Twice);
        }
        log::redirect();
        start(arguments)?;
        tracing::info!(target: "dpdk", "DPDK {} runs on {memory}", crate::DPDK_VERSION);
        Ok(Self { memory, shared_cpus: config.lcores.is_shared(), workers: Mutex::new(Lcore::all()) })
    }

    /// What packet memory is made of.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// True when lcores share CPUs: workers must sleep when idle.
    #[must_use]
    pub fn shares_cpus(&self) -> bool {
        self.shared_cpus
    }

    /// All worker lcores, to the first who asks.
    #[must_use]
    pub fn take_workers(&self) -> Vec<Lcore> {
        let mut workers = self.workers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut *workers)
    }

    /// How pools queue their free buffers. Where lcores share CPUs, a thread may lose its CPU in the
    /// middle of an operation: there, the kind of ring is used in which others need not wait for it.
    pub(crate) fn pool_ops(&self) -> &'static CStr {
        if self.shared_cpus { c"ring_mt_rts" } else { c"ring_mp_mc" }
    }
}

/// EAL's command line.
fn arguments(config: &EalConfig, memory: &Memory, need: u32) -> Result<Vec<CString>, EalError> {
    let lcores = config.lcores.argument().ok_or(EalError::Lcores)?;
    let mut arguments = vec![
        "esplanade-dataplane".to_owned(),
        "--no-telemetry".to_owned(),
        format!("--file-prefix=esplanade-{}", std::process::id()),
        format!("--lcores={lcores}"),
        "--main-lcore=0".to_owned(),
        format!("--log-level={}", config.log_level.word()),
        format!("-m{}", memory.taken_mib(need)),
    ];
    // Either way no file is shared with, or left for, another process; EAL refuses --in-memory together
    // with --no-huge.
    arguments.extend(match memory {
        Memory::Hugepages { .. } => vec!["--in-memory".to_owned()],
        Memory::Ordinary { .. } => vec!["--no-huge".to_owned(), "--no-shconf".to_owned()],
    });
    let allowed: Vec<String> = config.devices.iter().filter_map(Device::pci).map(|a| a.to_string()).collect();
    if allowed.is_empty() {
        arguments.push("--no-pci".to_owned());
    }
    arguments.extend(allowed.into_iter().map(|address| format!("--allow={address}")));
    // No argument can hold a zero byte: they are numbers, addresses and our own words.
    Ok(arguments.into_iter().filter_map(|argument| CString::new(argument).ok()).collect())
}

/// The library that was loaded must be of the release we were built against: its structures' layouts are
/// compiled in.
fn check_version() -> Result<(), EalError> {
    // SAFETY: returns a string constant.
    let loaded = unsafe { CStr::from_ptr(dpdk_sys::rte_version()) }.to_string_lossy().into_owned();
    let release = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
    let number = loaded.trim_start_matches("DPDK ");
    if release(number) == release(crate::DPDK_VERSION) {
        Ok(())
    } else {
        Err(EalError::Version { loaded: number.to_owned() })
    }
}

fn start(arguments: Vec<CString>) -> Result<(), EalError> {
    // EAL keeps pointers into its arguments: they live as long as the process.
    let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    pointers.push(std::ptr::null_mut());
    let pointers = pointers.leak();
    let count = i32::try_from(pointers.len() - 1).map_err(|_| EalError::Lcores)?;
    // SAFETY: `count` terminated strings, then NULL, all leaked; the first call in this process.
    let (status, said) = log::capture(|| unsafe { dpdk_sys::rte_eal_init(count, pointers.as_mut_ptr()) });
    if status < 0 {
        return Err(EalError::Start { source: Errno::last(), said: said.join("; ") });
    }
    // SAFETY: EAL is up.
    if unsafe { dpdk_sys::shim_mbuf_reserve_mark() } < 0 {
        return Err(EalError::Mark(Errno::last()));
    }
    remove_runtime_directory();
    Ok(())
}

/// EAL makes a directory for the files that it would share with other processes; we share none.
fn remove_runtime_directory() {
    // SAFETY: EAL is up; returns a string that it keeps.
    let path = unsafe { CStr::from_ptr(dpdk_sys::rte_eal_get_runtime_dir()) };
    // Refused unless it is empty.
    let _ = std::fs::remove_dir(path.to_string_lossy().as_ref());
}

/// Why EAL did not start.
#[derive(Debug, thiserror::Error)]
pub enum EalError {
    /// The second call in a process.
    #[error("DPDK has been started in this process before")]
    Twice,
    /// The configuration insists on hugepages.
    #[error(
        "hugepages are required but only {free_mib} MiB of {need_mib} MiB are free: \
         `esplanade doctor` says how to reserve them"
    )]
    NoHugepages {
        /// Needed, MiB.
        need_mib: u32,
        /// Free, MiB.
        free_mib: u64,
    },
    /// The plan of lcores is empty or too large.
    #[error("every lcore needs at least one CPU, and there can be at most 128 lcores")]
    Lcores,
    /// The build was made with compilers that disagree.
    #[error("the bindings and the C shim disagree on DPDK's structures: build dpdk-sys afresh")]
    Layout,
    /// Another DPDK was loaded than built against.
    #[error(
        "built against DPDK {}, but DPDK {loaded} was loaded: install the package for this system",
        crate::DPDK_VERSION
    )]
    Version {
        /// The release of the loaded library.
        loaded: String,
    },
    /// A driver has the field that we mark packets in.
    #[error("a driver uses the mbuf field that Esplanade needs: {0}")]
    Mark(#[source] Errno),
    /// EAL refused.
    #[error("DPDK did not start: {source}{}{said}", if said.is_empty() { "" } else { ": " })]
    Start {
        /// The number EAL left.
        source: Errno,
        /// The errors it logged.
        said: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(config: &EalConfig, memory: &Memory) -> String {
        let arguments = arguments(config, memory, 256).expect("a plan with CPUs");
        let words: Vec<String> = arguments.into_iter().filter_map(|a| a.into_string().ok()).collect();
        words.join(" ")
    }

    #[test]
    fn without_nics_the_pci_bus_is_left_alone() {
        let config = EalConfig {
            devices: vec!["net_null0".parse().expect("vdev")],
            lcores: LcorePlan::floating(1, &[0, 1]),
            ..EalConfig::default()
        };
        let line = line(&config, &Memory::Ordinary { mib: 256, free_mib: Some(0) });
        assert!(line.contains("--no-pci") && line.contains("--no-huge") && line.contains("-m256"), "{line}");
        assert!(line.contains("--lcores=0@(0,1),1@(0,1)"), "{line}");
        assert!(!line.contains("net_null"), "a virtual device is made when its port is opened: {line}");
    }

    #[test]
    fn only_the_named_nics_are_touched() {
        let config =
            EalConfig { devices: vec!["0000:01:00.0".parse().expect("PCI")], ..EalConfig::default() };
        let line = line(&config, &Memory::Hugepages { free_mib: 1024 });
        assert!(line.contains("--allow=0000:01:00.0"), "{line}");
        assert!(!line.contains("--no-pci") && !line.contains("--no-huge"), "{line}");
    }
}
