//! Elliptic curves: NIST P-256, P-384, P-521 (RFC 5903) and Curve25519 (RFC 8031), by aws-lc-rs.

use aws_lc_rs::agreement::{self, Algorithm, PrivateKey, UnparsedPublicKey};
use crypto_bigint::{BoxedUint, NonZero};
use zeroize::Zeroize;

use super::{CryptoError, Group, Secret};

const N256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const N384: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
                    581a0db248b0a77aecec196accc52973";
const N521: &str = "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa\
                    51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409";

/// SEC 1's prefix of an uncompressed point, which IKE leaves out.
const UNCOMPRESSED: u8 = 4;

/// A private key: for ECP a scalar 1..n of the order's length, for Curve25519 the 32 bytes.
pub(super) fn private(group: Group, random: &[u8]) -> Result<Secret, CryptoError> {
    let (order, len) = match group {
        Group::Ecp256 => (N256, 32),
        Group::Ecp384 => (N384, 48),
        Group::Ecp521 => (N521, 66),
        _ => return Ok(Secret::from(random)),
    };
    scalar(order, len, random).ok_or(CryptoError::Library("scalar reduction"))
}

/// `random mod (n - 1) + 1`, in constant time.
fn scalar(order: &str, len: usize, random: &[u8]) -> Option<Secret> {
    let bits = u32::try_from(random.len() * 8).ok()?;
    let order = BoxedUint::from_str_radix_with_precision_vartime(order, 16, bits).ok()?;
    let limit = NonZero::new(order.wrapping_sub(BoxedUint::one_with_precision(bits))).into_option()?;
    let mut wide = BoxedUint::from_be_slice(random, bits).ok()?;
    let mut reduced = wide.rem(&limit).wrapping_add(BoxedUint::one_with_precision(bits));
    wide.zeroize();
    let bytes = Secret::new(reduced.to_be_bytes().into_vec());
    reduced.zeroize();
    Some(Secret::from(&bytes.expose()[bytes.len().checked_sub(len)?..]))
}

fn algorithm(group: Group) -> Option<&'static Algorithm> {
    match group {
        Group::Ecp256 => Some(&agreement::ECDH_P256),
        Group::Ecp384 => Some(&agreement::ECDH_P384),
        Group::Ecp521 => Some(&agreement::ECDH_P521),
        Group::Curve25519 => Some(&agreement::X25519),
        Group::Modp768
        | Group::Modp1024
        | Group::Modp1536
        | Group::Modp2048
        | Group::Modp3072
        | Group::Modp4096 => None,
    }
}

fn key(group: Group, private: &Secret) -> Option<(PrivateKey, &'static Algorithm)> {
    let algorithm = algorithm(group)?;
    Some((PrivateKey::from_private_key(algorithm, private.expose()).ok()?, algorithm))
}

/// The public value: x and y, or u.
pub(super) fn public(group: Group, private: &Secret) -> Result<Vec<u8>, CryptoError> {
    let failed = || CryptoError::Library("public key");
    let (key, _) = key(group, private).ok_or_else(failed)?;
    let public = key.compute_public_key().map_err(|_| failed())?;
    match (group, public.as_ref()) {
        (Group::Curve25519, u) => Ok(u.to_vec()),
        (_, [UNCOMPRESSED, point @ ..]) => Ok(point.to_vec()),
        (_, _) => Err(failed()),
    }
}

/// The shared x-coordinate (RFC 5903 section 9), or the shared u.
pub(super) fn agree(group: Group, private: &Secret, peer_public: &[u8]) -> Option<Secret> {
    let (key, algorithm) = key(group, private)?;
    let mut encoded = Vec::with_capacity(1 + peer_public.len());
    if group != Group::Curve25519 {
        encoded.push(UNCOMPRESSED);
    }
    encoded.extend_from_slice(peer_public);
    let peer = UnparsedPublicKey::new(algorithm, encoded);
    let shared = agreement::agree(&key, peer, (), |shared| Ok(Secret::from(shared))).ok()?;
    shared.expose().iter().any(|byte| *byte != 0).then_some(shared)
}
