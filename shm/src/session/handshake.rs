//! The two datagrams of the handshake.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use arrayvec::ArrayVec;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::counters::CountersReader;
use crate::error::ConnectError;
use crate::layout::{CONTRACT_VERSION, MAGIC};
use crate::message::Epoch;
use crate::message::codec::{DecodeError, Field, record, wire_enum};

/// How long `connect` waits for the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Most file descriptors of a `Welcome`.
pub(crate) const MAX_FDS: usize = 5;

wire_enum! {
    /// What the caller wants.
    pub enum CallerRole: "role" {
        /// The session.
        Control = 1,
        /// The counters page.
        Observer = 2,
        /// Questions and answers: see [`crate::inspect`].
        Inspector = 3,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Hello as HelloWire[13] {
        pub magic: u64,
        pub version: u32,
        pub role: CallerRole,
    }
}

wire_enum! {
    pub enum Verdict: "verdict" {
        Accepted = 1,
        WrongVersion = 2,
        NotAllowed = 3,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Welcome as WelcomeWire[21] {
        pub magic: u64,
        pub version: u32,
        pub verdict: Verdict,
        pub epoch: Epoch,
    }
}

impl Hello {
    pub(crate) const LEN: usize = size_of::<HelloWire>();

    pub(crate) fn new(role: CallerRole) -> Self {
        Self { magic: MAGIC, version: CONTRACT_VERSION, role }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, |hello: &Self| hello.magic)
    }
}

impl Welcome {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, |welcome: &Self| welcome.magic)
    }
}

fn decode<T: Field>(bytes: &[u8], magic: impl Fn(&T) -> u64) -> Result<T, DecodeError> {
    let wire = T::Wire::read_from_bytes(bytes)
        .map_err(|_| DecodeError::Length { expected: size_of::<T::Wire>(), found: bytes.len() })?;
    let value = T::load(wire)?;
    if magic(&value) != MAGIC {
        return Err(DecodeError::Value { field: "magic", value: magic(&value) });
    }
    Ok(value)
}

/// Sends one datagram with file descriptors.
pub(crate) fn send<T: Field>(socket: &OwnedFd, value: &T, fds: &[BorrowedFd<'_>]) -> std::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let wire = value.store();
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(socket, &[IoSlice::new(wire.as_bytes())], &mut control, flags)?;
    Ok(())
}

/// Receives one datagram with up to [`MAX_FDS`] file descriptors.
fn receive(socket: &OwnedFd, into: &mut [u8]) -> std::io::Result<(usize, ArrayVec<OwnedFd, MAX_FDS>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(into)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = ArrayVec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received.take(MAX_FDS - fds.len()));
        }
    }
    Ok((message.bytes, fds))
}

/// A `Welcome` with what came with it.
pub(crate) struct Admission {
    pub(crate) socket: OwnedFd,
    pub(crate) epoch: Epoch,
    pub(crate) fds: ArrayVec<OwnedFd, MAX_FDS>,
}

/// Connects to the data plane and says `Hello`.
pub(crate) fn call(path: &Path, role: CallerRole) -> Result<Admission, ConnectError> {
    let socket = dial(path)?;
    send(&socket, &Hello::new(role), &[]).map_err(ConnectError::Socket)?;
    let mut bytes = [0; size_of::<WelcomeWire>()];
    let (len, fds) = receive(&socket, &mut bytes).map_err(ConnectError::Socket)?;
    let welcome =
        Welcome::decode(&bytes[..len]).map_err(|_| ConnectError::Malformed { what: "the greeting" })?;
    match welcome.verdict {
        Verdict::Accepted if welcome.version == CONTRACT_VERSION => {
            Ok(Admission { socket, epoch: welcome.epoch, fds })
        }
        Verdict::Accepted | Verdict::WrongVersion => {
            Err(ConnectError::Version { ours: CONTRACT_VERSION, theirs: welcome.version })
        }
        Verdict::NotAllowed => Err(ConnectError::NotAllowed { uid: rustix::process::geteuid().as_raw() }),
    }
}

fn dial(path: &Path) -> Result<OwnedFd, ConnectError> {
    let not_running =
        |errno: Errno| ConnectError::NotRunning { path: path.display().to_string(), source: errno.into() };
    let address = SocketAddrUnix::new(path).map_err(not_running)?;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|errno| ConnectError::Socket(errno.into()))?;
    set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(ANSWER_TIMEOUT))
        .map_err(|errno| ConnectError::Socket(errno.into()))?;
    rustix::net::connect(&socket, &address).map_err(not_running)?;
    Ok(socket)
}

/// Fetches the counters page of the data plane at `path` without touching its session: for whoever shows
/// figures. Blocks for at most a few seconds.
pub fn observe(path: &Path) -> Result<CountersReader, ConnectError> {
    let mut admission = call(path, CallerRole::Observer)?;
    let counters = admission.fds.pop().ok_or(ConnectError::Malformed { what: "the counters page" })?;
    Ok(CountersReader::map(&counters)?)
}
