//! What operators ask the data plane itself: it answers while control is down, too.
//!
//! An [`Inspector`] says `Hello` at the data plane's socket as control does, and then exchanges JSON messages of at
//! most [`MAX_MESSAGE_LEN`] bytes on it, one a datagram: questions one way, records the other. The data plane
//! never waits for an inspector: a record that finds the socket full is lost, and counted.

mod hex;
mod message;
mod runtime;
#[cfg(test)]
mod tests;

pub use message::{
    Arrival, Capture, Explain, Explained, Filter, InterfaceName, Journey, Network, Packet, PassedOver, Point,
    Question, Record, Stage, Step, Verdict,
};
pub use runtime::{Bucket, PortQueue, Runtime, Seat, Silent, StageTime};

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ConnectError;
use crate::session::handshake::{CallerRole, call};

/// The longest message, bytes.
pub const MAX_MESSAGE_LEN: usize = 64 * 1024;
/// Inspectors at a time.
pub const MAX_INSPECTORS: usize = 4;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the other side closed the connection")]
    Gone,
    #[error("connection failed: {0}")]
    Socket(#[source] std::io::Error),
    #[error("a message of {0} bytes is longer than {MAX_MESSAGE_LEN}")]
    TooLong(usize),
    #[error("malformed message: {0}")]
    Malformed(#[source] serde_json::Error),
}

/// The asking side; blocks.
#[derive(Debug)]
pub struct Inspector {
    socket: OwnedFd,
    buffer: Box<[u8]>,
}

impl Inspector {
    /// Connects to the data plane at `path`.
    pub fn connect(path: &Path) -> Result<Self, InspectError> {
        Ok(Self::new(call(path, CallerRole::Inspector)?.socket))
    }

    fn new(socket: OwnedFd) -> Self {
        Self { socket, buffer: buffer() }
    }

    pub fn ask(&self, question: &Question) -> Result<(), InspectError> {
        match send(&self.socket, question, SendFlags::NOSIGNAL)? {
            true => Ok(()),
            false => Err(InspectError::Socket(std::io::ErrorKind::WouldBlock.into())),
        }
    }

    /// Waits a few seconds for the next record.
    pub fn next_record(&mut self) -> Result<Record, InspectError> {
        receive(&self.socket, &mut self.buffer, RecvFlags::empty())?
            .ok_or(InspectError::Socket(std::io::ErrorKind::TimedOut.into()))
    }

    /// The next record of a stream, if one comes in time and no signal does.
    pub fn record_within(&mut self, patience: Duration) -> Result<Option<Record>, InspectError> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let patience = Timespec::try_from(patience).ok();
        match rustix::event::poll(&mut fds, patience.as_ref()) {
            Ok(0) | Err(Errno::INTR) => Ok(None),
            Ok(_) => receive(&self.socket, &mut self.buffer, RecvFlags::DONTWAIT),
            Err(errno) => Err(InspectError::Socket(errno.into())),
        }
    }
}

/// The data plane's side; never blocks.
#[derive(Debug)]
pub struct InspectorEnd {
    socket: OwnedFd,
    buffer: Box<[u8]>,
    pid: i32,
}

impl InspectorEnd {
    pub(crate) fn new(socket: OwnedFd, pid: i32) -> Self {
        Self { socket, buffer: buffer(), pid }
    }

    /// Of the inspector when it connected.
    pub fn peer_pid(&self) -> i32 {
        self.pid
    }

    /// Readable when there is a question, or the inspector is gone.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next question. After an error drop the end.
    pub fn receive(&mut self) -> Result<Option<Question>, InspectError> {
        receive(&self.socket, &mut self.buffer, RecvFlags::DONTWAIT)
    }

    /// Sends a record; false if it was lost since the inspector does not keep up.
    pub fn send(&self, record: &Record) -> Result<bool, InspectError> {
        send(&self.socket, record, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }
}

fn buffer() -> Box<[u8]> {
    vec![0; MAX_MESSAGE_LEN].into()
}

fn send(socket: &OwnedFd, message: &impl Serialize, flags: SendFlags) -> Result<bool, InspectError> {
    let bytes = serde_json::to_vec(message).map_err(InspectError::Malformed)?;
    if bytes.len() > MAX_MESSAGE_LEN {
        return Err(InspectError::TooLong(bytes.len()));
    }
    match rustix::net::send(socket, &bytes, flags) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Ok(false),
        Err(Errno::PIPE | Errno::CONNRESET) => Err(InspectError::Gone),
        Err(errno) => Err(InspectError::Socket(errno.into())),
    }
}

/// `None` if there is nothing now.
fn receive<T: DeserializeOwned>(
    socket: &OwnedFd,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<Option<T>, InspectError> {
    // With TRUNC the second number is the length of the whole datagram.
    match rustix::net::recv(socket, &mut *buffer, flags | RecvFlags::TRUNC) {
        Ok((_, 0)) => Err(InspectError::Gone),
        Ok((_, whole)) if whole > MAX_MESSAGE_LEN => Err(InspectError::TooLong(whole)),
        Ok((len, _)) => serde_json::from_slice(&buffer[..len]).map(Some).map_err(InspectError::Malformed),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(Errno::PIPE | Errno::CONNRESET) => Err(InspectError::Gone),
        Err(errno) => Err(InspectError::Socket(errno.into())),
    }
}
