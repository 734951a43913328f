//! A CHILD_SA as responder, in IKE_AUTH and CREATE_CHILD_SA (RFC 7296 sections 1.2, 1.3.1, 1.3.3).

use serde::{Deserialize, Serialize};

use super::collision::{self, Rekeyed};
use super::fault::Fault;
use super::narrow;
use super::offer::{self, ChosenEsp};
use crate::config::ChildConfig;
use crate::crypto::Nonces;
use crate::manager::command::Spi;
use crate::manager::context::Ctx;
use crate::sa::child::Agreed;
use crate::sa::core::Core;
use crate::sa::established::Established;
use crate::wire::iana::{NotifyType, ProtocolId};
use crate::wire::{Message, NotifyPayload, Payload, TsPayload};

/// CHILD_SAs that a peer may have on one IKE SA, besides those that it is replacing: SPIs are shared with all other peers.
pub(crate) const MAX_CHILDREN: usize = 128;

/// A CHILD_SA that only lacks our SPI, with the parts of its response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposed {
    pub(crate) agreed: Agreed,
    chosen: ChosenEsp,
    /// Payloads before SA: IDr and AUTH in IKE_AUTH.
    before: Vec<Payload>,
    /// Payloads between SA and TSi: Nr and KEr in CREATE_CHILD_SA.
    after: Vec<Payload>,
}

impl Proposed {
    /// The response, once our SPI is known.
    pub(crate) fn response(&self, spi: Spi) -> Vec<Payload> {
        let mut payloads = self.before.clone();
        payloads.push(Payload::Sa(self.chosen.answer(spi)));
        payloads.extend(self.after.iter().cloned());
        // The initiator's selectors are the peer's side, which is our remote.
        payloads.push(Payload::TsInitiator(TsPayload::new(self.agreed.remote_ts.clone())));
        payloads.push(Payload::TsResponder(TsPayload::new(self.agreed.local_ts.clone())));
        payloads
    }

    /// The response when the data plane failed: what stands without the child, and the error.
    pub(crate) fn refusal(self, fault: &Fault) -> Vec<Payload> {
        let mut payloads = self.before;
        payloads.push(Payload::Notify(fault.notification()));
        payloads
    }
}

/// The first CHILD_SA, in IKE_AUTH: its keys come from the nonces of IKE_SA_INIT, without key exchange.
/// `proof` (IDr, AUTH) begins the response; it comes back when there is no child.
pub(crate) fn first(
    request: &Message,
    config: &ChildConfig,
    nonces: Nonces,
    proof: Vec<Payload>,
) -> Result<Proposed, (Fault, Vec<Payload>)> {
    match agree(request, config, false) {
        Ok((chosen, local_ts, remote_ts)) => {
            let peer_spi = chosen.wire.esp_spi().unwrap_or_default();
            let proposal = chosen.proposal;
            let agreed = Agreed {
                proposal,
                peer_spi,
                local_ts,
                remote_ts,
                nonces,
                shared: None,
                initiator: false,
                replaces: None,
                takes_tfc: request.notify(NotifyType::ESP_TFC_PADDING_NOT_SUPPORTED).is_none(),
            };
            Ok(Proposed { agreed, chosen, before: proof, after: Vec::new() })
        }
        Err(fault) => Err((fault, proof)),
    }
}

/// A CHILD_SA of CREATE_CHILD_SA, new or replacing one.
pub(crate) fn further(
    request: &Message,
    core: &Core,
    sa: &mut Established,
    cx: &mut Ctx<'_>,
) -> Result<Proposed, Fault> {
    let replaces = replaced(request, sa)?;
    let connection = cx.connection(core.key).ok_or(Fault::Internal("connection is gone"))?;
    let (chosen, local_ts, remote_ts) = agree(request, &connection.child, true)?;
    let initiator = request.nonce().ok_or(Fault::Syntax("CREATE_CHILD_SA without Nonce"))?.clone();
    let nonces = Nonces { initiator, responder: cx.nonce() };
    let mut after = vec![Payload::Nonce(nonces.responder.clone())];
    let shared = match chosen.proposal.suite().and_then(|suite| suite.group) {
        None => None,
        Some(group) => {
            let ke = request.ke().filter(|ke| ke.group == group.id());
            let ke = ke.ok_or(Fault::WrongGroup(group.id()))?;
            let exchange = cx.key_exchange(group)?;
            after.push(Payload::Ke(exchange.payload()));
            Some(exchange.agree(&ke.data)?)
        }
    };
    let agreed = Agreed {
        proposal: chosen.proposal,
        peer_spi: chosen.wire.esp_spi().unwrap_or_default(),
        local_ts,
        remote_ts,
        nonces,
        shared,
        initiator: false,
        replaces,
        takes_tfc: request.notify(NotifyType::ESP_TFC_PADDING_NOT_SUPPORTED).is_none(),
    };
    Ok(Proposed { agreed, chosen, before: Vec::new(), after })
}

