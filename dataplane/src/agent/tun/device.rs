//! One TUN device with its addresses.
#![allow(unsafe_code, reason = "the ioctl that makes a TUN device has no safe wrapper")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use packet::VrfId;
use packet::tables::InterfaceAddress;
use rustix::fs::{Mode, OFlags};
use rustix::ioctl;

use super::link::{Link, family_of};
use super::rules::table;

/// The largest packet that programs send, bytes: with the headers of every suite and NAT traversal it
/// fits an outer path of 1,500; narrower ones are learned by path MTU discovery.
pub(super) const MTU: u32 = 1400;

/// linux/if_tun.h: layer 3, no packet information in front, and only if nobody has the name.
const FLAGS: u16 = 0x0001 | 0x1000 | 0x8000;
const TUNSETIFF: ioctl::Opcode = ioctl::opcode::write::<i32>(b'T', 202);

/// `struct ifreq` of linux/if.h, with the one field that is needed.
#[repr(C)]
#[derive(Debug)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Device {
    fd: OwnedFd,
    vrf: VrfId,
    link: Link,
    addresses: Vec<InterfaceAddress>,
}

impl Device {
    /// Makes the device of a VRF, and brings it up.
    pub(super) fn open(vrf: VrfId) -> io::Result<Self> {
        let name = name(vrf);
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
        let mut request = InterfaceRequest { name: [0; 16], flags: FLAGS, rest: [0; 22] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY: TUNSETIFF reads and writes the `struct ifreq` it is given a pointer to, 40 bytes with the
        // name zero-terminated, as here; the kernel keeps no pointer to it.
        unsafe { ioctl::ioctl(&fd, ioctl::Updater::<TUNSETIFF, _>::new(&mut request))? };
        let link = Link::of(&name)?;
        link.bring_up(MTU)?;
        tracing::info!(device = name, vrf = vrf.0, "TUN device for host addresses");
        Ok(Self { fd, vrf, link, addresses: Vec::new() })
    }

    /// Adds and removes addresses until they are `wanted`, and sees to the routes of what is sent from them.
    pub(super) fn set_addresses(&mut self, wanted: &[InterfaceAddress]) -> io::Result<()> {
        while let Some(at) = self.addresses.iter().position(|a| !wanted.contains(a)) {
            self.link.remove_address(self.addresses[at])?;
            self.addresses.remove(at);
        }
        for address in wanted {
            self.link.route_all(family_of(address.address), table(self.vrf))?;
            if !self.addresses.contains(address) {
                self.link.add_address(*address)?;
                self.addresses.push(*address);
            }
        }
        Ok(())
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What the device of a VRF is called: at most 15 characters.
pub(super) fn name(vrf: VrfId) -> String {
    format!("esplanade{}", vrf.0)
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40, "struct ifreq");
