//! Deadlines of an established IKE SA: repetition, liveness, lifetime, and those of its children.

use super::answering::Answering;
use super::child::ChildTimer;
use super::core::Core;
use super::established::{Established, Running, Status};
use super::timer::Timer;
use crate::config::Connection;
use crate::diagnosis::{Code, Diagnosis, Side};
use crate::manager::command::Spi;
use crate::manager::context::Ctx;
use crate::manager::event::{Event, Gone};
use crate::v2::Task;
use crate::v2::child_initiator::ChildExchange;
use crate::v2::fault::Fault;
use crate::v2::informational::{DeleteReason, Liveness};
use crate::v2::rekey_ike::RekeyIke;

/// Repetitions of the request that deletes an IKE SA, at most.
const DELETE_TRIES: u32 = 5;

impl Established {
    /// From now on silence means death: at the DPD deadline, counted from when the peer was last heard, but
    /// leaving it time to answer.
    pub(super) fn watch(&self, core: &mut Core, cx: &Ctx<'_>) {
        let timeout = cx.connection(core.key).and_then(|c| c.dpd_timeout);
        if let (Some(timeout), None) = (timeout, core.timers.at(Timer::Dead)) {
            let deadline = (core.last_heard + timeout).max(cx.now + timeout * 2 / 3);
            core.timers.set(Timer::Dead, deadline);
        }
    }

    /// A timer of the IKE SA is due.
    pub(super) fn on_timer(&mut self, timer: Timer, core: &mut Core, cx: &mut Ctx<'_>) {
        match timer {
            Timer::Retransmit => self.retransmit(core, cx),
            Timer::DataPlane => self.data_plane_silent(core, cx),
            Timer::HalfOpen => {}
            Timer::Probe => {
                if core.window.in_flight().is_none() {
                    self.enqueue(Task::Liveness(Liveness));
                }
            }
            Timer::Dead => self.peer_dead(core, cx),
            Timer::Rekey => {
                if self.status == Status::Open {
                    let task = RekeyIke::new(cx);
                    self.enqueue(Task::RekeyIke(Box::new(task)));
                }
            }
            Timer::Expire => match self.status {
                Status::Open => self.enqueue_delete_ike(DeleteReason::Expired),
                Status::Replaced => self.enqueue_delete_ike(DeleteReason::Replaced),
                Status::Deleting => self.close(Gone::Expired, core, cx),
            },
        }
    }

    /// A peer that is being watched is given up at its deadline, else after the configured repetitions.
    fn retransmit(&mut self, core: &mut Core, cx: &mut Ctx<'_>) {
        let deleting = matches!(&self.running, Some(Running { task: Task::DeleteIke(_), .. }));
        let limited = deleting || core.timers.at(Timer::Dead).is_none();
        let mut policy = cx.config.retransmit;
        if deleting {
            // A peer that has answered has forgotten the IKE SA, and cannot answer again.
            policy.tries = policy.tries.min(DELETE_TRIES);
        }
        let Some(pause) = core.window.repeat(&policy, limited) else {
            return self.peer_dead(core, cx);
        };
        core.start_retransmit(pause, cx);
        core.send_again(cx);
    }

    fn data_plane_silent(&mut self, core: &mut Core, cx: &mut Ctx<'_>) {
        let running = self.running.as_ref().and_then(|running| running.reserving);
        let answering = self.answering.as_ref().and_then(Answering::reserving);
        let installs = self.children.iter().filter_map(|c| c.install_request());
        let waiting: Vec<_> = running.into_iter().chain(answering).chain(installs).collect();
        for request in waiting {
            self.data_plane_failed(request, Fault::DataPlane(None), core, cx);
        }
    }

    /// Nobody answers any more.
    fn peer_dead(&mut self, core: &mut Core, cx: &mut Ctx<'_>) {
        if let Some(Running { task: Task::DeleteIke(task), .. }) = &self.running {
            let why = task.why.into();
            return self.close(why, core, cx);
        }
        if self.status == Status::Open {
            cx.event(Event::Failed(dead(core, cx.connection(core.key), cx)));
        }
        self.close(Gone::PeerDead, core, cx);
    }

    /// Timers of the children that are due.
    pub(super) fn on_child_timers(&mut self, cx: &mut Ctx<'_>) {
        let due = |sa: &mut Self, now| sa.children.iter_mut().find_map(|c| Some((c.spi, c.pop_due(now)?)));
        while let Some((spi, timer)) = due(self, cx.now) {
            match timer {
                ChildTimer::Rekey => self.enqueue(Task::Child(Box::new(ChildExchange::rekey(spi)))),
                ChildTimer::Expire => self.expire_child(spi),
            }
        }
    }

    /// A child at the end of its life; one that was not replaced in time gets a successor now.
    pub(crate) fn expire_child(&mut self, spi: Spi) {
        let replaced = self.child(spi).is_some_and(|c| c.was_replaced());
        let why = if replaced { DeleteReason::Replaced } else { DeleteReason::Expired };
        self.enqueue_delete(spi, why);
    }
}

fn dead(core: &Core, connection: Option<&Connection>, cx: &Ctx<'_>) -> Diagnosis {
    let silent = cx.now.since(core.last_heard).as_secs();
    let limit = connection.and_then(|c| c.dpd_timeout).map(|t| format!("{} s", t.as_secs()));
    Diagnosis {
        code: Code::DpdTimeout,
        side: Side::Local,
        connection: core.key,
        parameter: "dpd timeout".to_owned(),
        ours: limit.unwrap_or_else(|| "repetitions used up".to_owned()),
        theirs: format!("nothing heard for {silent} s"),
        rfc: "RFC 7296 section 2.4".to_owned(),
        fix: "check that the peer runs and that UDP 500 and 4500 pass; it is negotiated again by itself"
            .to_owned(),
    }
}
