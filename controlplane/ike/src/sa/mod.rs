//! One IKE SA as plain data: every phase can be written to a snapshot and taken back.

pub(crate) mod answering;
pub(crate) mod child;
mod commands;
pub(crate) mod core;
mod deadlines;
pub(crate) mod established;
mod exchange;
mod handshake;
pub(crate) mod snapshot;
mod status;
mod succession;
pub(crate) mod timer;
pub(crate) mod window;

use serde::{Deserialize, Serialize};

use self::core::Core;
use self::established::Established;
use self::timer::Timer;
use crate::manager::command::{Datagram, RequestId, SaReply, Spi};
use crate::manager::context::{Ctx, Effect};
use crate::manager::event::{Event, Gone};
use crate::time::Time;
use crate::v2::auth_initiator::AuthInitiator;
use crate::v2::auth_responder::HalfOpen;
use crate::v2::fault::{Fault, Stage};
use crate::v2::informational::DeleteReason;
use crate::v2::sa_init::SaInit;
use crate::wire::Header;
use crate::wire::iana::ExchangeType;

/// The phases of an IKE SA. A handshake consumes its state, so that keys exist only where they are
/// negotiated, and a peer's identity only where it is proven.
///
/// ```text
/// initiator: Init ──keys──▶ Auth ──proof──▶ Established ──▶ Closed
/// responder:          HalfOpen ──proof──▶ Established ──▶ Closed
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// As initiator: IKE_SA_INIT is on its way.
    Init(Box<SaInit>),
    /// As initiator: keys are there; waiting for an SPI, then for the answer to IKE_AUTH.
    Auth(Box<AuthInitiator>),
    /// As responder: IKE_SA_INIT is answered.
    HalfOpen(Box<HalfOpen>),
    /// Both sides are authenticated.
    Established(Box<Established>),
    /// Over.
    #[serde(skip)]
    Closed(Gone),
}

/// What happens to an IKE SA, besides commands.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// A message with a protected or, in IKE_SA_INIT, plain body.
    Message(&'a Datagram, &'a Header),
    /// A timer is due.
    Timer(Timer),
    /// The data plane answered.
    Reply(SaReply),
}

/// One IKE SA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IkeSa {
    pub(crate) core: Core,
    pub(crate) phase: Phase,
}

