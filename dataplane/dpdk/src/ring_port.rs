//! Ports made of rings: what a test or a benchmark puts in at one side, a worker receives at the other.

use std::ffi::CString;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::eal::Eal;
use crate::error::Errno;
use crate::mbuf::{Mbuf, forget_front};
use crate::port::{Port, PortError};

/// How large a ring port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingPortConfig {
    /// RX and TX queues, 1 to 16. [`Port::configure`] with as many.
    pub queues: u16,
    /// Packets a queue holds, a power of two.
    pub depth: u32,
}

impl Default for RingPortConfig {
    /// One queue of 1,024 packets.
    fn default() -> Self {
        Self { queues: 1, depth: 1024 }
    }
}

impl RingPortConfig {
    /// As many as the driver has.
    const MAX_QUEUES: u16 = 16;

    fn check(self, name: &str) -> Result<(), PortError> {
        let reason = if !(1..=Self::MAX_QUEUES).contains(&self.queues) {
            "it must have 1 to 16 queues"
        } else if !self.depth.is_power_of_two() || self.depth < 2 {
            "its depth must be a power of two, 2 or more"
        } else if name.is_empty()
            || name.len() > 15
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            "its name must have 1 to 15 letters, digits and underscores"
        } else {
            return Ok(());
        };
        Err(PortError::Config { port: name.to_owned(), reason })
    }
}

/// One DPDK ring with one producer and one consumer; frees itself and what it still holds.
struct Ring(NonNull<dpdk_sys::rte_ring>);

// SAFETY: a ring may be used from any thread, by one producer and one consumer at a time: the driver's
// queue is one of them and the `RingPeer` the other.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    fn new(name: &str, depth: u32) -> Result<Self, PortError> {
        let failed = |source| PortError::Step { port: name.to_owned(), step: "making a ring", source };
        let c_name = CString::new(name).map_err(|_| failed(Errno::NOT_SUPPORTED))?;
        let flags = dpdk_sys::SHIM_RING_SP_ENQ | dpdk_sys::SHIM_RING_SC_DEQ;
        // SAFETY: EAL is up (callers hold an `Eal`); the name is terminated.
        let ring = unsafe { dpdk_sys::rte_ring_create(c_name.as_ptr(), depth, -1, flags) };
        NonNull::new(ring).map(Self).ok_or_else(|| failed(Errno::last()))
    }

    fn enqueue<const N: usize>(&self, mbufs: &mut ArrayVec<Mbuf, N>) -> usize {
        let count = u32::try_from(mbufs.len()).unwrap_or(u32::MAX);
        // SAFETY: an `Mbuf` is one pointer; those that the ring took are forgotten here. We are the only
        // producer: the ring's owner says so.
        unsafe {
            let taken = dpdk_sys::shim_ring_enqueue(self.0.as_ptr(), mbufs.as_mut_ptr().cast(), count);
            forget_front(mbufs, taken as usize);
            taken as usize
        }
    }

    fn dequeue<const N: usize>(&self, mbufs: &mut ArrayVec<Mbuf, N>) -> usize {
        let length = mbufs.len();
        let room = u32::try_from(mbufs.remaining_capacity()).unwrap_or(u32::MAX);
        // SAFETY: the spare part of the array has room for `room` pointers, and those written are
        // packets that nothing else refers to. We are the only consumer: the ring's owner says so.
        unsafe {
            let spare = mbufs.as_mut_ptr().add(length).cast();
            let count = dpdk_sys::shim_ring_dequeue(self.0.as_ptr(), spare, room) as usize;
            mbufs.set_len(length + count);
            count
        }
    }

    fn count(&self) -> usize {
        // SAFETY: the ring lives as long as `self`.
        unsafe { dpdk_sys::shim_ring_count(self.0.as_ptr()) as usize }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let mut rest = ArrayVec::<Mbuf, 32>::new();
        while self.dequeue(&mut rest) > 0 {
            Mbuf::free_bulk(&mut rest);
        }
        // SAFETY: the port and all peers, which hold the rings in an `Arc`, are gone.
        unsafe { dpdk_sys::rte_ring_free(self.0.as_ptr()) }
    }
}

/// The rings of one port, by queue.
pub(crate) struct Rings {
    to_port: Vec<Ring>,
    from_port: Vec<Ring>,
}

/// The outside of one queue pair of a ring port: what it injects is received on the RX queue, what is
/// sent on the TX queue it collects.
pub struct RingPeer {
    rings: Arc<Rings>,
    queue: usize,
}

impl RingPeer {
    /// Puts packets before the port's RX queue, in order; those that find no room stay in `mbufs`.
    /// Returns how many went.
    pub fn inject<const N: usize>(&mut self, mbufs: &mut ArrayVec<Mbuf, N>) -> usize {
        self.rings.to_port[self.queue].enqueue(mbufs)
    }

    /// Appends packets that the port sent, as many as `mbufs` has room for. Returns how many came.
    pub fn collect<const N: usize>(&mut self, mbufs: &mut ArrayVec<Mbuf, N>) -> usize {
        self.rings.from_port[self.queue].dequeue(mbufs)
    }

    /// Packets injected and not yet received.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.rings.to_port[self.queue].count()
    }
}

impl fmt::Debug for RingPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingPeer").field("queue", &self.queue).field("pending", &self.pending()).finish()
    }
}

impl Port {
    /// Makes a port of rings, and the peer of each of its queues. `name` is unique in the process.
    ///
    /// # Errors
    /// A name that is taken or not possible, or too little memory: see [`PortError`].
    pub fn ring(eal: &Eal, name: &str, config: RingPortConfig) -> Result<(Self, Vec<RingPeer>), PortError> {
        config.check(name)?;
        let ring = |direction: &str, queue| Ring::new(&format!("{name}_{direction}{queue}"), config.depth);
        let rings = Arc::new(Rings {
            to_port: (0..config.queues).map(|queue| ring("in", queue)).collect::<Result<_, _>>()?,
            from_port: (0..config.queues).map(|queue| ring("out", queue)).collect::<Result<_, _>>()?,
        });
        let id = from_rings(name, &rings)?;
        let port = Self::adopt(eal, id, name, Some(Arc::clone(&rings)))?;
        let peer = |queue| RingPeer { rings: Arc::clone(&rings), queue };
        Ok((port, (0..usize::from(config.queues)).map(peer).collect()))
    }
}

/// The port's number.
fn from_rings(name: &str, rings: &Rings) -> Result<u16, PortError> {
    let failed = |source| PortError::Step { port: name.to_owned(), step: "making a port of rings", source };
    let c_name = CString::new(name).map_err(|_| failed(Errno::NOT_SUPPORTED))?;
    let pointers = |rings: &[Ring]| rings.iter().map(|ring| ring.0.as_ptr()).collect::<Vec<_>>();
    let (to_port, from_port) = (pointers(&rings.to_port), pointers(&rings.from_port));
    let count = u32::try_from(to_port.len()).map_err(|_| failed(Errno::NOT_SUPPORTED))?;
    // SAFETY: EAL is up; both arrays hold `count` rings, which the port's owner keeps as long as the port.
    let status = unsafe {
        dpdk_sys::rte_eth_from_rings(c_name.as_ptr(), to_port.as_ptr(), count, from_port.as_ptr(), count, 0)
    };
    let id = Errno::check(status).map_err(failed)?;
    u16::try_from(id).map_err(|_| failed(Errno::NOT_SUPPORTED))
}
