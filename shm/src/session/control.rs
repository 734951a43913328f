//! Control's end of a session.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::channel::{PacketReceiver, PacketSender, Receiver, Sender};
use crate::counters::CountersReader;
use crate::error::{ConnectError, SendError, SessionError};
use crate::journal::Journal;
use crate::layout::{COMMANDS, COMPLETIONS, CONTRACT_VERSION, EVENTS, INJECT, MAGIC, PUNTS, RingName};
use crate::message::{Command, Completion, Epoch, Event, Inject, MAX_PACKET_LEN, Punt, PuntClass};
use crate::session::handshake::{Admission, CallerRole, call};
use crate::session::{Doorbells, Region, check_peer};

/// Sends commands and packets; receives completions, events and punted packets.
///
/// Apart from [`ControlEnd::connect`] nothing blocks. After any [`SessionError`] drop the end and connect
/// again: SAs and traffic are untouched by that.
#[derive(Debug)]
pub struct ControlEnd {
    pub(super) region: Region,
    doorbells: Doorbells,
    socket: OwnedFd,
    epoch: Epoch,
    counters: CountersReader,
    journal: Option<Journal>,
    commands: Sender<Command>,
    completions: Receiver<Completion>,
    events: Receiver<Event>,
    punts: [PacketReceiver<Punt>; 4],
    inject: PacketSender<Inject>,
    unannounced: bool,
}

impl ControlEnd {
    /// Opens a session with the data plane that listens at `path`; an older session ends by it. Blocks for
    /// at most a few seconds.
    pub fn connect(path: &Path) -> Result<Self, ConnectError> {
        let Admission { socket, epoch, fds } = call(path, CallerRole::Control)?;
        let [memory, bell_theirs, bell_ours, counters, journal] =
            fds.into_inner().map_err(|_| ConnectError::Malformed { what: "the list of file descriptors" })?;
        let region = Region::attach(&memory)?;
        if region.header() != (MAGIC, CONTRACT_VERSION.into(), epoch) {
            return Err(ConnectError::Malformed { what: "the header of the session's memory" });
        }
        let doorbells = Doorbells { theirs: bell_theirs, ours: bell_ours };
        let counters = CountersReader::map(&counters)?;
        let journal = Journal::map(&journal, epoch)?;
        Ok(Self::new(region, doorbells, socket, epoch, counters, journal))
    }

    fn new(
        region: Region,
        doorbells: Doorbells,
        socket: OwnedFd,
        epoch: Epoch,
        counters: CountersReader,
        journal: Journal,
    ) -> Self {
        let memory = &region.memory;
        memory.lock(COMMANDS.offset, COMMANDS.len());
        let punts = std::array::from_fn(|index| {
            PacketReceiver::new(memory, RingName::Punt(PuntClass::ALL[index]), PUNTS[index])
        });
        Self {
            commands: Sender::new(memory, RingName::Commands, COMMANDS),
            completions: Receiver::new(memory, RingName::Completions, COMPLETIONS),
            events: Receiver::new(memory, RingName::Events, EVENTS),
            punts,
            inject: PacketSender::new(memory, RingName::Inject, INJECT),
            region,
            doorbells,
            socket,
            epoch,
            counters,
            journal: Some(journal),
            unannounced: false,
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn counters(&self) -> &CountersReader {
        &self.counters
    }

    /// The journal of IKE SAs, once: it may be kept apart from the session.
    pub fn take_journal(&mut self) -> Option<Journal> {
        self.journal.take()
    }

    pub fn send_command(&mut self, command: &Command) -> Result<(), SendError> {
        self.region.check_open()?;
        self.commands.send(command)?;
        self.unannounced = true;
        Ok(())
    }

    /// Commands that can be sent now.
    pub fn command_room(&mut self) -> Result<usize, SessionError> {
        self.region.check_open()?;
        self.commands.room()
    }

    /// Sends an IP packet of 1 to [`MAX_PACKET_LEN`] bytes.
    pub fn send_inject(&mut self, inject: &Inject, packet: &[u8]) -> Result<(), SendError> {
        self.region.check_open()?;
        self.inject.send(inject, packet)?;
        self.unannounced = true;
        Ok(())
    }

    pub fn receive_completion(&mut self) -> Result<Option<Completion>, SessionError> {
        self.region.check_open()?;
        self.completions.receive()
    }

    pub fn receive_event(&mut self) -> Result<Option<Event>, SessionError> {
        self.region.check_open()?;
        self.events.receive()
    }

    /// Copies the next packet of `class` to the front of `into`; returns its descriptor and length in bytes.
    pub fn receive_punt(
        &mut self,
        class: PuntClass,
        into: &mut [u8; MAX_PACKET_LEN],
    ) -> Result<Option<(Punt, usize)>, SessionError> {
        self.region.check_open()?;
        self.punts[class.index()].receive(into)
    }

    /// Rings the data plane's doorbell once for all that was sent since the last call.
    pub fn notify(&mut self) -> Result<(), SessionError> {
        if std::mem::take(&mut self.unannounced) {
            self.doorbells.ring()?;
        }
        Ok(())
    }

    /// Readable when the data plane rang: sleep on it together with [`ControlEnd::socket_fd`].
    pub fn doorbell_fd(&self) -> BorrowedFd<'_> {
        self.doorbells.fd()
    }

    /// Call after waking up and before reading the rings.
    pub fn drain_doorbell(&self) -> Result<(), SessionError> {
        self.doorbells.drain()
    }

    /// Readable when the data plane is gone.
    pub fn socket_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// A system call: for when `socket_fd` is readable, or every few milliseconds.
    pub fn check_peer(&self) -> Result<(), SessionError> {
        self.region.check_open()?;
        check_peer(&self.socket)
    }
}
