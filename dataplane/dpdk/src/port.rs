//! Ethernet ports: opening, configuring, starting, and what they say of themselves.

mod config;
mod error;
mod figures;
mod flow;
mod queue;

use std::ffi::{CStr, CString};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::device::Device;
use crate::eal::Eal;
use crate::error::Errno;
use crate::log;
use crate::ring_port::Rings;

pub use config::PortConfig;
pub use error::PortError;
pub use figures::{Capabilities, Link, PortStats};
pub use flow::{FlowError, FlowMatch, FlowRule, FlowTarget, HASH_KEY_MAX, HashFields, HashTable};
pub use queue::{Queues, RxQueue, TxQueue};

/// Ports that have an owner: a second [`Port`] for one is never made.
static CLAIMED: [AtomicBool; dpdk_sys::SHIM_MAX_ETHPORTS as usize] =
    [const { AtomicBool::new(false) }; dpdk_sys::SHIM_MAX_ETHPORTS as usize];

/// An Ethernet port, owned.
///
/// ```text
///  open ──> Opened ──configure──> Configured ──start──> Started ─┐
///                      ^  │             ^                        │
///                      └──┘             └─────────stop───────────┘
/// ```
/// The port is stopped and closed when this value and all queues of the port are gone, and a virtual
/// device is removed then.
#[derive(Debug)]
pub struct Port {
    pub(crate) inner: Arc<PortInner>,
    configured: Option<(u16, u16)>,
}

/// What queues keep alive.
pub(crate) struct PortInner {
    pub(crate) id: u16,
    pub(crate) name: String,
    device: Device,
    started: bool,
    /// The port uses them: freed after it is closed.
    rings: Option<Arc<Rings>>,
}

impl Port {
    /// Brings a device up as a port. A virtual device is made now, a NIC must have been named in
    /// [`crate::EalConfig::devices`].
    ///
    /// # Errors
    /// [`PortError::Device`] names the device that did not come up, with what DPDK said about it.
    pub fn open(eal: &Eal, device: &Device) -> Result<Self, PortError> {
        let down = |reason: String| PortError::Device { device: device.to_string(), reason };
        if let Device::Vdev { name, args } = device {
            let (status, said) = probe(name, args);
            status.map_err(|errno| down(reason_of(errno, &said)))?;
        }
        let name = device.name();
        let id = port_by_name(&name).map_err(|_| down(missing(device)))?;
        Self::claim(eal, id, name, device.clone(), None)
    }

    /// Takes over a port that `rte_eth_from_rings` made of `rings`.
    pub(crate) fn adopt(
        eal: &Eal,
        id: u16,
        name: &str,
        rings: Option<Arc<Rings>>,
    ) -> Result<Self, PortError> {
        let device = Device::Vdev { name: format!("net_ring_{name}"), args: String::new() };
        Self::claim(eal, id, name.to_owned(), device, rings)
    }

    fn claim(
        _: &Eal,
        id: u16,
        name: String,
        device: Device,
        rings: Option<Arc<Rings>>,
    ) -> Result<Self, PortError> {
        let taken = CLAIMED.get(usize::from(id)).is_none_or(|claimed| claimed.swap(true, Ordering::AcqRel));
        if taken {
            return Err(PortError::Taken { device: device.to_string() });
        }
        Ok(Self { inner: Arc::new(PortInner { id, name, device, started: false, rings }), configured: None })
    }

