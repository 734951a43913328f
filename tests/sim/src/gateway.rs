//! One end: the manager under test between models of what surrounds it.

use ike::{
    Config, Connection, Datagram, Event, IkeManager, IkeSaId, IkeSaStatus, JournalRecord, SaCommand, Time,
};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::DataPlane;

/// The wall clock, since the Unix epoch.
fn wall_clock(now: Time) -> Duration {
    Duration::from_secs(crate::EPOCH.unsigned_abs()) + now.0
}

/// A gateway.
#[derive(Debug)]
pub struct Gateway {
    /// The code under test.
    pub manager: IkeManager,
    /// The model of its data plane.
    pub data_plane: DataPlane,
    /// Everything that happened, restarts included.
    pub events: Vec<Event>,
    /// Counts sessions between control and data plane: answers of an earlier one are lost.
    pub(crate) session: u32,
    journal: BTreeMap<IkeSaId, Vec<u8>>,
    config: Config,
    connection: Connection,
}

/// What a gateway wants done, in the order the manager documents.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) commands: Vec<SaCommand>,
    pub(crate) datagrams: Vec<Datagram>,
}

impl Gateway {
    pub(crate) fn new(config: Config, connection: Connection, seed: [u8; 32], now: Time) -> Self {
        let mut manager = IkeManager::new(config.clone(), seed, now);
        manager.set_wall_clock(wall_clock(now), now);
        manager.set_connection(connection.clone(), now);
        Self {
            manager,
            data_plane: DataPlane::default(),
            events: Vec::new(),
            session: 0,
            journal: BTreeMap::new(),
            config,
            connection,
        }
    }

    /// Takes out everything the manager has to say.
    pub(crate) fn drain(&mut self) -> Output {
        let mut output = Output::default();
        while let Some(record) = self.manager.poll_journal() {
            match record {
                JournalRecord::Put { ike_sa, snapshot } => {
                    self.journal.insert(ike_sa, snapshot.to_vec());
                }
                JournalRecord::Remove { ike_sa } => {
                    self.journal.remove(&ike_sa);
                }
            }
        }
        output.commands.extend(std::iter::from_fn(|| self.manager.poll_sa_command()));
        output.datagrams.extend(std::iter::from_fn(|| self.manager.poll_transmit()));
        self.events.extend(std::iter::from_fn(|| self.manager.poll_event()));
        output
    }

    pub(crate) fn configure(&mut self, connection: Connection, now: Time) {
        self.manager.set_connection(connection.clone(), now);
        self.connection = connection;
    }

    /// The control process ends here and another one takes over from the journal.
    pub(crate) fn restart(&mut self, seed: [u8; 32], now: Time) {
        self.session += 1;
        self.data_plane.control_restarted();
        self.manager = IkeManager::new(self.config.clone(), seed, now);
        self.manager.set_wall_clock(wall_clock(now), now);
        self.manager.set_connection(self.connection.clone(), now);
        for (ike_sa, snapshot) in &self.journal {
            self.manager.restore(snapshot, now).unwrap_or_else(|e| panic!("snapshot of {ike_sa}: {e}"));
        }
    }

    /// Forgets all IKE SAs and CHILD_SAs without a word, as after a power cut.
    pub(crate) fn crash(&mut self, seed: [u8; 32], now: Time) {
        self.journal.clear();
        self.data_plane.lose_everything();
        self.restart(seed, now);
    }

    /// IKE SAs now.
    pub fn ike_sas(&self) -> Vec<IkeSaStatus> {
        self.manager.ike_sas().collect()
    }

    /// How many snapshots the journal holds.
    pub fn journaled(&self) -> usize {
        self.journal.len()
    }
}
