//! Safe DPDK: EAL, mempools, mbufs, ports, queues, lcores.
//!
//! The only reader of DPDK's layouts. A process calls [`Eal::init`] once, makes a [`Mempool`], opens each
//! [`Port`], configures and starts it, and gives the [`RxQueue`]s and [`TxQueue`]s to worker [`Lcore`]s:
//!
//! ```no_run
//! use arrayvec::ArrayVec;
//! use dpdk::{Device, Eal, EalConfig, Mbuf, Mempool, MempoolConfig, Port, PortConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device: Device = "net_tap0,iface=outside0".parse()?;
//! let eal = Eal::init(&EalConfig { devices: vec![device.clone()], ..EalConfig::default() })?;
//! let pool = Mempool::new(&eal, "packets", &MempoolConfig::default())?;
//! let mut port = Port::open(&eal, &device)?;
//! port.configure(&PortConfig::default(), &pool)?;
//! let mut queues = port.start()?;
//! let mut burst = ArrayVec::<Mbuf, 32>::new();
//! queues.rx[0].rx(&mut burst);
//! queues.tx[0].tx(&mut burst); // what was not accepted stays in `burst`
//! drop((burst, queues));
//! port.stop()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Ownership
//! One `RxQueue` or `TxQueue` exists per queue, and a port cannot be stopped or closed while one does. A
//! pool lives until the process ends, so an [`Mbuf`] may be kept anywhere and freed by any thread.
#![allow(unsafe_code, reason = "wraps the foreign functions of dpdk-sys")]

mod device;
mod eal;
mod error;
mod idle;
mod lcore;
mod log;
mod mbuf;
mod memory;
mod mempool;
mod port;
mod ring_port;
mod time;
mod wait;

pub use device::{Device, DeviceError, PciAddress};
pub use eal::{Eal, EalConfig, EalError, LogLevel};
pub use error::Errno;
pub use idle::{AdaptiveSleep, Idle};
pub use lcore::{JoinHandle, Lcore, LcorePlan, current_lcore};
pub use mbuf::{HEADROOM, Mbuf, NoRoom, prefetch, prefetch_start};
pub use memory::{Memory, MemoryMode};
pub use mempool::{Mempool, MempoolConfig, MempoolError, PoolEmpty};
pub use port::{
    Capabilities, FlowError, FlowMatch, FlowRule, FlowTarget, HASH_KEY_MAX, HashFields, HashTable, Link,
    Port, PortConfig, PortError, PortStats, Queues, RxQueue, TxQueue,
};
pub use ring_port::{RingPeer, RingPortConfig};
pub use time::{tsc, tsc_hz};
pub use wait::{RxWaiter, WaitError, Waker};

/// The DPDK release this was built against, such as `22.11.11`.
pub const DPDK_VERSION: &str = dpdk_sys::DPDK_VERSION;
