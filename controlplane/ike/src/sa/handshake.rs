//! The handshake phases: each function consumes its state and gives the next one.

use super::core::{Core, Opened, Path, Protection};
use super::timer::Timer;
use super::window::Arrival;
use super::{IkeSa, Phase, announce_ready, fail, send_sealed};
use crate::config::Connection;
use crate::crypto::{IkeSpis, OpenError};
use crate::manager::command::{Datagram, Flow, SaCommand, SaReply, Spi};
use crate::manager::context::Ctx;
use crate::manager::event::{Event, Gone};
use crate::sa::child::Agreed;
use crate::sa::established::Established;
use crate::v2::Task;
use crate::v2::auth_initiator::{AuthInitiator, Authenticated, FirstChild};
use crate::v2::auth_responder::{HalfOpen, Welcome};
use crate::v2::child_initiator::ChildExchange;
use crate::v2::child_responder;
use crate::v2::fault::{Fault, Stage};
use crate::v2::sa_init::{self, InitOutcome, SaInit};
use crate::wire::iana::{ExchangeType, NotifyType};
use crate::wire::{Header, IkeSpi, Message, MessageId, NotifyPayload, Payload};

impl IkeSa {
    /// Begins a negotiation with the peer of a connection.
    pub(crate) fn initiate(
        connection: &Connection,
        flow: Option<Flow>,
        initial_contact: bool,
        cx: &mut Ctx<'_>,
    ) -> Result<Self, Fault> {
        let remote = connection.peer().ok_or(Fault::Internal("the peer's address is not known"))?;
        let local = std::net::SocketAddr::new(connection.local, crate::config::IKE_PORT);
        let path = Path { vrf: connection.outer_vrf, local, remote, nat: crate::v2::nat::Nat::default() };
        let spis = IkeSpis { initiator: cx.first_spi(), responder: IkeSpi::ZERO };
        let mut core = Core::new(cx.ike_sa_id(), true, spis, path, cx.now);
        core.belongs_to(connection);
        let task = SaInit::new(connection, flow, initial_contact, cx)?;
        send_init(&task, &mut core, connection, cx)?;
        Ok(Self { core, phase: Phase::Init(Box::new(task)) })
    }

    /// Answers a first message.
    pub(crate) fn respond(datagram: &Datagram, request: &Message, cx: &mut Ctx<'_>) -> Result<Self, Fault> {
        let (mut core, half) = sa_init::answer(datagram, request, cx)?;
        core.timers.set(Timer::HalfOpen, cx.now + cx.config.half_open_timeout);
        Ok(Self { core, phase: Phase::HalfOpen(Box::new(half)) })
    }
}

fn send_init(task: &SaInit, core: &mut Core, connection: &Connection, cx: &mut Ctx<'_>) -> Result<(), Fault> {
    let header = core.header(ExchangeType::IKE_SA_INIT, MessageId(0), false);
    let payloads = task.build(core, connection);
    let bytes = Message { header, payloads }.encode().map_err(crate::crypto::CryptoError::from)?;
    let pause = cx.config.retransmit.first;
    core.window.resent_first(bytes.clone(), pause, cx.now);
    core.start_retransmit(pause, cx);
    cx.transmit(core.path.datagram(bytes));
    Ok(())
}

/// Init, a message: only a response to IKE_SA_INIT is of interest.
pub(super) fn init_message(
    task: Box<SaInit>,
    core: &mut Core,
    datagram: &Datagram,
    header: &Header,
    cx: &mut Ctx<'_>,
) -> Phase {
    let awaited = header.flags.response
        && header.exchange == ExchangeType::IKE_SA_INIT
        && core.window.is_awaited(header.message_id);
    let (Some(connection), true) = (cx.connection(core.key), awaited) else {
        cx.out.counters.unexpected += 1;
        return Phase::Init(task);
    };
    let Ok(response) = Message::decode(&datagram.payload) else {
        cx.out.counters.malformed += 1;
        return Phase::Init(task);
    };
    match task.process(datagram, &response, core, connection, cx) {
        InitOutcome::Done(mut auth) => {
            core.settle();
            if auth.childless {
                return match send_auth(&mut auth, core, cx) {
                    Ok(()) => Phase::Auth(auth),
                    Err(fault) => fail(&fault, Stage::Auth, core, cx),
                };
            }
            auth.reserve(core, cx);
            core.timers.set(Timer::DataPlane, cx.now + cx.config.install_timeout);
            Phase::Auth(auth)
        }
        InitOutcome::NeedMore(task) => match send_init(&task, core, connection, cx) {
            Ok(()) => Phase::Init(task),
            Err(fault) => fail(&fault, Stage::Init, core, cx),
        },
        InitOutcome::Ignore(task) => {
            cx.out.counters.unexpected += 1;
            Phase::Init(task)
        }
        InitOutcome::Fail(fault) => fail(&fault, Stage::Init, core, cx),
    }
}

