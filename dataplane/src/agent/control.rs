//! The control session as the agent sees it: at most one, and gone at any moment.

use std::collections::VecDeque;

use shm::message::{Command, Completion, Event, Inject, MAX_PACKET_LEN, Punt};
use shm::session::DataplaneEnd;
use shm::{SendError, SessionError};

/// Answers that may wait while commands are still read: one more list fits the ring beside them.
const MAX_WAITING: usize = 512;

/// What became of a packet for control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Delivered,
    /// The ring is full, or there is no session.
    NotTaken,
    /// Longer than the contract carries.
    Oversize,
}

/// The session, and the answers that wait for room in its ring.
#[derive(Debug, Default)]
pub(super) struct Control {
    end: Option<Box<DataplaneEnd>>,
    outbox: VecDeque<Completion>,
    /// Sessions that ended because of the peer.
    pub(super) faults: u64,
    pub(super) events: u64,
    pub(super) events_lost: u64,
}

impl Control {
    /// Starts over with a new session.
    pub(super) fn connect(&mut self, end: Box<DataplaneEnd>) {
        tracing::info!(epoch = end.epoch().0, pid = end.peer_pid(), "control connected");
        self.outbox.clear();
        self.end = Some(end);
    }

    pub(super) fn end(&self) -> Option<&DataplaneEnd> {
        self.end.as_deref()
    }

    /// True if commands may be read: not while control leaves its answers lying.
    pub(super) fn is_receptive(&self) -> bool {
        self.end.is_some() && self.outbox.len() < MAX_WAITING
    }

    pub(super) fn receive_command(&mut self) -> Option<Command> {
        let received = self.end.as_mut()?.receive_command();
        self.survive(received).flatten()
    }

    pub(super) fn receive_inject(&mut self, into: &mut [u8; MAX_PACKET_LEN]) -> Option<(Inject, usize)> {
        let received = self.end.as_mut()?.receive_inject(into);
        self.survive(received).flatten()
    }

    /// Queues an answer: it is sent at the end of the turn, when the workers were shown what it says.
    pub(super) fn answer(&mut self, completion: impl Into<Completion>) {
        if self.end.is_some() {
            self.outbox.push_back(completion.into());
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) {
        while let (Some(end), Some(completion)) = (self.end.as_mut(), self.outbox.front()) {
            match end.send_completion(completion) {
                Ok(()) => {
                    self.outbox.pop_front();
                }
                Err(SendError::Session(error)) => self.fail(&error),
                Err(SendError::Full | SendError::PacketLength(_)) => break,
                Err(_) => break,
            }
        }
        let notified = self.end.as_mut().map(|end| end.notify());
        if let Some(Err(error)) = notified {
            self.fail(&error);
        }
    }

    /// Sends a hint, or counts that it was lost.
    pub(super) fn event(&mut self, event: impl Into<Event>) {
        let Some(end) = self.end.as_mut() else {
            self.events_lost += 1;
            return;
        };
        match end.send_event(&event.into()) {
            Ok(()) => self.events += 1,
            Err(SendError::Session(error)) => self.fail(&error),
            Err(_) => self.events_lost += 1,
        }
    }

    pub(super) fn punt(&mut self, punt: &Punt, packet: &[u8]) -> Delivery {
        let Some(end) = self.end.as_mut() else { return Delivery::NotTaken };
        match end.send_punt(punt, packet) {
            Ok(()) => Delivery::Delivered,
            Err(SendError::PacketLength(_)) => Delivery::Oversize,
            Err(SendError::Session(error)) => {
                self.fail(&error);
                Delivery::NotTaken
            }
            Err(_) => Delivery::NotTaken,
        }
    }

    /// Call after waking up and every few milliseconds: notices that control is gone.
    pub(super) fn check(&mut self) {
        let checked = self.end.as_ref().map(|end| end.drain_doorbell().and_then(|()| end.check_peer()));
        if let Some(Err(error)) = checked {
            self.fail(&error);
        }
    }

    fn survive<T>(&mut self, result: Result<T, SessionError>) -> Option<T> {
        result.map_err(|error| self.fail(&error)).ok()
    }

    /// The session is over; forwarding goes on.
    fn fail(&mut self, error: &SessionError) {
        let Some(end) = self.end.take() else { return };
        self.outbox.clear();
        match error {
            SessionError::PeerGone => tracing::info!(epoch = end.epoch().0, "control is gone"),
            error => {
                self.faults += 1;
                tracing::warn!(epoch = end.epoch().0, %error, "control session ended");
            }
        }
    }
}
