//! The checks behind `esplanade doctor`: what was found, whether it suffices, and what to do if not.

use serde::{Deserialize, Serialize};

use crate::memory::Pool;
use crate::nic::{Binding, Nic};
use crate::system::System;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// The gateway runs, but slower or with less.
    Warn,
    /// The gateway does not start with this.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at; unique.
    pub name: String,
    /// How it went.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about it; none where all is well.
    pub fix: Option<String>,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Ok, found: found.into(), fix: None }
    }

    fn warn(name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Warn, found: found.into(), fix: Some(fix.into()) }
    }

    fn fail(name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Fail, found: found.into(), fix: Some(fix.into()) }
    }
}

/// What the gateway is to run on: from its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Packet memory, MiB.
    pub memory_mib: u64,
    /// Worker threads.
    pub workers: usize,
    /// Full PCI addresses of the configured NICs.
    pub nics: Vec<String>,
}

impl Default for Needs {
    /// 256 MiB, one worker, no NIC.
    fn default() -> Self {
        Self { memory_mib: 256, workers: 1, nics: Vec::new() }
    }
}

/// Looks at everything on this machine, for a gateway of default size.
#[must_use]
pub fn doctor() -> Vec<Check> {
    checks(&System::host(), &Needs::default())
}

/// Looks at everything.
#[must_use]
pub fn checks(system: &System, needs: &Needs) -> Vec<Check> {
    let mut checks = vec![
        hugepages(system, needs),
        transparent_hugepages(system),
        memory(system, needs),
        cpu_crypto(system),
        cpu_count(system, needs),
        cpu_isolation(system, needs),
        memory_lock(system, needs),
        tun(system),
        vfio(system, needs),
        iommu(system, needs),
    ];
    checks.extend(needs.nics.iter().map(|address| nic(system, address)));
    checks
}

fn hugepages(system: &System, needs: &Needs) -> Check {
    const NAME: &str = "hugepages";
    let (need, free) = (needs.memory_mib, system.free_hugepages_mib());
    let found = format!("{free} MiB free, {need} MiB needed");
    if free >= need {
        return Check::ok(NAME, found);
    }
    let Some(pool) = smallest(system.pools()) else {
        return Check::warn(NAME, "this kernel has no hugepages", "boot a kernel with CONFIG_HUGETLBFS");
    };
    let pages = pool.total + (need - free).saturating_mul(1024).div_ceil(pool.size_kib);
    let size = pool.size_kib;
    Check::warn(
        NAME,
        format!("{found}: packets will be kept in ordinary pages, which is slower"),
        format!(
            "echo {pages} > /sys/kernel/mm/hugepages/hugepages-{size}kB/nr_hugepages (as root; to keep it: \
             echo vm.nr_hugepages={pages} > /etc/sysctl.d/60-esplanade.conf)"
        ),
    )
}

fn transparent_hugepages(system: &System) -> Check {
    const NAME: &str = "transparent-hugepages";
    if system.has_transparent_hugepages() {
        return Check::ok(NAME, "given to programs that ask for them");
    }
    Check::warn(
        NAME,
        "not to be had: the tables of thousands of SAs will be kept in ordinary pages, which is slower",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root; to keep it, add \
         transparent_hugepage=madvise to the kernel's command line)",
    )
}

fn smallest(pools: Vec<Pool>) -> Option<Pool> {
    pools.into_iter().min_by_key(|pool| pool.size_kib)
}

fn memory(system: &System, needs: &Needs) -> Check {
    const NAME: &str = "memory";
    let available = system.meminfo().available_kib / 1024;
    let found = format!("{available} MiB available");
    if available >= needs.memory_mib || system.free_hugepages_mib() >= needs.memory_mib {
        return Check::ok(NAME, found);
    }
    let fix = format!("stop other programs, or add memory: the packets need {} MiB", needs.memory_mib);
    Check::fail(NAME, found, fix)
}

fn cpu_crypto(system: &System) -> Check {
    const NAME: &str = "cpu-crypto";
    let features = system.crypto_features();
    let found = match features.names().join(", ") {
        names if names.is_empty() => "no AES instructions".to_owned(),
        names => names,
    };
    if features.vaes && features.vpclmulqdq {
        return Check::ok(NAME, found);
    }
    let fix = "in a virtual machine, pass the host's processor through (-cpu host); on hardware, VAES needs \
               Intel Ice Lake or AMD Zen 3 and later";
    if features.aes && features.pclmulqdq {
        Check::warn(NAME, format!("{found}; without VAES, AES-GCM runs at about half speed"), fix)
    } else {
        Check::warn(NAME, format!("{found}; ESP will be slow"), fix)
    }
}

fn cpu_count(system: &System, needs: &Needs) -> Check {
    const NAME: &str = "cpu-count";
    let online = system.cpus().online.len();
    let wanted = needs.workers + 1;
    let found = format!("{online} CPUs for {} worker(s) and the agent", needs.workers);
    if online >= wanted {
        return Check::ok(NAME, found);
    }
    Check::warn(
        NAME,
        format!("{found}: workers will share CPUs and sleep when idle"),
        format!("use {wanted} CPUs, or fewer workers"),
    )
}

