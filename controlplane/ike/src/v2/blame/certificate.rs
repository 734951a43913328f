//! What is said of certificates and signatures.

use super::{Meaning, NOTHING, meaning};
use crate::config::ConnectionKey;
use crate::crypto::{ACCEPTED_HASHES, SignatureError};
use crate::diagnosis::Confidence::{Certain, Likely};
use crate::diagnosis::{Code, Diagnosis, Side};
use crate::pki::Refusal;

const MISSING: Meaning = meaning(
    Code::CertificateInvalid,
    Certain,
    "certificate",
    "RFC 7296 section 3.6",
    [NOTHING, "set it to send its certificate (strongSwan: send_cert = always)"],
);
const INVALID: Meaning = meaning(
    Code::CertificateInvalid,
    Certain,
    "certificate",
    "RFC 5280 section 6.1",
    [NOTHING, "give it a certificate without this fault; openssl x509 -noout -text shows it"],
);
const UNKNOWN_CA: Meaning = meaning(
    Code::CertificateUnknownCa,
    Certain,
    "ca",
    "RFC 5280 section 6.1",
    [
        "add the CA that issued the peer's certificate to ca",
        "give it a certificate of our ca, or set it to send its intermediates",
    ],
);
const EXPIRED: Meaning = meaning(
    Code::CertificateExpired,
    Certain,
    "certificate",
    "RFC 5280 section 4.1.2.5",
    ["correct the clock here, if it is that", "renew its certificate"],
);
const REVOKED: Meaning = meaning(
    Code::CertificateRevoked,
    Certain,
    "crl",
    "RFC 5280 section 6.3",
    ["give crl a current list of the issuer", "give it a new certificate, if it was revoked"],
);
const NAME: Meaning = meaning(
    Code::CertificateNameMismatch,
    Certain,
    "remote-id",
    "RFC 4945 section 3.1",
    [
        "set remote-id to an identity that the peer's certificate holds",
        "set its local identity to one that its certificate holds, or renew it with that name",
    ],
);
const USAGE: Meaning = meaning(
    Code::CertificateUsage,
    Certain,
    "certificate",
    "RFC 4945 section 5.1.3",
    [
        NOTHING,
        "give it a certificate with key usage digitalSignature, and extended key usage ipsecIKE or none",
    ],
);
const SIGNATURE: Meaning = meaning(
    Code::SignatureInvalid,
    Likely,
    "signature",
    "RFC 7427 section 3",
    [NOTHING, "give it the private key that belongs to its certificate"],
);
const ALGORITHM: Meaning = meaning(
    Code::SignatureAlgorithmMismatch,
    Certain,
    "signature algorithm",
    "RFC 7427 section 4",
    [
        "use a certificate of another kind of key; for RSA look at rsa-padding",
        "allow a signature and hash algorithm that both sides have",
    ],
);

fn by(meaning: Meaning, key: Option<ConnectionKey>, ours: &str, theirs: &str) -> Diagnosis {
    meaning.by(Side::Local, key, ours.to_owned(), theirs.to_owned())
}

/// The peer's certificate was not accepted.
pub(super) fn refused(refusal: &Refusal, key: Option<ConnectionKey>) -> Diagnosis {
    match refusal {
        Refusal::Missing => by(MISSING, key, "X.509 certificate", "none"),
        Refusal::Encoding(encoding) => by(MISSING, key, "X.509 certificate", &encoding.to_string()),
        Refusal::Invalid { subject, why } => by(INVALID, key, "", &format!("{subject}: {why}")),
        Refusal::UnknownCa { trusted, issuer } => by(UNKNOWN_CA, key, trusted, issuer),
        Refusal::Expired { now, until } => {
            by(EXPIRED, key, &format!("now {now}"), &format!("valid until {until}"))
        }
        Refusal::NotYetValid { now, from } => {
            by(EXPIRED, key, &format!("now {now}"), &format!("valid from {from}"))
        }
        Refusal::Revoked { subject } => by(REVOKED, key, "revoked", subject),
        Refusal::RevocationUnknown { subject } => by(REVOKED, key, "no current list", subject),
        Refusal::Usage { subject, usage } => {
            by(USAGE, key, "signatures of IKE", &format!("{subject}: {usage}"))
        }
        Refusal::Name { id, names } => by(NAME, key, id, names),
    }
}

/// The signature was not accepted, or none could be made.
pub(super) fn signature(error: &SignatureError, key: Option<ConnectionKey>) -> Diagnosis {
    let accepted = || ACCEPTED_HASHES.map(|hash| hash.to_string()).join(", ");
    match error {
        SignatureError::Bad(scheme) => by(SIGNATURE, key, "signature of the certificate's key", scheme),
        SignatureError::WrongKey { scheme, kind } => by(SIGNATURE, key, &kind.to_string(), scheme),
        SignatureError::Malformed | SignatureError::Method(_) => {
            by(SIGNATURE, key, "signature of RFC 7427", &error.to_string())
        }
        SignatureError::Key => {
            by(ALGORITHM, key, "RSA, ECDSA on P-256, P-384, P-521, Ed25519", "another kind")
        }
        SignatureError::Unsupported(scheme) => by(ALGORITHM, key, &accepted(), scheme),
        SignatureError::NoHash { ours, theirs } => by(ALGORITHM, key, ours, theirs),
        SignatureError::Library => by(SIGNATURE, key, &error.to_string(), ""),
    }
}
