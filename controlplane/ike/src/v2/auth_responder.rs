//! IKE_AUTH as responder (RFC 7296 sections 1.2 and 2.15).

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::nat::Nat;
use super::proof::{self, Claim, Ingredients, Prover};
use super::sa_init;
use crate::config::Connection;
use crate::crypto::Nonces;
use crate::manager::command::Datagram;
use crate::manager::context::Ctx;
use crate::manager::event::Event;
use crate::sa::core::{Path, Protection};
use crate::sa::established::{Established, Origin};
use crate::wire::iana::AuthMethod;
use crate::wire::{IdPayload, Message, Payload};

/// IKE_SA_INIT is answered, the peer is not authenticated yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HalfOpen {
    pub(crate) protection: Protection,
    ingredients: Ingredients,
    /// A NAT that is on the way, and nobody cares for.
    ignored: Option<Nat>,
}

/// The peer is authenticated.
#[derive(Debug)]
pub(crate) struct Welcome<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) sa: Established,
    /// IDr, CERT and AUTH, with which the response begins.
    pub(crate) proof: Vec<Payload>,
    /// Of IKE_SA_INIT: the first CHILD_SA's keys derive from them.
    pub(crate) nonces: Nonces,
    /// A NAT that is on the way, and nobody cares for.
    pub(crate) ignored: Option<Nat>,
}

impl HalfOpen {
    pub(crate) fn new(protection: Protection, ingredients: Ingredients, ignored: Option<Nat>) -> Self {
        Self { protection, ingredients, ignored }
    }

    /// The peer's IKE_SA_INIT request and our response.
    pub(crate) fn init(&self) -> &(Vec<u8>, Vec<u8>) {
        &self.ingredients.init
    }

    /// Checks who the peer is and makes our own proof.
    ///
    /// On failure the protection is still needed for the answer, so `self` is only borrowed.
    pub(crate) fn authenticate<'a>(
        &self,
        datagram: &Datagram,
        request: &Message,
        cx: &mut Ctx<'a>,
    ) -> Result<Welcome<'a>, Fault> {
        let (Some(id), Some(auth)) = (request.id_initiator(), request.auth()) else {
            return Err(Fault::Syntax("IKE_AUTH needs IDi and AUTH"));
        };
        let connection = self.connection(datagram, (id, auth.method), request.id_responder(), cx)?;
        let (ingredients, prf) = (&self.ingredients, self.protection.suite.prf);
        let claim = Claim { id, auth, message: request };
        let certificate = ingredients.check(Prover::Initiator, prf, claim, &connection.remote_auth, cx)?;
        if let Some(certificate) = certificate {
            cx.event(Event::peer_certificate(connection.key, &certificate));
        }
        let local_id = connection.local_id_payload();
        let auth = ingredients.prove(Prover::Responder, prf, &local_id, &connection.local_auth)?;
        let mut proof = vec![Payload::IdResponder(local_id.clone())];
        proof.extend(proof::certificates(&connection.local_auth));
        proof.push(Payload::Auth(auth));
        let lowest_nonce = ingredients.lowest_nonce();
        let shown = proof::shown(request, &connection.remote_auth);
        let origin = Origin { initiator: false, lowest_nonce, since: cx.now, shown };
        let sa = Established::new(self.protection.clone(), (local_id, id.clone()), origin, cx.now);
        Ok(Welcome { connection, sa, proof, nonces: ingredients.nonces.clone(), ignored: self.ignored })
    }

    /// The connection of these addresses and identities whose proposals allow the algorithms in use.
    fn connection<'a>(
        &self,
        datagram: &Datagram,
        (peer, method): (&IdPayload, AuthMethod),
        wanted: Option<&IdPayload>,
        cx: &Ctx<'a>,
    ) -> Result<&'a Connection, Fault> {
        let mut fitting = sa_init::candidates(&Path::of(datagram), cx);
        fitting.retain(|c| c.ike_proposals.iter().any(|p| p.suite() == Some(self.protection.suite)));
        let names =
            |of: &dyn Fn(&Connection) -> String| fitting.iter().map(|c| of(c)).collect::<Vec<_>>().join(", ");
        let (locals, remotes) = (names(&|c| c.local_id.to_string()), names(&|c| c.remote_id.to_string()));
        fitting.retain(|c| c.remote_id.matches(peer));
        if fitting.is_empty() {
            let theirs = peer.to_string();
            return Err(Fault::Identity { parameter: "remote-id", ours: remotes, theirs });
        }
        let kinds: Vec<_> = fitting.iter().map(|c| c.remote_auth.name()).collect();
        fitting.retain(|c| c.remote_auth.accepts(method));
        if fitting.is_empty() {
            return Err(Fault::Method { ours: kinds[0], theirs: method });
        }
        fitting.retain(|c| wanted.is_none_or(|id| c.local_id.matches(id)));
        fitting.first().copied().ok_or_else(|| Fault::Identity {
            parameter: "local-id",
            ours: locals,
            theirs: wanted.map(ToString::to_string).unwrap_or_default(),
        })
    }
}
