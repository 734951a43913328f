//! The exchanges of an established IKE SA: requests answered, responses processed, tasks begun in turn.

use super::answering::{AnswerStage, Answering, ReturnAddress};
use super::child::reserve_spi;
use super::core::{Core, Opened, Path};
use super::established::{Established, Running, Status};
use super::handshake::inner_fault;
use super::timer::Timer;
use super::window::Arrival;
use super::{Phase, announce_ready, send_sealed};
use crate::manager::command::{Datagram, RequestId, SaCommand, SaReply, Spi};
use crate::manager::context::{Ctx, Effect};
use crate::manager::event::{Event, Gone};
use crate::manager::hint;
use crate::v2::child_responder::{self, Proposed};
use crate::v2::fault::{Fault, Stage};
use crate::v2::informational;
use crate::v2::rekey_ike::{self, IkeRival};
use crate::v2::{Outcome, Readiness, Task};
use crate::wire::iana::ExchangeType;
use crate::wire::{Header, Message, MessageId, Payload};

impl Established {
    pub(crate) fn into_phase(self) -> Phase {
        match self.closed {
            Some(why) => Phase::Closed(why),
            None => Phase::Established(Box::new(self)),
        }
    }

    /// A message that claims to belong to this IKE SA.
    pub(super) fn on_message(
        &mut self,
        datagram: &Datagram,
        header: &Header,
        core: &mut Core,
        cx: &mut Ctx<'_>,
    ) {
        let id = header.message_id;
        let is_new = match header.flags.response {
            true => core.window.is_awaited(id),
            false => core.window.classify(id) == Arrival::New,
        };
        let message = match self.protection.open(&datagram.payload, header, is_new, cx.tape) {
            Err(error) if !error.is_authentic() => {
                cx.out.counters.unauthentic += 1;
                if header.flags.response && is_new && hint::denies_ike_sa(datagram) {
                    self.doubt(core, cx);
                }
                return;
            }
            // Of a request that comes again, the first fragment stands for all (RFC 7383 section 2.6.1).
            Ok(Opened::Fragment { number }) if is_new || number > 1 || header.flags.response => return,
            Ok(Opened::Fragment { .. }) => Ok(Message { header: *header, payloads: Vec::new() }),
            Ok(Opened::Message(message)) => Ok(message),
            Err(error) => Err(inner_fault(error)),
        };
        if header.flags.response {
            self.on_response(message, header, core, cx);
        } else {
            self.on_request(message, datagram, header, core, cx);
        }
    }

    fn on_request(
        &mut self,
        message: Result<Message, Fault>,
        datagram: &Datagram,
        header: &Header,
        core: &mut Core,
        cx: &mut Ctx<'_>,
    ) {
        let back = core.path.back(datagram);
        match core.window.classify(header.message_id) {
            Arrival::New => {}
            Arrival::Answered => {
                cx.out.counters.duplicates += 1;
                core.answer_again(back, &mut self.protection, cx);
                return;
            }
            Arrival::InProgress => {
                cx.out.counters.duplicates += 1;
                return;
            }
            Arrival::Outside => {
                cx.out.counters.unexpected += 1;
                return;
            }
        }
        if self.claims(&message, datagram, core, cx) {
            return;
        }
        self.heard(core, cx.connection(core.key), cx);
        self.follow(back, core, cx);
        self.activate_answered(cx);
        self.set_shared(core, cx);
        core.window.begin(header.message_id);
        match message {
            Ok(request) => self.answer(&request, header, back, core, cx),
            Err(fault) => {
                let payloads = vec![Payload::Notify(fault.notification())];
                self.respond(payloads, header.exchange, header.message_id, back, core, cx);
            }
        }
    }

    /// The peer uses this IKE SA although our replacement of its predecessor is still on its way: the peer has
    /// decided for this one (section 2.8.2), and the children are expected here before its request is answered.
    /// Only a redundant one is deleted instead.
    fn claims(
        &mut self,
        message: &Result<Message, Fault>,
        datagram: &Datagram,
        core: &Core,
        cx: &mut Ctx<'_>,
    ) -> bool {
        if message.as_ref().is_ok_and(informational::deletes_ike) {
            return false;
        }
        let Some(from) = self.predecessor.take() else { return false };
        cx.effect(Effect::Claim { from, to: core.id, request: datagram.clone() });
        true
    }

