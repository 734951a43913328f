//! An IKE SA whose peer is authenticated: its children and what is going on within it.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

use super::IkeSa;
use super::answering::Answering;
use super::child::{Agreed, ChildPhase, ChildSa, Installer, lifetime, retry};
use super::core::{Core, Protection};
use super::timer::Timer;
use crate::config::Connection;
use crate::manager::command::{IkeSaId, RequestId, SaCommand, Spi};
use crate::manager::context::{Ctx, Effect};
use crate::manager::event::{Event, Gone};
use crate::pki::Shown;
use crate::time::Time;
use crate::v2::Task;
use crate::v2::child_initiator::ChildExchange;
use crate::v2::collision::Busy;
use crate::v2::fault::Fault;
use crate::v2::informational::{DeleteChild, DeleteIke, DeleteReason};
use crate::wire::{IdPayload, Nonce};

/// An IKE SA that we replaced is deleted within this, whatever was to happen on it before.
const REPLACED_FOR: Duration = Duration::from_secs(60);
/// One that the peer replaced, and does not delete, is deleted by us after this. The peer may not have our
/// response yet: to delete the old one before would take its children away.
const REPLACED_BY_PEER_FOR: Duration = Duration::from_secs(1_800);
/// SPIs that are kept of children the peer deleted before we knew them.
const MAX_DELETED: usize = 4;
/// How soon a rekey of the IKE SA is tried again that met another exchange, at least: the children, which live shorter, go first,
/// lest both ends refuse each other again.
const RETRY_IKE: Duration = Duration::from_secs(10);

/// ```text
/// Open ──successor spawned──▶ Replaced ──delete, either side──▶ closed
///   └───────────────delete──────────────▶ Deleting ──response──▶ closed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// In use.
    Open,
    /// Its successor has the children.
    Replaced,
    /// We are deleting it.
    Deleting,
}

/// Our exchange at work: waiting for an SPI, or for its response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) task: Task,
    /// The SPI it waits for before its request can be built.
    pub(crate) reserving: Option<RequestId>,
}

/// The IKE_AUTH that an IKE SA goes back to, over however many rekeys: where both ends began at once, both know by
/// it which of the two IKE SAs stays, whatever became of either meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Whether it was ours.
    pub(crate) initiator: bool,
    pub(crate) lowest_nonce: Nonce,
    pub(crate) since: Time,
    /// The certificates that the peer proved itself with.
    pub(crate) shown: Vec<Shown>,
}

/// An IKE SA in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Established {
    pub(crate) protection: Protection,
    pub(crate) local_id: IdPayload,
    pub(crate) remote_id: IdPayload,
    pub(crate) origin: Origin,
    pub(crate) since: Time,
    /// The peer has shown that it has this IKE SA too: by more than the request that our response made it of.
    pub(crate) shared: bool,
    pub(crate) status: Status,
    pub(crate) children: Vec<ChildSa>,
    generation: u32,
    /// Exchanges to come.
    pub(crate) queue: VecDeque<Task>,
    pub(crate) running: Option<Running>,
    /// A request of the peer whose response waits for the data plane.
    pub(crate) answering: Option<Answering>,
    /// IKE_AUTH is not quite over: whether the peer sent INITIAL_CONTACT.
    pub(crate) announce: Option<bool>,
    /// While it is not decided which of two crossing replacements stays: the IKE SA that still has the children.
    pub(crate) predecessor: Option<IkeSaId>,
    /// Over: to be removed.
    #[serde(skip)]
    pub(crate) closed: Option<Gone>,
}

/// What an IKE SA leaves to the one that replaces it.
#[derive(Debug)]
pub(crate) struct Estate {
    pub(crate) children: Vec<ChildSa>,
    generation: u32,
    queue: VecDeque<Task>,
    announce: Option<bool>,
}

