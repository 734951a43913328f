//! The proof of either side in IKE_AUTH: by shared key, or by certificate (RFC 7296 section 2.15, RFC 7427).

use serde::{Deserialize, Serialize};

use super::collision;
use super::fault::Fault;
use crate::config::{Connection, LocalAuth, RemoteAuth};
use crate::crypto::{
    IkeKeys, Nonces, Prf, Secret, SignatureError, decode_hashes, encode_hashes, psk_auth, signed_octets,
    verify_psk_auth,
};
use crate::manager::context::Ctx;
use crate::pki::{Certificate, Refusal, Shown, certificate_request};
use crate::wire::iana::{AuthMethod, CertEncoding, NotifyType, SignatureHash};
use crate::wire::{
    AuthPayload, CertPayload, CertReqPayload, IdPayload, Message, Nonce, NotifyPayload, Payload,
};

/// What both proofs of an IKE SA are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ingredients {
    sk_pi: Secret,
    sk_pr: Secret,
    pub(crate) nonces: Nonces,
    /// The IKE_SA_INIT request and its response.
    pub(crate) init: (Vec<u8>, Vec<u8>),
    /// The hash algorithms the peer checks signatures with; `None`: it does not know RFC 7427.
    peer_hashes: Option<Vec<SignatureHash>>,
}

/// Who proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prover {
    Initiator,
    Responder,
}

impl Ingredients {
    /// `peers`: the peer's IKE_SA_INIT message.
    pub(crate) fn new(keys: IkeKeys, nonces: Nonces, init: (Vec<u8>, Vec<u8>), peers: &Message) -> Self {
        let IkeKeys { sk_pi, sk_pr, .. } = keys;
        let hashes = peers.notify(NotifyType::SIGNATURE_HASH_ALGORITHMS);
        let peer_hashes = hashes.map(|notify| decode_hashes(&notify.data));
        Self { sk_pi, sk_pr, nonces, init, peer_hashes }
    }

    /// The lower of both nonces, which stands for the IKE SA where two were made at once.
    pub(crate) fn lowest_nonce(&self) -> Nonce {
        collision::lowest_nonce(&self.nonces.initiator, &self.nonces.responder)
    }

    fn octets(&self, prover: Prover, prf: Prf, id: &IdPayload) -> Vec<u8> {
        let Nonces { initiator, responder } = &self.nonces;
        match prover {
            Prover::Initiator => signed_octets(prf, &self.sk_pi, &self.init.0, responder, id),
            Prover::Responder => signed_octets(prf, &self.sk_pr, &self.init.1, initiator, id),
        }
    }

    /// Our AUTH payload.
    pub(crate) fn prove(
        &self,
        prover: Prover,
        prf: Prf,
        id: &IdPayload,
        auth: &LocalAuth,
    ) -> Result<AuthPayload, Fault> {
        let octets = self.octets(prover, prf, id);
        match auth {
            LocalAuth::Psk(psk) => {
                let data = psk_auth(prf, psk.secret(), &octets);
                Ok(AuthPayload { method: AuthMethod::SHARED_KEY, data })
            }
            LocalAuth::Certificate(own) => {
                let signed = own.key().sign(&octets, self.peer_hashes.as_deref(), own.padding());
                signed.map_err(Fault::Signature)
            }
        }
    }

    /// Checks the peer's proof in `message`; gives the certificate it was made with.
    pub(crate) fn check(
        &self,
        prover: Prover,
        prf: Prf,
        claim: Claim<'_>,
        auth: &RemoteAuth,
        cx: &mut Ctx<'_>,
    ) -> Result<Option<Certificate>, Fault> {
        let octets = self.octets(prover, prf, claim.id);
        if !auth.accepts(claim.auth.method) {
            return Err(Fault::Method { ours: auth.name(), theirs: claim.auth.method });
        }
        match auth {
            RemoteAuth::Psk(psk) => {
                let genuine = verify_psk_auth(prf, psk.secret(), &octets, &claim.auth.data);
                cx.tape.proof(genuine).then_some(None).ok_or(Fault::Psk)
            }
            RemoteAuth::Certificate(trust) => {
                let certificate = trust.check(claim.message.certs(), cx.wall).map_err(Fault::Certificate)?;
                if !certificate.holds(claim.id) {
                    let names = certificate.identities();
                    return Err(Fault::Certificate(Refusal::Name { id: claim.id.to_string(), names }));
                }
                match certificate.verify(claim.auth, &octets) {
                    Ok(()) => drop(cx.tape.proof(true)),
                    // A replay signs other octets: what was found then counts.
                    Err(SignatureError::Bad(_)) if cx.tape.proof(false) => {}
                    Err(error) => return Err(Fault::Signature(error)),
                }
                Ok(Some(certificate))
            }
        }
    }
}

/// Who a peer says it is, and its proof.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) id: &'a IdPayload,
    pub(crate) auth: &'a AuthPayload,
    /// With its certificates.
    pub(crate) message: &'a Message,
}

/// The certificates of a peer that has proved itself with them.
pub(crate) fn shown(message: &Message, auth: &RemoteAuth) -> Vec<Shown> {
    auth.trust().map(|_| Shown::all(message.certs())).unwrap_or_default()
}

/// Our certificates as payloads, our own first; none with a shared key.
pub(crate) fn certificates(auth: &LocalAuth) -> impl Iterator<Item = Payload> {
    let chain = match auth {
        LocalAuth::Certificate(own) => own.chain(),
        LocalAuth::Psk(_) => &[],
    };
    let encoding = CertEncoding::X509_SIGNATURE;
    chain.iter().map(move |cert| Payload::Cert(CertPayload { encoding, data: cert.der().to_vec() }))
}

/// CERTREQ for the CAs of these connections, if any of them asks for certificates.
pub(crate) fn request<'a>(connections: impl Iterator<Item = &'a Connection>) -> Option<CertReqPayload> {
    certificate_request(connections.filter_map(|connection| connection.remote_auth.trust()))
}

/// SIGNATURE_HASH_ALGORITHMS, if either end of any of these connections signs (RFC 7427 section 4): where only
/// we do, it asks the peer for its list.
pub(crate) fn hash_algorithms<'a>(mut connections: impl Iterator<Item = &'a Connection>) -> Option<Payload> {
    let signs = |connection: &Connection| {
        matches!(connection.local_auth, LocalAuth::Certificate(_)) || connection.remote_auth.trust().is_some()
    };
    let notify = || NotifyPayload::new(NotifyType::SIGNATURE_HASH_ALGORITHMS, encode_hashes());
    connections.any(signs).then(|| Payload::Notify(notify()))
}