pub(super) fn init_timer(task: Box<SaInit>, core: &mut Core, timer: Timer, cx: &mut Ctx<'_>) -> Phase {
    match timer {
        Timer::Retransmit if repeat(core, None, cx) => Phase::Init(task),
        Timer::Retransmit => fail(&Fault::Timeout, Stage::Init, core, cx),
        Timer::DataPlane
        | Timer::HalfOpen
        | Timer::Probe
        | Timer::Dead
        | Timer::Rekey
        | Timer::Reauth
        | Timer::Expire => Phase::Init(task),
    }
}

/// Sends the request in flight again, unless that was done often enough.
fn repeat(core: &mut Core, protection: Option<&mut Protection>, cx: &mut Ctx<'_>) -> bool {
    let Some(pause) = core.window.repeat(&cx.config.retransmit, true) else { return false };
    core.start_retransmit(pause, cx);
    core.send_again(protection, cx);
    true
}

/// Gives back the SPI of a negotiation that ends.
pub(super) fn release(task: &mut AuthInitiator, cx: &mut Ctx<'_>) {
    if let Some(spi) = task.spi.take() {
        cx.command(SaCommand::ReleaseSpi { spi });
    }
}

/// Auth, an answer of the data plane: with the SPI, IKE_AUTH can be sent.
pub(super) fn auth_reply(
    mut task: Box<AuthInitiator>,
    core: &mut Core,
    reply: SaReply,
    cx: &mut Ctx<'_>,
) -> Phase {
    let fault = match reply {
        SaReply::SpiReserved { request, spi } if task.reserving == Some(request) => {
            core.timers.stop(Timer::DataPlane);
            (task.reserving, task.spi) = (None, Some(spi));
            match send_auth(&mut task, core, cx) {
                Ok(()) => return Phase::Auth(task),
                Err(fault) => fault,
            }
        }
        SaReply::Failed { request, code } if task.reserving == Some(request) => Fault::DataPlane(Some(code)),
        SaReply::SpiReserved { .. } | SaReply::Installed { .. } | SaReply::Failed { .. } => {
            return Phase::Auth(task);
        }
    };
    release(&mut task, cx);
    fail(&fault, Stage::Auth, core, cx)
}

fn send_auth(task: &mut AuthInitiator, core: &mut Core, cx: &mut Ctx<'_>) -> Result<(), Fault> {
    let connection = cx.connection(core.key).ok_or(Fault::Internal("connection is gone"))?;
    let payloads = task.build(connection)?;
    send_sealed(core, &mut task.protection, ExchangeType::IKE_AUTH, &payloads, cx)
}

pub(super) fn auth_timer(
    mut task: Box<AuthInitiator>,
    core: &mut Core,
    timer: Timer,
    cx: &mut Ctx<'_>,
) -> Phase {
    let fault = match timer {
        Timer::Retransmit if repeat(core, Some(&mut task.protection), cx) => return Phase::Auth(task),
        Timer::Retransmit => Fault::Timeout,
        Timer::DataPlane => Fault::DataPlane(None),
        Timer::HalfOpen | Timer::Probe | Timer::Dead | Timer::Rekey | Timer::Reauth | Timer::Expire => {
            return Phase::Auth(task);
        }
    };
    release(&mut task, cx);
    fail(&fault, Stage::Auth, core, cx)
}

