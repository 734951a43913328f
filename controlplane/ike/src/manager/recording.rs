//! Recording a negotiation, and what replays it.

use std::net::{IpAddr, Ipv4Addr};

use super::IkeManager;
use crate::config::{Connection, ConnectionKey};
use crate::record::tape::{Recorder, Script, Tape};
use crate::record::{MAX_CONNECTIONS, Recording};
use crate::time::Time;

impl IkeManager {
    /// Records the next negotiation of a tunnel, whichever side begins it; what is recorded already is dropped.
    /// False: there is no such tunnel.
    pub fn record(&mut self, key: ConnectionKey, now: Time) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        let Connection { outer_vrf, local, remote, .. } = *connection;
        // Those that a peer may use from anywhere are together.
        let remote = remote.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let others = self.connections.between(outer_vrf, local, remote).filter(|other| other.key != key);
        let connections = std::iter::once(connection).chain(others).take(MAX_CONNECTIONS).cloned().collect();
        let wall = self.wall_clock(now);
        let recorder = Recorder::new(connection, connections, &self.config, wall, now);
        self.tape = Tape::Recording(Box::new(recorder));
        true
    }

    /// The tunnel that is recorded.
    pub fn recorded(&self) -> Option<ConnectionKey> {
        self.tape.subject()
    }

    /// Whether the recording has come to its end: a result, or its longest size.
    pub fn has_recorded(&self) -> bool {
        self.tape.is_over()
    }

    /// Ends the recording.
    pub fn take_recording(&mut self) -> Option<Recording> {
        self.tape.take()
    }

    /// From now on what cannot be done again is as `script` says.
    pub(crate) fn play(&mut self, script: Script) {
        self.tape = Tape::Playing(Box::new(script));
    }

    /// Changes what is being played.
    pub(crate) fn script(&mut self, change: impl FnOnce(&mut Script)) {
        if let Tape::Playing(script) = &mut self.tape {
            change(script);
        }
    }
}
