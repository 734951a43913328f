//! CREATE_CHILD_SA that replaces the IKE SA (RFC 7296 sections 1.3.2 and 2.18).
//!
//! ```text
//! HDR, SK {SA, Ni, KEi}  -->
//!                    <--  HDR, SK {SA, Nr, KEr}
//! ```
//! The new IKE SA takes over the children; its initiator deletes the old one.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::{Outcome, Task, collision, offer, sa_init};
use crate::config::Connection;
use crate::crypto::{Group, IkeKeys, IkeSpis, KeyExchange, Nonces, Secret};
use crate::manager::command::IkeSaId;
use crate::manager::context::Ctx;
use crate::sa::core::{Core, Protection};
use crate::sa::established::Established;
use crate::sa::{IkeSa, Phase};
use crate::wire::iana::{NotifyType, ProtocolId};
use crate::wire::{IkeSpi, Message, Nonce, Payload, Proposal, SaPayload};

/// Times a responder may ask for another group.
const MAX_ROUNDS: u8 = 3;

/// An IKE SA that the peer made to replace this one while our own was on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IkeRival {
    pub(crate) ike_sa: IkeSaId,
    pub(crate) lowest_nonce: Nonce,
}

/// The exchange as its initiator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RekeyIke {
    spi: IkeSpi,
    nonce: Option<Nonce>,
    exchange: Option<KeyExchange>,
    group: Option<Group>,
    rounds: u8,
    pub(crate) rival: Option<IkeRival>,
}

impl RekeyIke {
    pub(crate) fn new(cx: &mut Ctx<'_>) -> Self {
        Self { spi: cx.ike_spi(), nonce: None, exchange: None, group: None, rounds: 0, rival: None }
    }

    pub(crate) fn build(&mut self, core: &Core, cx: &mut Ctx<'_>) -> Result<Vec<Payload>, Fault> {
        let connection = cx.connection(core.key).ok_or(Fault::Internal("connection is gone"))?;
        let first = connection.ike_proposals.iter().find_map(|p| p.suite()).map(|suite| suite.group);
        let group = self.group.or(first).ok_or(Fault::Internal("no usable IKE proposal"))?;
        let (nonce, exchange) = (cx.nonce(), cx.key_exchange(group)?);
        let payloads = vec![
            Payload::Sa(offer::ike_offer(&connection.ike_proposals, &self.spi.to_bytes())),
            Payload::Nonce(nonce.clone()),
            Payload::Ke(exchange.payload()),
        ];
        (self.nonce, self.exchange) = (Some(nonce), Some(exchange));
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
            return Outcome::NeedMore(Task::RekeyIke(self));
        }
        match self.agree(response, core, sa, cx) {
            Ok((successor, lowest)) => {
                let redundant = |rival: &IkeRival| collision::is_redundant(&lowest, &rival.lowest_nonce);
                match self.rival.filter(redundant) {
                    Some(rival) => sa.yield_to(rival.ike_sa, successor, core, cx),
                    None => sa.succeed(successor, core, cx),
                }
                Outcome::Done
            }
            Err(fault) => {
                sa.rekey_ike_later(core, cx);
                // With a rival the peer's replacement stands, whatever became of ours.
                match self.rival {
                    Some(rival) => {
                        sa.hand_over(rival.ike_sa, core, cx);
                        Outcome::Done
                    }
                    None if fault.is_transient() => Outcome::Done,
                    None => Outcome::Fail(fault),
                }
            }
        }
    }

    fn other_group(&self, response: &Message, core: &Core, cx: &Ctx<'_>) -> Option<Group> {
        let notify = response.notify(NotifyType::INVALID_KE_PAYLOAD)?;
        let offered = cx.connection(core.key)?.ike_proposals.iter().map(|p| p.group);
        let group = sa_init::acceptable_group(notify, offered)?;
        let sent = self.exchange.as_ref().map(KeyExchange::group);
        (self.rounds < MAX_ROUNDS && sent != Some(group)).then_some(group)
    }

    fn agree(
        &self,
        response: &Message,
        core: &Core,
        sa: &Established,
        cx: &mut Ctx<'_>,
    ) -> Result<(IkeSa, Nonce), Fault> {
        let (Some(answer), Some(ke), Some(nonce)) = (response.sa(), response.ke(), response.nonce()) else {
            let refused = response.error_notify().cloned().map(Fault::Refused);
            return Err(refused.unwrap_or(Fault::Syntax("IKE rekey response without SA, KE and Nonce")));
        };
        let (Some(exchange), Some(initiator)) = (&self.exchange, &self.nonce) else {
            return Err(Fault::Internal("a response before its request"));
        };
        if !offer::is_single_choice(answer) {
            return Err(Fault::Syntax("response does not choose exactly one proposal"));
        }
        let connection = cx.connection(core.key).ok_or(Fault::Internal("connection is gone"))?;
        let group = exchange.group().id();
        let chosen = offer::select_ike(&connection.ike_proposals, answer, group).map_err(Fault::Mismatch)?;
        if chosen.proposal.group != group || ke.group != group {
            return Err(Fault::Syntax("response chooses another group than its key exchange"));
        }
        let nonces = Nonces { initiator: initiator.clone(), responder: nonce.clone() };
        let spis = IkeSpis { initiator: self.spi, responder: peer_spi(&chosen.wire)? };
        let shared = exchange.agree(&ke.data)?;
        successor(connection, &chosen, &shared, &nonces, spis, true, core, sa, cx)
    }
}

