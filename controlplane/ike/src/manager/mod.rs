//! All IKE SAs of the gateway.

pub mod command;
pub mod event;

use std::time::Duration;

use crate::config::{Config, Connection, ConnectionKey};
use crate::time::Time;
use command::{Command, Datagram, SaCommand, SaReply};
use event::{Counters, Event, IkeSaStatus, JournalRecord};

/// Why a snapshot cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Written by another version, or damaged.
    #[error("snapshot cannot be read: {0}")]
    Unreadable(String),
    /// Its connection is no longer configured: the SA should be deleted in the data plane.
    #[error("connection {0} is not configured")]
    UnknownConnection(ConnectionKey),
}

/// All IKE SAs of the gateway, sans-io.
///
/// Call order: feed one input (`handle_*`), then drain, in this order, [`IkeManager::poll_journal`] (keep
/// the records), [`IkeManager::poll_sa_command`], [`IkeManager::poll_transmit`],
/// [`IkeManager::poll_event`], then sleep until [`IkeManager::poll_timeout`] or the next input. Nothing
/// here reads a clock or a random source: the same seed and the same inputs give the same outputs.
///
/// After a restart: `new`, `set_connection` for each, `restore` each kept snapshot, then drain as above.
/// `rng_seed` must be fresh then.
#[derive(Debug)]
pub struct IkeManager {
    config: Config,
}

impl IkeManager {
    /// A manager without connections.
    pub fn new(config: Config, rng_seed: [u8; 32], now: Time) -> Self {
        let _ = (rng_seed, now);
        Self { config }
    }

    /// Adds or replaces a connection. A change of what its SAs were negotiated from deletes and
    /// renegotiates them; an equal connection is left alone.
    pub fn set_connection(&mut self, connection: Connection, now: Time) {
        let _ = (connection, now);
    }

    /// Removes a connection and deletes its SAs.
    pub fn remove_connection(&mut self, key: ConnectionKey, now: Time) {
        let _ = (key, now);
    }

    /// Takes back one snapshot. Its connection must be set already.
    pub fn restore(&mut self, snapshot: &[u8], now: Time) -> Result<(), RestoreError> {
        let _ = (snapshot, now);
        Ok(())
    }

    /// A datagram arrived.
    pub fn handle_message(&mut self, datagram: Datagram, now: Time) {
        let _ = (datagram, now);
    }

    /// The time of [`IkeManager::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        let _ = now;
    }

    /// Somebody wants something done.
    pub fn handle_command(&mut self, command: Command, now: Time) {
        let _ = (command, now);
    }

    /// The data plane answered a command.
    pub fn handle_sa_reply(&mut self, reply: SaReply, now: Time) {
        let _ = (reply, now);
    }

    /// The next snapshot to keep.
    pub fn poll_journal(&mut self) -> Option<JournalRecord> {
        None
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        None
    }

    /// The next command to the data plane.
    pub fn poll_sa_command(&mut self) -> Option<SaCommand> {
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let _ = (Duration::ZERO, &self.config);
        None
    }

    /// Every IKE SA, in order of age.
    pub fn ike_sas(&self) -> impl Iterator<Item = IkeSaStatus> {
        std::iter::empty()
    }

    /// What happened to datagrams so far.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
