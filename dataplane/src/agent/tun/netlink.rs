//! The little of netlink(7) that is needed: requests with their acknowledgement, and listings.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
const NLM_F_DUMP: u16 = 0x300;
const HEADER_LEN: usize = 16;
/// The kernel fills datagrams of a listing up to this, bytes.
const LISTING_LEN: usize = 32 * 1024;

/// A socket of NETLINK_ROUTE.
#[derive(Debug)]
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        // Protocol 0 of this family is NETLINK_ROUTE.
        Ok(Self(net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?))
    }

    /// Sends a request and reads its answer, which the kernel has ready when the request returns.
    pub(super) fn request(&self, message: Message) -> io::Result<()> {
        net::send(&self.0, &message.finish(NLM_F_ACK), SendFlags::empty())?;
        let mut answer = [0; 1024];
        let (len, _) = net::recv(&self.0, &mut answer, RecvFlags::DONTWAIT)?;
        match messages(&answer[..len]).next() {
            Some((NLMSG_ERROR, body)) => acknowledged(body),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Sends a request for a listing, and calls `each` with the body of every message of it.
    pub(super) fn list(&self, message: Message, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        net::send(&self.0, &message.finish(NLM_F_DUMP), SendFlags::empty())?;
        let mut answer = vec![0; LISTING_LEN];
        loop {
            let (len, _) = net::recv(&self.0, &mut answer[..], RecvFlags::DONTWAIT)?;
            for (kind, body) in messages(&answer[..len]) {
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return acknowledged(body),
                    _ => each(body),
                }
            }
        }
    }
}

/// The messages of a datagram: the type and the body of each.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = datagram.first_chunk::<HEADER_LEN>()?;
        let len = usize::try_from(u32::from_ne_bytes([header[0], header[1], header[2], header[3]])).ok()?;
        let body = datagram.get(HEADER_LEN..len)?;
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([header[4], header[5]]), body))
    })
}

/// The attributes in `bytes`: the type and the value of each.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [len, len_high, kind, kind_high] = *bytes.first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([len, len_high]));
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([kind, kind_high]), value))
    })
}

/// Reads `struct nlmsgerr`: 0, or an error number below it.
fn acknowledged(body: &[u8]) -> io::Result<()> {
    match body.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Success too if the kernel answers `fine`: it is as it should be already.
pub(super) fn unless(fine: Errno, result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(fine.raw_os_error()) => Ok(()),
        result => result,
    }
}

/// A request being written.
#[derive(Debug)]
pub(super) struct Message {
    kind: u16,
    flags: u16,
    bytes: Vec<u8>,
}

impl Message {
    pub(super) fn new(kind: u16, flags: u16) -> Self {
        Self { kind, flags, bytes: vec![0; HEADER_LEN] }
    }

    pub(super) fn bytes<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    /// struct rtattr: length and type, then the value, filled up to four bytes.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let len = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.bytes(len.to_ne_bytes()).bytes(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// struct nlmsghdr: length, type, flags, sequence number, port (the kernel fills it in).
    fn finish(mut self, flags: u16) -> Vec<u8> {
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes[4..6].copy_from_slice(&self.kind.to_ne_bytes());
        self.bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | self.flags | flags).to_ne_bytes());
        self.bytes
    }
}