    /// DPDK's number of the port.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.inner.id
    }

    /// The PCI address, or the virtual device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The only handle of the port: no queue and no waiter refers to it.
    fn exclusive(&mut self) -> Result<&mut PortInner, PortError> {
        let name = self.inner.name.clone();
        Arc::get_mut(&mut self.inner).ok_or(PortError::InUse { port: name })
    }

    /// Starts the port: packets flow. All its queues are returned, to be given to their workers.
    ///
    /// # Errors
    /// Not configured, queues of an earlier start still exist, or the driver refused.
    pub fn start(&mut self) -> Result<Queues, PortError> {
        let Some((rx, tx)) = self.configured else {
            return Err(PortError::Config {
                port: self.inner.name.clone(),
                reason: "it must be configured before it is started",
            });
        };
        let inner = self.exclusive()?;
        inner.step("starting", |id| {
            // SAFETY: the port is ours and configured.
            unsafe { dpdk_sys::rte_eth_dev_start(id) }
        })?;
        inner.started = true;
        Ok(Queues::new(&self.inner, rx, tx))
    }

    /// Stops the port. It keeps its configuration and can be started again.
    ///
    /// # Errors
    /// [`PortError::InUse`] while a queue or a waiter of the port exists, or the driver refused.
    pub fn stop(&mut self) -> Result<(), PortError> {
        let inner = self.exclusive()?;
        if inner.started {
            inner.step("stopping", |id| {
                // SAFETY: the port is ours, and no queue of it exists.
                unsafe { dpdk_sys::rte_eth_dev_stop(id) }
            })?;
            inner.started = false;
        }
        Ok(())
    }

    /// The MAC address.
    ///
    /// # Errors
    /// The device is gone.
    pub fn mac(&self) -> Result<[u8; 6], PortError> {
        let mut mac = [0; 6];
        self.inner.step("reading the MAC address", |id| {
            // SAFETY: six bytes may be written.
            unsafe { dpdk_sys::shim_mac(id, mac.as_mut_ptr()) }
        })?;
        Ok(mac)
    }

    /// The largest L3 packet, bytes.
    ///
    /// # Errors
    /// The device is gone.
    pub fn mtu(&self) -> Result<u16, PortError> {
        let mut mtu = 0;
        self.inner.step("reading the MTU", |id| {
            // SAFETY: one integer may be written.
            unsafe { dpdk_sys::rte_eth_dev_get_mtu(id, &raw mut mtu) }
        })?;
        Ok(mtu)
    }

    /// The link, as the driver last saw it: does not wait.
    ///
    /// # Errors
    /// The device is gone.
    pub fn link(&self) -> Result<Link, PortError> {
        let mut link = dpdk_sys::shim_link::default();
        self.inner.step("reading the link", |id| {
            // SAFETY: one structure may be written.
            unsafe { dpdk_sys::shim_link(id, &raw mut link) }
        })?;
        Ok(Link {
            up: link.up,
            mbit_per_s: (link.mbit_per_s != u32::MAX).then_some(link.mbit_per_s),
            full_duplex: link.full_duplex,
        })
    }

    /// What the port counted since it was made.
    ///
    /// # Errors
    /// The device is gone.
    pub fn stats(&self) -> Result<PortStats, PortError> {
        let mut stats = dpdk_sys::shim_stats::default();
        self.inner.step("reading the counters", |id| {
            // SAFETY: one structure may be written.
            unsafe { dpdk_sys::shim_stats(id, &raw mut stats) }
        })?;
        Ok(PortStats {
            rx_packets: stats.rx_packets,
            tx_packets: stats.tx_packets,
            rx_bytes: stats.rx_bytes,
            tx_bytes: stats.tx_bytes,
            rx_missed: stats.rx_missed,
            rx_errors: stats.rx_errors,
            tx_errors: stats.tx_errors,
            rx_no_mbuf: stats.rx_no_mbuf,
        })
    }

    /// What the device is and can do.
    ///
    /// # Errors
    /// The device is gone.
    pub fn capabilities(&self) -> Result<Capabilities, PortError> {
        let info = self.inner.info()?;
        // SAFETY: a terminated string that lives as long as the driver is loaded: for good.
        let driver = unsafe { CStr::from_ptr(info.driver) };
        Ok(Capabilities {
            driver: driver.to_string_lossy().into_owned(),
            max_rx_queues: info.max_rx_queues,
            max_tx_queues: info.max_tx_queues,
            min_mtu: info.min_mtu,
            max_mtu: info.max_mtu,
            hash: HashFields::from_shim(info.rss),
            hash_key_len: usize::from(info.rss_key_size),
            ipv4_checksum: info.ipv4_checksum,
            link_interrupt: info.link_interrupt,
            removal_interrupt: info.removal_interrupt,
            rx_offloads: info.rx_offloads,
            tx_offloads: info.tx_offloads,
        })
    }
}

