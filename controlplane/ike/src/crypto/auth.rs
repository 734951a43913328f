//! Authentication of the IKE SA (RFC 7296 section 2.15) and NAT detection (section 2.23).

use sha1::{Digest, Sha1};
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;

use super::{Prf, Secret};
use crate::wire::{IdPayload, IkeSpi, Nonce};

const KEY_PAD: &[u8] = b"Key Pad for IKEv2";

/// The octets a peer signs: its first message, the other side's nonce, and prf(SK_p, its ID).
///
/// `message` is the IKE_SA_INIT message the authenticating side sent, with its header and without
/// non-ESP marker; `sk_p` is SK_pi for the initiator, SK_pr for the responder.
pub fn signed_octets(prf: Prf, sk_p: &Secret, message: &[u8], peer_nonce: &Nonce, id: &IdPayload) -> Vec<u8> {
    let maced_id = prf.compute(sk_p.expose(), &[&id.body()]);
    [message, peer_nonce.as_bytes(), maced_id.expose()].concat()
}

/// AUTH of a shared key: prf(prf(key, "Key Pad for IKEv2"), signed octets).
pub fn psk_auth(prf: Prf, psk: &Secret, signed_octets: &[u8]) -> Vec<u8> {
    let padded = prf.compute(psk.expose(), &[KEY_PAD]);
    prf.compute(padded.expose(), &[signed_octets]).expose().to_vec()
}

/// Whether `auth` is AUTH of this shared key, in constant time.
pub fn verify_psk_auth(prf: Prf, psk: &Secret, signed_octets: &[u8], auth: &[u8]) -> bool {
    psk_auth(prf, psk, signed_octets).ct_eq(auth).into()
}

/// The data of the NAT_DETECTION notifications: SHA-1 of the SPIs, the address and the port.
pub fn nat_detection_hash(initiator_spi: IkeSpi, responder_spi: IkeSpi, addr: SocketAddr) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(initiator_spi.to_bytes());
    hash.update(responder_spi.to_bytes());
    match addr.ip() {
        IpAddr::V4(v4) => hash.update(v4.octets()),
        IpAddr::V6(v6) => hash.update(v6.octets()),
    }
    hash.update(addr.port().to_be_bytes());
    hash.finalize().into()
}
