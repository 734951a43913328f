//! The data plane's end of a session.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::channel::{PacketReceiver, PacketSender, Receiver, Sender};
use crate::error::{SendError, SessionError};
use crate::layout::{COMMANDS, COMPLETIONS, EVENTS, Fence, INJECT, PUNTS, RingName};
use crate::message::{Command, Completion, Epoch, Event, Inject, MAX_PACKET_LEN, Punt, PuntClass};
use crate::session::{Doorbells, Region, check_peer};

/// Receives commands and injected packets; sends completions, events and punted packets.
///
/// Nothing blocks. After any [`SessionError`] drop the end: that fences the memory and wipes the commands
/// nobody will read. The data plane keeps forwarding meanwhile.
#[derive(Debug)]
pub struct DataplaneEnd {
    region: Region,
    doorbells: Doorbells,
    socket: OwnedFd,
    epoch: Epoch,
    peer_pid: i32,
    commands: Receiver<Command>,
    completions: Sender<Completion>,
    events: Sender<Event>,
    punts: [PacketSender<Punt>; 4],
    inject: PacketReceiver<Inject>,
    /// Something was sent since the last [`DataplaneEnd::notify`].
    unannounced: bool,
}

impl DataplaneEnd {
    pub(crate) fn new(
        region: Region,
        doorbells: Doorbells,
        socket: OwnedFd,
        epoch: Epoch,
        peer_pid: i32,
    ) -> Self {
        let memory = &region.memory;
        memory.lock(COMMANDS.offset, COMMANDS.len());
        let punts = std::array::from_fn(|index| {
            PacketSender::new(memory, RingName::Punt(PuntClass::ALL[index]), PUNTS[index])
        });
        Self {
            commands: Receiver::new(memory, RingName::Commands, COMMANDS),
            completions: Sender::new(memory, RingName::Completions, COMPLETIONS),
            events: Sender::new(memory, RingName::Events, EVENTS),
            punts,
            inject: PacketReceiver::new(memory, RingName::Inject, INJECT),
            region,
            doorbells,
            socket,
            epoch,
            peer_pid,
            unannounced: false,
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Of the control process when it connected.
    pub fn peer_pid(&self) -> i32 {
        self.peer_pid
    }

    pub fn receive_command(&mut self) -> Result<Option<Command>, SessionError> {
        self.region.check_open()?;
        self.commands.receive()
    }

    /// Copies the next injected packet to the front of `into`; returns its descriptor and length in bytes.
    pub fn receive_inject(
        &mut self,
        into: &mut [u8; MAX_PACKET_LEN],
    ) -> Result<Option<(Inject, usize)>, SessionError> {
        self.region.check_open()?;
        self.inject.receive(into)
    }

    pub fn send_completion(&mut self, completion: &Completion) -> Result<(), SendError> {
        self.completions.send(completion)?;
        self.unannounced = true;
        Ok(())
    }

    /// Completions that can be sent now.
    pub fn completion_room(&mut self) -> Result<usize, SessionError> {
        self.completions.room()
    }

    /// An event that finds the ring full is the caller's to count and forget: it is a hint.
    pub fn send_event(&mut self, event: &Event) -> Result<(), SendError> {
        self.events.send(event)?;
        self.unannounced = true;
        Ok(())
    }

    /// Sends an IP packet of 1 to [`MAX_PACKET_LEN`] bytes in the ring of its class.
    pub fn send_punt(&mut self, punt: &Punt, packet: &[u8]) -> Result<(), SendError> {
        self.punts[punt.class.index()].send(punt, packet)?;
        self.unannounced = true;
        Ok(())
    }

    /// Rings control's doorbell once for all that was sent since the last call.
    pub fn notify(&mut self) -> Result<(), SessionError> {
        if std::mem::take(&mut self.unannounced) {
            self.doorbells.ring()?;
        }
        Ok(())
    }

    /// Readable when control rang: sleep on it together with [`DataplaneEnd::socket_fd`].
    pub fn doorbell_fd(&self) -> BorrowedFd<'_> {
        self.doorbells.fd()
    }

    /// Call after waking up and before reading the rings.
    pub fn drain_doorbell(&self) -> Result<(), SessionError> {
        self.doorbells.drain()
    }

    /// Readable when control is gone.
    pub fn socket_fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.socket.as_fd()
    }

    /// A system call: for every few milliseconds, not for every packet.
    pub fn check_peer(&self) -> Result<(), SessionError> {
        self.region.check_open()?;
        check_peer(&self.socket)
    }
}

impl Drop for DataplaneEnd {
    fn drop(&mut self) {
        if self.region.check_open().is_ok() {
            self.region.fence(Fence::Closed);
        }
        self.region.memory.wipe(COMMANDS.offset, COMMANDS.len());
        // Control wakes up and finds the fence.
        let _ = self.doorbells.ring();
    }
}
