//! Digital signatures as proof of identity (RFC 7427, RFC 4754, RFC 8420).
//!
//! Private keys live inside aws-lc-rs, which brings the randomness that RSASSA-PSS and ECDSA need; what a
//! signature looks like never decides what happens next, so a run stays the same run.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self as lc, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use pkcs1::RsaPssParams;
use std::fmt;
use x509_cert::der::asn1::{Any, AnyRef, BitStringRef, ObjectIdentifier};
use x509_cert::der::oid::db::{rfc5912 as oid, rfc8410};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfo};

use super::Secret;
use crate::wire::AuthPayload;
use crate::wire::iana::{AuthMethod, SignatureHash};

/// Hash algorithms of signatures that we check, as SIGNATURE_HASH_ALGORITHMS lists them. SHA-1 is not among
/// them (RFC 8247 section 3.2).
pub const ACCEPTED_HASHES: [SignatureHash; 4] =
    [SignatureHash::SHA2_256, SignatureHash::SHA2_384, SignatureHash::SHA2_512, SignatureHash::IDENTITY];

/// Most hash algorithms read from a peer's list.
const MAX_HASHES: usize = 32;

/// What kind of key a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of 2048 to 8192 bits.
    Rsa,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::P521 => "ECDSA P-521",
            Self::Ed25519 => "Ed25519",
        })
    }
}

