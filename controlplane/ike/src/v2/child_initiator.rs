//! CREATE_CHILD_SA for a CHILD_SA, as initiator (RFC 7296 sections 1.3.1 and 1.3.3).
//!
//! ```text
//! HDR, SK {[N(REKEY_SA)], SA, Ni, [KEi], TSi, TSr}  -->
//!                                       <--  HDR, SK {SA, Nr, [KEr], TSi, TSr}
//!                                        or  HDR, SK {N(INVALID_KE_PAYLOAD | error)}
//! ```

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::{Outcome, Readiness, Task, narrow, offer, sa_init};
use crate::config::{ChildConfig, EspProposal};
use crate::crypto::{Group, KeyExchange, Nonces};
use crate::manager::command::{Flow, RequestId, SaCommand, Spi};
use crate::manager::context::{Ctx, Effect};
use crate::manager::event::Gone;
use crate::sa::child::{Agreed, ChildSa, reserve_spi};
use crate::sa::core::Core;
use crate::sa::established::Established;
use crate::wire::iana::{KeId, NotifyType};
use crate::wire::{Message, Nonce, NotifyPayload, Payload, TrafficSelector, TsPayload};

/// Times a responder may ask for another group.
const MAX_ROUNDS: u8 = 3;

/// What an answer must lie within.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) proposals: Vec<EspProposal>,
    pub(crate) local_ts: Vec<TrafficSelector>,
    pub(crate) remote_ts: Vec<TrafficSelector>,
    /// The group of our KE payload.
    group: Option<KeId>,
    /// Not in IKE_AUTH.
    with_ke: bool,
}

/// An acceptable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) proposal: EspProposal,
    pub(crate) peer_spi: Spi,
    pub(crate) local_ts: Vec<TrafficSelector>,
    pub(crate) remote_ts: Vec<TrafficSelector>,
    /// RFC 7296 section 1.3.1.
    pub(crate) takes_tfc: bool,
}

impl Offered {
    /// What the configuration offers; `flow` leads the selectors.
    pub(crate) fn new(config: &ChildConfig, flow: Option<&Flow>, group: Option<KeId>, with_ke: bool) -> Self {
        let (local_ts, remote_ts) = narrow::offer(&config.local_ts, &config.remote_ts, flow);
        Self { proposals: config.proposals.clone(), local_ts, remote_ts, group, with_ke }
    }
}

/// Checks the responder's choice of algorithms and selectors.
pub(crate) fn accept(response: &Message, offered: &Offered) -> Result<Accepted, Fault> {
    let (Some(sa), Some(tsi), Some(tsr)) = (response.sa(), response.ts_initiator(), response.ts_responder())
    else {
        let refused = response.error_notify().cloned().map(Fault::Refused);
        return Err(refused.unwrap_or(Fault::Syntax("response without SA, TSi and TSr")));
    };
    if !offer::is_single_choice(sa) {
        return Err(Fault::Syntax("response does not choose exactly one proposal"));
    }
    let chosen =
        offer::select_esp(&offered.proposals, sa, offered.with_ke, offered.group).map_err(Fault::Mismatch)?;
    if offered.with_ke && chosen.proposal.group.is_some() && chosen.proposal.group != offered.group {
        return Err(Fault::Syntax("response chooses another group than its key exchange"));
    }
    let peer_spi = chosen.wire.esp_spi().filter(|spi| *spi >= 256);
    let peer_spi = peer_spi.ok_or(Fault::Syntax("response without a usable SPI"))?;
    let within = narrow::is_narrowed(&offered.local_ts, tsi) && narrow::is_narrowed(&offered.remote_ts, tsr);
    if !within {
        return Err(Fault::Selectors {
            ours: format!(
                "{} === {}",
                narrow::describe(&offered.local_ts),
                narrow::describe(&offered.remote_ts)
            ),
            theirs: format!("{} === {}", narrow::describe(&tsi.selectors), narrow::describe(&tsr.selectors)),
            transport: false,
        });
    }
    Ok(Accepted {
        proposal: chosen.proposal,
        peer_spi,
        local_ts: tsi.selectors.clone(),
        remote_ts: tsr.selectors.clone(),
        takes_tfc: response.notify(NotifyType::ESP_TFC_PADDING_NOT_SUPPORTED).is_none(),
    })
}