/// The CHILD_SA that REKEY_SA names, if the request has one and nothing forbids it.
fn replaced(request: &Message, sa: &Established) -> Result<Option<Spi>, Fault> {
    let rekeyed = request.notify(NotifyType::REKEY_SA);
    // Each child may have its successor beside it.
    let room = if rekeyed.is_some() { 2 * MAX_CHILDREN } else { MAX_CHILDREN };
    if sa.children.len() >= room {
        return Err(Fault::ChildrenEnough(sa.children.len()));
    }
    let Some(notify) = rekeyed else {
        return match collision::refuse_new_child(sa.busy()) {
            Some(_) => Err(Fault::Busy),
            None => Ok(None),
        };
    };
    let peer_spi = peer_spi(notify).ok_or(Fault::Syntax("REKEY_SA without an SPI of ESP"))?;
    let child = sa.child_by_peer_spi(peer_spi);
    let state = match child {
        None => Rekeyed::Unknown,
        Some(child) if child.is_usable() => Rekeyed::Usable,
        Some(_) => Rekeyed::Closing,
    };
    match collision::refuse_child_rekey(state, sa.busy()) {
        Some(NotifyType::CHILD_SA_NOT_FOUND) => Err(Fault::ChildNotFound(peer_spi)),
        Some(_) => Err(Fault::Busy),
        None => Ok(child.map(|c| c.spi)),
    }
}

fn peer_spi(notify: &NotifyPayload) -> Option<Spi> {
    let bytes = <[u8; 4]>::try_from(&notify.spi[..]).ok()?;
    (notify.protocol == ProtocolId::ESP).then(|| Spi::from_be_bytes(bytes))
}

type Selectors = Vec<crate::wire::TrafficSelector>;

/// Chooses algorithms and narrows selectors: ours are the responder's.
fn agree(
    request: &Message,
    config: &ChildConfig,
    with_ke: bool,
) -> Result<(ChosenEsp, Selectors, Selectors), Fault> {
    let (Some(sa), Some(tsi), Some(tsr)) = (request.sa(), request.ts_initiator(), request.ts_responder())
    else {
        return Err(Fault::Syntax("request without SA, TSi and TSr"));
    };
    let sent_group = request.ke().map(|ke| ke.group);
    let chosen = offer::select_esp(&config.proposals, sa, with_ke, sent_group).map_err(Fault::Mismatch)?;
    if chosen.wire.esp_spi().is_none_or(|spi| spi < 256) {
        return Err(Fault::Syntax("ESP SPI below 256"));
    }
    let (local_ts, remote_ts) =
        (narrow::narrow(&config.local_ts, tsr), narrow::narrow(&config.remote_ts, tsi));
    if local_ts.is_empty() || remote_ts.is_empty() {
        return Err(Fault::Selectors {
            ours: format!(
                "{} === {}",
                narrow::describe(&config.local_ts),
                narrow::describe(&config.remote_ts)
            ),
            theirs: format!("{} === {}", narrow::describe(&tsr.selectors), narrow::describe(&tsi.selectors)),
            transport: request.notify(NotifyType::USE_TRANSPORT_MODE).is_some(),
        });
    }
    Ok((chosen, local_ts, remote_ts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EspProposal, Limits};
    use crate::v2::child_initiator::{Offered, accept};
    use crate::wire::iana::{EncrId, ExchangeType, IntegId};
    use crate::wire::{Flags, Header, IkeSpi, MessageId, Nonce, TrafficSelector, Version};

    const GCM: EspProposal = EspProposal {
        encryption: EncrId::AES_GCM_16,
        key_bits: 128,
        integrity: IntegId::NONE,
        group: None,
        esn: false,
    };

    fn config() -> ChildConfig {
        let everything = vec![TrafficSelector::from_network([0, 0, 0, 0].into(), 0).unwrap()];
        ChildConfig {
            proposals: vec![GCM],
            local_ts: everything.clone(),
            remote_ts: everything,
            lifetime: None,
            limits: Limits::default(),
            replay_window: 1024,
            keepalive_secs: 0,
            tfc: 0,
        }
    }

    fn message(payloads: Vec<Payload>) -> Message {
        let header = Header {
            initiator_spi: IkeSpi(1),
            responder_spi: IkeSpi(2),
            version: Version::V2,
            exchange: ExchangeType::IKE_AUTH,
            flags: Flags::default(),
            message_id: MessageId(1),
        };
        Message { header, payloads }
    }

    #[test]
    fn nothing_is_padded_for_a_peer_that_does_not_take_it_whoever_begins() {
        let config = config();
        let offered = vec![
            Payload::Sa(offer::esp_offer(&config.proposals, 0x1234, false)),
            Payload::TsInitiator(TsPayload::new(config.local_ts.clone())),
            Payload::TsResponder(TsPayload::new(config.remote_ts.clone())),
        ];
        let refusal = Payload::Notify(NotifyPayload::new(NotifyType::ESP_TFC_PADDING_NOT_SUPPORTED, []));
        for refuses in [false, true] {
            let with = |mut payloads: Vec<Payload>| {
                payloads.extend(refuses.then(|| refusal.clone()));
                message(payloads)
            };
            let nonce = Nonce::new(vec![7; 32]).unwrap();
            let nonces = Nonces { initiator: nonce.clone(), responder: nonce };
            let proposed = first(&with(offered.clone()), &config, nonces, Vec::new()).expect("agreed");
            assert_eq!(proposed.agreed.takes_tfc, !refuses);
            let answer = with(proposed.response(0x5678));
            let accepted = accept(&answer, &Offered::new(&config, None, None, false)).expect("agreed");
            assert_eq!(accepted.takes_tfc, !refuses);
        }
    }
}
