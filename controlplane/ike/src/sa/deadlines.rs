//! Deadlines of an established IKE SA: repetition, liveness, lifetime, and those of its children.

use super::answering::Answering;
use super::child::ChildTimer;
use super::core::Core;
use super::established::{Established, Running, Status};
use super::timer::Timer;
use crate::config::Connection;
use crate::diagnosis::{Code, Confidence, Diagnosis, Side};
use crate::manager::command::Spi;
use crate::manager::context::{Ctx, Effect};
use crate::manager::event::{Event, Gone};
use crate::time::Time;
use crate::v2::Task;
use crate::v2::child_initiator::ChildExchange;
use crate::v2::fault::Fault;
use crate::v2::informational::{DeleteReason, Liveness};
use crate::v2::rekey_ike::RekeyIke;
use std::time::Duration;

/// Between two questions to the peer for which there is no better reason than what anybody could have said.
const DOUBT_PAUSE: Duration = Duration::from_secs(10);
/// Between two attempts at a new proof of who is there.
const RETRY_REAUTH: Duration = Duration::from_secs(60);
/// So late a deadline is noticed only where the process or the machine stood still.
const OVERSLEPT: Duration = Duration::from_secs(1);
/// Repetitions of the request that deletes an IKE SA, at most.
const DELETE_TRIES: u32 = 5;

impl Established {
    /// A timer of the IKE SA is due.
    pub(super) fn on_timer(&mut self, timer: Timer, core: &mut Core, cx: &mut Ctx<'_>) {
        match timer {
            Timer::Retransmit => self.retransmit(core, cx),
            Timer::DataPlane => self.data_plane_silent(core, cx),
            Timer::HalfOpen => {}
            Timer::Probe => self.probe(core, cx),
            Timer::Dead => self.deadline_passed(core, cx),
            Timer::Rekey => {
                if self.status == Status::Open {
                    let task = RekeyIke::new(cx);
                    self.enqueue(Task::RekeyIke(Box::new(task)));
                }
            }
            Timer::Reauth => {
                // Again, until the new IKE SA has taken this one's place.
                core.timers.set(Timer::Reauth, cx.now + RETRY_REAUTH + cx.jitter(RETRY_REAUTH, 50));
                core.key.into_iter().for_each(|key| cx.effect(Effect::Reauthenticate(key)));
            }
            Timer::Expire => match self.status {
                Status::Open => self.enqueue_delete_ike(DeleteReason::Expired),
                Status::Replaced => self.enqueue_delete_ike(DeleteReason::Replaced),
                Status::Deleting => self.close(Gone::Expired, core, cx),
            },
        }
    }

    /// Asks for a sign of life, ahead of everything queued; a request on its way asks already.
    pub(crate) fn probe(&mut self, core: &mut Core, cx: &mut Ctx<'_>) {
        if self.running.is_none() && core.window.in_flight().is_none() {
            self.begin(Task::Liveness(Liveness), core, cx);
        }
    }

    /// Somebody says, without proof, that the peer lost an SA: it is asked now, but not often. A request on its way is
    /// sent again.
    pub(crate) fn doubt(&mut self, core: &mut Core, cx: &mut Ctx<'_>) {
        if core.doubted.is_some_and(|at| cx.now.since(at) < DOUBT_PAUSE) {
            return;
        }
        core.doubted = Some(cx.now);
        cx.out.counters.doubts += 1;
        core.send_again(Some(&mut self.protection), cx);
        self.probe(core, cx);
    }

    /// Nothing was heard for as long as the peer may be silent.
    fn deadline_passed(&mut self, core: &mut Core, cx: &mut Ctx<'_>) {
        let connection = cx.connection(core.key);
        let Some(timeout) = connection.and_then(|c| c.dpd_timeout) else { return };
        if cx.now.since(core.last_heard + timeout) < OVERSLEPT {
            return self.peer_dead(core, cx);
        }
        // We did not run when the time was up, and cannot know what was sent to us: the peer is asked once more.
        core.last_heard = Time(cx.now.0.saturating_sub(timeout * 2 / 3));
        self.arm(core, connection);
    }

    /// While something is heard, a request is repeated for as long as silence would be borne, and as often as
    /// configured. (A peer of which nothing is heard is given up at its deadline.)
    fn retransmit(&mut self, core: &mut Core, cx: &mut Ctx<'_>) {
        let deleting = matches!(&self.running, Some(Running { task: Task::DeleteIke(_), .. }));
        let patience = cx.connection(core.key).and_then(|c| c.dpd_timeout).unwrap_or_default();
        let unanswered = core.window.in_flight().map(|request| cx.now.since(request.since));
        let limited = deleting || unanswered >= Some(patience);
        let mut policy = cx.config.retransmit;
        if deleting {
            // A peer that has answered has forgotten the IKE SA, and cannot answer again.
            policy.tries = policy.tries.min(DELETE_TRIES);
        }
        let Some(pause) = core.window.repeat(&policy, limited) else {
            return self.peer_dead(core, cx);
        };
        core.start_retransmit(pause, cx);
        core.send_again(Some(&mut self.protection), cx);
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
    let timeout = connection.and_then(|c| c.dpd_timeout);
    let silent = cx.now.since(core.last_heard);
    let unanswered = core.window.in_flight().map(|request| cx.now.since(request.since));
    let theirs = match unanswered {
        Some(unanswered) if timeout.is_some_and(|timeout| silent < timeout) => {
            format!("ESP arrives, but no answer to an IKE request for {} s", unanswered.as_secs())
        }
        _ => format!("nothing heard for {} s", silent.as_secs()),
    };
    let limit = timeout.map(|t| format!("{} s", t.as_secs()));
    Diagnosis {
        code: Code::DpdTimeout,
        side: Side::Local,
        connection: core.key,
        parameter: "dpd timeout".to_owned(),
        ours: limit.unwrap_or_else(|| "repetitions used up".to_owned()),
        theirs,
        rfc: "RFC 7296 section 2.4".to_owned(),
        confidence: Confidence::Possible,
        fix_here: "check the path to the peer: UDP 500 and 4500; it is negotiated again by itself".to_owned(),
        fix_there: "check that it runs, and that a firewall there lets UDP 500 and 4500 pass".to_owned(),
    }
}