/// The exchange as its initiator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChildExchange {
    /// The CHILD_SA to be replaced.
    pub(crate) rekeys: Option<Spi>,
    flow: Option<Flow>,
    pub(crate) reserving: Option<RequestId>,
    pub(super) spi: Option<Spi>,
    nonce: Option<Nonce>,
    exchange: Option<KeyExchange>,
    /// The group the peer asked for.
    group: Option<Group>,
    rounds: u8,
    /// SPIs the peer deleted that we do not know: one may be of the child whose response is still on its way.
    pub(crate) deleted: Vec<Spi>,
}

impl ChildExchange {
    /// A new CHILD_SA.
    pub(crate) fn create(flow: Option<Flow>) -> Self {
        Self {
            rekeys: None,
            flow,
            reserving: None,
            spi: None,
            nonce: None,
            exchange: None,
            group: None,
            rounds: 0,
            deleted: Vec::new(),
        }
    }

    /// A CHILD_SA that replaces one.
    pub(crate) fn rekey(old: Spi) -> Self {
        Self { rekeys: Some(old), ..Self::create(None) }
    }

    pub(crate) fn prepare(&mut self, core: &Core, sa: &mut Established, cx: &mut Ctx<'_>) -> Readiness {
        let obsolete = match self.rekeys {
            Some(old) => !sa.child(old).is_some_and(ChildSa::is_usable),
            // One was made, or came back into use, since it was missed.
            None => sa.children.iter().any(ChildSa::is_usable),
        };
        if obsolete {
            return Readiness::Obsolete;
        }
        if self.spi.is_some() {
            return Readiness::Ready;
        }
        self.reserving = reserve_spi(core, sa.next_generation(), cx);
        self.reserving.map_or(Readiness::Obsolete, Readiness::NeedSpi)
    }

    pub(crate) fn spi_reserved(&mut self, spi: Spi) {
        self.reserving = None;
        self.spi = Some(spi);
    }

    /// The group of the KE payload: the one the peer asked for, or that of our first proposal.
    fn sent_group(&self, config: &ChildConfig) -> Option<Group> {
        let first = || config.proposals.iter().find_map(|p| p.suite()).and_then(|suite| suite.group);
        self.group.or_else(first)
    }

    pub(crate) fn build(
        &mut self,
        core: &Core,
        sa: &mut Established,
        cx: &mut Ctx<'_>,
    ) -> Result<Vec<Payload>, Fault> {
        let connection = cx.connection(core.key).ok_or(Fault::Internal("connection is gone"))?;
        let spi = self.spi.ok_or(Fault::Internal("CREATE_CHILD_SA before its SPI"))?;
        let config = &connection.child;
        let nonce = cx.nonce();
        self.nonce = Some(nonce.clone());
        self.exchange = self.sent_group(config).map(|group| cx.key_exchange(group)).transpose()?;
        let (tsi, tsr) = narrow::offer(&config.local_ts, &config.remote_ts, self.flow.as_ref());

        let mut payloads = Vec::new();
        if let Some(old) = self.rekeys {
            // The SPI is the one that we, the sender, receive on (section 1.3.3).
            sa.rekeying(old);
            payloads.push(Payload::Notify(NotifyPayload::for_esp(NotifyType::REKEY_SA, old)));
        }
        payloads.push(Payload::Sa(offer::esp_offer(&config.proposals, spi, true)));
        payloads.push(Payload::Nonce(nonce));
        payloads.extend(self.exchange.as_ref().map(|exchange| Payload::Ke(exchange.payload())));
        payloads.push(Payload::TsInitiator(TsPayload::new(tsi)));
        payloads.push(Payload::TsResponder(TsPayload::new(tsr)));
        Ok(payloads)
    }

    pub(crate) fn process(
        mut self: Box<Self>,
        response: &Message,
        core: &mut Core,
        sa: &mut Established,
        cx: &mut Ctx<'_>,
    ) -> Outcome {
        if let Some(group) = self.other_group(response, core, cx) {
            self.group = Some(group);
            self.rounds += 1;
            return Outcome::NeedMore(Task::Child(self));
        }
        let created = response.sa().is_some();
        match self.agree(response, core, cx).and_then(|agreed| self.install(agreed, core, sa, cx)) {
            Ok(()) => Outcome::Done,
            Err(fault) => self.failed(fault, created, core, sa, cx),
        }
    }

