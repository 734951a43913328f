//! IKE_AUTH as initiator (RFC 7296 sections 1.2 and 2.15): proofs, identities, the first CHILD_SA.
//!
//! ```text
//! HDR, SK {IDi, CERT*, [N(INITIAL_CONTACT)], [CERTREQ], IDr, AUTH, SAi2, TSi, TSr}  -->
//!                                       <--  HDR, SK {IDr, CERT*, AUTH, SAr2, TSi, TSr}
//!                                            both without SA and TS where the child comes later (RFC 6023)
//!                                        or  HDR, SK {IDr, CERT*, AUTH, N(child error)}
//!                                        or  HDR, SK {N(AUTHENTICATION_FAILED)}
//! ```

use serde::{Deserialize, Serialize};

use super::child_initiator::{self, Offered};
use super::fault::Fault;
use super::offer;
use super::proof::{self, Claim, Ingredients, Prover};
use crate::config::Connection;
use crate::manager::command::{Flow, RequestId, Spi};
use crate::manager::context::Ctx;
use crate::manager::event::Event;
use crate::sa::child::{Agreed, reserve_spi};
use crate::sa::core::{Core, Protection};
use crate::sa::established::{Established, Origin};
use crate::wire::iana::NotifyType;
use crate::wire::{Message, NotifyPayload, Payload, TsPayload};

/// The exchange as its initiator; also holds the SPI of the first CHILD_SA, or waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthInitiator {
    pub(crate) protection: Protection,
    ingredients: Ingredients,
    flow: Option<Flow>,
    initial_contact: bool,
    /// Nothing is said of a CHILD_SA (RFC 6023): one follows.
    pub(crate) childless: bool,
    pub(crate) reserving: Option<RequestId>,
    pub(crate) spi: Option<Spi>,
}

/// The peer is authenticated; what the response says about the child.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) sa: Established,
    pub(crate) child: FirstChild,
}

/// The first CHILD_SA of an IKE SA.
#[derive(Debug)]
pub(crate) enum FirstChild {
    /// What was agreed about it, with our SPI.
    Here(Spi, Box<Result<Agreed, Fault>>),
    /// It comes by an exchange of its own, for the packet that wants it.
    Later(Option<Flow>),
}

impl AuthInitiator {
    pub(crate) fn new(
        protection: Protection,
        ingredients: Ingredients,
        flow: Option<Flow>,
        initial_contact: bool,
    ) -> Self {
        Self { protection, ingredients, flow, initial_contact, childless: false, reserving: None, spi: None }
    }

    /// The same without a CHILD_SA.
    pub(crate) fn childless(self) -> Self {
        Self { childless: true, ..self }
    }

    /// Asks for the SPI of the first CHILD_SA.
    pub(crate) fn reserve(&mut self, core: &Core, cx: &mut Ctx<'_>) {
        self.reserving = reserve_spi(core, 1, cx);
    }

    /// The payloads of the request.
    pub(crate) fn build(&self, connection: &Connection) -> Result<Vec<Payload>, Fault> {
        let id = connection.local_id_payload();
        let prf = self.protection.suite.prf;
        let auth = self.ingredients.prove(Prover::Initiator, prf, &id, &connection.local_auth)?;
        let mut payloads = vec![Payload::IdInitiator(id)];
        payloads.extend(proof::certificates(&connection.local_auth));
        if self.initial_contact {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::INITIAL_CONTACT, [])));
        }
        payloads.extend(proof::request([connection].into_iter()).map(Payload::CertReq));
        payloads.extend([Payload::IdResponder(connection.remote_id.to_payload()), Payload::Auth(auth)]);
        if self.childless {
            return Ok(payloads);
        }
        let spi = self.spi.ok_or(Fault::Internal("IKE_AUTH before its SPI"))?;
        let offered = self.offered(connection);
        payloads.extend([
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
        cx: &mut Ctx<'_>,
    ) -> Result<Authenticated, Fault> {
        let Some(auth) = response.auth() else {
            let refused = response.error_notify().cloned().map(Fault::Refused);
            return Err(refused.unwrap_or(Fault::Syntax("IKE_AUTH response without AUTH")));
        };
        let id = response.id_responder().ok_or(Fault::Syntax("IKE_AUTH response without IDr"))?;
        self.verify(Claim { id, auth, message: response }, connection, cx)?;
        let child = self.first_child(response, connection)?;
        let lowest_nonce = self.ingredients.lowest_nonce();
        let shown = proof::shown(response, &connection.remote_auth);
        let origin = Origin { initiator: true, lowest_nonce, since: cx.now, shown };
        let local_id = connection.local_id_payload();
        let sa = Established::new(self.protection, (local_id, id.clone()), origin, cx.now);
        Ok(Authenticated { sa, child })
    }

    fn first_child(&self, response: &Message, connection: &Connection) -> Result<FirstChild, Fault> {
        if self.childless {
            return Ok(FirstChild::Later(self.flow));
        }
        let spi = self.spi.ok_or(Fault::Internal("IKE_AUTH before its SPI"))?;
        let agreed = child_initiator::accept(response, &self.offered(connection)).map(|accepted| Agreed {
            proposal: accepted.proposal,
            peer_spi: accepted.peer_spi,
            local_ts: accepted.local_ts,
            remote_ts: accepted.remote_ts,
            nonces: self.ingredients.nonces.clone(),
            shared: None,
            initiator: true,
            replaces: None,
            takes_tfc: accepted.takes_tfc,
        });
        Ok(FirstChild::Here(spi, Box::new(agreed)))
    }

    fn verify(&self, claim: Claim<'_>, connection: &Connection, cx: &mut Ctx<'_>) -> Result<(), Fault> {
        if !connection.remote_id.matches(claim.id) {
            return Err(Fault::Identity {
                parameter: "remote-id",
                ours: connection.remote_id.to_string(),
                theirs: claim.id.to_string(),
            });
        }
        let prf = self.protection.suite.prf;
        let auth = &connection.remote_auth;
        if let Some(certificate) = self.ingredients.check(Prover::Responder, prf, claim, auth, cx)? {
            cx.event(Event::peer_certificate(connection.key, &certificate));
        }
        Ok(())
    }
}