    /// An authentic new message from another address of a peer behind a NAT: it moved (section 2.23).
    fn follow(&mut self, back: Path, core: &mut Core, cx: &mut Ctx<'_>) {
        if core.path.nat.remote && back.remote != core.path.remote {
            core.path = back;
            self.move_children(core, cx);
        }
    }

    /// The children's outer headers follow the path.
    pub(crate) fn move_children(&mut self, core: &Core, cx: &mut Ctx<'_>) {
        let keepalive_secs = cx.connection(core.key).map_or(0, |c| c.child.keepalive_secs);
        let outer = core.path.outer(keepalive_secs);
        for child in self.children.iter().filter(|child| !child.is_deleting()) {
            cx.command(SaCommand::UpdateOuter { spi: child.spi, outer });
        }
        if let Some(key) = core.key {
            cx.event(Event::PeerMoved { key, remote: core.path.remote });
        }
    }

    fn answer(&mut self, request: &Message, header: &Header, back: Path, core: &mut Core, cx: &mut Ctx<'_>) {
        let (exchange, id) = (header.exchange, header.message_id);
        match exchange {
            ExchangeType::INFORMATIONAL => {
                let (payloads, end) = informational::answer(request, core, self, cx);
                self.respond(payloads, exchange, id, back, core, cx);
                if let Some(why) = end {
                    self.leave_to_rival(core, cx);
                    self.close(why, core, cx);
                }
            }
            ExchangeType::CREATE_CHILD_SA if request.sa().is_some_and(rekey_ike::is_ike_rekey) => {
                self.answer_ike_rekey(request, id, back, core, cx);
            }
            ExchangeType::CREATE_CHILD_SA => match child_responder::further(request, core, self, cx) {
                Ok(proposed) => self.reserve_for(proposed, header, core, cx),
                Err(fault) => self.refuse(&fault, Stage::Child, header, back, core, cx),
            },
            _ => {
                let fault = Fault::Syntax("exchange type within an established IKE SA");
                self.refuse(&fault, Stage::Child, header, back, core, cx);
            }
        }
    }

    /// The peer deletes this IKE SA while our replacement of it is on its way: the peer's, which we have
    /// agreed to, takes the children.
    fn leave_to_rival(&mut self, core: &mut Core, cx: &mut Ctx<'_>) {
        let rival = match &self.running {
            Some(Running { task: Task::RekeyIke(task), .. }) => task.rival.as_ref().map(|r| r.ike_sa),
            _ => None,
        };
        if let Some(rival) = rival {
            self.hand_over(rival, core, cx);
        }
    }

    /// Answers with an error; a lasting one is told to people too.
    fn refuse(
        &mut self,
        fault: &Fault,
        stage: Stage,
        header: &Header,
        back: Path,
        core: &mut Core,
        cx: &mut Ctx<'_>,
    ) {
        let payloads = vec![Payload::Notify(fault.notification())];
        self.respond(payloads, header.exchange, header.message_id, back, core, cx);
        if !fault.is_transient() && !matches!(fault, Fault::WrongGroup(_)) {
            cx.event(Event::Failed(fault.diagnosis(stage, core.key, cx.connection(core.key))));
        }
    }

    fn answer_ike_rekey(
        &mut self,
        request: &Message,
        id: MessageId,
        back: Path,
        core: &mut Core,
        cx: &mut Ctx<'_>,
    ) {
        let exchange = ExchangeType::CREATE_CHILD_SA;
        let (payloads, mut successor, lowest_nonce) = match rekey_ike::answer(request, core, self, cx) {
            Ok(answered) => answered,
            Err(fault) => {
                let header = core.header(exchange, id, true);
                return self.refuse(&fault, Stage::RekeyIke, &header, back, core, cx);
            }
        };
        self.respond(payloads, exchange, id, back, core, cx);
        match &mut self.running {
            // Ours is on its way too: which one stays is known when its response is there.
            Some(Running { task: Task::RekeyIke(task), .. }) => {
                task.rival = Some(IkeRival { ike_sa: successor.core.id, lowest_nonce });
                if let Some(new) = successor.established_mut() {
                    new.predecessor = Some(core.id);
                }
                cx.effect(Effect::Spawn(Box::new(successor)));
            }
            _ => self.replaced_by(successor, core, cx),
        }
    }

