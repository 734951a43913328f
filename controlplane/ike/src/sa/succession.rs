//! Which CHILD_SA or IKE SA takes another's place, and from when on it is used (RFC 7296 sections 2.8 to 2.8.3).

use std::time::Duration;

use super::child::{ChildPhase, ChildSa, renewal, retry};
use super::core::Core;
use super::established::{Established, Status};
use super::timer::Timer;
use crate::config::{Connection, Fingerprint};
use crate::manager::command::Spi;
use crate::manager::context::{Ctx, Effect};
use crate::v2::collision;
use crate::v2::informational::DeleteReason;

/// How soon a rekey of a child is tried again that met another exchange, at least.
const RETRY_CHILD: Duration = Duration::from_secs(3);
/// How soon new parameters are negotiated, about: those of many connections not all at once, and those of children after
/// those of their IKE SA.
const RENEWAL: Duration = Duration::from_secs(1);

impl Established {
    /// Both ends replaced the same child at once, or each made one where there was none, and the second is
    /// there: the end that made the redundant one deletes it (section 2.8.1).
    pub(super) fn resolve_crossing(&mut self, new: Spi, cx: &Ctx<'_>) {
        let Some(child) = self.child(new) else { return };
        let rivals = |c: &&ChildSa| c.ours != child.ours && c.is_twin(child);
        let Some(rival) = self.children.iter().find(rivals) else { return };
        let loser =
            if collision::is_redundant(&child.lowest_nonce, &rival.lowest_nonce) { child } else { rival };
        let winner = if loser.spi == new { rival.spi } else { new };
        let (loser, ours) = (loser.spi, loser.ours);
        if let Some(child) = self.child_mut(loser) {
            child.set_redundant(winner, cx.now);
        }
        if ours {
            self.enqueue_delete(loser, DeleteReason::Replaced);
        }
    }

    /// A rekey met another exchange, or was refused: again later, while the child lives.
    pub(crate) fn rekey_later(&mut self, spi: Spi, cx: &mut Ctx<'_>) {
        if let Some(child) = self.child_mut(spi).filter(|c| c.is_usable()) {
            child.rekey_at = Some(retry(RETRY_CHILD, child.expire_at, cx));
        }
    }

    /// Rekeys what was negotiated from other parameters, the IKE SA before its children. A peer that does not take the
    /// new ones yet is asked again, and what there is stays until the end of its life.
    pub(crate) fn renew(&mut self, wanted: Fingerprint, core: &mut Core, cx: &mut Ctx<'_>) {
        let before = std::mem::replace(&mut core.fingerprint, wanted);
        if before.ike != wanted.ike && self.status == Status::Open {
            core.timers.set(Timer::Rekey, cx.now + cx.jitter(RENEWAL, 50));
        }
        if before.child != wanted.child {
            for child in self.children.iter_mut().filter(|child| child.is_usable()) {
                child.rekey_at = Some(cx.now + RENEWAL + cx.jitter(RENEWAL, 100));
            }
        }
    }

    /// The peer began another exchange, so it has our response to its last one (the window is 1): whatever
    /// that response created is in place at the peer, and is used from now on.
    pub(crate) fn activate_answered(&mut self, cx: &mut Ctx<'_>) {
        let waits = |child: &&ChildSa| matches!(child.phase, ChildPhase::Installed) && !child.active;
        let waiting: Vec<Spi> = self.children.iter().filter(waits).map(|child| child.spi).collect();
        waiting.into_iter().for_each(|spi| self.activate(spi, cx));
    }

    /// A child is used from now on, and what it replaces is no longer needed.
    pub(crate) fn activate(&mut self, spi: Spi, cx: &mut Ctx<'_>) {
        if self.is_leaving() {
            return;
        }
        let child = self.child_mut(spi).filter(|child| child.install_request().is_none());
        let Some(child) = child.filter(|child| !child.is_deleting()) else { return };
        child.activate(cx);
        let old = child.replaces;
        if let Some(old) = old.and_then(|old| self.child_mut(old)) {
            old.set_dispensable(cx.now);
        }
    }

    /// The replacement of a child that ends is used from now on, if none is yet.
    pub(crate) fn activate_replacement(&mut self, old: Spi, cx: &mut Ctx<'_>) {
        let mut replacing = self.children.iter().rev().filter(|c| c.replaces == Some(old));
        let newest = replacing.clone().next().map(|child| child.spi);
        if let Some(newest) = newest.filter(|_| !replacing.any(|child| child.active)) {
            self.activate(newest, cx);
        }
    }

    /// Whether what replaces a child was made by the peer.
    pub(crate) fn is_replaced_by_peer(&self, old: Spi) -> bool {
        let mut replacing = self.children.iter().filter(|c| c.replaces == Some(old)).peekable();
        replacing.peek().is_some() && replacing.all(|child| !child.ours)
    }

    /// A child is gone before the one in whose place it was: that one is in use again, and wants replacing still.
    pub(super) fn restore(&mut self, gone: &ChildSa, cx: &mut Ctx<'_>) {
        let yielded = self.children.iter().find(|child| child.yields_to(gone.spi)).map(|child| child.spi);
        let replaced = gone.replaces.filter(|old| !self.children.iter().any(|c| c.replaces == Some(*old)));
        let Some(old) = yielded.or(replaced) else { return };
        if self.child_mut(old).is_some_and(ChildSa::restore) {
            self.rekey_later(old, cx);
        }
    }

    /// When a new proof is due: some time before it has to be there, as with a lifetime.
    pub(crate) fn arm_reauth(&self, core: &mut Core, connection: &Connection, cx: &mut Ctx<'_>) {
        match connection.reauth {
            // To a peer whose address is not configured we begin nothing: it has to.
            Some(_) if self.status != Status::Open || connection.remote.is_none() => {}
            Some(span) => core.timers.set(Timer::Reauth, self.origin.since + renewal(span, cx)),
            None => core.timers.stop(Timer::Reauth),
        }
    }

    /// The peer has it too. An older IKE SA of the same connection is not needed any more.
    pub(crate) fn set_shared(&mut self, core: &Core, cx: &mut Ctx<'_>) {
        if let Some(key) = core.key.filter(|_| !std::mem::replace(&mut self.shared, true)) {
            if !self.origin.initiator {
                self.activate_answered(cx);
            }
            cx.effect(Effect::Shared { key, ike_sa: core.id });
        }
    }

    /// Both sides have another IKE SA, which the peer began: it deletes this one, or we do.
    pub(crate) fn supersede(&mut self, core: &mut Core, cx: &Ctx<'_>) {
        if self.status == Status::Open {
            self.set_replaced(core, cx);
        }
    }
}
