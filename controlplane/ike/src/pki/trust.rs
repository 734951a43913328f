//! Whom we trust: CAs and revocation lists, and the check of a peer's chain against them.

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Duration;
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    OwnedCertRevocationList, RequiredEkuNotFoundContext, RevocationOptionsBuilder, UnknownStatusPolicy,
    VerifiedPath,
};

use super::{Certificate, MAX_CERTIFICATES, PkiError, Refusal, date};
use crate::wire::iana::CertEncoding;
use crate::wire::{CertPayload, CertReqPayload};

/// id-kp-ipsecIKE and anyExtendedKeyUsage (RFC 4945 section 5.1.3.12).
const PURPOSES: [&[usize]; 2] = [&[1, 3, 6, 1, 5, 5, 7, 3, 17], &[2, 5, 29, 37, 0]];

/// The CAs whose certificates we accept, and what they revoked.
pub struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    authorities: Vec<Certificate>,
    revoked: Vec<CertRevocationList<'static>>,
    /// The same as they were read, in DER.
    lists: Vec<Vec<u8>>,
    /// A certificate whose issuer has no current list is refused.
    strict: bool,
    /// Of the CAs and of everything: what makes two of these the same.
    digests: ([u8; 32], [u8; 32]),
}

impl Trust {
    /// `authorities` and `revocation_lists` in DER. With `strict`, each certificate of a peer's path needs a
    /// current list of its issuer; without it, lists are used as far as there are any, however old.
    ///
    /// # Errors
    /// The first that cannot be read, or a certificate that is not one of a CA.
    pub fn new(
        authorities: &[Vec<u8>],
        revocation_lists: &[Vec<u8>],
        strict: bool,
    ) -> Result<Self, PkiError> {
        let digests = (digest(authorities, false), digest([authorities, revocation_lists].concat(), strict));
        let authorities = read_all(authorities)?;
        let anchors = (1..).zip(&authorities).map(|(index, ca)| anchor(index, ca));
        let revoked = (1..).zip(revocation_lists).map(|(index, list)| {
            let read = OwnedCertRevocationList::from_der(list);
            let why = |error: Error| PkiError::RevocationList { index, why: format!("{error:?}") };
            read.map(CertRevocationList::Owned).map_err(why)
        });
        Ok(Self {
            anchors: anchors.collect::<Result<_, _>>()?,
            revoked: revoked.collect::<Result<_, _>>()?,
            lists: revocation_lists.to_vec(),
            authorities,
            strict,
            digests,
        })
    }

    /// The certificates of the CAs.
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// The revocation lists, in DER.
    pub(crate) fn revocation_lists(&self) -> &[Vec<u8>] {
        &self.lists
    }

    /// Whether a certificate whose issuer has no current list is refused.
    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    /// Stands for the CAs.
    pub(crate) fn digest(&self) -> &[u8] {
        &self.digests.0
    }

    /// SHA-1 of each CA's SubjectPublicKeyInfo, as CERTREQ has them (RFC 7296 section 3.7).
    pub(crate) fn key_hashes(&self) -> impl Iterator<Item = [u8; 20]> {
        self.authorities.iter().map(|ca| Sha1::digest(ca.spki()).into())
    }