impl Established {
    /// `identities`: ours and the peer's.
    pub(crate) fn new(
        protection: Protection,
        identities: (IdPayload, IdPayload),
        origin: Origin,
        since: Time,
    ) -> Self {
        Self {
            protection,
            local_id: identities.0,
            remote_id: identities.1,
            origin,
            since,
            shared: false,
            status: Status::Open,
            children: Vec::new(),
            generation: 1,
            queue: VecDeque::new(),
            running: None,
            answering: None,
            announce: None,
            predecessor: None,
            closed: None,
        }
    }

    /// Lifetime and liveness begin.
    pub(crate) fn start_timers(&self, core: &mut Core, connection: &Connection, cx: &mut Ctx<'_>) {
        let (rekey_at, expire_at) = lifetime(connection.ike_lifetime, cx);
        core.timers.stop(Timer::HalfOpen);
        for (timer, at) in [(Timer::Rekey, rekey_at), (Timer::Expire, expire_at)] {
            if let Some(at) = at {
                core.timers.set(timer, at);
            }
        }
        self.arm_reauth(core, connection, cx);
        self.heard(core, Some(connection), cx);
    }

    /// An authentic new message, or authentic ESP, arrived: the peer lives.
    pub(crate) fn heard(&self, core: &mut Core, connection: Option<&Connection>, cx: &Ctx<'_>) {
        core.last_heard = cx.now;
        self.arm(core, connection);
    }

    /// The one deadline of a silent peer, and the probe long enough before it to be repeated.
    pub(crate) fn arm(&self, core: &mut Core, connection: Option<&Connection>) {
        let timeout = connection.and_then(|c| c.dpd_timeout);
        for (timer, span) in [(Timer::Probe, timeout.map(|t| t / 3)), (Timer::Dead, timeout)] {
            match span {
                Some(span) => core.timers.set(timer, core.last_heard + span),
                None => core.timers.stop(timer),
            }
        }
    }

    /// Ours and the peer's.
    pub(crate) fn identities(&self) -> (IdPayload, IdPayload) {
        (self.local_id.clone(), self.remote_id.clone())
    }

    pub(crate) fn was_replaced(&self) -> bool {
        self.status == Status::Replaced
    }

    /// What we are doing, for the collision rules.
    pub(crate) fn busy(&self) -> Busy {
        let task = self.running.as_ref().map(|running| &running.task);
        Busy {
            child_exchange: matches!(task, Some(Task::Child(_) | Task::DeleteChild(_))),
            rekeying_ike: matches!(task, Some(Task::RekeyIke(_))),
            closing_ike: self.status != Status::Open || matches!(task, Some(Task::DeleteIke(_))),
        }
    }

    /// Whether it is about to be deleted, with its children: nothing new is sent on.
    pub(super) fn is_leaving(&self) -> bool {
        self.status != Status::Open || self.queue.iter().any(|task| matches!(task, Task::DeleteIke(_)))
    }

    pub(crate) fn child(&self, spi: Spi) -> Option<&ChildSa> {
        self.children.iter().find(|c| c.spi == spi)
    }

    pub(crate) fn child_mut(&mut self, spi: Spi) -> Option<&mut ChildSa> {
        self.children.iter_mut().find(|c| c.spi == spi)
    }

    pub(crate) fn child_by_peer_spi(&self, peer_spi: Spi) -> Option<&ChildSa> {
        self.children.iter().find(|c| c.peer_spi == peer_spi)
    }

    /// Whether traffic has, or will soon have, a CHILD_SA here.
    pub(crate) fn has_child(&self) -> bool {
        // A rekey that waits its turn comes to nothing without its child.
        let will_create = |task: &Task| matches!(task, Task::Child(exchange) if exchange.rekeys.is_none());
        self.children.iter().any(ChildSa::is_usable)
            || self.queue.iter().any(will_create)
            || self.running.as_ref().is_some_and(|running| matches!(running.task, Task::Child(_)))
            || self.answering.is_some()
    }

    /// Whether a child is sent on, though it be replaced already.
    pub(crate) fn carries(&self) -> bool {
        self.children.iter().any(|child| child.active && !child.is_deleting())
    }

