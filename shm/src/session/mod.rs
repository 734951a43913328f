//! How the two processes meet.
//!
//! ```text
//! control                            data plane
//!    connect ───────────────────────>  SO_PEERCRED against the allowed users
//!    Hello{version, role} ──────────>  versions compared
//!                                      old session fenced, new memory, epoch + 1
//!    <─────────── Welcome{epoch} + file descriptors: rings, 2 doorbells, counters, journal
//! ```
//!
//! The socket then stays open and silent: its end is the peer's end. An observer says `Hello` too, gets the
//! counters page only, and touches no session. So does an inspector, who then asks ([`crate::inspect`]).

mod control;
mod dataplane;
pub mod handshake;
mod listener;
#[cfg(test)]
mod tests;

pub use control::ControlEnd;
pub use dataplane::DataplaneEnd;
pub use listener::{Listener, ListenerConfig, ListenerError, ListenerEvent, RefuseReason};

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::event::EventfdFlags;
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::error::SessionError;
use crate::layout::{
    CONTRACT_VERSION, Fence, HEADER_EPOCH, HEADER_FENCE, HEADER_LEN, HEADER_MAGIC, HEADER_VERSION, MAGIC,
    REGION_LEN,
};
use crate::memory::{Mapping, MemoryError, Sealing};
use crate::message::Epoch;

pub use handshake::observe;

/// The memory of one session, as either side maps it.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) memory: Arc<Mapping>,
}

impl Region {
    pub(crate) fn create(epoch: Epoch) -> Result<(Self, OwnedFd), MemoryError> {
        let fd = crate::memory::create("esplanade-session", REGION_LEN, Sealing::Final)?;
        let memory = Mapping::writable(&fd, REGION_LEN)?;
        memory.store(HEADER_MAGIC, MAGIC, Ordering::Relaxed);
        memory.store(HEADER_VERSION, CONTRACT_VERSION.into(), Ordering::Relaxed);
        memory.store(HEADER_EPOCH, epoch.0, Ordering::Relaxed);
        memory.store(HEADER_LEN, u64::try_from(REGION_LEN).unwrap_or(u64::MAX), Ordering::Release);
        Ok((Self { memory: Arc::new(memory) }, fd))
    }

    /// Maps received memory, which must be what [`Region::create`] makes.
    pub(crate) fn attach(fd: &OwnedFd) -> Result<Self, MemoryError> {
        Ok(Self { memory: Arc::new(Mapping::writable(fd, REGION_LEN)?) })
    }

    pub(crate) fn header(&self) -> (u64, u64, Epoch) {
        let word = |at| self.memory.load(at, Ordering::Acquire);
        (word(HEADER_MAGIC), word(HEADER_VERSION), Epoch(word(HEADER_EPOCH)))
    }

    pub(crate) fn fence(&self, why: Fence) {
        self.memory.store(HEADER_FENCE, why as u64, Ordering::Release);
    }

    /// An error once the session is over.
    pub(crate) fn check_open(&self) -> Result<(), SessionError> {
        match self.memory.load(HEADER_FENCE, Ordering::Acquire) {
            open if open == Fence::Open as u64 => Ok(()),
            replaced if replaced == Fence::Replaced as u64 => Err(SessionError::Replaced),
            _ => Err(SessionError::Closed),
        }
    }
}

/// Wakes the peer: an eventfd each way. Ringing is idempotent until the peer looks.
#[derive(Debug)]
pub(crate) struct Doorbells {
    /// The peer sleeps on it.
    pub(crate) theirs: OwnedFd,
    /// We sleep on it.
    pub(crate) ours: OwnedFd,
}

impl Doorbells {
    pub(crate) fn create() -> std::io::Result<Self> {
        let bell = || rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Self { theirs: bell()?, ours: bell()? })
    }

    pub(crate) fn ring(&self) -> Result<(), SessionError> {
        match rustix::io::write(&self.theirs, &1u64.to_ne_bytes()) {
            // EAGAIN: the counter is at its limit, so the peer has long been rung.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(SessionError::Doorbell(errno.into())),
        }
    }

    pub(crate) fn drain(&self) -> Result<(), SessionError> {
        match rustix::io::read(&self.ours, &mut [0; 8]) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(SessionError::Doorbell(errno.into())),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }
}

/// `PeerGone` once the other process closed its end of the socket, by its death or otherwise.
pub(crate) fn check_peer(socket: &OwnedFd) -> Result<(), SessionError> {
    match rustix::net::recv(socket, &mut [0; 1], RecvFlags::DONTWAIT) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        // Nothing is ever said on the socket after the handshake.
        Ok(_) | Err(_) => Err(SessionError::PeerGone),
    }
}

/// Reads `bytes` as either datagram of the handshake.
pub(crate) fn fuzz_handshake(bytes: &[u8]) {
    let _ = std::hint::black_box(handshake::Hello::decode(bytes));
    let _ = std::hint::black_box(handshake::Welcome::decode(bytes));
}
