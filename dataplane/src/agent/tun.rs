//! The TUN devices of host addresses: one per VRF that has any, so that the programs of this machine (a BGP
//! daemon, `ping -I`) use addresses that lie behind the workers' one decision.
//!
//! The devices belong to this process: they stay while control is away, and go with the process, so that
//! nothing of a protected network is left to the kernel's own routes. A device that an operator removed or
//! took down is made again, and so are the [`rules`] that keep what programs send from any other device.

mod device;
mod link;
mod netlink;
mod rules;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use packet::VrfId;
use packet::tables::InterfaceAddress;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use device::Device;
use rules::Rules;

/// What the devices are to carry, by VRF.
pub type HostAddresses = BTreeMap<VrfId, Vec<InterfaceAddress>>;

/// Devices asked about in one look.
const READY: usize = 16;

/// The devices of this process.
#[derive(Debug, Default)]
pub struct TunDevices {
    devices: BTreeMap<VrfId, Device>,
    /// Opened with the first addresses.
    rules: Option<Rules>,
    /// Says which devices have packets; made with the first device.
    poll: Option<OwnedFd>,
    /// Devices that had packets, the one to be read next in front.
    ready: VecDeque<VrfId>,
}

impl TunDevices {
    /// Makes the devices and their addresses what `wanted` says; what is right already is not touched. Returns
    /// how many VRFs could not be served: call again later. No address is there without its rules.
    pub fn set(&mut self, wanted: &HostAddresses) -> usize {
        self.devices.retain(|vrf, _| wanted.contains_key(vrf));
        let ruled = self.rules().and_then(|rules| rules.add(wanted));
        let unneeded = match ruled {
            Ok(unneeded) => unneeded,
            Err(error) => {
                tracing::warn!(%error, "the routing rules of host addresses are not as they should be");
                return wanted.len();
            }
        };
        let mut failed = 0;
        for (vrf, addresses) in wanted {
            if let Err(error) = self.serve(*vrf, addresses) {
                tracing::warn!(vrf = vrf.0, %error, "the TUN device is not as it should be");
                failed += 1;
            }
        }
        if let Err(error) = self.rules().and_then(|rules| rules.remove(unneeded)) {
            tracing::warn!(%error, "routing rules of former host addresses stay");
        }
        failed
    }

    fn rules(&mut self) -> io::Result<&Rules> {
        Ok(match &mut self.rules {
            Some(rules) => rules,
            rules => rules.insert(Rules::open()?),
        })
    }

    fn serve(&mut self, vrf: VrfId, addresses: &[InterfaceAddress]) -> io::Result<()> {
        if !self.devices.contains_key(&vrf) {
            let device = Device::open(vrf)?;
            let poll = match &self.poll {
                Some(poll) => poll,
                None => self.poll.insert(epoll::create(epoll::CreateFlags::CLOEXEC)?),
            };
            let data = epoll::EventData::new_u64(vrf.0.into());
            epoll::add(poll, &device, data, epoll::EventFlags::IN)?;
            self.devices.insert(vrf, device);
        }
        self.devices.get_mut(&vrf).map_or(Ok(()), |device| device.set_addresses(addresses))
    }

    /// Reads one packet of a program here; the devices take turns. `None` if there is none now.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<(VrfId, usize)> {
        if self.ready.is_empty() {
            self.look();
        }
        while let Some(vrf) = self.ready.pop_front() {
            let Some(device) = self.devices.get(&vrf) else { continue };
            match rustix::io::read(device, &mut *buffer) {
                Ok(len) => {
                    self.ready.push_back(vrf);
                    return Some((vrf, len));
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => self.lose(vrf, error),
            }
        }
        None
    }

    /// Gives a packet to the kernel. False if it did not take it.
    pub fn send(&mut self, vrf: VrfId, packet: &[u8]) -> bool {
        let Some(device) = self.devices.get(&vrf) else { return false };
        match rustix::io::write(device, packet) {
            Ok(_) => true,
            Err(Errno::AGAIN | Errno::INTR | Errno::INVAL) => false,
            Err(error) => {
                self.lose(vrf, error);
                false
            }
        }
    }

    /// Readable when a program sent something.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.poll.as_ref().filter(|_| !self.devices.is_empty()).map(AsFd::as_fd)
    }

    fn look(&mut self) {
        let Some(poll) = self.poll.as_ref().filter(|_| !self.devices.is_empty()) else { return };
        let mut events = arrayvec::ArrayVec::<epoll::Event, READY>::new();
        let mut spare = [const { std::mem::MaybeUninit::uninit() }; READY];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if let Ok((ready, _)) = epoll::wait(poll, &mut spare, Some(&at_once)) {
            events.extend(ready.iter().copied());
        }
        let vrfs = events.iter().filter_map(|event| u16::try_from(event.data.u64()).ok());
        self.ready.extend(vrfs.map(VrfId));
    }

    /// Someone removed the device or took it down: it is made again by the next [`TunDevices::set`].
    fn lose(&mut self, vrf: VrfId, error: Errno) {
        tracing::warn!(vrf = vrf.0, %error, "the TUN device is gone or down");
        self.devices.remove(&vrf);
    }
}

#[cfg(test)]
mod tests;