    /// Counts the children, for their owner tags.
    pub(crate) fn next_generation(&mut self) -> u32 {
        self.generation += 1;
        self.generation
    }

    /// Queues an exchange, unless the same is queued or running.
    pub(crate) fn enqueue(&mut self, task: Task) {
        let same = |other: &Task| match (other, &task) {
            (Task::Child(a), Task::Child(b)) => a.rekeys == b.rekeys,
            (Task::DeleteChild(a), Task::DeleteChild(b)) => a.spi == b.spi,
            (Task::RekeyIke(_), Task::RekeyIke(_))
            | (Task::DeleteIke(_), Task::DeleteIke(_))
            | (Task::Liveness(_), Task::Liveness(_)) => true,
            _ => false,
        };
        let known = self.queue.iter().any(same) || self.running.as_ref().is_some_and(|r| same(&r.task));
        if known {
            return;
        }
        // What is redundant goes first: nothing new is made of it.
        let deletes = |task: &Task| matches!(task, Task::DeleteChild(_));
        let at = if deletes(&task) {
            self.queue.iter().take_while(|t| deletes(t)).count()
        } else {
            self.queue.len()
        };
        self.queue.insert(at, task);
    }

    pub(crate) fn enqueue_delete(&mut self, spi: Spi, why: DeleteReason) {
        self.enqueue(Task::DeleteChild(DeleteChild { spi, listed: true, why }));
    }

    /// Ends the IKE SA by an exchange; nothing else is begun.
    pub(crate) fn enqueue_delete_ike(&mut self, why: DeleteReason) {
        self.queue.clear();
        self.enqueue(Task::DeleteIke(DeleteIke { why }));
    }

    /// Our rekey of this child is under way.
    pub(crate) fn rekeying(&mut self, spi: Spi) {
        if let Some(child) = self.child_mut(spi) {
            child.rekey_at = None;
        }
    }

    /// Whether our rekey of this child is under way.
    pub(crate) fn is_rekeying(&self, spi: Spi) -> bool {
        matches!(&self.running, Some(Running { task: Task::Child(t), .. }) if t.rekeys == Some(spi))
    }

    /// The peer deleted a child that we do not know: perhaps the one that we are creating.
    pub(crate) fn note_deleted(&mut self, peer_spi: Spi) {
        if let Some(Running { task: Task::Child(task), .. }) = &mut self.running
            && task.deleted.len() < MAX_DELETED
        {
            task.deleted.push(peer_spi);
        }
    }

    /// Hands a negotiated CHILD_SA to the data plane.
    pub(crate) fn install_child(
        &mut self,
        spi: Spi,
        agreed: Agreed,
        core: &Core,
        cx: &mut Ctx<'_>,
    ) -> Result<(), Fault> {
        let connection = cx.connection(core.key).ok_or(Fault::Internal("connection is gone"))?;
        let installer = Installer {
            core,
            first: !self.children.iter().any(|child| child.stands_in_for(&agreed))
                && !cx.is_carried_elsewhere(core),
            leaving: self.is_leaving(),
            prf: self.protection.suite.prf,
            sk_d: &self.protection.sk_d,
            generation: self.generation,
            config: &connection.child,
        };
        let child = installer.install(spi, agreed, cx)?;
        self.children.push(child);
        self.resolve_crossing(spi, cx);
        Ok(())
    }

    /// The data plane has the child with this install request; gives its SPI.
    pub(crate) fn child_installed(
        &mut self,
        request: RequestId,
        core: &Core,
        cx: &mut Ctx<'_>,
    ) -> Option<Spi> {
        let child = self.children.iter_mut().find(|c| c.install_request() == Some(request))?;
        child.set_installed();
        let (spi, replaces, ours) = (child.spi, child.replaces, child.active);
        if self.children.len() == 1 && !cx.is_carried_elsewhere(core) {
            // Another IKE SA's child, which carried when this one was begun, may be gone.
            self.activate(spi, cx);
        }
        if let Some(key) = core.key {
            cx.event(Event::ChildEstablished { key, ike_sa: core.id, spi, replaces });
            cx.effect(Effect::ChildUp(key));
        }
        if let Some(old) = replaces.and_then(|old| self.child_mut(old)) {
            let old_spi = old.spi;
            old.set_replaced();
            if ours {
                old.set_dispensable(cx.now);
                self.enqueue_delete(old_spi, DeleteReason::Replaced);
            }
        }
        Some(spi)
    }

