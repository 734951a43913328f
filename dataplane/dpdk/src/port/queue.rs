//! The queues of a started port, and bursts.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::mbuf::{Mbuf, forget_front};
use crate::port::PortInner;

/// All queues of a started port, in order.
#[derive(Debug)]
pub struct Queues {
    /// RX queues, 0 and up.
    pub rx: Vec<RxQueue>,
    /// TX queues, 0 and up.
    pub tx: Vec<TxQueue>,
}

impl Queues {
    /// Of a port that was just started, and so has none yet.
    pub(crate) fn new(port: &Arc<PortInner>, rx: u16, tx: u16) -> Self {
        Self {
            rx: (0..rx).map(|id| RxQueue { port: Arc::clone(port), id, not_sync: PhantomData }).collect(),
            tx: (0..tx).map(|id| TxQueue { port: Arc::clone(port), id, not_sync: PhantomData }).collect(),
        }
    }
}

/// A queue that is received from. It has one owner, who may be moved to another thread.
#[derive(Debug)]
pub struct RxQueue {
    port: Arc<PortInner>,
    id: u16,
    not_sync: PhantomData<Cell<()>>,
}

impl RxQueue {
    /// Appends what has arrived, as many packets as `mbufs` has room for. Returns how many came. Some
    /// drivers receive nothing into less than 4 or 32 places: pass an empty array of 32 or 64.
    #[inline]
    pub fn rx<const N: usize>(&mut self, mbufs: &mut ArrayVec<Mbuf, N>) -> usize {
        let length = mbufs.len();
        let room = u16::try_from(mbufs.remaining_capacity()).unwrap_or(u16::MAX);
        // SAFETY: the port is started while `self` exists, and this is the queue's only handle. The spare
        // part of the array has room for `room` pointers, an `Mbuf` is one pointer, and the driver gives
        // up what it writes there.
        unsafe {
            let spare = mbufs.as_mut_ptr().add(length).cast();
            let count = usize::from(dpdk_sys::shim_rx_burst(self.port.id, self.id, spare, room));
            mbufs.set_len(length + count);
            count
        }
    }

    /// The queue's number on its port.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// DPDK's number of the port.
    #[must_use]
    pub fn port_id(&self) -> u16 {
        self.port.id
    }

    /// The port's name.
    #[must_use]
    pub fn port_name(&self) -> &str {
        &self.port.name
    }

    pub(crate) fn port(&self) -> &Arc<PortInner> {
        &self.port
    }
}

/// A queue that is sent to. It has one owner, who may be moved to another thread.
#[derive(Debug)]
pub struct TxQueue {
    port: Arc<PortInner>,
    id: u16,
    not_sync: PhantomData<Cell<()>>,
}

impl TxQueue {
    /// Hands packets to the driver, in order, and returns how many it took; the others stay in `mbufs`,
    /// at its front. Packets must be contiguous: a chain may be sent broken by a driver that knows none.
    #[inline]
    pub fn tx<const N: usize>(&mut self, mbufs: &mut ArrayVec<Mbuf, N>) -> usize {
        let count = u16::try_from(mbufs.len()).unwrap_or(u16::MAX);
        // SAFETY: the port is started while `self` exists, and this is the queue's only handle. An `Mbuf`
        // is one pointer; those that the driver took are its own now, and are forgotten here.
        unsafe {
            let taken = dpdk_sys::shim_tx_burst(self.port.id, self.id, mbufs.as_mut_ptr().cast(), count);
            forget_front(mbufs, usize::from(taken));
            usize::from(taken)
        }
    }

    /// The queue's number on its port.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// DPDK's number of the port.
    #[must_use]
    pub fn port_id(&self) -> u16 {
        self.port.id
    }
}
