//! What rtnetlink(7) sets of a device: its MTU, its state, its addresses.

use std::io;
use std::net::IpAddr;

use packet::tables::InterfaceAddress;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::netlink::{Message, Netlink, unless};

// linux/netlink.h
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
// linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// No duplicate address detection: nobody else is on the device.
const IFA_F_NODAD: u8 = 0x02;
const IFF_UP: u32 = 1;
const RTA_OIF: u16 = 4;
const RTA_TABLE: u16 = 15;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;

/// Who made a route or rule, for `ip`: a number that rtnetlink.h gives to nobody else.
pub(super) const PROTOCOL: u8 = 69;

/// A device of the kernel.
#[derive(Debug)]
pub(super) struct Link {
    netlink: Netlink,
    index: u32,
}

impl Link {
    /// The device called `name`.
    pub(super) fn of(name: &str) -> io::Result<Self> {
        let datagrams = net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        let index = net::netdevice::name_to_index(datagrams, name)?;
        Ok(Self { netlink: Netlink::open()?, index })
    }

    /// Sets the MTU, bytes, and lets packets pass.
    pub(super) fn bring_up(&self, mtu: u32) -> io::Result<()> {
        let mut message = Message::new(RTM_NEWLINK, 0);
        // struct ifinfomsg: family, padding, type, index, flags, which of them change.
        message.bytes([0; 4]).bytes(self.index.to_ne_bytes()).bytes(IFF_UP.to_ne_bytes());
        message.bytes(IFF_UP.to_ne_bytes()).attribute(IFLA_MTU, &mtu.to_ne_bytes());
        self.netlink.request(message)
    }

    /// Adds an address with its prefix, which the kernel routes to the device.
    pub(super) fn add_address(&self, address: InterfaceAddress) -> io::Result<()> {
        self.netlink.request(self.address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address))
    }

    /// Removes an address; one that an operator removed is as good.
    pub(super) fn remove_address(&self, address: InterfaceAddress) -> io::Result<()> {
        unless(Errno::ADDRNOTAVAIL, self.netlink.request(self.address(RTM_DELADDR, 0, address)))
    }

    /// Makes the device the default route of the family in a routing table, if that has none.
    pub(super) fn route_all(&self, family: AddressFamily, table: u32) -> io::Result<()> {
        let [family, _] = family.as_raw().to_le_bytes();
        let mut message = Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
        // struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
        message.bytes([family, 0, 0, 0, 0, PROTOCOL, RT_SCOPE_LINK, RTN_UNICAST]).bytes([0; 4]);
        message.attribute(RTA_TABLE, &table.to_ne_bytes()).attribute(RTA_OIF, &self.index.to_ne_bytes());
        unless(Errno::EXIST, self.netlink.request(message))
    }

    fn address(&self, kind: u16, flags: u16, address: InterfaceAddress) -> Message {
        let [family, _] = family_of(address.address).as_raw().to_le_bytes();
        let mut message = Message::new(kind, flags);
        // struct ifaddrmsg: family, prefix length, flags, scope (global), index.
        message.bytes([family, address.prefix_len, IFA_F_NODAD, 0]).bytes(self.index.to_ne_bytes());
        match address.address {
            IpAddr::V4(ip) => message.attribute(IFA_LOCAL, &ip.octets()).attribute(IFA_ADDRESS, &ip.octets()),
            IpAddr::V6(ip) => message.attribute(IFA_LOCAL, &ip.octets()).attribute(IFA_ADDRESS, &ip.octets()),
        };
        message
    }
}

/// The kernel's name for the family of `address`.
pub(super) fn family_of(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}
