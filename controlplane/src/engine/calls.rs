//! What clients of the API ask.

use std::collections::BTreeSet;
use std::time::Duration;

use api::server::{Call, Reply};
use api::{Action, ActionReply, ActionRequest, ConfigReport, ConfigText, Problem, Target};
use ike::{ConnectionKey, IkeSaStatus, Time};
use shm::counters::CountersReader;

use super::link::Question;
use super::wait::{Goal, Waiter};
use super::{Engine, State};
use crate::{convert, document};

/// How long a stop waits for the peers to confirm the deletion of their SAs.
const FAREWELL: Duration = Duration::from_secs(4);
/// Clients that wait for the outcome of an action: each is looked at after every IKE message.
const MAX_WAITERS: usize = 64;

impl Engine {
    /// A client asks. `figures` are the data plane's counters, if it is there.
    pub fn handle_call(&mut self, call: Call, figures: Option<&CountersReader>, now: Time) {
        match call {
            Call::Version(reply) => answer(reply, Ok(self.view_version())),
            Call::Status(reply) => answer(reply, Ok(self.view_status(now))),
            Call::Certificates(reply) => answer(reply, Ok(self.view_certificates(now))),
            Call::Sas(reply) => answer(reply, Ok(self.view_sas(figures, now))),
            Call::Connections(reply) => answer(reply, Ok(self.view_connections(figures, now))),
            Call::Act { connection, action, request, reply } => {
                self.act(&connection, action, request, reply, now);
            }
            Call::Counters(reply) => answer(reply, self.with(figures, |f| self.view_counters(f))),
            Call::Errors(reply) => answer(reply, self.with(figures, |f| self.view_errors(f))),
            Call::Ports(reply) => self.list(reply, |reply| Question::Ports(Vec::new(), reply)),
            Call::Neighbours(reply) => self.list(reply, |reply| Question::Neighbours(Vec::new(), reply)),
            Call::Diagnoses(reply) => {
                let all = self.diagnoses.iter().map(|failure| self.view_diagnosis(failure, now)).collect();
                answer(reply, Ok(all));
            }
            Call::Events(reply) => answer(reply, Ok(self.teller.feed())),
            Call::Record { connection, request, reply } => self.record(&connection, request, reply, now),
            Call::PeerConfig { connection, vendor, reply } => {
                answer(reply, self.view_peer_config(&connection, &vendor));
            }
            Call::CheckConfig(text, reply) => answer(reply, Ok(self.check(&text))),
            Call::DiffConfig(text, reply) => answer(reply, self.view_diff(&text)),
            Call::ReloadConfig(reply) => {
                let detail = "reloading is done by the daemon, which reads the file";
                answer(reply, Err(Problem::new(500, "Internal", "Internal error", detail)));
            }
            Call::Transact(transaction) => {
                let detail = "transactions are the daemon's, which has the store";
                transaction.refuse(Problem::new(500, "Internal", "Internal error", detail));
            }
            Call::Shutdown(request, reply) => {
                self.leave(request.down, now);
                answer(reply, Ok(()));
            }
        }
    }

    fn with<T>(
        &self,
        figures: Option<&CountersReader>,
        view: impl FnOnce(&CountersReader) -> T,
    ) -> Result<T, Problem> {
        figures.map(view).ok_or_else(|| self.away())
    }

    pub(super) fn away(&self) -> Problem {
        let why = self.last_error.clone();
        Problem::dataplane_away(why.unwrap_or_else(|| "no session yet".to_owned()))
    }

    /// Asks the data plane for a list on behalf of a client.
    fn list<T>(&mut self, reply: Reply<T>, question: impl FnOnce(Reply<T>) -> Question) {
        if self.state == State::Away {
            answer(reply, Err(self.away()));
        } else {
            self.link.list(question(reply));
        }
    }

    fn act(
        &mut self,
        connection: &str,
        action: Action,
        request: ActionRequest,
        reply: Reply<ActionReply>,
        now: Time,
    ) {
        let keys = match self.targets(connection, request.tunnel) {
            Ok(keys) => keys,
            Err(problem) => return answer(reply, Err(problem)),
        };
        if self.state != State::Ready {
            return answer(reply, Err(self.away()));
        }
        if request.wait_secs > 0 && self.waiters.len() >= MAX_WAITERS {
            let detail = format!("{MAX_WAITERS} clients wait for what they asked for");
            let problem = Problem::new(503, "TooManyWaiting", "Too many clients wait", detail);
            return answer(reply, Err(problem.fix("ask without a wait, or again later")));
        }
        let goal = match action {
            Action::Initiate => self.initiate(&keys, now),
            Action::Terminate => self.terminate(&keys, request.target, now),
            Action::Reset => self.reset(&keys, now),
            Action::Rekey => match self.rekey(&keys, request.target, now) {
                Ok(goal) => goal,
                Err(problem) => return answer(reply, Err(problem)),
            },
        };
        if request.wait_secs == 0 {
            let message = format!("{} started", action.name());
            answer(reply, Ok(ActionReply { done: false, message, diagnosis: None }));
        } else {
            let deadline = now + Duration::from_secs(request.wait_secs);
            self.waiters.push(Waiter::new(goal, keys, now, deadline, reply));
        }
        self.settle(now);
    }