impl IkeSa {
    /// Handles one input.
    pub(crate) fn handle(&mut self, input: &Input<'_>, cx: &mut Ctx<'_>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Closed(Gone::Failed));
        self.phase = match (phase, input) {
            (Phase::Init(task), Input::Message(datagram, header)) => {
                handshake::init_message(task, &mut self.core, datagram, header, cx)
            }
            (Phase::Init(task), Input::Timer(timer)) => {
                handshake::init_timer(task, &mut self.core, *timer, cx)
            }
            (phase @ (Phase::Init(_) | Phase::HalfOpen(_)), Input::Reply(_)) => phase,
            (Phase::Auth(task), Input::Message(datagram, header)) => {
                handshake::auth_message(task, &mut self.core, datagram, header, cx)
            }
            (Phase::Auth(task), Input::Timer(timer)) => {
                handshake::auth_timer(task, &mut self.core, *timer, cx)
            }
            (Phase::Auth(task), Input::Reply(reply)) => {
                handshake::auth_reply(task, &mut self.core, *reply, cx)
            }
            (Phase::HalfOpen(half), Input::Message(datagram, header)) => {
                handshake::half_open_message(half, &mut self.core, datagram, header, cx)
            }
            (Phase::HalfOpen(half), Input::Timer(timer)) => {
                handshake::half_open_timer(half, &self.core, *timer, cx)
            }
            (Phase::Established(mut sa), input) => {
                match input {
                    Input::Message(datagram, header) => sa.on_message(datagram, header, &mut self.core, cx),
                    Input::Timer(timer) => sa.on_timer(*timer, &mut self.core, cx),
                    Input::Reply(reply) => sa.on_reply(*reply, &mut self.core, cx),
                }
                sa.pump(&mut self.core, cx);
                sa.closed.map_or(Phase::Established(sa), Phase::Closed)
            }
            (Phase::Closed(why), _) => Phase::Closed(why),
        };
    }

    /// Does something with an established IKE SA, then begins what was queued.
    pub(crate) fn with_established(
        &mut self,
        cx: &mut Ctx<'_>,
        act: impl FnOnce(&mut Established, &mut Core, &mut Ctx<'_>),
    ) {
        if let Phase::Established(sa) = &mut self.phase {
            act(sa, &mut self.core, cx);
            sa.pump(&mut self.core, cx);
            if let Some(why) = sa.closed {
                self.phase = Phase::Closed(why);
            }
        }
    }

    /// Timers that are due, this IKE SA's and its children's.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Ctx<'_>) {
        while let Some(timer) = self.core.timers.pop_due(cx.now) {
            self.handle(&Input::Timer(timer), cx);
        }
        self.with_established(cx, |sa, _, cx| sa.on_child_timers(cx));
    }

    /// Ends it: by an exchange where the peer is authenticated, else silently.
    pub(crate) fn delete(&mut self, why: DeleteReason, cx: &mut Ctx<'_>) {
        match &mut self.phase {
            Phase::Established(sa) => {
                sa.enqueue_delete_ike(why);
                sa.pump(&mut self.core, cx);
            }
            Phase::Auth(task) => {
                handshake::release(task, cx);
                self.phase = Phase::Closed(why.into());
            }
            Phase::Init(_) | Phase::HalfOpen(_) => self.phase = Phase::Closed(why.into()),
            Phase::Closed(_) => {}
        }
    }

    /// Ends it without a word to the peer, who has forgotten it.
    pub(crate) fn drop_silently(&mut self, why: Gone, cx: &mut Ctx<'_>) {
        if let Phase::Auth(task) = &mut self.phase {
            handshake::release(task, cx);
        }
        self.with_established(cx, |sa, core, cx| sa.close(why, core, cx));
        self.phase = Phase::Closed(why);
    }

    pub(crate) fn established(&self) -> Option<&Established> {
        match &self.phase {
            Phase::Established(sa) => Some(sa),
            Phase::Init(_) | Phase::Auth(_) | Phase::HalfOpen(_) | Phase::Closed(_) => None,
        }
    }

    pub(crate) fn established_mut(&mut self) -> Option<&mut Established> {
        match &mut self.phase {
            Phase::Established(sa) => Some(sa),
            Phase::Init(_) | Phase::Auth(_) | Phase::HalfOpen(_) | Phase::Closed(_) => None,
        }
    }

    /// Why it is over, if it is.
    pub(crate) fn closed(&self) -> Option<Gone> {
        match &self.phase {
            Phase::Closed(why) => Some(*why),
            Phase::Init(_) | Phase::Auth(_) | Phase::HalfOpen(_) | Phase::Established(_) => None,
        }
    }

    /// The earliest deadline of all timers.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        let own = self.core.timers.next().map(|(at, _)| at);
        let children = self.established().into_iter().flat_map(|sa| &sa.children);
        own.into_iter().chain(children.filter_map(child::ChildSa::next_timer)).min()
    }

    /// The data plane's answers it waits for.
    pub(crate) fn awaited_requests(&self) -> Vec<RequestId> {
        match &self.phase {
            Phase::Auth(task) => task.reserving.into_iter().collect(),
            Phase::Established(sa) => {
                let running = sa.running.as_ref().and_then(|running| running.reserving);
                let answering = sa.answering.as_ref().and_then(answering::Answering::reserving);
                let installs = sa.children.iter().filter_map(child::ChildSa::install_request);
                running.into_iter().chain(answering).chain(installs).collect()
            }
            Phase::Init(_) | Phase::HalfOpen(_) | Phase::Closed(_) => Vec::new(),
        }
    }

    /// Our inbound SPIs of its children that the data plane is to have.
    pub(crate) fn child_spis(&self) -> impl Iterator<Item = Spi> {
        let children = self.established().into_iter().flat_map(|sa| &sa.children);
        children.filter(|child| !child.is_deleting()).map(|child| child.spi)
    }
}

impl IkeSa {
    /// The SPI reserved for a CHILD_SA that we negotiate.
    pub(crate) fn reserved_spi(&self) -> Option<Spi> {
        match &self.phase {
            Phase::Auth(task) => task.spi,
            Phase::Established(sa) => sa.running.as_ref().and_then(|running| running.task.reserved_spi()),
            Phase::Init(_) | Phase::HalfOpen(_) | Phase::Closed(_) => None,
        }
    }
}

/// A negotiation failed before both sides were authenticated.
fn fail(fault: &Fault, stage: Stage, core: &Core, cx: &mut Ctx<'_>) -> Phase {
    let diagnosis = fault.diagnosis(stage, core.key, cx.connection(core.key));
    cx.diagnose(diagnosis);
    Phase::Closed(Gone::Failed)
}

/// Both sides are authenticated, and the first child is settled.
fn announce_ready(sa: &mut Established, core: &Core, cx: &mut Ctx<'_>) {
    let (Some(peer_restarted), Some(key)) = (sa.announce.take(), core.key) else { return };
    cx.event(Event::IkeEstablished { key, ike_sa: core.id, initiator: core.initiator });
    cx.effect(Effect::Ready { key, ike_sa: core.id, peer_restarted });
}

/// Sends a request of an established or nearly established IKE SA.
fn send_sealed(
    core: &mut Core,
    protection: &mut self::core::Protection,
    exchange: ExchangeType,
    payloads: &[crate::wire::Payload],
    cx: &mut Ctx<'_>,
) -> Result<(), Fault> {
    let id = core.window.next_request().ok_or(Fault::Internal("message IDs are used up"))?;
    let sealed = protection.seal(&core.header(exchange, id, false), payloads, cx)?;
    core.send_request(sealed, cx);
    Ok(())
}