/// A signature algorithm of RFC 7427.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    RsaPkcs1(SignatureHash),
    /// With MGF1 of the same hash and a salt of its length.
    RsaPss(SignatureHash),
    Ecdsa(SignatureHash),
    Ed25519,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaPkcs1(hash) => write!(f, "RSASSA-PKCS1-v1_5 with {hash}"),
            Self::RsaPss(hash) => write!(f, "RSASSA-PSS with {hash}"),
            Self::Ecdsa(hash) => write!(f, "ECDSA with {hash}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

const HASHES: [(SignatureHash, ObjectIdentifier, u8); 3] = [
    (SignatureHash::SHA2_256, oid::ID_SHA_256, 32),
    (SignatureHash::SHA2_384, oid::ID_SHA_384, 48),
    (SignatureHash::SHA2_512, oid::ID_SHA_512, 64),
];

impl Scheme {
    const NAMED: [(Self, ObjectIdentifier); 7] = [
        (Self::RsaPkcs1(SignatureHash::SHA2_256), oid::SHA_256_WITH_RSA_ENCRYPTION),
        (Self::RsaPkcs1(SignatureHash::SHA2_384), oid::SHA_384_WITH_RSA_ENCRYPTION),
        (Self::RsaPkcs1(SignatureHash::SHA2_512), oid::SHA_512_WITH_RSA_ENCRYPTION),
        (Self::Ecdsa(SignatureHash::SHA2_256), oid::ECDSA_WITH_SHA_256),
        (Self::Ecdsa(SignatureHash::SHA2_384), oid::ECDSA_WITH_SHA_384),
        (Self::Ecdsa(SignatureHash::SHA2_512), oid::ECDSA_WITH_SHA_512),
        (Self::Ed25519, rfc8410::ID_ED_25519),
    ];

    /// The AlgorithmIdentifier, as RFC 7427 appendix A has it.
    fn identifier(self) -> Vec<u8> {
        let named = Self::NAMED.iter().find(|(scheme, _)| *scheme == self);
        let null = matches!(self, Self::RsaPkcs1(_)).then_some(AnyRef::NULL);
        let encoded = match (self, named) {
            (_, Some((_, oid))) => AlgorithmIdentifierRef { oid: *oid, parameters: null }.to_der(),
            (Self::RsaPss(hash), None) => pss_identifier(hash),
            _ => Ok(Vec::new()),
        };
        encoded.unwrap_or_default()
    }

    fn from_identifier(algorithm: &AlgorithmIdentifierRef<'_>) -> Option<Self> {
        if algorithm.oid == oid::ID_RSASSA_PSS {
            return pss_scheme(algorithm.parameters?);
        }
        let no_parameters = algorithm.parameters.is_none_or(|p| p == AnyRef::NULL);
        let named = Self::NAMED.iter().find(|(_, oid)| *oid == algorithm.oid && no_parameters)?;
        Some(named.0)
    }

    /// What checks it with a key of `kind`; ECDSA signatures are in DER.
    fn verifier(self, kind: KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
        use SignatureHash as H;
        Some(match (self, kind) {
            (Self::RsaPkcs1(H::SHA1), KeyKind::Rsa) => &lc::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            (Self::RsaPkcs1(H::SHA2_256), KeyKind::Rsa) => &lc::RSA_PKCS1_2048_8192_SHA256,
            (Self::RsaPkcs1(H::SHA2_384), KeyKind::Rsa) => &lc::RSA_PKCS1_2048_8192_SHA384,
            (Self::RsaPkcs1(H::SHA2_512), KeyKind::Rsa) => &lc::RSA_PKCS1_2048_8192_SHA512,
            (Self::RsaPss(H::SHA2_256), KeyKind::Rsa) => &lc::RSA_PSS_2048_8192_SHA256,
            (Self::RsaPss(H::SHA2_384), KeyKind::Rsa) => &lc::RSA_PSS_2048_8192_SHA384,
            (Self::RsaPss(H::SHA2_512), KeyKind::Rsa) => &lc::RSA_PSS_2048_8192_SHA512,
            (Self::Ecdsa(H::SHA2_256), KeyKind::P256) => &lc::ECDSA_P256_SHA256_ASN1,
            (Self::Ecdsa(H::SHA2_384), KeyKind::P256) => &lc::ECDSA_P256_SHA384_ASN1,
            (Self::Ecdsa(H::SHA2_512), KeyKind::P256) => &lc::ECDSA_P256_SHA512_ASN1,
            (Self::Ecdsa(H::SHA2_256), KeyKind::P384) => &lc::ECDSA_P384_SHA256_ASN1,
            (Self::Ecdsa(H::SHA2_384), KeyKind::P384) => &lc::ECDSA_P384_SHA384_ASN1,
            (Self::Ecdsa(H::SHA2_512), KeyKind::P384) => &lc::ECDSA_P384_SHA512_ASN1,
            (Self::Ecdsa(H::SHA2_256), KeyKind::P521) => &lc::ECDSA_P521_SHA256_ASN1,
            (Self::Ecdsa(H::SHA2_384), KeyKind::P521) => &lc::ECDSA_P521_SHA384_ASN1,
            (Self::Ecdsa(H::SHA2_512), KeyKind::P521) => &lc::ECDSA_P521_SHA512_ASN1,
            (Self::Ed25519, KeyKind::Ed25519) => &lc::ED25519,
            _ => return None,
        })
    }
}

fn pss_identifier(hash: SignatureHash) -> x509_cert::der::Result<Vec<u8>> {
    let known = HASHES.iter().find(|(id, _, _)| *id == hash);
    let Some((_, hash, salt_len)) = known else { return Ok(Vec::new()) };
    let hash = AlgorithmIdentifierRef { oid: *hash, parameters: Some(AnyRef::NULL) };
    let mask = x509_cert::spki::AlgorithmIdentifier { oid: oid::ID_MGF_1, parameters: Some(hash) };
    let trailer_field = pkcs1::TrailerField::BC;
    let params = RsaPssParams { hash, mask_gen: mask, salt_len: *salt_len, trailer_field }.to_der()?;
    let parameters = Some(AnyRef::from_der(&params)?);
    AlgorithmIdentifierRef { oid: oid::ID_RSASSA_PSS, parameters }.to_der()
}

fn pss_scheme(parameters: AnyRef<'_>) -> Option<Scheme> {
    let encoded = parameters.to_der().ok()?;
    let params = RsaPssParams::<Any>::from_der(&encoded).ok()?;
    let mask = params.mask_gen.parameters.filter(|_| params.mask_gen.oid == oid::ID_MGF_1)?;
    let fits = |(_, hash, salt): &&(SignatureHash, ObjectIdentifier, u8)| {
        params.hash.oid == *hash && mask.oid == *hash && params.salt_len == *salt
    };
    HASHES.iter().find(fits).map(|(hash, _, _)| Scheme::RsaPss(*hash))
}

/// The list of SIGNATURE_HASH_ALGORITHMS as bytes (RFC 7427 section 4).
pub(crate) fn encode_hashes() -> Vec<u8> {
    ACCEPTED_HASHES.iter().flat_map(|hash| hash.0.to_be_bytes()).collect()
}

/// Reads a peer's list; what lies beyond a bound is not looked at.
pub(crate) fn decode_hashes(data: &[u8]) -> Vec<SignatureHash> {
    let (pairs, _) = data.as_chunks::<2>();
    pairs.iter().take(MAX_HASHES).map(|pair| SignatureHash(u16::from_be_bytes(*pair))).collect()
}

/// A peer's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) kind: KeyKind,
    /// RSAPublicKey, point, or raw key: what the BIT STRING of the certificate holds.
    bytes: Vec<u8>,
}