    /// The tunnels an action is for.
    pub(super) fn targets(
        &self,
        connection: &str,
        tunnel: Option<u8>,
    ) -> Result<BTreeSet<ConnectionKey>, Problem> {
        let plans = || self.document.plan.tunnels.iter().filter(|t| t.connection == connection);
        if plans().next().is_none() {
            return Err(Problem::not_found(format!("there is no connection {connection}")));
        }
        let wanted = plans().filter(|t| tunnel.is_none_or(|index| index == t.index));
        let keys: BTreeSet<ConnectionKey> = wanted.map(convert::key).collect();
        match (keys.is_empty(), tunnel) {
            (true, Some(index)) => {
                Err(Problem::not_found(format!("connection {connection} has no tunnel {index}")))
            }
            _ => Ok(keys),
        }
    }

    fn initiate(&mut self, keys: &BTreeSet<ConnectionKey>, now: Time) -> Goal {
        for key in keys {
            self.held_down.remove(key);
            self.manager.handle_command(ike::Command::Initiate(*key), now);
        }
        Goal::Up(keys.clone())
    }

    fn terminate(&mut self, keys: &BTreeSet<ConnectionKey>, target: Target, now: Time) -> Goal {
        if target == Target::Child {
            let spis: BTreeSet<ike::Spi> =
                self.sas_of(keys).iter().flat_map(|sa| &sa.children).map(|child| child.spi).collect();
            for spi in &spis {
                self.manager.handle_command(ike::Command::DeleteChild(*spi), now);
            }
            return Goal::ChildrenGone(spis);
        }
        for key in keys {
            self.held_down.insert(*key);
            self.manager.handle_command(ike::Command::Down(*key), now);
            self.delete_orphans(key.tunnel, Duration::ZERO);
        }
        Goal::Down(keys.clone())
    }

    /// Begins anew: every SA of the tunnels is deleted, and they are negotiated without waiting for the peer's word on that.
    fn reset(&mut self, keys: &BTreeSet<ConnectionKey>, now: Time) -> Goal {
        let old = self.sas_of(keys).iter().flat_map(|sa| &sa.children).map(|child| child.spi).collect();
        self.terminate(keys, Target::Ike, now);
        self.initiate(keys, now);
        Goal::Renewed(old, keys.clone())
    }

    fn rekey(&mut self, keys: &BTreeSet<ConnectionKey>, target: Target, now: Time) -> Result<Goal, Problem> {
        let sas = self.sas_of(keys);
        let established: Vec<&IkeSaStatus> =
            sas.iter().filter(|sa| sa.state == ike::IkeState::Established).collect();
        let up: BTreeSet<ConnectionKey> = established.iter().filter_map(|sa| sa.key).collect();
        if up.is_empty() {
            let problem =
                Problem::new(409, "NotEstablished", "Nothing to rekey", "the connection is not established");
            return Err(problem.fix("initiate it first"));
        }
        if target == Target::Ike {
            let ids: BTreeSet<ike::IkeSaId> = established.iter().map(|sa| sa.id).collect();
            for id in &ids {
                self.manager.handle_command(ike::Command::RekeyIke(*id), now);
            }
            return Ok(Goal::IkeReplaced(ids, up));
        }
        let children = established.iter().flat_map(|sa| &sa.children);
        let in_use = children.filter(|child| child.state == ike::ChildState::Installed);
        let spis: BTreeSet<ike::Spi> = in_use.map(|child| child.spi).collect();
        for spi in &spis {
            self.manager.handle_command(ike::Command::RekeyChild(*spi), now);
        }
        Ok(Goal::ChildrenReplaced(spis, up))
    }

    fn sas_of(&self, keys: &BTreeSet<ConnectionKey>) -> Vec<IkeSaStatus> {
        self.manager.ike_sas().filter(|sa| sa.key.is_some_and(|key| keys.contains(&key))).collect()
    }

    /// Checks a document without applying it.
    fn check(&self, text: &ConfigText) -> ConfigReport {
        let ConfigText { text, file } = text;
        let report = match self.makes_keys {
            true => document::check_open(text, self.document.text.expose(), file),
            false => gateway::check(text, file),
        };
        super::reload::report(&report, report.errors.is_empty())
    }

    /// Stops: at once, or after every SA was deleted at both ends.
    pub fn leave(&mut self, down: bool, now: Time) {
        if !down || self.state != State::Ready {
            self.leaving = Some(now);
            return;
        }
        let keys: BTreeSet<ConnectionKey> = self.document.plan.tunnels.iter().map(convert::key).collect();
        self.leaving = Some(now + FAREWELL);
        self.terminate(&keys, Target::Ike, now);
        self.settle(now);
    }
}

/// A client that hung up does not matter.
fn answer<T>(reply: Reply<T>, result: Result<T, Problem>) {
    drop(reply.send(result));
}
