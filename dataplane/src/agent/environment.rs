//! What the agent needs of the world: time, chance, packet buffers, links.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use dpdk::{Mbuf, Mempool};
use packet::{PortId, VrfId};

use super::thread::ThreadState;
use super::tun::{HostAddresses, TunDevices};
use crate::steering::Steer;
use crate::worker::buffer::Buffer;

/// The state of a port's link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// Frames can pass.
    pub up: bool,
    /// Speed in Mbit/s; 0 = unknown.
    pub speed_mbit: u32,
}

/// The world. One of DPDK, one of tests.
pub trait Environment {
    /// A packet buffer.
    type Packet: Buffer;
    /// See [`Programs`].
    type Programs: Programs;

    /// Time since boot.
    fn now(&self) -> Duration;

    /// Time since 1970, as people set it.
    fn unix_time(&self) -> Duration;

    /// The workers' clock, in [`crate::shared::Shared::ticks_per_second`].
    fn ticks(&self) -> u64;

    /// 32 unpredictable bits.
    fn random(&mut self) -> u32;

    /// A buffer that holds a copy of `bytes`; `None` when there is none left, or it is too small.
    fn packet(&mut self, bytes: &[u8]) -> Option<Self::Packet>;

    /// What a thread of this process does; `None` if that cannot be seen.
    fn thread(&self, thread: i32) -> Option<ThreadState>;

    /// The link of a port, as last seen: must not wait.
    fn link(&mut self, port: PortId) -> Link;

    /// What leads packets to the owners of their SAs.
    fn steering(&mut self) -> &mut dyn Steer;

    /// The programs of this machine.
    fn programs(&mut self) -> &mut Self::Programs;

    /// Readable when a program sent something.
    fn programs_fd(&self) -> Option<BorrowedFd<'_>>;
}

/// The programs of this machine that use host addresses. Nothing here waits.
pub trait Programs {
    /// Gives them these addresses and no others; returns how many VRFs could not be served.
    fn set(&mut self, wanted: &HostAddresses) -> usize;

    /// A packet that one sent, and the VRF of its device.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<(VrfId, usize)>;

    /// Gives them a packet; false if it was not taken.
    fn send(&mut self, vrf: VrfId, packet: &[u8]) -> bool;
}

impl Programs for TunDevices {
    fn set(&mut self, wanted: &HostAddresses) -> usize {
        Self::set(self, wanted)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<(VrfId, usize)> {
        Self::receive(self, buffer)
    }

    fn send(&mut self, vrf: VrfId, packet: &[u8]) -> bool {
        Self::send(self, vrf, packet)
    }
}

/// Asks for the link of a port.
pub type LinkProbe = Box<dyn FnMut(PortId) -> Link>;

/// The world of the data plane process.
pub struct DpdkEnvironment {
    pool: Mempool,
    link: LinkProbe,
    steering: Box<dyn Steer>,
    tun: TunDevices,
}

impl DpdkEnvironment {
    /// `pool` gives the buffers of what the agent sends; `link` and `steering` answer for the ports.
    #[must_use]
    pub fn new(pool: Mempool, link: LinkProbe, steering: Box<dyn Steer>) -> Self {
        Self { pool, link, steering, tun: TunDevices::default() }
    }
}

impl std::fmt::Debug for DpdkEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DpdkEnvironment").finish_non_exhaustive()
    }
}

impl Environment for DpdkEnvironment {
    type Packet = Mbuf;
    type Programs = TunDevices;

    fn now(&self) -> Duration {
        boot_time()
    }

    fn unix_time(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Duration::try_from(now).unwrap_or_default()
    }

    fn ticks(&self) -> u64 {
        dpdk::tsc()
    }

    fn random(&mut self) -> u32 {
        random_u32()
    }

    fn packet(&mut self, bytes: &[u8]) -> Option<Mbuf> {
        let mut packet = self.pool.alloc().ok()?;
        packet.extend_from_slice(bytes).ok()?;
        Some(packet)
    }

    fn thread(&self, thread: i32) -> Option<ThreadState> {
        ThreadState::read(thread)
    }

    fn link(&mut self, port: PortId) -> Link {
        (self.link)(port)
    }

    fn steering(&mut self) -> &mut dyn Steer {
        &mut *self.steering
    }

    fn programs(&mut self) -> &mut TunDevices {
        &mut self.tun
    }

    fn programs_fd(&self) -> Option<BorrowedFd<'_>> {
        self.tun.fd()
    }
}

/// CLOCK_BOOTTIME: goes on while the machine sleeps, and is one time for all processes.
#[must_use]
pub fn boot_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// From the kernel's generator; it never waits once the machine has booted.
fn random_u32() -> u32 {
    let mut bytes = [0; 4];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    debug_assert!(matches!(filled, Ok(4)), "getrandom fills short buffers whole");
    u32::from_ne_bytes(bytes)
}
