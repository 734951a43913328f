//! IKE_AUTH as initiator (RFC 7296 sections 1.2 and 2.15): proofs, identities, the first CHILD_SA.
//!
//! ```text
//! HDR, SK {IDi, [N(INITIAL_CONTACT)], IDr, AUTH, SAi2, TSi, TSr}  -->
//!                                       <--  HDR, SK {IDr, AUTH, SAr2, TSi, TSr}
//!                                        or  HDR, SK {IDr, AUTH, N(child error)}
//!                                        or  HDR, SK {N(AUTHENTICATION_FAILED)}
//! ```

use serde::{Deserialize, Serialize};

use super::child_initiator::{self, Offered};
use super::fault::Fault;
use super::{collision, offer};
use crate::config::Connection;
use crate::crypto::{IkeKeys, Nonces, Secret, psk_auth, signed_octets, verify_psk_auth};
use crate::manager::command::{Flow, RequestId, Spi};
use crate::manager::context::Ctx;
use crate::sa::child::{Agreed, reserve_spi};
use crate::sa::core::{Core, Protection};
use crate::sa::established::Established;
use crate::wire::iana::{AuthMethod, NotifyType};
use crate::wire::{AuthPayload, IdPayload, Message, NotifyPayload, Payload, TsPayload};

/// The exchange as its initiator; also holds the SPI of the first CHILD_SA, or waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthInitiator {
    pub(crate) protection: Protection,
    sk_pi: Secret,
    sk_pr: Secret,
    nonces: Nonces,
    /// Our IKE_SA_INIT request and the peer's response: what AUTH covers.
    init: (Vec<u8>, Vec<u8>),
    flow: Option<Flow>,
    initial_contact: bool,
    pub(crate) reserving: Option<RequestId>,
    pub(crate) spi: Option<Spi>,
}

/// The peer is authenticated; what the response says about the child.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) sa: Established,
    pub(crate) spi: Spi,
    pub(crate) child: Result<Agreed, Fault>,
}

impl AuthInitiator {
    pub(crate) fn new(
        protection: Protection,
        keys: IkeKeys,
        nonces: Nonces,
        init: (Vec<u8>, Vec<u8>),
        flow: Option<Flow>,
        initial_contact: bool,
    ) -> Self {
        let IkeKeys { sk_pi, sk_pr, .. } = keys;
        Self { protection, sk_pi, sk_pr, nonces, init, flow, initial_contact, reserving: None, spi: None }
    }

    /// Asks for the SPI of the first CHILD_SA.
    pub(crate) fn reserve(&mut self, core: &Core, cx: &mut Ctx<'_>) {
        self.reserving = reserve_spi(core, 1, cx);
    }

    /// The payloads of the request.
    pub(crate) fn build(&self, connection: &Connection) -> Result<Vec<Payload>, Fault> {
        let spi = self.spi.ok_or(Fault::Internal("IKE_AUTH before its SPI"))?;
        let id = connection.local_id.to_payload();
        let prf = self.protection.suite.prf;
        let octets = signed_octets(prf, &self.sk_pi, &self.init.0, &self.nonces.responder, &id);
        let data = psk_auth(prf, connection.psk.secret(), &octets);
        let offered = self.offered(connection);
        let mut payloads = vec![Payload::IdInitiator(id)];
        if self.initial_contact {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::INITIAL_CONTACT, [])));
        }
        payloads.extend([
            Payload::IdResponder(connection.remote_id.to_payload()),
            Payload::Auth(AuthPayload { method: AuthMethod::SHARED_KEY, data }),
            Payload::Sa(offer::esp_offer(&connection.child.proposals, spi, false)),
            Payload::TsInitiator(TsPayload::new(offered.local_ts)),
            Payload::TsResponder(TsPayload::new(offered.remote_ts)),
        ]);
        Ok(payloads)
    }

    fn offered(&self, connection: &Connection) -> Offered {
        Offered::new(&connection.child, self.flow.as_ref(), None, false)
    }

    /// The response arrived and is protected by the right keys: is it the right peer?
    pub(crate) fn process(
        self,
        response: &Message,
        connection: &Connection,
        cx: &Ctx<'_>,
    ) -> Result<Authenticated, Fault> {
        let Some(auth) = response.auth() else {
            let refused = response.error_notify().cloned().map(Fault::Refused);
            return Err(refused.unwrap_or(Fault::Syntax("IKE_AUTH response without AUTH")));
        };
        let id = response.id_responder().ok_or(Fault::Syntax("IKE_AUTH response without IDr"))?;
        self.verify(id, auth, connection)?;
        let spi = self.spi.ok_or(Fault::Internal("IKE_AUTH before its SPI"))?;
        let child = child_initiator::accept(response, &self.offered(connection)).map(|accepted| Agreed {
            proposal: accepted.proposal,
            peer_spi: accepted.peer_spi,
            local_ts: accepted.local_ts,
            remote_ts: accepted.remote_ts,
            nonces: self.nonces.clone(),
            shared: None,
            initiator: true,
            replaces: None,
            takes_tfc: accepted.takes_tfc,
        });
        let lowest = collision::lowest_nonce(&self.nonces.initiator, &self.nonces.responder);
        let local_id = connection.local_id.to_payload();
        let sa = Established::new(self.protection, (local_id, id.clone()), lowest, cx.now);
        Ok(Authenticated { sa, spi, child })
    }

    fn verify(&self, id: &IdPayload, auth: &AuthPayload, connection: &Connection) -> Result<(), Fault> {
        if !connection.remote_id.matches(id) {
            return Err(Fault::Identity {
                parameter: "remote identity",
                ours: connection.remote_id.to_string(),
                theirs: id.to_string(),
            });
        }
        if auth.method != AuthMethod::SHARED_KEY {
            return Err(Fault::Method(auth.method));
        }
        let prf = self.protection.suite.prf;
        let octets = signed_octets(prf, &self.sk_pr, &self.init.1, &self.nonces.initiator, id);
        let genuine = verify_psk_auth(prf, connection.psk.secret(), &octets, &auth.data);
        genuine.then_some(()).ok_or(Fault::Psk)
    }
}