/// Why a signature is not the proof it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The AUTH payload is of another kind.
    #[error("authentication method {0} is not one of signatures")]
    Method(AuthMethod),
    /// RFC 7427 section 3 is not followed.
    #[error("the AUTH payload does not begin with an AlgorithmIdentifier")]
    Malformed,
    /// By its name.
    #[error("signature algorithm {0} is not supported")]
    Unsupported(String),
    /// Signature algorithm and key do not go together.
    #[error("{scheme} does not go with a key of {kind}")]
    WrongKey {
        /// What was used.
        scheme: String,
        /// What the certificate has.
        kind: KeyKind,
    },
    /// The certificate's key is of no kind that we have.
    #[error("the key is of no supported kind")]
    Key,
    /// It was made with another key, or over other octets.
    #[error("the signature ({0}) is not of the certificate's key")]
    Bad(String),
    /// SIGNATURE_HASH_ALGORITHMS of the peer leaves nothing.
    #[error("no hash algorithm that both sides have")]
    NoHash {
        /// What our key can sign with.
        ours: String,
        /// What the peer can check.
        theirs: String,
    },
    /// For reasons of its own.
    #[error("the library refused to sign")]
    Library,
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo; `None` for a kind of key that we do not have.
    pub(crate) fn from_spki(spki: &[u8]) -> Option<Self> {
        let spki = SubjectPublicKeyInfo::<AnyRef<'_>, BitStringRef<'_>>::from_der(spki).ok()?;
        let curve = || spki.algorithm.parameters_oid().ok();
        let kind = match spki.algorithm.oid {
            oid::RSA_ENCRYPTION => KeyKind::Rsa,
            rfc8410::ID_ED_25519 => KeyKind::Ed25519,
            oid::ID_EC_PUBLIC_KEY => match curve()? {
                oid::SECP_256_R_1 => KeyKind::P256,
                oid::SECP_384_R_1 => KeyKind::P384,
                oid::SECP_521_R_1 => KeyKind::P521,
                _ => return None,
            },
            _ => return None,
        };
        Some(Self { kind, bytes: spki.subject_public_key.as_bytes()?.to_vec() })
    }

    /// Checks the AUTH payload of a peer that proves itself by signature.
    pub(crate) fn verify(&self, auth: &AuthPayload, octets: &[u8]) -> Result<(), SignatureError> {
        use SignatureHash as H;
        let fixed: &'static dyn VerificationAlgorithm = match (auth.method, self.kind) {
            (AuthMethod::DIGITAL_SIGNATURE, _) => return self.verify_digital(&auth.data, octets),
            (AuthMethod::RSA_SIGNATURE, KeyKind::Rsa) => {
                // The hash is inside the signature; SHA-1 is what peers without RFC 7427 use.
                let known = [H::SHA1, H::SHA2_256, H::SHA2_384, H::SHA2_512];
                let genuine = |hash| self.verify_with(Scheme::RsaPkcs1(hash), octets, &auth.data).is_ok();
                let bad = || SignatureError::Bad(auth.method.to_string());
                return known.into_iter().any(genuine).then_some(()).ok_or_else(bad);
            }
            (AuthMethod::ECDSA_SHA256_P256, KeyKind::P256) => &lc::ECDSA_P256_SHA256_FIXED,
            (AuthMethod::ECDSA_SHA384_P384, KeyKind::P384) => &lc::ECDSA_P384_SHA384_FIXED,
            (AuthMethod::ECDSA_SHA512_P521, KeyKind::P521) => &lc::ECDSA_P521_SHA512_FIXED,
            (
                AuthMethod::RSA_SIGNATURE
                | AuthMethod::ECDSA_SHA256_P256
                | AuthMethod::ECDSA_SHA384_P384
                | AuthMethod::ECDSA_SHA512_P521,
                kind,
            ) => return Err(SignatureError::WrongKey { scheme: auth.method.to_string(), kind }),
            (method, _) => return Err(SignatureError::Method(method)),
        };
        let key = UnparsedPublicKey::new(fixed, &self.bytes);
        key.verify(octets, &auth.data).map_err(|_| SignatureError::Bad(auth.method.to_string()))
    }

    /// RFC 7427 section 3: a length octet, an AlgorithmIdentifier, the signature.
    fn verify_digital(&self, data: &[u8], octets: &[u8]) -> Result<(), SignatureError> {
        let (len, rest) = data.split_first().ok_or(SignatureError::Malformed)?;
        let (algorithm, signature) =
            rest.split_at_checked(usize::from(*len)).ok_or(SignatureError::Malformed)?;
        let algorithm = AlgorithmIdentifierRef::from_der(algorithm).map_err(|_| SignatureError::Malformed)?;
        let scheme = Scheme::from_identifier(&algorithm)
            .ok_or_else(|| SignatureError::Unsupported(describe(&algorithm)))?;
        self.verify_with(scheme, octets, signature)
    }

    fn verify_with(&self, scheme: Scheme, octets: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let wrong = || SignatureError::WrongKey { scheme: scheme.to_string(), kind: self.kind };
        let key = UnparsedPublicKey::new(scheme.verifier(self.kind).ok_or_else(wrong)?, &self.bytes);
        key.verify(octets, signature).map_err(|_| SignatureError::Bad(scheme.to_string()))
    }
}

