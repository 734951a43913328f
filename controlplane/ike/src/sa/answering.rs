//! A request of the peer whose response waits for the data plane: first for our SPI, then for the install.

use serde::{Deserialize, Serialize};

use super::core::Path;
use crate::manager::command::{RequestId, Spi};
use crate::v2::child_responder::Proposed;
use crate::wire::iana::ExchangeType;
use crate::wire::{MessageId, Payload};

/// Where to, and as what, a response goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReturnAddress {
    pub(crate) exchange: ExchangeType,
    pub(crate) id: MessageId,
    /// Where the request came from.
    pub(crate) path: Path,
}

/// ```text
/// request ──▶ Reserve ──SpiReserved──▶ Install ──Installed──▶ response
///                └────Failed, timeout────┴──▶ response with an error
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AnswerStage {
    /// Our SPI is not known yet.
    Reserve { request: RequestId, proposed: Box<Proposed> },
    /// Every worker must see the inbound SA before the peer may use it.
    Install {
        spi: Spi,
        payloads: Vec<Payload>,
        /// If the data plane fails.
        refusal: Vec<Payload>,
    },
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answering {
    pub(crate) to: ReturnAddress,
    pub(crate) stage: AnswerStage,
}

impl Answering {
    /// The SPI request it waits for.
    pub(crate) fn reserving(&self) -> Option<RequestId> {
        match &self.stage {
            AnswerStage::Reserve { request, .. } => Some(*request),
            AnswerStage::Install { .. } => None,
        }
    }

    /// The child whose install it waits for.
    pub(crate) fn installing(&self) -> Option<Spi> {
        match &self.stage {
            AnswerStage::Reserve { .. } => None,
            AnswerStage::Install { spi, .. } => Some(*spi),
        }
    }
}
