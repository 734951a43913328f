//! INFORMATIONAL (RFC 7296 sections 1.4 and 2.4): deletion and liveness.

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Stage};
use super::{Outcome, Readiness};
use crate::manager::command::{SaCommand, Spi};
use crate::manager::context::Ctx;
use crate::manager::event::{Event, Gone};
use crate::sa::core::Core;
use crate::sa::established::Established;
use crate::wire::iana::NotifyType;
use crate::wire::{DeletePayload, Message, Payload};

/// Deletes a CHILD_SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeleteChild {
    pub(crate) spi: Spi,
    /// Whether it is a child of ours; else only the peer has it.
    pub(crate) listed: bool,
    pub(crate) why: DeleteReason,
}

/// Why we delete, as it survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DeleteReason {
    /// We were told to.
    Command,
    /// Its lifetime ended.
    Expired,
    /// Another one took its place.
    Replaced,
    /// It could not be set up.
    Failed,
}

impl From<DeleteReason> for Gone {
    fn from(reason: DeleteReason) -> Self {
        match reason {
            DeleteReason::Command => Self::Command,
            DeleteReason::Expired => Self::Expired,
            DeleteReason::Replaced => Self::Replaced,
            DeleteReason::Failed => Self::Failed,
        }
    }
}

impl DeleteChild {
    pub(crate) fn prepare(&mut self, sa: &Established) -> Readiness {
        match sa.child(self.spi) {
            None if self.listed => Readiness::Obsolete,
            // Its keys stay with it until the data plane has them.
            Some(child) if child.install_request().is_some() => Readiness::NotYet,
            // Nothing is in its place any more, or the peer's: who made that deletes this one (section 2.8.1).
            Some(child)
                if self.why == DeleteReason::Replaced
                    && (child.is_usable() || sa.is_replaced_by_peer(self.spi)) =>
            {
                Readiness::Obsolete
            }
            Some(_) | None => Readiness::Ready,
        }
    }

    /// The SPI is the one we receive on. What replaces the child is sent on first.
    pub(crate) fn build(&self, sa: &mut Established, cx: &mut Ctx<'_>) -> Vec<Payload> {
        sa.activate_replacement(self.spi, cx);
        if let Some(child) = sa.child_mut(self.spi) {
            child.set_deleting(cx);
        }
        vec![Payload::Delete(DeletePayload::Esp(vec![self.spi]))]
    }

    /// Whatever the peer answers, the SA is gone (section 1.4.1).
    pub(crate) fn process(self, core: &mut Core, sa: &mut Established, cx: &mut Ctx<'_>) -> Outcome {
        if self.listed {
            sa.remove_child(self.spi, self.why.into(), core, cx);
        } else {
            cx.command(SaCommand::ReleaseSpi { spi: self.spi });
        }
        Outcome::Done
    }
}

/// Deletes the IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeleteIke {
    pub(crate) why: DeleteReason,
}

impl DeleteIke {
    pub(crate) fn build(self) -> Vec<Payload> {
        vec![Payload::Delete(DeletePayload::Ike)]
    }

    pub(crate) fn process(self, core: &mut Core, sa: &mut Established, cx: &mut Ctx<'_>) -> Outcome {
        sa.close(self.why.into(), core, cx);
        Outcome::Done
    }
}

/// Asks for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Liveness;

impl Liveness {
    pub(crate) fn build(self) -> Vec<Payload> {
        Vec::new()
    }

    /// That it came is all it says.
    pub(crate) fn process(self) -> Outcome {
        Outcome::Done
    }
}

/// Whether a request deletes the IKE SA.
pub(crate) fn deletes_ike(request: &Message) -> bool {
    request.deletes().any(|delete| matches!(delete, DeletePayload::Ike))
}

/// Answers the peer's request; gives the payloads of the response, and why the IKE SA ends if it does.
pub(crate) fn answer(
    request: &Message,
    core: &mut Core,
    sa: &mut Established,
    cx: &mut Ctx<'_>,
) -> (Vec<Payload>, Option<Gone>) {
    if deletes_ike(request) {
        return (Vec::new(), Some(if sa.was_replaced() { Gone::Replaced } else { Gone::Peer }));
    }
    if let Some(notify) = request.notify(NotifyType::AUTHENTICATION_FAILED) {
        // The peer has our proof in IKE_AUTH's response, and does not take it (section 2.21.2).
        let fault = Fault::Refused(notify.clone());
        cx.diagnose(fault.diagnosis(Stage::Auth, core.key, cx.connection(core.key)));
        return (Vec::new(), Some(Gone::Failed));
    }
    let mut ours = Vec::new();
    for delete in request.deletes() {
        if let DeletePayload::Esp(spis) = delete {
            ours.extend(spis.iter().filter_map(|spi| delete_child(*spi, core, sa, cx)));
        }
    }
    let answer = (!ours.is_empty()).then_some(Payload::Delete(DeletePayload::Esp(ours)));
    (answer.into_iter().collect(), None)
}

/// The peer no longer receives on this SPI; gives ours, unless our own delete of the same CHILD_SA is
/// on its way: then each side names only its own (section 1.4.1).
fn delete_child(peer_spi: Spi, core: &Core, sa: &mut Established, cx: &mut Ctx<'_>) -> Option<Spi> {
    let Some(child) = sa.child_by_peer_spi(peer_spi) else {
        sa.note_deleted(peer_spi);
        return None;
    };
    let (spi, crossing, since) = (child.spi, child.is_deleting(), child.installed);
    let why = if child.was_replaced() { Gone::Replaced } else { Gone::Peer };
    sa.activate_replacement(spi, cx);
    sa.remove_child(spi, why, core, cx);
    if why == Gone::Peer && !crossing && !sa.has_child() {
        let fault = Fault::Deleted { what: "CHILD_SA", after: Some(cx.now.since(since)) };
        cx.event(Event::Failed(fault.diagnosis(Stage::Child, core.key, cx.connection(core.key))));
    }
    (!crossing).then_some(spi)
}