/// The exchange as its responder: the response, and the IKE SA that takes over once it is sent.
pub(crate) fn answer(
    request: &Message,
    core: &Core,
    sa: &Established,
    cx: &mut Ctx<'_>,
) -> Result<(Vec<Payload>, IkeSa, Nonce), Fault> {
    if collision::refuse_ike_rekey(sa.busy()).is_some() {
        return Err(Fault::Busy);
    }
    let (Some(offered), Some(ke), Some(nonce)) = (request.sa(), request.ke(), request.nonce()) else {
        return Err(Fault::Syntax("IKE rekey needs SA, KE and Nonce"));
    };
    let connection = cx.connection(core.key).ok_or(Fault::Internal("connection is gone"))?;
    let chosen = offer::select_ike(&connection.ike_proposals, offered, ke.group).map_err(Fault::Mismatch)?;
    if chosen.proposal.group != ke.group {
        return Err(Fault::WrongGroup(chosen.proposal.group));
    }
    let group = Group::from_id(ke.group).ok_or(Fault::Internal("a group we do not have was chosen"))?;
    let exchange = cx.key_exchange(group)?;
    let shared = exchange.agree(&ke.data)?;
    let nonces = Nonces { initiator: nonce.clone(), responder: cx.nonce() };
    let spis = IkeSpis { initiator: peer_spi(&chosen.wire)?, responder: cx.ike_spi() };
    let payloads = vec![
        Payload::Sa(chosen.answer(&spis.responder.to_bytes())),
        Payload::Nonce(nonces.responder.clone()),
        Payload::Ke(exchange.payload()),
    ];
    let (successor, lowest) = successor(connection, &chosen, &shared, &nonces, spis, false, core, sa, cx)?;
    Ok((payloads, successor, lowest))
}

/// Whether a CREATE_CHILD_SA request is about the IKE SA.
pub(crate) fn is_ike_rekey(sa: &SaPayload) -> bool {
    sa.proposals.first().is_some_and(|p| p.protocol == ProtocolId::IKE)
}

fn peer_spi(proposal: &Proposal) -> Result<IkeSpi, Fault> {
    let bytes = <[u8; 8]>::try_from(&proposal.spi[..]).ok();
    let spi = bytes.map(|bytes| IkeSpi(u64::from_be_bytes(bytes))).filter(|spi| !spi.is_zero());
    spi.ok_or(Fault::Syntax("IKE proposal without an SPI"))
}

/// The IKE SA that replaces `core`; its message IDs begin at 0 on both sides.
#[expect(clippy::too_many_arguments, reason = "everything the key schedule depends on")]
fn successor(
    connection: &Connection,
    chosen: &offer::ChosenIke,
    shared: &Secret,
    nonces: &Nonces,
    spis: IkeSpis,
    initiator: bool,
    core: &Core,
    sa: &Established,
    cx: &mut Ctx<'_>,
) -> Result<(IkeSa, Nonce), Fault> {
    let suite = chosen.proposal.suite().ok_or(Fault::Internal("an algorithm we do not have was chosen"))?;
    let old = &sa.protection;
    let keys = IkeKeys::derive_rekey(old.suite.prf, &old.sk_d, &suite, shared, nonces, spis);
    let lowest = collision::lowest_nonce(&nonces.initiator, &nonces.responder);
    let mut new_core = Core::new(cx.ike_sa_id(), initiator, spis, core.path, cx.now);
    new_core.belongs_to(connection);
    let protection = Protection::new(suite, &keys, initiator)?.with_fragments(old.fragment_size());
    let mut new = Established::new(protection, sa.identities(), sa.origin.clone(), cx.now);
    new.shared = true;
    new.start_timers(&mut new_core, connection, cx);
    Ok((IkeSa { core: new_core, phase: Phase::Established(Box::new(new)) }, lowest))
}