impl PortInner {
    /// Makes a call that concerns the port; `step` says in an error what was tried.
    pub(crate) fn step(&self, step: &'static str, call: impl FnOnce(u16) -> i32) -> Result<i32, PortError> {
        Errno::check(call(self.id)).map_err(|source| PortError::Step {
            port: self.name.clone(),
            step,
            source,
        })
    }

    fn info(&self) -> Result<dpdk_sys::shim_device_info, PortError> {
        let mut info = dpdk_sys::shim_device_info::default();
        self.step("reading its capabilities", |id| {
            // SAFETY: one structure may be written.
            unsafe { dpdk_sys::shim_device_info(id, &raw mut info) }
        })?;
        Ok(info)
    }
}

impl Drop for PortInner {
    fn drop(&mut self) {
        // SAFETY: nothing else refers to the port: no queue can be in a burst. What a driver refuses now
        // cannot be mended. The claim is given up last.
        unsafe {
            if self.started {
                dpdk_sys::rte_eth_dev_stop(self.id);
            }
            dpdk_sys::rte_eth_dev_close(self.id);
        }
        if let Device::Vdev { name, .. } = &self.device
            && let Ok(name) = CString::new(name.as_str())
        {
            // SAFETY: terminated strings; the port of the device is closed.
            unsafe { dpdk_sys::rte_eal_hotplug_remove(c"vdev".as_ptr(), name.as_ptr()) };
        }
        drop(self.rings.take());
        if let Some(claimed) = CLAIMED.get(usize::from(self.id)) {
            claimed.store(false, Ordering::Release);
        }
    }
}

impl fmt::Debug for PortInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortInner").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Makes a virtual device; with the errors DPDK logged.
fn probe(name: &str, args: &str) -> (Result<i32, Errno>, Vec<String>) {
    let (Ok(name), Ok(args)) = (CString::new(name), CString::new(args)) else {
        return (Err(Errno::NOT_SUPPORTED), Vec::new());
    };
    log::capture(|| {
        // SAFETY: terminated strings, copied by DPDK.
        Errno::check(unsafe { dpdk_sys::rte_eal_hotplug_add(c"vdev".as_ptr(), name.as_ptr(), args.as_ptr()) })
    })
}

fn port_by_name(name: &str) -> Result<u16, Errno> {
    let name = CString::new(name).map_err(|_| Errno::NOT_SUPPORTED)?;
    let mut id = 0;
    // SAFETY: a terminated string, and one integer may be written.
    Errno::check(unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) })?;
    Ok(id)
}

/// Of the errors DPDK logged, what helps: the driver's own words, rather than EAL's consequences.
fn reason_of(errno: Errno, said: &[String]) -> String {
    if said.iter().any(|line| line.contains("failed to parse device")) {
        return "DPDK has no driver of this name".to_owned();
    }
    let by_driver: Vec<&str> = said.iter().map(String::as_str).filter(|l| !l.starts_with("EAL: ")).collect();
    if by_driver.is_empty() {
        return format!("{errno}: the driver refused it, probably for its arguments");
    }
    by_driver.join("; ")
}

/// What may be wrong with a device of which DPDK made no port.
fn missing(device: &Device) -> String {
    match device {
        Device::Pci(address) => format!(
            "DPDK has no port for it: is it there (lspci -s {address}), bound to vfio-pci, and named before \
             DPDK started?"
        ),
        Device::Vdev { .. } => "DPDK made no Ethernet port of it: is it a net_... driver?".to_owned(),
    }
}