    /// Sends a response and keeps it for duplicates of its request.
    pub(super) fn respond(
        &mut self,
        payloads: Vec<Payload>,
        exchange: ExchangeType,
        id: MessageId,
        path: Path,
        core: &mut Core,
        cx: &mut Ctx<'_>,
    ) {
        match self.protection.seal(&core.header(exchange, id, true), &payloads, cx) {
            Ok(sealed) => {
                path.transmit(&sealed, cx);
                core.window.answered(id, sealed);
            }
            // Only a message that is too long, whole or in fragments, cannot be sealed: the peer will time out.
            Err(_) => self.close(Gone::Failed, core, cx),
        }
    }

    /// A CHILD_SA of the peer's lacks our SPI: the response waits for it, then for the install.
    pub(super) fn reserve_for(
        &mut self,
        proposed: Proposed,
        header: &Header,
        core: &mut Core,
        cx: &mut Ctx<'_>,
    ) {
        let generation = if self.announce.is_some() { 1 } else { self.next_generation() };
        let Some(request) = reserve_spi(core, generation, cx) else { return };
        let to = ReturnAddress { exchange: header.exchange, id: header.message_id, path: core.path };
        let stage = AnswerStage::Reserve { request, proposed: Box::new(proposed) };
        self.answering = Some(Answering { to, stage });
        core.timers.set(Timer::DataPlane, cx.now + cx.config.install_timeout);
    }

    /// The data plane answered.
    pub(super) fn on_reply(&mut self, reply: SaReply, core: &mut Core, cx: &mut Ctx<'_>) {
        match reply {
            SaReply::SpiReserved { request, spi } => self.spi_reserved(request, spi, core, cx),
            SaReply::Installed { request } => {
                if let Some(spi) = self.child_installed(request, core, cx) {
                    self.finish_answer(spi, core, cx);
                    self.stop_waiting(core);
                }
            }
            SaReply::Failed { request, code } => {
                self.data_plane_failed(request, Fault::DataPlane(Some(code)), core, cx);
            }
        }
    }

    fn stop_waiting(&self, core: &mut Core) {
        if self.answering.is_none() && self.children.iter().all(|c| c.install_request().is_none()) {
            core.timers.stop(Timer::DataPlane);
        }
    }

    fn spi_reserved(&mut self, request: RequestId, spi: Spi, core: &mut Core, cx: &mut Ctx<'_>) {
        if let Some(running) = self.running.take_if(|running| running.reserving == Some(request)) {
            let Running { mut task, .. } = running;
            task.spi_reserved(spi);
            core.timers.stop(Timer::DataPlane);
            self.begin(task, core, cx);
            return;
        }
        let Some(answering) = self.answering.take_if(|a| a.reserving() == Some(request)) else { return };
        let AnswerStage::Reserve { proposed, .. } = answering.stage else { return };
        let payloads = proposed.response(spi);
        let (agreed, fault) = (proposed.agreed.clone(), Fault::DataPlane(None));
        let refusal = proposed.refusal(&fault);
        match self.install_child(spi, agreed, core, cx) {
            Ok(()) => {
                let stage = AnswerStage::Install { spi, payloads, refusal };
                self.answering = Some(Answering { to: answering.to, stage });
            }
            Err(_) => {
                cx.command(SaCommand::ReleaseSpi { spi });
                self.send_answer(answering.to, refusal, core, cx);
            }
        }
    }

    /// The child of a waiting response is installed: the response goes out.
    fn finish_answer(&mut self, spi: Spi, core: &mut Core, cx: &mut Ctx<'_>) {
        let Some(answering) = self.answering.take_if(|a| a.installing() == Some(spi)) else {
            announce_ready(self, core, cx);
            return;
        };
        if let AnswerStage::Install { payloads, .. } = answering.stage {
            self.send_answer(answering.to, payloads, core, cx);
        }
    }

    fn send_answer(&mut self, to: ReturnAddress, payloads: Vec<Payload>, core: &mut Core, cx: &mut Ctx<'_>) {
        self.respond(payloads, to.exchange, to.id, to.path, core, cx);
        announce_ready(self, core, cx);
    }

