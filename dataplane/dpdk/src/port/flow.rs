//! How a device chooses queues: by hash of header fields, and by rules.

use std::ffi::{CStr, c_char};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ptr;
use std::sync::Arc;

use crate::error::Errno;
use crate::log;
use crate::port::{Port, PortError, PortInner};

/// The longest hash key, bytes.
pub const HASH_KEY_MAX: usize = dpdk_sys::SHIM_MAX_RSS_KEY as usize;

/// Header fields of which a device makes the hash that chooses a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HashFields {
    /// The addresses of any packet of which it hashes nothing more.
    pub addresses: bool,
    /// The addresses of fragments and of what has no ports, ESP among it.
    pub rest: bool,
    /// Addresses and ports of whole packets of UDP, TCP and SCTP.
    pub ports: bool,
    /// The SPI of ESP.
    pub spi: bool,
    /// All that in the innermost header which the device knows, rather than the outermost.
    pub innermost: bool,
}

impl HashFields {
    /// Everything goes to one queue.
    pub const NONE: Self = Self { addresses: false, rest: false, ports: false, spi: false, innermost: false };

    pub(crate) fn from_shim(from: dpdk_sys::shim_rss_fields) -> Self {
        let dpdk_sys::shim_rss_fields { addresses, rest, ports, spi, innermost } = from;
        Self { addresses, rest, ports, spi, innermost }
    }

    pub(crate) fn to_shim(self) -> dpdk_sys::shim_rss_fields {
        let Self { addresses, rest, ports, spi, innermost } = self;
        dpdk_sys::shim_rss_fields { addresses, rest, ports, spi, innermost }
    }
}

/// With what a started port chooses a queue of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTable {
    /// The key of the hash.
    pub key: Vec<u8>,
    /// The queue, by the low bits of the hash.
    pub queues: Vec<u16>,
}

/// Received packets that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowMatch {
    /// ESP with this SPI; 0 is any.
    Esp {
        /// In host byte order.
        spi: u32,
        /// Over IPv6.
        ipv6: bool,
    },
    /// ESP with this SPI in UDP (RFC 3948); 0 is any.
    EspInUdp {
        /// In host byte order.
        spi: u32,
        /// Over IPv6.
        ipv6: bool,
    },
    /// UDP between these addresses, which are of one family, and ports.
    Udp {
        /// The sender.
        remote: SocketAddr,
        /// Our side.
        local: SocketAddr,
    },
}

/// Where a rule leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowTarget {
    /// One queue.
    Queue(u16),
    /// All queues, by a hash of the SPI.
    BySpi,
}

/// Why a device takes no such rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FlowError {
    /// In the words of the driver where it has some.
    pub reason: String,
    /// The driver has no rules at all.
    pub none: bool,
}

/// A rule in a device; it is gone when this value is. The port cannot be stopped before.
pub struct FlowRule {
    port: Arc<PortInner>,
    flow: *mut dpdk_sys::rte_flow,
}

impl Port {
    /// Makes a rule. With `whole`, fragments of IPv4 do not match: of a datagram in fragments only the first shows
    /// what is behind the IP header, and would be parted from the others.
    ///
    /// # Errors
    /// The driver refused it: it knows no such rules, or has no room.
    pub fn rule(&self, what: &FlowMatch, whole: bool, to: FlowTarget) -> Result<FlowRule, FlowError> {
        let flow = self.flow_call(what, whole, to, false)?;
        Ok(FlowRule { port: Arc::clone(&self.inner), flow })
    }

    /// Asks for a rule, makes it, and removes it: drivers promise rules that they then refuse.
    ///
    /// # Errors
    /// As [`Port::rule`].
    pub fn try_rule(&self, what: &FlowMatch, whole: bool, to: FlowTarget) -> Result<(), FlowError> {
        self.flow_call(what, whole, to, true)?;
        self.rule(what, whole, to).map(drop)
    }

