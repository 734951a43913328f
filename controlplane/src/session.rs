//! A session with the data plane: the engine's queues on one side, the rings on the other.

use std::os::fd::{BorrowedFd, OwnedFd};

use ike::{JournalRecord, Time};
use shm::journal::{Journal, JournalEntry};
use shm::message::{Epoch, MAX_PACKET_LEN, PuntClass};
use shm::session::ControlEnd;
use shm::{SendError, SessionError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::engine::Engine;

/// Packets taken from each class in one round. Known peers come first and most: a flood of first contacts, ICMP
/// or local traffic does not starve them.
const BUDGET: [(PuntClass, usize); 4] =
    [(PuntClass::IkeKnown, 64), (PuntClass::IkeNew, 16), (PuntClass::Icmp, 8), (PuntClass::Local, 8)];
/// Completions and events in one round.
const MESSAGES: usize = 256;

/// Watches a copy of `fd` for being readable.
#[expect(
    deprecated,
    reason = "sound for an OwnedFd, which keeps its descriptor; the successor is an unsafe function"
)]
fn watch(fd: BorrowedFd<'_>) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd.try_clone_to_owned()?, Interest::READABLE)
}

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    end: ControlEnd,
    journal: Option<Journal>,
    doorbell: AsyncFd<OwnedFd>,
    socket: AsyncFd<OwnedFd>,
    packet: Box<[u8; MAX_PACKET_LEN]>,
    /// The rings may hold more than the last round took, or less than it wanted to put.
    unfinished: bool,
}

impl Session {
    /// Takes over `end`; with `journal` off nothing is kept for a successor.
    pub(crate) fn new(mut end: ControlEnd, journal: bool) -> std::io::Result<Self> {
        let (doorbell, socket) = (watch(end.doorbell_fd())?, watch(end.socket_fd())?);
        let journal = end.take_journal().filter(|_| journal);
        Ok(Self { end, journal, doorbell, socket, packet: Box::new([0; MAX_PACKET_LEN]), unfinished: true })
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.end.epoch()
    }

    pub(crate) fn counters(&self) -> &shm::counters::CountersReader {
        self.end.counters()
    }

    pub(crate) fn journal_entries(&self) -> Vec<JournalEntry> {
        self.journal.as_ref().map(Journal::entries).unwrap_or_default()
    }

    /// Waits until there may be something to do: the doorbell rang, or the data plane is gone. Returns at once
    /// while a round is unfinished.
    pub(crate) async fn ready(&self) -> Result<(), SessionError> {
        if self.unfinished {
            // Let others run; a full ring needs a moment to drain.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            return Ok(());
        }
        tokio::select! {
            guard = self.doorbell.readable() => {
                guard.map_err(SessionError::Doorbell)?.clear_ready();
                Ok(())
            }
            guard = self.socket.readable() => {
                guard.map_err(SessionError::Doorbell)?.clear_ready();
                self.end.check_peer()
            }
        }
    }

    /// One round: everything that came in, up to the budgets.
    pub(crate) fn receive(&mut self, engine: &mut Engine, now: Time) -> Result<(), SessionError> {
        self.end.drain_doorbell()?;
        self.unfinished = false;
        self.completions(engine, now)?;
        self.events(engine, now)?;
        for (class, budget) in BUDGET {
            self.punts(class, budget, engine, now)?;
        }
        Ok(())
    }

    fn completions(&mut self, engine: &mut Engine, now: Time) -> Result<(), SessionError> {
        for _ in 0..MESSAGES {
            let Some(completion) = self.end.receive_completion()? else { return Ok(()) };
            engine.handle_completion(completion, now);
        }
        self.unfinished = true;
        Ok(())
    }

    fn events(&mut self, engine: &mut Engine, now: Time) -> Result<(), SessionError> {
        for _ in 0..MESSAGES {
            let Some(event) = self.end.receive_event()? else { return Ok(()) };
            engine.handle_event(event, now);
        }
        self.unfinished = true;
        Ok(())
    }

    fn punts(
        &mut self,
        class: PuntClass,
        budget: usize,
        engine: &mut Engine,
        now: Time,
    ) -> Result<(), SessionError> {
        for _ in 0..budget {
            let Some((punt, len)) = self.end.receive_punt(class, &mut self.packet)? else { return Ok(()) };
            match class {
                PuntClass::IkeKnown | PuntClass::IkeNew => {
                    engine.handle_punt(punt.vrf, &self.packet[..len], now)
                }
                // Nobody listens to these yet.
                PuntClass::Icmp | PuntClass::Local => {}
            }
        }
        self.unfinished = true;
        Ok(())
    }

    /// Carries out what the engine wants: the journal first, so that a successor knows what others may see.
    pub(crate) fn send(&mut self, engine: &mut Engine) -> Result<(), SessionError> {
        while let Some(record) = engine.poll_journal() {
            self.keep(&record);
        }
        while let Some(command) = engine.poll_command() {
            match self.end.send_command(&command) {
                Ok(()) => {}
                Err(SendError::Full) => {
                    engine.unsent(command);
                    self.unfinished = true;
                    break;
                }
                Err(SendError::Session(error)) => return Err(error),
                Err(error) => tracing::error!(%error, "command not sent"),
            }
        }
        while let Some(packet) = engine.poll_inject() {
            match self.end.send_inject(&packet.inject, &packet.bytes) {
                Ok(()) => {}
                Err(SendError::Session(error)) => return Err(error),
                // IKE sends again.
                Err(error) => tracing::warn!(%error, "IKE message not sent"),
            }
        }
        self.end.notify()
    }

    fn keep(&mut self, record: &JournalRecord) {
        let Some(journal) = &mut self.journal else { return };
        let kept = match record {
            JournalRecord::Put { ike_sa, snapshot } => journal.put(ike_sa.0, snapshot),
            JournalRecord::Remove { ike_sa } => journal.release(ike_sa.0),
        };
        if let Err(error) = kept {
            tracing::error!(%error, "IKE SA not journaled: it will not survive a restart of this process");
        }
    }
}