    /// The data plane refused or did not answer: whoever waits for it goes on without.
    pub(super) fn data_plane_failed(
        &mut self,
        request: RequestId,
        fault: Fault,
        core: &mut Core,
        cx: &mut Ctx<'_>,
    ) {
        let child = self.children.iter().find(|c| c.install_request() == Some(request)).map(|c| c.spi);
        // What a failed rekey was to replace: it still wants replacing.
        let mut old = child.and_then(|spi| self.child(spi)?.replaces);
        if let Some(running) = self.running.take_if(|running| running.reserving == Some(request)) {
            old = running.task.replaces();
            running.task.abandon(cx);
        } else if let Some(answering) = self
            .answering
            .take_if(|a| a.reserving() == Some(request) || (child.is_some() && a.installing() == child))
        {
            let refusal = match answering.stage {
                AnswerStage::Reserve { proposed, .. } => proposed.refusal(&fault),
                AnswerStage::Install { refusal, .. } => refusal,
            };
            child.into_iter().for_each(|spi| self.child_failed(spi, core, cx));
            self.send_answer(answering.to, refusal, core, cx);
        } else if let Some(spi) = child {
            self.child_failed(spi, core, cx);
            self.delete_unlisted(spi);
            announce_ready(self, core, cx);
        } else {
            return;
        }
        if let Some(old) = old {
            self.rekey_later(old, cx);
        }
        self.stop_waiting(core);
        let diagnosis = fault.diagnosis(Stage::Child, core.key, cx.connection(core.key));
        cx.diagnose(diagnosis);
    }

    fn on_response(
        &mut self,
        message: Result<Message, Fault>,
        header: &Header,
        core: &mut Core,
        cx: &mut Ctx<'_>,
    ) {
        if !core.window.is_awaited(header.message_id) {
            cx.out.counters.unexpected += 1;
            return;
        }
        let Some(running) = self.running.take() else { return };
        core.settle();
        self.heard(core, cx.connection(core.key), cx);
        self.set_shared(core, cx);
        let stage = stage_of(&running.task);
        let outcome = match message {
            Ok(response) => running.task.process(&response, core, self, cx),
            Err(fault) => {
                if let Some(old) = running.task.replaces() {
                    self.rekey_later(old, cx);
                }
                running.task.abandon(cx);
                Outcome::Fail(fault)
            }
        };
        if self.children.iter().any(|c| c.install_request().is_some()) {
            core.timers.set(Timer::DataPlane, cx.now + cx.config.install_timeout);
        }
        match outcome {
            Outcome::Done => {}
            Outcome::NeedMore(task) => self.begin(task, core, cx),
            Outcome::Fail(fault) => {
                let diagnosis = fault.diagnosis(stage, core.key, cx.connection(core.key));
                cx.diagnose(diagnosis);
            }
        }
    }

    /// Begins the next exchange, if none is under way in either direction.
    pub(super) fn pump(&mut self, core: &mut Core, cx: &mut Ctx<'_>) {
        while self.closed.is_none()
            && self.running.is_none()
            && self.answering.is_none()
            && core.window.in_flight().is_none()
        {
            let Some(mut task) = self.queue.pop_front() else { return };
            match task.prepare(core, self, cx) {
                Readiness::Ready => self.begin(task, core, cx),
                Readiness::Obsolete => task.abandon(cx),
                Readiness::NotYet => return self.queue.push_front(task),
                Readiness::NeedSpi(request) => {
                    core.timers.set(Timer::DataPlane, cx.now + cx.config.install_timeout);
                    self.running = Some(Running { task, reserving: Some(request) });
                }
            }
        }
    }

    /// Sends a task's request.
    pub(super) fn begin(&mut self, mut task: Task, core: &mut Core, cx: &mut Ctx<'_>) {
        let exchange = task.exchange();
        let sent = task
            .build(core, self, cx)
            .and_then(|payloads| send_sealed(core, &mut self.protection, exchange, &payloads, cx));
        match sent {
            Ok(()) => {
                if matches!(task, Task::DeleteIke(_)) && self.status == Status::Open {
                    self.status = Status::Deleting;
                }
                self.running = Some(Running { task, reserving: None });
            }
            Err(fault) => {
                let stage = stage_of(&task);
                task.abandon(cx);
                let diagnosis = fault.diagnosis(stage, core.key, cx.connection(core.key));
                cx.diagnose(diagnosis);
                if core.window.next_request().is_none() {
                    self.close(Gone::Expired, core, cx);
                }
            }
        }
    }
}

fn stage_of(task: &Task) -> Stage {
    match task {
        Task::RekeyIke(_) => Stage::RekeyIke,
        Task::Child(_) | Task::DeleteChild(_) | Task::DeleteIke(_) | Task::Liveness(_) => Stage::Child,
    }
}