    fn flow_call(
        &self,
        what: &FlowMatch,
        whole: bool,
        to: FlowTarget,
        dry: bool,
    ) -> Result<*mut dpdk_sys::rte_flow, FlowError> {
        let what = what.to_shim(whole);
        let queue = match to {
            FlowTarget::Queue(queue) => queue,
            FlowTarget::BySpi => u16::MAX,
        };
        let (mut flow, mut reason) = (ptr::null_mut(), ptr::null());
        let (result, said) = log::capture(|| {
            // SAFETY: the port is ours; one rule is read, one pointer to each may be written.
            Errno::check(unsafe {
                dpdk_sys::shim_flow_create(
                    self.inner.id,
                    &raw const what,
                    queue,
                    dry,
                    &raw mut flow,
                    &raw mut reason,
                )
            })
        });
        match result {
            Ok(_) => Ok(flow),
            Err(errno) => {
                // SAFETY: a text of the driver or none, and the shim was called last, by this thread.
                let reason = unsafe { reason_of(errno, reason, &said) };
                Err(FlowError { reason, none: errno == Errno::NOT_IMPLEMENTED })
            }
        }
    }

    /// The hash of a started port, where the driver tells it.
    ///
    /// # Errors
    /// It does not.
    pub fn hash_table(&self) -> Result<HashTable, PortError> {
        let mut key = vec![0; HASH_KEY_MAX];
        let length = self.inner.step("reading its hash key", |id| {
            // SAFETY: as many bytes may be written as a key has at most.
            unsafe { dpdk_sys::shim_rss_key(id, key.as_mut_ptr()) }
        })?;
        key.truncate(usize::try_from(length).unwrap_or(0));
        let mut queues = vec![0; dpdk_sys::SHIM_MAX_RETA as usize];
        let length = self.inner.step("reading its table of queues", |id| {
            // SAFETY: as many integers may be written as a table has at most.
            unsafe { dpdk_sys::shim_rss_queues(id, queues.as_mut_ptr()) }
        })?;
        queues.truncate(usize::try_from(length).unwrap_or(0));
        Ok(HashTable { key, queues })
    }
}

/// The driver's answer, or what it logged, or else the number that it returned.
///
/// # Safety
/// `reason` is NULL or a terminated string.
unsafe fn reason_of(errno: Errno, reason: *const c_char, said: &[String]) -> String {
    if !reason.is_null() {
        // SAFETY: by the caller's promise.
        return unsafe { CStr::from_ptr(reason) }.to_string_lossy().into_owned();
    }
    if said.is_empty() { errno.to_string() } else { said.join("; ") }
}

impl FlowMatch {
    fn to_shim(self, whole: bool) -> dpdk_sys::shim_flow_match {
        let mut shim = dpdk_sys::shim_flow_match { whole, ..Default::default() };
        match self {
            Self::Esp { spi, ipv6 } => {
                (shim.kind, shim.spi, shim.ipv6) = (dpdk_sys::SHIM_FLOW_ESP, spi, ipv6);
            }
            Self::EspInUdp { spi, ipv6 } => {
                (shim.kind, shim.spi, shim.ipv6) = (dpdk_sys::SHIM_FLOW_ESP_IN_UDP, spi, ipv6);
            }
            Self::Udp { remote, local } => {
                (shim.kind, shim.ipv6) = (dpdk_sys::SHIM_FLOW_UDP, local.is_ipv6());
                (shim.remote, shim.local) = (octets(remote.ip()), octets(local.ip()));
                (shim.remote_port, shim.local_port) = (remote.port(), local.port());
            }
        }
        shim
    }
}

/// An IPv4 address is the first four.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
    }
}

impl Drop for FlowRule {
    fn drop(&mut self) {
        // The result is of no use: what a driver refuses to remove goes with the port.
        let _ = log::capture(|| {
            // SAFETY: the port is open while `self` exists, and the rule is its own, removed once.
            unsafe { dpdk_sys::shim_flow_destroy(self.port.id, self.flow) }
        });
    }
}

impl fmt::Debug for FlowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowRule").field("port", &self.port.name).finish_non_exhaustive()
    }
}