    /// The data plane could not install it: the peer shall forget it too.
    pub(crate) fn child_failed(&mut self, spi: Spi, core: &Core, cx: &mut Ctx<'_>) {
        self.remove_child(spi, Gone::Failed, core, cx);
    }

    /// The peer has a CHILD_SA that we could not use.
    pub(crate) fn delete_unlisted(&mut self, spi: Spi) {
        self.enqueue(Task::DeleteChild(DeleteChild { spi, listed: false, why: DeleteReason::Failed }));
    }

    /// The peer does not know this child (section 2.25.1): ours is useless, a new one takes its place.
    pub(crate) fn child_vanished(&mut self, spi: Spi, core: &Core, cx: &mut Ctx<'_>) {
        self.enqueue(Task::Child(Box::new(ChildExchange::create(None))));
        self.remove_child(spi, Gone::Peer, core, cx);
    }

    /// A child is gone.
    pub(crate) fn remove_child(&mut self, spi: Spi, why: Gone, core: &Core, cx: &mut Ctx<'_>) {
        let Some(at) = self.children.iter().position(|c| c.spi == spi) else { return };
        let child = self.children.remove(at);
        if !child.is_deleting() {
            cx.command(SaCommand::DeleteChild { spi, linger: cx.config.linger });
        }
        if why != Gone::Replaced && self.closed.is_none() {
            self.restore(&child, cx);
        }
        let Some(key) = core.key else { return };
        cx.event(Event::ChildDeleted { key, spi, why });
        if self.closed.is_none() && !self.has_child() {
            cx.effect(Effect::ChildLost(key, why));
        }
    }

    /// The IKE SA ends here and now, with everything in it.
    pub(crate) fn close(&mut self, why: Gone, core: &mut Core, cx: &mut Ctx<'_>) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(why);
        if let Some(running) = self.running.take() {
            running.task.abandon(cx);
        }
        let spis: Vec<Spi> = self.children.iter().map(|c| c.spi).collect();
        spis.into_iter().for_each(|spi| self.remove_child(spi, why, core, cx));
    }

    /// Our replacement of this IKE SA is agreed: it takes everything, and we delete this one.
    pub(crate) fn succeed(&mut self, mut successor: IkeSa, core: &mut Core, cx: &mut Ctx<'_>) {
        self.move_into(&mut successor, core, cx);
        cx.effect(Effect::Spawn(Box::new(successor)));
        self.enqueue_delete_ike(DeleteReason::Replaced);
    }

    /// The peer's replacement is agreed: it takes everything, and the peer deletes this one.
    pub(crate) fn replaced_by(&mut self, mut successor: IkeSa, core: &mut Core, cx: &mut Ctx<'_>) {
        self.move_into(&mut successor, core, cx);
        core.timers.set(Timer::Expire, cx.now + REPLACED_BY_PEER_FOR);
        cx.effect(Effect::Spawn(Box::new(successor)));
    }

    /// Both ends replaced it, and ours is redundant: the peer's takes the children (section 2.8.2).
    pub(crate) fn yield_to(
        &mut self,
        rival: IkeSaId,
        mut redundant: IkeSa,
        core: &mut Core,
        cx: &mut Ctx<'_>,
    ) {
        redundant.delete(DeleteReason::Replaced, cx);
        cx.effect(Effect::Spawn(Box::new(redundant)));
        self.hand_over(rival, core, cx);
    }

