//! What others want done with an IKE SA.

use std::net::SocketAddr;
use std::time::Duration;

use super::{IkeSa, Phase, Timer};
use crate::config::{Connection, Fingerprint, Renewal};
use crate::manager::command::{Datagram, Flow, Spi};
use crate::manager::context::Ctx;
use crate::sa::child::ChildPhase;
use crate::sa::established::Status;
use crate::time::Time;
use crate::v2::Task;
use crate::v2::child_initiator::ChildExchange;
use crate::v2::informational::DeleteReason;
use crate::v2::rekey_ike::RekeyIke;

impl IkeSa {
    /// The answer to a first message that is the same as the one this half-open IKE SA was made from.
    pub(crate) fn repeated_first(&self, datagram: &Datagram) -> Option<Datagram> {
        let Phase::HalfOpen(half) = &self.phase else { return None };
        let (request, response) = half.init();
        let same = *request == datagram.payload;
        same.then(|| self.core.path.datagram(response.clone()))
    }

    /// A CHILD_SA if there is none and none is coming.
    pub(crate) fn ensure_child(&mut self, flow: Option<Flow>, cx: &mut Ctx<'_>) {
        self.with_established(cx, |sa, _, _| {
            if !sa.has_child() {
                sa.enqueue(Task::Child(Box::new(ChildExchange::create(flow))));
            }
        });
    }

    pub(crate) fn rekey(&mut self, cx: &mut Ctx<'_>) {
        self.with_established(cx, |sa, _, cx| {
            if sa.status == Status::Open {
                let task = RekeyIke::new(cx);
                sa.enqueue(Task::RekeyIke(Box::new(task)));
            }
        });
    }

    pub(crate) fn rekey_child(&mut self, spi: Spi, cx: &mut Ctx<'_>) {
        self.with_established(cx, |sa, _, _| {
            if sa.child(spi).is_some_and(|c| matches!(c.phase, ChildPhase::Installed)) {
                sa.enqueue(Task::Child(Box::new(ChildExchange::rekey(spi))));
            }
        });
    }

    pub(crate) fn delete_child(&mut self, spi: Spi, cx: &mut Ctx<'_>) {
        self.with_established(cx, |sa, _, _| sa.enqueue_delete(spi, DeleteReason::Command));
    }

    /// The peer sends on this CHILD_SA: so do we.
    pub(crate) fn first_use(&mut self, spi: Spi, cx: &mut Ctx<'_>) {
        self.with_established(cx, |sa, core, cx| {
            sa.activate(spi, cx);
            sa.set_shared(core, cx);
        });
        self.traffic_heard(cx.now, cx.connection(self.core.key));
    }

    /// This CHILD_SA works no longer.
    pub(crate) fn hard_limit(&mut self, spi: Spi, cx: &mut Ctx<'_>) {
        self.with_established(cx, |sa, _, _| sa.expire_child(spi));
    }

    /// Authentic ESP arrived `at`: the peer lived then (RFC 7296 section 2.4).
    pub(crate) fn traffic_heard(&mut self, at: Time, connection: Option<&Connection>) {
        if let Phase::Established(sa) = &self.phase
            && at > self.core.last_heard
        {
            self.core.last_heard = at;
            sa.arm(&mut self.core, connection);
        }
    }

    /// Somebody says that the peer lost an SA.
    pub(crate) fn doubt(&mut self, cx: &mut Ctx<'_>) {
        self.with_established(cx, |sa, core, cx| sa.doubt(core, cx));
    }

    /// Whether it is time to probe the peer or to give it up, unless ESP was heard.
    pub(crate) fn is_listening(&self, now: Time) -> bool {
        let due = |timer| self.core.timers.at(timer).is_some_and(|at| at <= now);
        due(Timer::Probe) || due(Timer::Dead)
    }

    /// Other spans of liveness and authentication hold from now on, counted from when they began.
    pub(crate) fn retime(&mut self, connection: &Connection, cx: &mut Ctx<'_>) {
        self.with_established(cx, |sa, core, cx| {
            sa.arm(core, Some(connection));
            sa.arm_reauth(core, connection, cx);
        });
    }

    /// Its connection changed. What was negotiated from something else is rekeyed where that does, else it is deleted.
    pub(crate) fn renew(&mut self, wanted: Fingerprint, cx: &mut Ctx<'_>) {
        let is_established = matches!(self.phase, Phase::Established(_));
        match wanted.renewal(self.core.fingerprint) {
            Renewal::Nothing => {}
            Renewal::Rekey if is_established => {
                self.with_established(cx, |sa, core, cx| sa.renew(wanted, core, cx));
            }
            Renewal::Rekey | Renewal::Renegotiate => self.delete(DeleteReason::Command, cx),
        }
    }

    /// Authentic ESP comes from a new address.
    pub(crate) fn peer_moved(&mut self, remote: SocketAddr, cx: &mut Ctx<'_>) {
        self.with_established(cx, |sa, core, cx| {
            if core.path.nat.remote && core.path.remote != remote {
                core.path.remote = remote;
                sa.move_children(core, cx);
            }
        });
    }

    /// The data plane lost everything: what it had not answered is asked again, what it had is replaced
    /// within `spread`.
    pub(crate) fn rebuild(&mut self, spread: Duration, cx: &mut Ctx<'_>) {
        match &mut self.phase {
            Phase::Auth(task) if task.reserving.is_some() => task.reserve(&self.core, cx),
            Phase::Init(_) | Phase::Auth(_) | Phase::HalfOpen(_) | Phase::Closed(_) => {}
            Phase::Established(sa) => {
                // Nothing could be heard or answered meanwhile: that was our silence, not the peer's.
                let connection = cx.connection(self.core.key);
                sa.heard(&mut self.core, connection, cx);
                self.core.window.excuse(cx.now);
                if self.core.timers.at(Timer::DataPlane).is_some() {
                    self.core.timers.set(Timer::DataPlane, cx.now + cx.config.install_timeout);
                }
                sa.repeat_commands(&self.core, cx);
                for child in &mut sa.children {
                    if matches!(child.phase, ChildPhase::Installed) {
                        child.rekey_at = Some(cx.now + cx.jitter(spread, 100));
                    }
                }
            }
        }
        self.with_established(cx, |_, _, _| {});
    }
}