fn cpu_isolation(system: &System, needs: &Needs) -> Check {
    const NAME: &str = "cpu-isolation";
    let cpus = system.cpus();
    if needs.nics.is_empty() {
        return Check::ok(NAME, "not needed: no NIC is configured");
    }
    let found = format!("{} isolated CPUs for {} worker(s)", cpus.isolated.len(), needs.workers);
    if cpus.isolated.len() >= needs.workers {
        return Check::ok(NAME, found);
    }
    let last = cpus.online.len().saturating_sub(1);
    let first = (last + 1).saturating_sub(needs.workers).max(1);
    let range = if first >= last { last.to_string() } else { format!("{first}-{last}") };
    Check::warn(
        NAME,
        format!("{found}: other programs can delay packets"),
        format!("add to the kernel's command line: isolcpus={range} nohz_full={range} rcu_nocbs={range}"),
    )
}

fn memory_lock(system: &System, needs: &Needs) -> Check {
    const NAME: &str = "memlock";
    let limit = system.memory_lock();
    let found = format!("limit on locked memory: {limit}");
    if limit.allows_mib(needs.memory_mib) {
        return Check::ok(NAME, found);
    }
    let fix = "LimitMEMLOCK=infinity in the systemd unit, or `ulimit -l unlimited` before the start";
    Check::warn(NAME, format!("{found}; root may exceed it, other users may not"), fix)
}

fn tun(system: &System) -> Check {
    const NAME: &str = "tun";
    if system.has_tun() {
        return Check::ok(NAME, "/dev/net/tun is there");
    }
    let fix = "modprobe tun (to keep it: echo tun > /etc/modules-load.d/esplanade.conf)";
    Check::fail(NAME, "/dev/net/tun is missing: no TUN or TAP device can be made", fix)
}

fn vfio(system: &System, needs: &Needs) -> Check {
    const NAME: &str = "vfio";
    match (system.has_vfio(), needs.nics.is_empty()) {
        (true, _) => Check::ok(NAME, "vfio-pci is loaded"),
        (false, true) => Check::ok(NAME, "not needed: no NIC is configured"),
        (false, false) => Check::fail(
            NAME,
            "vfio-pci is not loaded: DPDK cannot be given a NIC",
            "modprobe vfio-pci (to keep it: echo vfio-pci > /etc/modules-load.d/esplanade.conf)",
        ),
    }
}

fn iommu(system: &System, needs: &Needs) -> Check {
    const NAME: &str = "iommu";
    match (system.iommu_groups(), needs.nics.is_empty()) {
        (0, true) => Check::ok(NAME, "not needed: no NIC is configured"),
        (0, false) => Check::fail(
            NAME,
            "no IOMMU groups: vfio-pci cannot hand a NIC over safely",
            "enable VT-d or AMD-Vi in the firmware, and add to the kernel's command line: intel_iommu=on \
             iommu=pt (Intel) or iommu=pt (AMD)",
        ),
        (groups, _) => Check::ok(NAME, format!("{groups} IOMMU groups")),
    }
}

fn nic(system: &System, address: &str) -> Check {
    let name = format!("nic {address}");
    let Some(nic) = system.nic(address) else {
        let there: Vec<String> = system.nics().into_iter().map(|nic| nic.address).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        return Check::fail(
            name,
            "no network device at this address",
            format!("correct the address in the configuration; NICs of this machine: {there}"),
        );
    };
    let found = describe(&nic);
    match nic.binding() {
        Binding::UserSpace | Binding::Bifurcated => Check::ok(name, found),
        Binding::Kernel | Binding::Unbound => Check::fail(name, found, bind(&nic)),
    }
}

fn describe(nic: &Nic) -> String {
    let driver = nic.driver.as_deref().unwrap_or("no driver");
    let interfaces = match nic.interfaces.as_slice() {
        [] => String::new(),
        names => format!(", interface {}", names.join(" ")),
    };
    let group = nic.iommu_group.map_or_else(|| "no IOMMU group".to_owned(), |g| format!("IOMMU group {g}"));
    format!("{:04x}:{:04x}, bound to {driver}{interfaces}, {group}", nic.vendor, nic.device)
}

/// The commands that give a NIC to vfio-pci.
fn bind(nic: &Nic) -> String {
    let device = format!("/sys/bus/pci/devices/{}", nic.address);
    let down: String = nic.interfaces.iter().map(|name| format!("ip link set {name} down; ")).collect();
    let unbind = match nic.driver {
        Some(_) => format!("echo {} > {device}/driver/unbind; ", nic.address),
        None => String::new(),
    };
    format!(
        "modprobe vfio-pci; {down}echo vfio-pci > {device}/driver_override; {unbind}echo {} > \
         /sys/bus/pci/drivers_probe (its interfaces leave the kernel)",
        nic.address
    )
}