    /// The group the responder wants instead, if it is one of ours.
    fn other_group(&self, response: &Message, core: &Core, cx: &Ctx<'_>) -> Option<Group> {
        let notify = response.notify(NotifyType::INVALID_KE_PAYLOAD)?;
        let connection = cx.connection(core.key)?;
        let offered = connection.child.proposals.iter().filter_map(|p| p.group);
        let group = sa_init::acceptable_group(notify, offered)?;
        let sent = self.exchange.as_ref().map(KeyExchange::group);
        (self.rounds < MAX_ROUNDS && sent != Some(group)).then_some(group)
    }

    fn agree(&self, response: &Message, core: &Core, cx: &Ctx<'_>) -> Result<Agreed, Fault> {
        let connection = cx.connection(core.key).ok_or(Fault::Internal("connection is gone"))?;
        let group = self.exchange.as_ref().map(|exchange| exchange.group().id());
        let offered = Offered::new(&connection.child, self.flow.as_ref(), group, true);
        let accepted = accept(response, &offered)?;
        let responder = response.nonce().ok_or(Fault::Syntax("CREATE_CHILD_SA response without Nonce"))?;
        let initiator = self.nonce.clone().ok_or(Fault::Internal("a response before its request"))?;
        let shared = match (accepted.proposal.group, &self.exchange) {
            (None, _) => None,
            (Some(group), Some(exchange)) => {
                let ke = response.ke().filter(|ke| ke.group == group);
                let ke = ke.ok_or(Fault::Syntax("CREATE_CHILD_SA response without its KE"))?;
                Some(exchange.agree(&ke.data)?)
            }
            (Some(_), None) => return Err(Fault::Syntax("response chooses a group without key exchange")),
        };
        Ok(Agreed {
            proposal: accepted.proposal,
            peer_spi: accepted.peer_spi,
            local_ts: accepted.local_ts,
            remote_ts: accepted.remote_ts,
            nonces: Nonces { initiator, responder: responder.clone() },
            shared,
            initiator: true,
            replaces: self.rekeys,
            takes_tfc: accepted.takes_tfc,
        })
    }

    fn install(
        &self,
        agreed: Agreed,
        core: &Core,
        sa: &mut Established,
        cx: &mut Ctx<'_>,
    ) -> Result<(), Fault> {
        let spi = self.spi.ok_or(Fault::Internal("a response before its request"))?;
        if self.deleted.contains(&agreed.peer_spi) {
            return Err(Fault::DeletedAlready);
        }
        sa.install_child(spi, agreed, core, cx)
    }

    /// Not created, or created by the peer but of no use to us.
    fn failed(
        self,
        fault: Fault,
        created: bool,
        core: &Core,
        sa: &mut Established,
        cx: &mut Ctx<'_>,
    ) -> Outcome {
        let created = created && fault != Fault::DeletedAlready;
        match (created, self.spi) {
            (true, Some(spi)) => sa.delete_unlisted(spi),
            (false, Some(spi)) => cx.command(SaCommand::ReleaseSpi { spi }),
            (_, None) => {}
        }
        let Some(old) = self.rekeys else { return Outcome::Fail(fault) };
        let gone = matches!(&fault, Fault::Refused(n) if n.notify_type == NotifyType::CHILD_SA_NOT_FOUND);
        if gone && sa.child(old).is_some_and(|child| child.is_usable()) {
            sa.child_vanished(old, core, cx);
            return Outcome::Done;
        }
        if sa.child(old).is_none()
            && !sa.has_child()
            && let Some(key) = core.key
        {
            // The peer deleted it while our rekey was under way (section 2.25.1): nothing is left to rekey.
            cx.effect(Effect::ChildLost(key, Gone::Peer));
        }
        sa.rekey_later(old, cx);
        if fault.is_transient() { Outcome::Done } else { Outcome::Fail(fault) }
    }

    pub(crate) fn abandon(self, cx: &mut Ctx<'_>) {
        if let Some(spi) = self.spi {
            cx.command(SaCommand::ReleaseSpi { spi });
        }
    }
}
