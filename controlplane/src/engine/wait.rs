//! Actions whose outcome somebody waits for.

use std::collections::BTreeSet;

use api::server::Reply;
use api::{ActionReply, Problem};
use ike::{ChildState, ConnectionKey, IkeSaId, IkeSaStatus, IkeState, Time};

use super::Engine;

/// What would make an action complete.
#[derive(Debug)]
pub(super) enum Goal {
    /// Each tunnel has a child that carries traffic.
    Up(BTreeSet<ConnectionKey>),
    /// No IKE SA of these tunnels is left.
    Down(BTreeSet<ConnectionKey>),
    /// None of these children is left.
    ChildrenGone(BTreeSet<ike::Spi>),
    /// None of these children carries traffic any more, and each tunnel has another that does.
    ChildrenReplaced(BTreeSet<ike::Spi>, BTreeSet<ConnectionKey>),
    /// Each tunnel has a child that carries traffic and is none of these.
    Renewed(BTreeSet<ike::Spi>, BTreeSet<ConnectionKey>),
    /// None of these IKE SAs is in use any more, and each tunnel has another that is.
    IkeReplaced(BTreeSet<IkeSaId>, BTreeSet<ConnectionKey>),
}

/// A client that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    goal: Goal,
    keys: BTreeSet<ConnectionKey>,
    since: Time,
    deadline: Time,
    reply: Reply<ActionReply>,
}

impl Waiter {
    pub(super) fn new(
        goal: Goal,
        keys: BTreeSet<ConnectionKey>,
        since: Time,
        deadline: Time,
        reply: Reply<ActionReply>,
    ) -> Self {
        Self { goal, keys, since, deadline, reply }
    }

    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }
}

impl Goal {
    /// Whether `sas` are as wished.
    pub(super) fn is_met(&self, sas: &[IkeSaStatus]) -> bool {
        let mine =
            |keys: &BTreeSet<ConnectionKey>, sa: &IkeSaStatus| sa.key.is_some_and(|k| keys.contains(&k));
        let children = || sas.iter().flat_map(|sa| sa.children.iter().map(move |child| (sa.key, child)));
        let carries = |state| matches!(state, ChildState::Installed | ChildState::Rekeying);
        let has_child_beside = |key: &ConnectionKey, spis: &BTreeSet<ike::Spi>| {
            let fresh = |child: &ike::ChildSaStatus| !spis.contains(&child.spi) && child.active;
            children().any(|(of, child)| of == Some(*key) && fresh(child) && carries(child.state))
        };
        match self {
            Self::Up(keys) => keys.iter().all(|key| has_child_beside(key, &BTreeSet::new())),
            Self::Renewed(spis, keys) => keys.iter().all(|key| has_child_beside(key, spis)),
            Self::Down(keys) => !sas.iter().any(|sa| mine(keys, sa)),
            Self::ChildrenGone(spis) => !children().any(|(_, child)| spis.contains(&child.spi)),
            Self::ChildrenReplaced(spis, keys) => {
                let old = children().any(|(_, child)| spis.contains(&child.spi) && carries(child.state));
                !old && keys.iter().all(|key| has_child_beside(key, spis))
            }
            Self::IkeReplaced(ids, keys) => {
                let used = |sa: &&IkeSaStatus| sa.state == IkeState::Established;
                let old = sas.iter().filter(used).any(|sa| ids.contains(&sa.id));
                let new = |key: &ConnectionKey| {
                    sas.iter().filter(used).any(|sa| sa.key == Some(*key) && !ids.contains(&sa.id))
                };
                !old && keys.iter().all(new)
            }
        }
    }

    fn done(&self) -> &'static str {
        match self {
            Self::Up(_) | Self::Renewed(..) => "established",
            Self::Down(_) | Self::ChildrenGone(_) => "terminated",
            Self::ChildrenReplaced(..) | Self::IkeReplaced(..) => "rekeyed",
        }
    }
}

impl Engine {
    /// Answers the clients whose wish came true, failed, or took too long.
    pub(super) fn resolve_waiters(&mut self, now: Time) {
        let mut waiting = Vec::new();
        for waiter in std::mem::take(&mut self.waiters) {
            let keys = waiter.keys.iter();
            let sas: Vec<IkeSaStatus> = keys.flat_map(|key| self.manager.ike_sas_of(*key)).collect();
            let answer = if waiter.goal.is_met(&sas) {
                let message = waiter.goal.done().to_owned();
                Some(Ok(ActionReply { done: true, message, diagnosis: None }))
            } else if self.state == super::State::Away {
                Some(Err(Problem::dataplane_away(self.last_error.clone().unwrap_or_default())))
            } else {
                self.failure(&waiter).or_else(|| (waiter.deadline <= now).then(|| Ok(still_going())))
            };
            match answer {
                // A client that hung up does not matter.
                Some(answer) => drop(waiter.reply.send(answer)),
                None if waiter.reply.is_closed() => {}
                None => waiting.push(waiter),
            }
        }
        self.waiters = waiting;
    }

    /// A failure that ends the wait.
    fn failure(&self, waiter: &Waiter) -> Option<Result<ActionReply, Problem>> {
        let failure = waiter.keys.iter().find_map(|key| self.diagnoses.since(*key, waiter.since))?;
        let diagnosis = self.view_diagnosis(failure, failure.at);
        let message = format!("failed: {}", diagnosis.code);
        Some(Ok(ActionReply { done: false, message, diagnosis: Some(diagnosis) }))
    }
}

fn still_going() -> ActionReply {
    ActionReply { done: false, message: "still in progress".to_owned(), diagnosis: None }
}