/// Auth, a message: the peer's proof, or its refusal.
pub(super) fn auth_message(
    mut task: Box<AuthInitiator>,
    core: &mut Core,
    datagram: &Datagram,
    header: &Header,
    cx: &mut Ctx<'_>,
) -> Phase {
    let awaited = header.flags.response
        && header.exchange == ExchangeType::IKE_AUTH
        && core.window.is_awaited(header.message_id);
    let (Some(connection), true) = (cx.connection(core.key), awaited) else {
        cx.out.counters.unexpected += 1;
        return Phase::Auth(task);
    };
    let response = match task.protection.open(&datagram.payload, header, true, cx.tape) {
        Ok(Opened::Message(response)) => response,
        Ok(Opened::Fragment { .. }) => return Phase::Auth(task),
        Err(error) if !error.is_authentic() => {
            cx.out.counters.unauthentic += 1;
            return Phase::Auth(task);
        }
        Err(error) => {
            release(&mut task, cx);
            return fail(&inner_fault(error), Stage::Auth, core, cx);
        }
    };
    core.settle();
    core.path = core.path.back(datagram);
    let (mut protection, spi) = (task.protection.clone(), task.spi);
    match task.process(&response, connection, cx) {
        Ok(authenticated) => welcome(authenticated, core, connection, cx),
        Err(fault) => {
            if let Some(spi) = spi {
                cx.command(SaCommand::ReleaseSpi { spi });
            }
            if fault.is_authentication() {
                // The peer believes in an IKE SA: tell it, without waiting (RFC 7296 section 2.21.2).
                let notify = [Payload::Notify(fault.notification())];
                let _ = send_sealed(core, &mut protection, ExchangeType::INFORMATIONAL, &notify, cx);
            }
            fail(&fault, Stage::Auth, core, cx)
        }
    }
}

/// The peer is who it should be: the IKE SA is established, with or without its first child.
fn welcome(done: Authenticated, core: &mut Core, connection: &Connection, cx: &mut Ctx<'_>) -> Phase {
    let Authenticated { mut sa, child } = done;
    sa.start_timers(core, connection, cx);
    sa.announce = Some(false);
    match child {
        FirstChild::Here(spi, agreed) => first_child(*agreed, spi, &mut sa, core, connection, cx),
        FirstChild::Later(flow) => {
            sa.enqueue(Task::Child(Box::new(ChildExchange::create(flow))));
            announce_ready(&mut sa, core, cx);
        }
    }
    sa.pump(core, cx);
    Phase::Established(Box::new(sa))
}

/// The child that came with the proof, or its refusal.
fn first_child(
    agreed: Result<Agreed, Fault>,
    spi: Spi,
    sa: &mut Established,
    core: &mut Core,
    connection: &Connection,
    cx: &mut Ctx<'_>,
) {
    let created = agreed.is_ok();
    if let Err(fault) = agreed.and_then(|agreed| sa.install_child(spi, agreed, core, cx)) {
        let diagnosis = fault.diagnosis(Stage::Child, core.key, Some(connection));
        cx.diagnose(diagnosis);
        if created || !matches!(fault, Fault::Refused(_)) {
            sa.delete_unlisted(spi);
        } else {
            cx.command(SaCommand::ReleaseSpi { spi });
        }
        announce_ready(sa, core, cx);
    } else {
        core.timers.set(Timer::DataPlane, cx.now + cx.config.install_timeout);
    }
}

/// An authentic message whose payloads cannot be read.
pub(super) fn inner_fault(error: OpenError) -> Fault {
    match error {
        OpenError::Inner(error) | OpenError::Outer(error) => Fault::Decode(error),
        OpenError::Padding => Fault::Syntax("padding"),
        OpenError::Crypto(error) => Fault::Crypto(error),
        OpenError::NotEncrypted | OpenError::NotAuthentic => Fault::Syntax("not authentic"),
    }
}

pub(super) fn half_open_timer(half: Box<HalfOpen>, core: &Core, timer: Timer, cx: &mut Ctx<'_>) -> Phase {
    match timer {
        Timer::HalfOpen => {
            // Of a peer whose address a connection names: anyone may send a first message and no more.
            let peers = sa_init::candidates(&core.path, cx);
            let key = peers.first().filter(|c| c.remote.is_some()).map(|c| c.key);
            if key.is_some() {
                let diagnosis = Fault::Silence.diagnosis(Stage::Auth, key, cx.connection(key));
                cx.event(Event::Failed(diagnosis));
            }
            Phase::Closed(Gone::Failed)
        }
        Timer::Retransmit
        | Timer::DataPlane
        | Timer::Probe
        | Timer::Dead
        | Timer::Rekey
        | Timer::Reauth
        | Timer::Expire => Phase::HalfOpen(half),
    }
}