/// The name of a signature algorithm that we do not have.
fn describe(algorithm: &AlgorithmIdentifierRef<'_>) -> String {
    let parameters = if algorithm.parameters.is_some() { " with its parameters" } else { "" };
    let name = x509_cert::der::oid::db::DB.by_oid(&algorithm.oid);
    format!("{}{parameters}", name.map_or_else(|| algorithm.oid.to_string(), str::to_owned))
}

/// How an RSA key signs where the peer knows RFC 7427.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum RsaPadding {
    /// RSASSA-PSS (RFC 8247 section 3.2).
    #[default]
    Pss,
    /// RSASSA-PKCS1-v1_5, for peers that cannot check PSS.
    Pkcs1,
}

/// A private key. `Debug` shows its kind only; aws-lc-rs wipes it on drop.
pub(crate) struct SigningKey {
    kind: KeyKind,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    /// For signatures in DER, and of fixed length (RFC 4754).
    Ecdsa(Box<(EcdsaKeyPair, EcdsaKeyPair)>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kind)
    }
}

impl SigningKey {
    /// From a private key in PKCS#8; `None` if it is none of `kind`.
    pub(crate) fn from_pkcs8(kind: KeyKind, pkcs8: &Secret) -> Option<Self> {
        let der = pkcs8.expose();
        let ecdsa = |asn1, fixed| {
            let of = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der).ok();
            Some(Pair::Ecdsa(Box::new((of(asn1)?, of(fixed)?))))
        };
        let pair = match kind {
            KeyKind::Rsa => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(der).ok()?)),
            KeyKind::P256 => {
                ecdsa(&lc::ECDSA_P256_SHA256_ASN1_SIGNING, &lc::ECDSA_P256_SHA256_FIXED_SIGNING)?
            }
            KeyKind::P384 => {
                ecdsa(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, &lc::ECDSA_P384_SHA384_FIXED_SIGNING)?
            }
            KeyKind::P521 => {
                ecdsa(&lc::ECDSA_P521_SHA512_ASN1_SIGNING, &lc::ECDSA_P521_SHA512_FIXED_SIGNING)?
            }
            KeyKind::Ed25519 => {
                Pair::Ed25519(Box::new(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?))
            }
        };
        Some(Self { kind, pair })
    }

    /// A new key of `kind`, which belongs to nobody; `None` if the library makes none.
    pub(crate) fn generate(kind: KeyKind) -> Option<Self> {
        let ecdsa = |algorithm| EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).ok();
        let pkcs8 = match kind {
            KeyKind::Rsa => {
                let pair = Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).ok()?));
                return Some(Self { kind, pair });
            }
            KeyKind::P256 => ecdsa(&lc::ECDSA_P256_SHA256_ASN1_SIGNING)?,
            KeyKind::P384 => ecdsa(&lc::ECDSA_P384_SHA384_ASN1_SIGNING)?,
            KeyKind::P521 => ecdsa(&lc::ECDSA_P521_SHA512_ASN1_SIGNING)?,
            KeyKind::Ed25519 => Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok()?,
        };
        Self::from_pkcs8(kind, &Secret::from(pkcs8.as_ref()))
    }

    /// Whether it is the private half of `public`.
    pub(crate) fn fits(&self, public: &PublicKey) -> bool {
        let ours = match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::Ecdsa(pairs) => pairs.0.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        };
        self.kind == public.kind && ours == public.bytes
    }

    /// AUTH over the signed octets. `hashes`: what the peer can check, `None` if it does not know RFC 7427.
    pub(crate) fn sign(
        &self,
        octets: &[u8],
        hashes: Option<&[SignatureHash]>,
        padding: RsaPadding,
    ) -> Result<AuthPayload, SignatureError> {
        let Some(hashes) = hashes else { return self.sign_plain(octets) };
        let scheme = self.scheme(hashes, padding).ok_or_else(|| SignatureError::NoHash {
            ours: self.hashes().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            theirs: hashes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })?;
        let signature = match (&self.pair, scheme) {
            (Pair::Rsa(pair), _) => rsa_signature(pair, scheme, octets)?,
            (Pair::Ecdsa(pairs), _) => {
                let signature = pairs.0.sign(&SystemRandom::new(), octets);
                signature.map_err(|_| SignatureError::Library)?.as_ref().to_vec()
            }
            (Pair::Ed25519(pair), _) => pair.sign(octets).as_ref().to_vec(),
        };
        let identifier = scheme.identifier();
        let len = u8::try_from(identifier.len()).map_err(|_| SignatureError::Library)?;
        let data = [&[len], &identifier[..], &signature].concat();
        Ok(AuthPayload { method: AuthMethod::DIGITAL_SIGNATURE, data })
    }

    /// The hash algorithms it can sign with, the best first.
    fn hashes(&self) -> &'static [SignatureHash] {
        match self.kind {
            KeyKind::Rsa => &ACCEPTED_HASHES[..3],
            KeyKind::P256 => &[SignatureHash::SHA2_256],
            KeyKind::P384 => &[SignatureHash::SHA2_384],
            KeyKind::P521 => &[SignatureHash::SHA2_512],
            KeyKind::Ed25519 => &[SignatureHash::IDENTITY],
        }
    }

    fn scheme(&self, hashes: &[SignatureHash], padding: RsaPadding) -> Option<Scheme> {
        let hash = *self.hashes().iter().find(|hash| hashes.contains(hash))?;
        Some(match (self.kind, padding) {
            (KeyKind::Rsa, RsaPadding::Pss) => Scheme::RsaPss(hash),
            (KeyKind::Rsa, RsaPadding::Pkcs1) => Scheme::RsaPkcs1(hash),
            (KeyKind::P256 | KeyKind::P384 | KeyKind::P521, _) => Scheme::Ecdsa(hash),
            (KeyKind::Ed25519, _) => Scheme::Ed25519,
        })
    }

    /// The methods of RFC 7296 and RFC 4754. RSA signs SHA-256, which the signature names: the library does
    /// not sign SHA-1.
    fn sign_plain(&self, octets: &[u8]) -> Result<AuthPayload, SignatureError> {
        let method = match self.kind {
            KeyKind::Rsa => AuthMethod::RSA_SIGNATURE,
            KeyKind::P256 => AuthMethod::ECDSA_SHA256_P256,
            KeyKind::P384 => AuthMethod::ECDSA_SHA384_P384,
            KeyKind::P521 => AuthMethod::ECDSA_SHA512_P521,
            KeyKind::Ed25519 => {
                let ours = SignatureHash::IDENTITY.to_string();
                return Err(SignatureError::NoHash { ours, theirs: "no RFC 7427".to_owned() });
            }
        };
        let data = match &self.pair {
            Pair::Rsa(pair) => rsa_signature(pair, Scheme::RsaPkcs1(SignatureHash::SHA2_256), octets)?,
            Pair::Ecdsa(pairs) => {
                let signature = pairs.1.sign(&SystemRandom::new(), octets);
                signature.map_err(|_| SignatureError::Library)?.as_ref().to_vec()
            }
            Pair::Ed25519(_) => Vec::new(),
        };
        Ok(AuthPayload { method, data })
    }
}

fn rsa_signature(pair: &RsaKeyPair, scheme: Scheme, octets: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let encoding: &'static dyn RsaEncoding = match scheme {
        Scheme::RsaPkcs1(SignatureHash::SHA2_256) => &lc::RSA_PKCS1_SHA256,
        Scheme::RsaPkcs1(SignatureHash::SHA2_384) => &lc::RSA_PKCS1_SHA384,
        Scheme::RsaPkcs1(SignatureHash::SHA2_512) => &lc::RSA_PKCS1_SHA512,
        Scheme::RsaPss(SignatureHash::SHA2_256) => &lc::RSA_PSS_SHA256,
        Scheme::RsaPss(SignatureHash::SHA2_384) => &lc::RSA_PSS_SHA384,
        Scheme::RsaPss(SignatureHash::SHA2_512) => &lc::RSA_PSS_SHA512,
        _ => return Err(SignatureError::Library),
    };
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), octets, &mut signature).map_err(|_| SignatureError::Library)?;
    Ok(signature)
}
