//! Sleeping until a packet comes or somebody rings: interrupt mode.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use rustix::event::{EventfdFlags, epoll, eventfd};

use crate::error::Errno;
use crate::port::{PortInner, RxQueue};

/// Waits on RX queues and on its [`Waker`]s. Their ports must have been configured with
/// [`crate::PortConfig::rx_interrupts`].
///
/// The order is: [`RxWaiter::arm`], poll every queue once more, and if nothing came, [`RxWaiter::wait`].
/// A packet that arrives in between is seen by the poll or ends the wait.
pub struct RxWaiter {
    epoll: OwnedFd,
    waker: Waker,
    /// Memory of the `rte_epoll_event` by which DPDK knows the waker; DPDK keeps its address.
    waker_event: Box<[u64]>,
    queues: Vec<(Arc<PortInner>, u16)>,
}

impl RxWaiter {
    /// A waiter without queues.
    ///
    /// # Errors
    /// No file descriptor is free.
    pub fn new() -> Result<Self, WaitError> {
        let system = |error: rustix::io::Errno| WaitError::System(error.into());
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(system)?;
        let waker = Waker { bell: Arc::new(bell) };
        // SAFETY: returns a constant.
        let size = unsafe { dpdk_sys::shim_epoll_event_size() };
        let mut waker_event = vec![0u64; size.div_ceil(8)].into_boxed_slice();
        let slot = waker_event.as_mut_ptr().cast();
        // SAFETY: both descriptors are open, and `slot` has the size asked for and stays in place until
        // `drop` removes it.
        let status = unsafe { dpdk_sys::shim_epoll_add_fd(epoll.as_raw_fd(), waker.bell.as_raw_fd(), slot) };
        Errno::check(status)
            .map_err(|errno| WaitError::System(io::Error::from_raw_os_error(errno.code())))?;
        Ok(Self { epoll, waker, waker_event, queues: Vec::new() })
    }

    /// Lets packets on `queue` end a wait. The port cannot be stopped while the waiter exists.
    ///
    /// # Errors
    /// [`WaitError::Unsupported`] where the driver has no RX interrupts (rings, null, pcap, ...): a worker
    /// with such a queue must poll.
    pub fn add(&mut self, queue: &mut RxQueue) -> Result<(), WaitError> {
        let (port, id) = (queue.port(), queue.id());
        // SAFETY: the port is started while its queue exists; the descriptor is an epoll instance. DPDK's
        // events live in the port.
        let status = unsafe { dpdk_sys::shim_epoll_add_rx_queue(self.epoll.as_raw_fd(), port.id, id) };
        Errno::check(status).map_err(|source| WaitError::Unsupported {
            port: port.name.clone(),
            queue: id,
            source,
        })?;
        self.queues.push((Arc::clone(port), id));
        Ok(())
    }

    /// Ends a wait from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Asks the NICs to report the next packet. Poll once more before [`RxWaiter::wait`].
    pub fn arm(&mut self) {
        for (port, queue) in &self.queues {
            // SAFETY: the port is started: we keep it so. A driver that reports packets always (net_tap)
            // answers "not supported": nothing to do then.
            unsafe { dpdk_sys::rte_eth_dev_rx_intr_enable(port.id, *queue) };
        }
    }

    /// Sleeps until a packet came, a waker rang, or `timeout` (rounded up to milliseconds) passed. True
    /// unless it passed, or a signal came.
    ///
    /// # Errors
    /// The kernel refused: a bug.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool, WaitError> {
        let timeout_ms = timeout
            .map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
        // SAFETY: the descriptor is an epoll instance whose events all live: the waker's in `self`, the
        // queues' in their ports.
        let status = unsafe { dpdk_sys::shim_epoll_wait(self.epoll.as_raw_fd(), timeout_ms) };
        self.waker.quiet();
        for (port, queue) in &self.queues {
            // SAFETY: as in `arm`.
            unsafe { dpdk_sys::rte_eth_dev_rx_intr_disable(port.id, *queue) };
        }
        match Errno::check(status) {
            Ok(events) => Ok(events > 0),
            Err(errno) => Err(WaitError::System(io::Error::from_raw_os_error(errno.code()))),
        }
    }
}

impl Drop for RxWaiter {
    fn drop(&mut self) {
        let epoll = self.epoll.as_raw_fd();
        for (port, queue) in &self.queues {
            // SAFETY: added by `add`, to this epoll instance; the port is started.
            unsafe { dpdk_sys::shim_epoll_remove_rx_queue(epoll, port.id, *queue) };
        }
        let slot = self.waker_event.as_mut_ptr().cast();
        // SAFETY: added by `new`, with this slot; nobody waits, as `self` is not borrowed.
        unsafe { dpdk_sys::shim_epoll_remove_fd(epoll, self.waker.bell.as_raw_fd(), slot) };
    }
}

impl fmt::Debug for RxWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RxWaiter").field("queues", &self.queues.len()).finish_non_exhaustive()
    }
}

/// Ends the waits of one [`RxWaiter`]. A ring before the wait is not lost.
#[derive(Debug, Clone)]
pub struct Waker {
    bell: Arc<OwnedFd>,
}

impl Waker {
    /// Rings: the wait that runs, or the next one, ends.
    pub fn wake(&self) {
        // Fails only when the counter is full: then it rings already.
        let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
    }

    /// Takes what has rung.
    fn quiet(&self) {
        let mut count = [0; 8];
        // Fails only when nothing rang.
        let _ = rustix::io::read(&*self.bell, &mut count);
    }
}

/// Why one cannot wait.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The driver has no interrupt for this queue.
    #[error("port {port}, queue {queue}: no RX interrupts ({source}): poll it")]
    Unsupported {
        /// The port.
        port: String,
        /// The queue.
        queue: u16,
        /// The driver's answer.
        source: Errno,
    },
    /// The kernel refused.
    #[error("waiting for packets: {0}")]
    System(#[source] io::Error),
}