    /// The certificate the peer proves itself with: the first it sent, if a path of what else it sent leads
    /// to one of our CAs. `now` is the wall clock, since the Unix epoch.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check<'a>(
        &self,
        payloads: impl Iterator<Item = &'a CertPayload>,
        now: Duration,
    ) -> Result<Certificate, Refusal> {
        let sent = readable(payloads)?;
        let (own, intermediates) = sent.split_first().ok_or(Refusal::Missing)?;
        let others: Vec<CertificateDer<'static>> =
            intermediates.iter().map(|cert| cert.as_webpki().clone()).collect();
        self.path(own, &others, now).map_err(|error| self.refusal(error, &sent, now))?;
        if !own.may_authenticate() {
            let usage = "other uses than signatures (key usage)".to_owned();
            return Err(Refusal::Usage { subject: own.subject().to_string(), usage });
        }
        Ok(own.clone())
    }

    /// Whether a revocation list names one of these.
    pub(crate) fn has_revoked(&self, shown: &[Shown]) -> bool {
        let names = |shown: &Shown| {
            let of_issuer = self.revoked.iter().filter(|list| list.issuer() == shown.issuer);
            of_issuer.map(|list| list.find_serial(&shown.serial)).any(|found| matches!(found, Ok(Some(_))))
        };
        shown.iter().any(names)
    }

    fn path(
        &self,
        own: &Certificate,
        others: &[CertificateDer<'static>],
        now: Duration,
    ) -> Result<(), Error> {
        let lists: Vec<&CertRevocationList<'_>> = self.revoked.iter().collect();
        let (unknown, old) = if self.strict {
            (UnknownStatusPolicy::Deny, ExpirationPolicy::Enforce)
        } else {
            (UnknownStatusPolicy::Allow, ExpirationPolicy::Ignore)
        };
        let options = RevocationOptionsBuilder::new(&lists).ok();
        let options = options.map(|o| o.with_status_policy(unknown).with_expiration_policy(old).build());
        if options.is_none() && self.strict {
            return Err(Error::UnknownRevocationStatus);
        }
        let time = UnixTime::since_unix_epoch(now);
        EndEntityCert::try_from(own.as_webpki())?.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.anchors,
            others,
            time,
            Purpose,
            options,
            Some(&signed_by_cas),
        )?;
        Ok(())
    }

    fn refusal(&self, error: Error, sent: &[Certificate], now: Duration) -> Refusal {
        let subject = sent[0].subject().to_string();
        let since_epoch = |time: UnixTime| date(Duration::from_secs(time.as_secs()));
        match error {
            Error::UnknownIssuer => {
                let issued = |cert: &&Certificate| !sent.iter().any(|c| c.subject() == cert.issuer());
                let last = sent.iter().find(issued).unwrap_or(&sent[0]);
                Refusal::UnknownCa { trusted: self.names(), issuer: last.issuer().to_string() }
            }
            Error::CertExpired { not_after, .. } => {
                Refusal::Expired { now: date(now), until: since_epoch(not_after) }
            }
            Error::CertNotValidYet { not_before, .. } => {
                Refusal::NotYetValid { now: date(now), from: since_epoch(not_before) }
            }
            Error::CertRevoked => Refusal::Revoked { subject },
            Error::UnknownRevocationStatus | Error::CrlExpired { .. } => {
                Refusal::RevocationUnknown { subject }
            }
            Error::RequiredEkuNotFoundContext(context) => {
                let dotted = |oid: &[usize]| oid.iter().map(usize::to_string).collect::<Vec<_>>().join(".");
                let present: Vec<String> = context.present.iter().map(|oid| dotted(oid)).collect();
                Refusal::Usage { subject, usage: format!("extended key usage {}", present.join(", ")) }
            }
            Error::CaUsedAsEndEntity => {
                Refusal::Invalid { subject, why: "a CA's certificate is no proof of identity".to_owned() }
            }
            other => Refusal::Invalid { subject, why: format!("{other:?}") },
        }
    }

    fn names(&self) -> String {
        self.authorities.iter().map(|ca| ca.subject().to_string()).collect::<Vec<_>>().join("; ")
    }
}

/// CERTREQ for the CAs of these; none without any (RFC 7296 section 3.7).
pub(crate) fn certificate_request<'a>(trusts: impl Iterator<Item = &'a Trust>) -> Option<CertReqPayload> {
    /// Enough for every CA of a gateway; the payload of a first message stays small.
    const MAX_HASHES: usize = 32;
    let hashes: std::collections::BTreeSet<[u8; 20]> = trusts.flat_map(Trust::key_hashes).collect();
    let authorities: Vec<u8> = hashes.into_iter().take(MAX_HASHES).flatten().collect();
    let encoding = CertEncoding::X509_SIGNATURE;
    (!authorities.is_empty()).then_some(CertReqPayload { encoding, authorities })
}