/// HalfOpen, a message: IKE_AUTH, or IKE_SA_INIT again.
pub(super) fn half_open_message(
    mut half: Box<HalfOpen>,
    core: &mut Core,
    datagram: &Datagram,
    header: &Header,
    cx: &mut Ctx<'_>,
) -> Phase {
    if header.flags.response || header.exchange != ExchangeType::IKE_AUTH {
        cx.out.counters.unexpected += 1;
        return Phase::HalfOpen(half);
    }
    let is_new = core.window.classify(header.message_id) == Arrival::New;
    let opened = match half.protection.open(&datagram.payload, header, is_new, cx.tape) {
        Err(error) if !error.is_authentic() => {
            cx.out.counters.unauthentic += 1;
            return Phase::HalfOpen(half);
        }
        _ if !is_new => {
            cx.out.counters.unexpected += 1;
            return Phase::HalfOpen(half);
        }
        Ok(Opened::Fragment { .. }) => return Phase::HalfOpen(half),
        Ok(Opened::Message(message)) => Ok(message),
        Err(error) => Err(error),
    };
    core.path = core.path.back(datagram);
    core.window.begin(header.message_id);
    let request = opened.map_err(inner_fault);
    let authenticated = request.and_then(|request| {
        let welcome = half.authenticate(datagram, &request, cx)?;
        Ok((welcome, request))
    });
    match authenticated {
        Ok((welcome, request)) => accept(welcome, &request, header, core, cx),
        Err(fault) => {
            let payloads = [Payload::Notify(fault.notification())];
            let header = core.header(ExchangeType::IKE_AUTH, header.message_id, true);
            if let Ok(sealed) = half.protection.seal(&header, &payloads, cx) {
                core.path.transmit(&sealed, cx);
            }
            // An event only: a stranger's failure must not slow down our own attempts.
            let key = accused(&fault, datagram, cx);
            cx.event(Event::Failed(fault.diagnosis(Stage::Auth, key, cx.connection(key))));
            Phase::Closed(Gone::Failed)
        }
    }
}

/// The connection that a failed authentication was most likely meant for.
fn accused(fault: &Fault, datagram: &Datagram, cx: &Ctx<'_>) -> Option<crate::config::ConnectionKey> {
    sa_init::candidates(&Path::of(datagram), cx).first().filter(|_| fault.is_authentication()).map(|c| c.key)
}

/// The peer is authenticated: its child, then the response.
fn accept(
    welcome: Welcome<'_>,
    request: &Message,
    header: &Header,
    core: &mut Core,
    cx: &mut Ctx<'_>,
) -> Phase {
    let Welcome { connection, mut sa, proof, nonces, ignored } = welcome;
    core.belongs_to(connection);
    if let Some(nat) = ignored.filter(|_| !connection.nat_traversal) {
        let fault = Fault::NatIgnored { of_peer: nat.remote };
        cx.event(Event::Failed(fault.diagnosis(Stage::Auth, core.key, Some(connection))));
    }
    sa.start_timers(core, connection, cx);
    sa.announce = Some(request.notify(NotifyType::INITIAL_CONTACT).is_some());
    let childless =
        request.sa().is_none() && request.ts_initiator().is_none() && request.ts_responder().is_none();
    if childless {
        sa.respond(proof, header.exchange, header.message_id, core.path, core, cx);
        announce_ready(&mut sa, core, cx);
        return Established::into_phase(sa);
    }
    match child_responder::first(request, &connection.child, nonces, proof) {
        Ok(proposed) => sa.reserve_for(proposed, header, core, cx),
        Err((fault, mut proof)) => {
            proof.push(Payload::Notify(child_error(&fault)));
            sa.respond(proof, header.exchange, header.message_id, core.path, core, cx);
            let diagnosis = fault.diagnosis(Stage::Child, core.key, Some(connection));
            cx.diagnose(diagnosis);
            announce_ready(&mut sa, core, cx);
        }
    }
    Established::into_phase(sa)
}

/// A missing child leaves the IKE SA as it is (RFC 7296 section 1.2).
fn child_error(fault: &Fault) -> NotifyPayload {
    fault.notification()
}
