//! The exchanges of IKEv2, one task each.
//!
//! An exchange that we initiate is a task: `build` gives its payloads, `process` takes the response and says
//! [`Outcome::Done`], [`Outcome::NeedMore`] (send again, changed) or [`Outcome::Fail`]. Retransmission and
//! the message ID window are not its concern: they belong to the IKE SA. An exchange of the peer is answered
//! by the functions called `answer`.

pub(crate) mod auth_initiator;
pub(crate) mod auth_responder;
mod blame;
pub(crate) mod child_initiator;
pub(crate) mod child_responder;
pub(crate) mod collision;
pub(crate) mod fault;
pub(crate) mod informational;
pub(crate) mod narrow;
pub(crate) mod nat;
pub(crate) mod offer;
pub(crate) mod proof;
pub(crate) mod rekey_ike;
pub(crate) mod sa_init;

use serde::{Deserialize, Serialize};

use crate::manager::command::{RequestId, Spi};
use crate::manager::context::Ctx;
use crate::sa::core::Core;
use crate::sa::established::Established;
use crate::wire::iana::ExchangeType;
use crate::wire::{Message, Payload};
use child_initiator::ChildExchange;
use fault::Fault;
use informational::{DeleteChild, DeleteIke, Liveness};
use rekey_ike::RekeyIke;

/// What became of an exchange that we initiated.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is over.
    Done,
    /// It goes on with another request.
    NeedMore(Task),
    /// It failed.
    Fail(Fault),
}

/// Whether a task may start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Its request can be built.
    Ready,
    /// The data plane was asked for an SPI first.
    NeedSpi(RequestId),
    /// The data plane has not finished yet what it is about.
    NotYet,
    /// What it is about is gone.
    Obsolete,
}

/// An exchange within an established IKE SA, as its initiator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// CREATE_CHILD_SA: a new CHILD_SA, or one that replaces another.
    Child(Box<ChildExchange>),
    /// CREATE_CHILD_SA: a new IKE SA that replaces this one.
    RekeyIke(Box<RekeyIke>),
    /// INFORMATIONAL: delete a CHILD_SA.
    DeleteChild(DeleteChild),
    /// INFORMATIONAL: delete this IKE SA.
    DeleteIke(DeleteIke),
    /// INFORMATIONAL without payloads: is the peer there?
    Liveness(Liveness),
}

impl Task {
    /// The child that it is to replace.
    pub(crate) fn replaces(&self) -> Option<Spi> {
        match self {
            Self::Child(child) => child.rekeys,
            Self::RekeyIke(_) | Self::DeleteChild(_) | Self::DeleteIke(_) | Self::Liveness(_) => None,
        }
    }

    /// The exchange it is.
    pub(crate) fn exchange(&self) -> ExchangeType {
        match self {
            Self::Child(_) | Self::RekeyIke(_) => ExchangeType::CREATE_CHILD_SA,
            Self::DeleteChild(_) | Self::DeleteIke(_) | Self::Liveness(_) => ExchangeType::INFORMATIONAL,
        }
    }

    /// Looks whether it may start, and asks for what it needs.
    pub(crate) fn prepare(&mut self, core: &mut Core, sa: &mut Established, cx: &mut Ctx<'_>) -> Readiness {
        match self {
            Self::Child(task) => task.prepare(core, sa, cx),
            // It may be redundant itself, and has no children to pass on yet.
            Self::RekeyIke(_) if sa.predecessor.is_some() => {
                sa.rekey_ike_later(core, cx);
                Readiness::Obsolete
            }
            Self::RekeyIke(_) | Self::DeleteIke(_) | Self::Liveness(_) => Readiness::Ready,
            Self::DeleteChild(task) => task.prepare(sa),
        }
    }

    /// The SPI that `prepare` asked for.
    pub(crate) fn spi_reserved(&mut self, spi: Spi) {
        match self {
            Self::Child(task) => task.spi_reserved(spi),
            Self::RekeyIke(_) | Self::DeleteChild(_) | Self::DeleteIke(_) | Self::Liveness(_) => {}
        }
    }

    /// The SPI it holds.
    pub(crate) fn reserved_spi(&self) -> Option<Spi> {
        match self {
            Self::Child(task) => task.spi,
            Self::DeleteChild(task) => (!task.listed).then_some(task.spi),
            Self::RekeyIke(_) | Self::DeleteIke(_) | Self::Liveness(_) => None,
        }
    }

    /// The payloads of its request.
    pub(crate) fn build(
        &mut self,
        core: &Core,
        sa: &mut Established,
        cx: &mut Ctx<'_>,
    ) -> Result<Vec<Payload>, Fault> {
        match self {
            Self::Child(task) => task.build(core, sa, cx),
            Self::RekeyIke(task) => task.build(core, cx),
            Self::DeleteChild(task) => Ok(task.build(sa, cx)),
            Self::DeleteIke(task) => Ok(task.build()),
            Self::Liveness(task) => Ok(task.build()),
        }
    }

    /// The response arrived.
    pub(crate) fn process(
        self,
        response: &Message,
        core: &mut Core,
        sa: &mut Established,
        cx: &mut Ctx<'_>,
    ) -> Outcome {
        match self {
            Self::Child(task) => task.process(response, core, sa, cx),
            Self::RekeyIke(task) => task.process(response, core, sa, cx),
            Self::DeleteChild(task) => task.process(core, sa, cx),
            Self::DeleteIke(task) => task.process(core, sa, cx),
            Self::Liveness(task) => task.process(),
        }
    }

    /// It will not be finished: gives back what it holds.
    pub(crate) fn abandon(self, cx: &mut Ctx<'_>) {
        match self {
            Self::Child(task) => task.abandon(cx),
            Self::RekeyIke(_) | Self::DeleteChild(_) | Self::DeleteIke(_) | Self::Liveness(_) => {}
        }
    }
}
