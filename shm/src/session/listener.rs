//! The data plane's side of the handshake. Never blocks: the agent polls it between other work.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::inspect::InspectorEnd;
use crate::layout::{CONTRACT_VERSION, Fence, MAGIC};
use crate::memory::MemoryError;
use crate::message::{DecodeError, Epoch};
use crate::session::handshake::{CallerRole, Hello, Verdict, Welcome, send};
use crate::session::{DataplaneEnd, Doorbells, Region};

/// Callers that have connected but not yet said `Hello`.
const MAX_PENDING: usize = 8;
/// How long a caller may stay silent.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);

/// What the listener needs to serve sessions.
#[derive(Debug)]
pub struct ListenerConfig {
    /// Of the socket. Its directory is created with mode 0750 where it is missing.
    pub path: PathBuf,
    /// Users that may open a session or look at the counters. The data plane's own user always may.
    pub allowed_uids: Vec<u32>,
    /// See [`crate::counters::CountersWriter::fd`].
    pub counters: OwnedFd,
    /// See [`crate::journal::create`].
    pub journal: OwnedFd,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenerError {
    #[error("cannot create the directory {path}: {source}")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("another data plane listens on {path}: stop it, or set another `socket`")]
    InUse { path: PathBuf },
    #[error("cannot listen on {path}: {source}")]
    Listen { path: PathBuf, source: std::io::Error },
    #[error("cannot accept a session: {0}")]
    Accept(#[source] std::io::Error),
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// What happened at the socket.
#[derive(Debug)]
pub enum ListenerEvent {
    /// A session began. An earlier one is fenced; drop its end and its uncommitted transactions.
    Connected(Box<DataplaneEnd>),
    /// A process asked for the counters page and got it.
    Observed { pid: i32 },
    /// A process wants to ask; drop the end to end that.
    Inspecting(InspectorEnd),
    /// A process was turned away.
    Refused { pid: i32, uid: u32, reason: RefuseReason },
}

/// Why a caller was turned away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefuseReason {
    #[error("user {0} is not allowed")]
    NotAllowed(u32),
    #[error("it speaks version {0} of the contract, not {CONTRACT_VERSION}")]
    Version(u32),
    #[error("its greeting is malformed: {0}")]
    Malformed(DecodeError),
    #[error("it said nothing for {} s", HELLO_TIMEOUT.as_secs())]
    Silent,
    #[error("it went away: {0}")]
    Gone(std::io::Error),
}

#[derive(Debug)]
struct Pending {
    socket: OwnedFd,
    pid: i32,
    uid: u32,
    gid: u32,
    deadline: Instant,
}

/// Accepts control sessions, one at a time, observers and inspectors.
#[derive(Debug)]
pub struct Listener {
    config: ListenerConfig,
    socket: OwnedFd,
    own_uid: u32,
    own_gid: u32,
    pending: ArrayVec<Pending, MAX_PENDING>,
    epoch: Epoch,
    current: Option<Region>,
}

impl Listener {
    pub fn bind(config: ListenerConfig) -> Result<Self, ListenerError> {
        if let Some(directory) = config.path.parent() {
            create_directory(directory)?;
        }
        let socket = bind_socket(&config.path)?;
        let own_uid = rustix::process::geteuid().as_raw();
        let own_gid = rustix::process::getegid().as_raw();
        let (pending, epoch) = (ArrayVec::new(), first_epoch());
        Ok(Self { config, socket, own_uid, own_gid, pending, epoch, current: None })
    }

    /// Readable when a caller waits.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Makes every caller a foreign user, and a stranger to the socket's group.
    #[cfg(test)]
    pub(crate) fn pretend_own_uid(&mut self, uid: u32) {
        self.own_uid = uid;
        self.own_gid = uid;
    }

    /// Serves what can be served now; call again until it returns `None`.
    pub fn poll(&mut self, now: Instant) -> Result<Option<ListenerEvent>, ListenerError> {
        self.accept(now)?;
        for index in 0..self.pending.len() {
            if let Some(heard) = hear(&self.pending[index], now) {
                let caller = self.pending.swap_remove(index);
                return self.answer(caller, heard).map(Some);
            }
        }
        Ok(None)
    }

    fn accept(&mut self, now: Instant) -> Result<(), ListenerError> {
        while !self.pending.is_full() {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match rustix::net::accept_with(&self.socket, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return Ok(()),
                Err(errno) => return Err(ListenerError::Accept(errno.into())),
            };
            let Ok(credentials) = rustix::net::sockopt::socket_peercred(&socket) else { continue };
            self.pending.push(Pending {
                socket,
                pid: credentials.pid.as_raw_pid(),
                uid: credentials.uid.as_raw(),
                gid: credentials.gid.as_raw(),
                deadline: now + HELLO_TIMEOUT,
            });
        }
        Ok(())
    }

    fn answer(
        &mut self,
        caller: Pending,
        heard: Result<Hello, RefuseReason>,
    ) -> Result<ListenerEvent, ListenerError> {
        let Pending { pid, uid, .. } = caller;
        let reason = match self.admit(&caller, heard) {
            Ok(CallerRole::Control) => match self.open(caller.socket, pid)? {
                Ok(end) => return Ok(ListenerEvent::Connected(Box::new(end))),
                Err(gone) => RefuseReason::Gone(gone),
            },
            Ok(CallerRole::Observer) => {
                let welcome = self.welcome(Verdict::Accepted);
                match send(&caller.socket, &welcome, &[self.config.counters.as_fd()]) {
                    Ok(()) => return Ok(ListenerEvent::Observed { pid }),
                    Err(gone) => RefuseReason::Gone(gone),
                }
            }
            Ok(CallerRole::Inspector) => match send(&caller.socket, &self.welcome(Verdict::Accepted), &[]) {
                Ok(()) => return Ok(ListenerEvent::Inspecting(InspectorEnd::new(caller.socket, pid))),
                Err(gone) => RefuseReason::Gone(gone),
            },
            Err(reason) => reason,
        };
        Ok(ListenerEvent::Refused { pid, uid, reason })
    }

    /// Checks user and version; tells a caller that is turned away why, as far as it can be told.
    fn admit(
        &self,
        caller: &Pending,
        heard: Result<Hello, RefuseReason>,
    ) -> Result<CallerRole, RefuseReason> {
        let known = caller.uid == self.own_uid || self.config.allowed_uids.contains(&caller.uid);
        // The socket's group may ask, but not control.
        let may_ask = known || caller.uid == 0 || caller.gid == self.own_gid;
        let refused = if !may_ask {
            (Verdict::NotAllowed, RefuseReason::NotAllowed(caller.uid))
        } else {
            match heard? {
                Hello { version, .. } if version != CONTRACT_VERSION => {
                    (Verdict::WrongVersion, RefuseReason::Version(version))
                }
                Hello { role, .. } if known || role == CallerRole::Inspector => return Ok(role),
                Hello { .. } => (Verdict::NotAllowed, RefuseReason::NotAllowed(caller.uid)),
            }
        };
        // A caller that is gone before its refusal arrives needs none.
        let _ = send(&caller.socket, &self.welcome(refused.0), &[]);
        Err(refused.1)
    }

    fn welcome(&self, verdict: Verdict) -> Welcome {
        Welcome { magic: MAGIC, version: CONTRACT_VERSION, verdict, epoch: self.epoch }
    }

    /// Fences the old session, then builds and hands over the new one. The inner error: the caller is gone.
    fn open(&mut self, socket: OwnedFd, pid: i32) -> Result<std::io::Result<DataplaneEnd>, ListenerError> {
        if let Some(old) = self.current.take() {
            old.fence(Fence::Replaced);
        }
        self.epoch = Epoch(self.epoch.0 + 1);
        let (region, memory_fd) = Region::create(self.epoch)?;
        let doorbells = Doorbells::create().map_err(ListenerError::Accept)?;
        let fds = [
            memory_fd.as_fd(),
            doorbells.ours.as_fd(),
            doorbells.theirs.as_fd(),
            self.config.counters.as_fd(),
            self.config.journal.as_fd(),
        ];
        if let Err(gone) = send(&socket, &self.welcome(Verdict::Accepted), &fds) {
            return Ok(Err(gone));
        }
        self.current = Some(region.clone());
        Ok(Ok(DataplaneEnd::new(region, doorbells, socket, self.epoch, pid)))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Whoever restarts finds no stale socket; one that is gone already is as good.
        let _ = std::fs::remove_file(&self.config.path);
    }
}

/// The caller's greeting, or why there will be none; `None` while it may still come.
fn hear(caller: &Pending, now: Instant) -> Option<Result<Hello, RefuseReason>> {
    let mut bytes = [0; Hello::LEN + 1];
    match rustix::net::recv(&caller.socket, &mut bytes, RecvFlags::DONTWAIT) {
        Ok((0, _)) => Some(Err(RefuseReason::Gone(std::io::ErrorKind::UnexpectedEof.into()))),
        Ok((len, _)) => Some(Hello::decode(&bytes[..len]).map_err(RefuseReason::Malformed)),
        Err(Errno::AGAIN | Errno::INTR) => (now >= caller.deadline).then_some(Err(RefuseReason::Silent)),
        Err(errno) => Some(Err(RefuseReason::Gone(errno.into()))),
    }
}

/// Epochs rise over restarts of the data plane too: they start at the time since boot.
fn first_epoch() -> Epoch {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Epoch(
        u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000)
            + u64::try_from(now.tv_nsec).unwrap_or(0),
    )
}

fn create_directory(path: &Path) -> Result<(), ListenerError> {
    use std::os::unix::fs::DirBuilderExt;
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path)
        .map_err(|source| ListenerError::Directory { path: path.into(), source })
}

fn bind_socket(path: &Path) -> Result<OwnedFd, ListenerError> {
    let failed = |errno: Errno| ListenerError::Listen { path: path.into(), source: errno.into() };
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let new_socket =
        || rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(failed);
    match rustix::net::connect(&new_socket()?, &address) {
        Ok(()) | Err(Errno::AGAIN) => return Err(ListenerError::InUse { path: path.into() }),
        Err(Errno::CONNREFUSED) => {
            // Left behind by a data plane that was killed.
            std::fs::remove_file(path)
                .map_err(|source| ListenerError::Listen { path: path.into(), source })?;
        }
        Err(_) => {}
    }
    let socket = new_socket()?;
    rustix::net::bind(&socket, &address).map_err(failed)?;
    rustix::fs::chmod(path, Mode::from_raw_mode(0o660)).map_err(failed)?;
    rustix::net::listen(&socket, 8).map_err(failed)?;
    Ok(socket)
}