    /// The children move to the peer's replacement, which the manager has already, unless they did before.
    pub(crate) fn hand_over(&mut self, to: IkeSaId, core: &mut Core, cx: &mut Ctx<'_>) {
        if self.was_replaced() {
            return;
        }
        let estate = self.bequeath(core, cx);
        core.timers.set(Timer::Expire, cx.now + REPLACED_BY_PEER_FOR);
        cx.effect(Effect::Adopt { to, estate });
        self.announce_rekey(to, core, cx);
    }

    fn move_into(&mut self, successor: &mut IkeSa, core: &mut Core, cx: &mut Ctx<'_>) {
        let estate = self.bequeath(core, cx);
        if let Some(new) = successor.established_mut() {
            new.inherit(estate);
        }
        self.announce_rekey(successor.core.id, core, cx);
    }

    /// Gives away everything that outlives this IKE SA.
    fn bequeath(&mut self, core: &mut Core, cx: &Ctx<'_>) -> Estate {
        self.set_replaced(core, cx);
        let mut queue = std::mem::take(&mut self.queue);
        queue.retain(|task| match task {
            Task::Child(_) | Task::DeleteChild(_) => true,
            // A wish is meant for whichever carries the children; the end of a lifetime is not.
            Task::DeleteIke(delete) => delete.why != DeleteReason::Expired,
            Task::RekeyIke(_) | Task::Liveness(_) => false,
        });
        Estate {
            children: std::mem::take(&mut self.children),
            generation: self.generation,
            queue,
            announce: self.announce.take(),
        }
    }

    /// Takes what another IKE SA leaves.
    pub(crate) fn inherit(&mut self, estate: Estate) {
        self.predecessor = None;
        self.children.extend(estate.children);
        self.generation = self.generation.max(estate.generation);
        self.announce = self.announce.or(estate.announce);
        estate.queue.into_iter().for_each(|task| self.enqueue(task));
    }

    fn announce_rekey(&self, new: IkeSaId, core: &Core, cx: &mut Ctx<'_>) {
        if let Some(key) = core.key {
            cx.event(Event::IkeRekeyed { key, old: core.id, new });
        }
    }

    pub(super) fn set_replaced(&mut self, core: &mut Core, cx: &Ctx<'_>) {
        self.status = Status::Replaced;
        core.timers.stop(Timer::Rekey);
        core.timers.stop(Timer::Reauth);
        core.timers.set(Timer::Expire, cx.now + REPLACED_FOR);
    }

    /// A rekey of the IKE SA met another exchange, or was refused: again later, while it lives.
    pub(crate) fn rekey_ike_later(&self, core: &mut Core, cx: &mut Ctx<'_>) {
        core.timers.set(Timer::Rekey, retry(RETRY_IKE, core.timers.at(Timer::Expire), cx));
    }

    /// The commands that somebody must answer: nobody will answer the old ones.
    pub(crate) fn repeat_commands(&self, core: &Core, cx: &mut Ctx<'_>) {
        for child in &self.children {
            if let ChildPhase::Installing(command) = &child.phase {
                cx.command(SaCommand::InstallChild(command.clone()));
            }
        }
        let running = self.running.as_ref().and_then(|running| running.reserving);
        let answering = self.answering.as_ref().and_then(Answering::reserving);
        for request in running.into_iter().chain(answering) {
            if let Some(owner) = super::child::owner(core, self.generation) {
                cx.command(SaCommand::ReserveSpi { request, owner, outer_vrf: core.path.vrf });
            }
        }
    }

    /// The commands that the process before may have journaled without giving them. (What it deleted is nobody's.)
    pub(crate) fn repeat_settings(&self, core: &Core, cx: &mut Ctx<'_>) {
        let keepalive_secs = cx.connection(core.key).map_or(0, |c| c.child.keepalive_secs);
        let outer = core.path.outer(keepalive_secs);
        let settled = |child: &&ChildSa| child.install_request().is_none() && !child.is_deleting();
        for child in self.children.iter().filter(settled) {
            cx.command(SaCommand::UpdateOuter { spi: child.spi, outer });
            if child.active && child.was_switched() {
                cx.command(SaCommand::ActivateOutbound { spi: child.spi });
            }
        }
    }
}
