//! The little of rtnetlink(7) that a device needs: its MTU, its state, its addresses.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use packet::tables::InterfaceAddress;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const HEADER_LEN: usize = 16;
// linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// No duplicate address detection: nobody else is on the device.
const IFA_F_NODAD: u8 = 0x02;
const IFF_UP: u32 = 1;

/// A device of the kernel.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    index: u32,
}

impl Link {
    /// The device called `name`.
    pub(super) fn of(name: &str) -> io::Result<Self> {
        // Protocol 0 of this family is NETLINK_ROUTE.
        let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        let datagrams = net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        let index = net::netdevice::name_to_index(datagrams, name)?;
        Ok(Self { socket, index })
    }

    /// Sets the MTU, bytes, and lets packets pass.
    pub(super) fn bring_up(&self, mtu: u32) -> io::Result<()> {
        let mut message = Message::new(RTM_NEWLINK, 0);
        // struct ifinfomsg: family, padding, type, index, flags, which of them change.
        message.bytes([0; 4]).bytes(self.index.to_ne_bytes()).bytes(IFF_UP.to_ne_bytes());
        message.bytes(IFF_UP.to_ne_bytes()).attribute(IFLA_MTU, &mtu.to_ne_bytes());
        self.request(message)
    }

    /// Adds an address with its prefix, which the kernel routes to the device.
    pub(super) fn add_address(&self, address: InterfaceAddress) -> io::Result<()> {
        self.request(self.address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address))
    }

    /// Removes an address; one that an operator removed is as good.
    pub(super) fn remove_address(&self, address: InterfaceAddress) -> io::Result<()> {
        match self.request(self.address(RTM_DELADDR, 0, address)) {
            Err(error) if error.raw_os_error() == Some(Errno::ADDRNOTAVAIL.raw_os_error()) => Ok(()),
            done => done,
        }
    }

    fn address(&self, kind: u16, flags: u16, address: InterfaceAddress) -> Message {
        let family = if address.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let [family, _] = family.as_raw().to_le_bytes();
        let mut message = Message::new(kind, flags);
        // struct ifaddrmsg: family, prefix length, flags, scope (global), index.
        message.bytes([family, address.prefix_len, IFA_F_NODAD, 0]).bytes(self.index.to_ne_bytes());
        match address.address {
            IpAddr::V4(ip) => message.attribute(IFA_LOCAL, &ip.octets()).attribute(IFA_ADDRESS, &ip.octets()),
            IpAddr::V6(ip) => message.attribute(IFA_LOCAL, &ip.octets()).attribute(IFA_ADDRESS, &ip.octets()),
        };
        message
    }

    /// Sends a request and reads its answer, which the kernel has ready when the request returns.
    fn request(&self, message: Message) -> io::Result<()> {
        net::send(&self.socket, &message.finish(), SendFlags::empty())?;
        let mut answer = [0; 1024];
        let (len, _) = net::recv(&self.socket, &mut answer, RecvFlags::DONTWAIT)?;
        acknowledged(&answer[..len])
    }
}

/// Reads `struct nlmsgerr`: 0, or an error number below it.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(HEADER_LEN..HEADER_LEN + 4).and_then(|code| code.try_into().ok());
    match (kind, code.map(i32::from_ne_bytes)) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A request being written.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut message = Self(vec![0; 4]); // the length, see `finish`
        // struct nlmsghdr: length, type, flags, sequence number, port (the kernel fills it in).
        message.bytes(kind.to_ne_bytes()).bytes(flags.to_ne_bytes()).bytes([0; 8]);
        message
    }

    fn bytes<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    /// struct rtattr: length and type, then the value, filled up to four bytes.
    fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let len = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.bytes(len.to_ne_bytes()).bytes(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0
    }
}
