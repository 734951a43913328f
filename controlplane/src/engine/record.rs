//! Negotiations that are recorded for a client.

use std::time::Duration;

use api::server::Reply;
use api::{Problem, RecordRequest, Recorded};
use ike::record::What;
use ike::{ConnectionKey, Time};

use super::diagnoses::Failure;
use super::wait::Goal;
use super::{Engine, State};

/// What a client waits for.
#[derive(Debug)]
pub(super) struct Recording {
    deadline: Time,
    reply: Reply<Recorded>,
}

impl Recording {
    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }
}

impl Engine {
    /// Records the next negotiation of a tunnel that is down, and begins it unless the peer shall.
    pub(super) fn record(
        &mut self,
        connection: &str,
        request: RecordRequest,
        reply: Reply<Recorded>,
        now: Time,
    ) {
        let key = match self.recordable(connection, request.tunnel) {
            Ok(key) => key,
            Err(problem) => return drop(reply.send(Err(problem))),
        };
        if !request.passive {
            self.held_down.remove(&key);
            // Leftovers of failed attempts: an IKE SA without a child would hide the beginning.
            self.manager.handle_command(ike::Command::Down(key), now);
        }
        self.manager.record(key, now);
        let deadline = now + Duration::from_secs(request.wait_secs);
        self.recording = Some(Recording { deadline, reply });
        tracing::info!(tunnel = self.tunnel_name(key), "the next negotiation is recorded");
        if !request.passive {
            self.manager.handle_command(ike::Command::Initiate(key), now);
        }
        self.settle(now);
    }

    /// The tunnel that is meant, if it can be recorded now.
    fn recordable(&self, connection: &str, tunnel: Option<u8>) -> Result<ConnectionKey, Problem> {
        let keys = self.targets(connection, tunnel)?;
        if self.state != State::Ready {
            return Err(self.away());
        }
        let (Some(key), 1) = (keys.first(), keys.len()) else {
            let detail = format!("connection {connection} has {} tunnels", keys.len());
            let problem = Problem::new(422, "OneTunnel", "One tunnel at a time is recorded", detail);
            return Err(problem.fix("name the tunnel: 1 or 2"));
        };
        if self.recording.as_ref().is_some_and(|recording| !recording.reply.is_closed()) {
            let detail = "another client records a negotiation";
            let problem = Problem::new(409, "AlreadyRecording", "A recording is under way", detail);
            return Err(problem.fix("ask again when it has ended"));
        }
        let sas: Vec<_> = self.manager.ike_sas_of(*key).collect();
        if Goal::Up(keys.clone()).is_met(&sas) {
            let problem = Problem::new(409, "TunnelUp", "The tunnel is up", "its negotiation is over");
            return Err(problem.fix("terminate it first to record how it comes up"));
        }
        Ok(*key)
    }

    /// Answers the client whose recording came to a result, or whose time is over.
    pub(super) fn end_recording(&mut self, now: Time) {
        let Some(recording) = &self.recording else { return };
        let done = self.manager.has_recorded();
        if !done && recording.deadline > now && !recording.reply.is_closed() {
            return;
        }
        let Some(Recording { reply, .. }) = self.recording.take() else { return };
        let Some(recording) = self.manager.take_recording() else { return };
        let failed = recording.results().find_map(|what| match what {
            What::Failed(diagnosis) => Some(diagnosis.clone()),
            _ => None,
        });
        let is_up = recording.results().any(|what| *what == What::Up);
        let diagnosis = failed.map(|diagnosis| {
            self.view_diagnosis(&Failure { id: 0, diagnosis, at: now, count: 1, recovered: false }, now)
        });
        let message = match &diagnosis {
            Some(diagnosis) if !is_up => format!("failed: {}", diagnosis.code),
            _ if is_up => "established".to_owned(),
            _ if recording.cut => "cut: too much happened, or the configuration changed".to_owned(),
            _ => "no result yet".to_owned(),
        };
        let answer = match serde_json::to_string_pretty(&recording) {
            Ok(recording) => Ok(Recorded { done, message, diagnosis, recording }),
            Err(error) => Err(Problem::new(500, "Internal", "Internal error", error.to_string())),
        };
        // A client that hung up does not matter.
        drop(reply.send(answer));
    }
}