/// What a revocation list names a certificate by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    issuer: Vec<u8>,
    serial: Vec<u8>,
}

impl Shown {
    /// Those of a message whose path was checked.
    pub(crate) fn all<'a>(payloads: impl Iterator<Item = &'a CertPayload>) -> Vec<Self> {
        let shown = |certificate: &Certificate| {
            let parsed = EndEntityCert::try_from(certificate.as_webpki()).ok()?;
            Some(Self { issuer: parsed.issuer().to_vec(), serial: parsed.serial().to_vec() })
        };
        readable(payloads).unwrap_or_default().iter().filter_map(shown).collect()
    }
}

/// The X.509 certificates of a message, the peer's own first; what else CERT payloads carry is passed over.
fn readable<'a>(payloads: impl Iterator<Item = &'a CertPayload>) -> Result<Vec<Certificate>, Refusal> {
    let mut certificates = Vec::new();
    let mut other = Refusal::Missing;
    for payload in payloads {
        if payload.encoding != CertEncoding::X509_SIGNATURE {
            other = Refusal::Encoding(payload.encoding);
            continue;
        }
        if certificates.len() == MAX_CERTIFICATES {
            break;
        }
        match Certificate::from_der(&payload.data) {
            Ok(certificate) => certificates.push(certificate),
            // An intermediate that cannot be read may not be needed.
            Err(_) if !certificates.is_empty() => {}
            Err(why) => return Err(Refusal::Invalid { subject: "the first certificate".to_owned(), why }),
        }
    }
    if certificates.is_empty() { Err(other) } else { Ok(certificates) }
}

/// Every intermediate may sign certificates by its key usage, which webpki does not look at.
fn signed_by_cas(path: &VerifiedPath<'_>) -> Result<(), Error> {
    let is_ca = |der: CertificateDer<'_>| Certificate::from_der(&der).is_ok_and(|cert| cert.is_ca());
    let all = path.intermediate_certificates().all(|cert| is_ca(cert.der()));
    if all { Ok(()) } else { Err(Error::EndEntityUsedAsCa) }
}

/// A certificate for IKE, for anything, or without a restriction.
struct Purpose;

impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        let mut present = Vec::new();
        for purpose in purposes {
            present.push(purpose?.to_decoded_oid());
        }
        if present.is_empty() || present.iter().any(|oid| PURPOSES.contains(&&oid[..])) {
            return Ok(());
        }
        let required = webpki::KeyUsage::required_if_present(IPSEC_IKE);
        Err(Error::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext { required, present }))
    }
}

/// id-kp-ipsecIKE in DER, without tag and length.
const IPSEC_IKE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 17];

fn anchor(index: usize, ca: &Certificate) -> Result<TrustAnchor<'static>, PkiError> {
    if !ca.is_ca() {
        return Err(PkiError::NotCa(ca.subject().to_string()));
    }
    let anchor = webpki::anchor_from_trusted_cert(ca.as_webpki());
    anchor.map(|a| a.to_owned()).map_err(|e| PkiError::Certificate { index, why: format!("{e:?}") })
}

/// Reads configured certificates, of which there must be one.
pub(super) fn read_all(ders: &[Vec<u8>]) -> Result<Vec<Certificate>, PkiError> {
    if ders.is_empty() {
        return Err(PkiError::Empty);
    }
    let read = |(index, der): (usize, &Vec<u8>)| {
        Certificate::from_der(der).map_err(|why| PkiError::Certificate { index, why })
    };
    (1..).zip(ders).map(read).collect()
}

fn digest(parts: impl AsRef<[Vec<u8>]>, strict: bool) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts.as_ref() {
        hash.update(Sha256::digest(part));
    }
    hash.update([u8::from(strict)]);
    hash.finalize().into()
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.digests == other.digests
    }
}

impl Eq for Trust {}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({}; {} revocation lists)", self.names(), self.revoked.len())
    }
}
