//! One end: the manager under test between models of what surrounds it.

use ike::record::{What, replay};
use ike::{
    Config, Connection, ConnectionKey, Datagram, Event, IkeManager, IkeSaId, IkeSaStatus, JournalRecord,
    SaCommand, Start, Time,
};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::{DataPlane, Invariant, Tally};

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
    pub(crate) tally: Tally,
    /// Negotiations recorded so far: each tunnel in turn.
    recorded: usize,
    journal: BTreeMap<IkeSaId, Vec<u8>>,
    config: Config,
    connections: BTreeMap<ConnectionKey, Connection>,
}

/// What a gateway wants done, in the order the manager documents.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) commands: Vec<SaCommand>,
    pub(crate) datagrams: Vec<Datagram>,
}

impl Gateway {
    pub(crate) fn new(config: Config, connections: Vec<Connection>, seed: [u8; 32], now: Time) -> Self {
        let manager = IkeManager::new(config.clone(), seed, now);
        let connections = connections.into_iter().map(|c| (c.key, c)).collect();
        let data_plane = DataPlane::default();
        let (events, session, journal) = (Vec::new(), 0, BTreeMap::new());
        let (tally, recorded) = (Tally::default(), 0);
        let mut gateway =
            Self { manager, data_plane, events, session, tally, recorded, journal, config, connections };
        gateway.begin(now);
        gateway.record(now);
        gateway
    }

    /// A control process learns the time and its connections.
    fn begin(&mut self, now: Time) {
        self.manager.set_wall_clock(wall_clock(now), now);
        self.connections.values().for_each(|c| self.manager.set_connection(c.clone(), now));
    }

    /// Takes out everything the manager has to say.
    pub(crate) fn drain(&mut self, now: Time) -> Output {
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
        self.replay(now);
        output
    }

    /// The control process ends here and another one takes over from the journal.
    pub(crate) fn restart(&mut self, seed: [u8; 32], now: Time) {
        self.session += 1;
        self.data_plane.control_restarted();
        self.manager = IkeManager::new(self.config.clone(), seed, now);
        self.begin(now);
        for (ike_sa, snapshot) in &self.journal {
            self.manager.restore(snapshot, now).unwrap_or_else(|e| panic!("snapshot of {ike_sa}: {e}"));
        }
        let known = self.manager.spis().collect();
        self.data_plane.remove_strays(&known, self.config.linger, now);
        self.record(now);
    }

    /// Records the next negotiation of a tunnel, as long as there is nothing that began before.
    fn record(&mut self, now: Time) {
        let key = self.connections.keys().nth(self.recorded % self.connections.len().max(1));
        if let (Some(key), 0) = (key, self.manager.load().ike_sas) {
            self.manager.record(*key, now);
        }
    }

    /// A recording that is complete comes to the same result when it is played again.
    fn replay(&mut self, now: Time) {
        if self.manager.recorded().is_none() {
            return self.record(now);
        }
        if !self.manager.has_recorded() {
            return;
        }
        let Some(recording) = self.manager.take_recording() else { return };
        let results: Vec<What> = recording.results().cloned().collect();
        let replayed = replay(&recording);
        let same = recording.cut || replayed.as_ref() == Ok(&results);
        self.tally.check(Invariant::RecordingsReplay, same, || {
            let lines: Vec<String> = recording.entries.iter().map(ToString::to_string).collect();
            format!("{}\nreplayed as {replayed:#?}", lines.join("\n"))
        });
        self.recorded += 1;
        self.record(now);
    }

    /// The same, with an empty journal: what is left in the data plane is nobody's.
    pub(crate) fn restart_without_journal(&mut self, seed: [u8; 32], now: Time) {
        self.journal.clear();
        self.restart(seed, now);
    }

    /// Forgets all IKE SAs and CHILD_SAs without a word, as after a power cut.
    pub(crate) fn crash(&mut self, seed: [u8; 32], now: Time) {
        self.journal.clear();
        self.data_plane.lose_everything();
        self.restart(seed, now);
    }

    /// A connection is configured like this from now on.
    pub(crate) fn configure(&mut self, connection: Connection, now: Time) {
        self.manager.set_connection(connection.clone(), now);
        self.connections.insert(connection.key, connection);
    }

    /// A connection is configured otherwise from now on.
    pub(crate) fn reconfigure(
        &mut self,
        key: ConnectionKey,
        change: impl FnOnce(&mut Connection),
        now: Time,
    ) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        change(connection);
        self.manager.set_connection(connection.clone(), now);
    }

    /// When a connection is negotiated.
    pub fn starts(&self, key: ConnectionKey) -> Option<Start> {
        self.connections.get(&key).map(|c| c.start)
    }

    /// Whether ESP shows by its address which connection it is of.
    pub(crate) fn knows_address(&self, key: ConnectionKey) -> bool {
        self.connections.get(&key).is_some_and(|c| c.remote.is_some())
    }

    /// IKE SAs now.
    pub fn ike_sas(&self) -> Vec<IkeSaStatus> {
        self.manager.ike_sas().collect()
    }

    /// Those of one connection.
    pub fn ike_sas_of(&self, key: ConnectionKey) -> Vec<IkeSaStatus> {
        self.manager.ike_sas().filter(|sa| sa.key == Some(key)).collect()
    }

    /// How many snapshots the journal holds.
    pub fn journaled(&self) -> usize {
        self.journal.len()
    }
}
