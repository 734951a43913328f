//! IKE_AUTH as responder (RFC 7296 sections 1.2 and 2.15).

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::{collision, sa_init};
use crate::config::Connection;
use crate::crypto::{IkeKeys, Nonces, Secret, psk_auth, signed_octets, verify_psk_auth};
use crate::manager::command::Datagram;
use crate::manager::context::Ctx;
use crate::sa::core::Protection;
use crate::sa::established::Established;
use crate::wire::iana::AuthMethod;
use crate::wire::{AuthPayload, IdPayload, Message, Payload};

/// IKE_SA_INIT is answered, the peer is not authenticated yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HalfOpen {
    pub(crate) protection: Protection,
    sk_pi: Secret,
    sk_pr: Secret,
    pub(crate) nonces: Nonces,
    /// The peer's IKE_SA_INIT request and our response: what AUTH covers.
    pub(crate) init: (Vec<u8>, Vec<u8>),
}

/// The peer is authenticated.
#[derive(Debug)]
pub(crate) struct Welcome<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) sa: Established,
    /// IDr and AUTH, with which the response begins.
    pub(crate) proof: Vec<Payload>,
    /// Of IKE_SA_INIT: the first CHILD_SA's keys derive from them.
    pub(crate) nonces: Nonces,
}

impl HalfOpen {
    pub(crate) fn new(
        protection: Protection,
        keys: IkeKeys,
        nonces: Nonces,
        init: (Vec<u8>, Vec<u8>),
    ) -> Self {
        let IkeKeys { sk_pi, sk_pr, .. } = keys;
        Self { protection, sk_pi, sk_pr, nonces, init }
    }

    /// Checks who the peer is and makes our own proof.
    ///
    /// On failure the protection is still needed for the answer, so `self` is only borrowed.
    pub(crate) fn authenticate<'a>(
        &self,
        datagram: &Datagram,
        request: &Message,
        cx: &Ctx<'a>,
    ) -> Result<Welcome<'a>, Fault> {
        let (Some(id), Some(auth)) = (request.id_initiator(), request.auth()) else {
            return Err(Fault::Syntax("IKE_AUTH needs IDi and AUTH"));
        };
        if auth.method != AuthMethod::SHARED_KEY {
            return Err(Fault::Method(auth.method));
        }
        let connection = self.connection(datagram, id, request.id_responder(), cx)?;
        let prf = self.protection.suite.prf;
        let octets = signed_octets(prf, &self.sk_pi, &self.init.0, &self.nonces.responder, id);
        if !verify_psk_auth(prf, connection.psk.secret(), &octets, &auth.data) {
            return Err(Fault::Psk);
        }
        let local_id = connection.local_id.to_payload();
        let octets = signed_octets(prf, &self.sk_pr, &self.init.1, &self.nonces.initiator, &local_id);
        let data = psk_auth(prf, connection.psk.secret(), &octets);
        let proof = vec![
            Payload::IdResponder(local_id.clone()),
            Payload::Auth(AuthPayload { method: AuthMethod::SHARED_KEY, data }),
        ];
        let lowest = collision::lowest_nonce(&self.nonces.initiator, &self.nonces.responder);
        let sa = Established::new(self.protection.clone(), (local_id, id.clone()), lowest, cx.now);
        Ok(Welcome { connection, sa, proof, nonces: self.nonces.clone() })
    }

    /// The connection of these addresses and identities whose proposals allow the algorithms in use.
    fn connection<'a>(
        &self,
        datagram: &Datagram,
        peer: &IdPayload,
        wanted: Option<&IdPayload>,
        cx: &Ctx<'a>,
    ) -> Result<&'a Connection, Fault> {
        let mut fitting = sa_init::candidates(datagram, cx);
        fitting.retain(|c| c.ike_proposals.iter().any(|p| p.suite() == Some(self.protection.suite)));
        let names =
            |of: &dyn Fn(&Connection) -> String| fitting.iter().map(|c| of(c)).collect::<Vec<_>>().join(", ");
        let (locals, remotes) = (names(&|c| c.local_id.to_string()), names(&|c| c.remote_id.to_string()));
        fitting.retain(|c| c.remote_id.matches(peer));
        if fitting.is_empty() {
            let theirs = peer.to_string();
            return Err(Fault::Identity { parameter: "remote identity", ours: remotes, theirs });
        }
        fitting.retain(|c| wanted.is_none_or(|id| c.local_id.matches(id)));
        fitting.first().copied().ok_or_else(|| Fault::Identity {
            parameter: "local identity",
            ours: locals,
            theirs: wanted.map(ToString::to_string).unwrap_or_default(),
        })
    }
}
