//! The generic payload header and the chain of payloads (RFC 7296 section 3.2).

use serde::{Deserialize, Serialize};

use super::codec::{Reader, patch_length};
use super::error::{DecodeError, EncodeError};
use super::iana::PayloadType;
use super::message::MAX_PAYLOADS;
use super::{
    AuthPayload, CertPayload, CertReqPayload, DeletePayload, EncryptedPayload, FragmentPayload, IdPayload,
    KePayload, Nonce, NotifyPayload, OpaquePayload, SaPayload, TsPayload, VendorIdPayload,
};

/// Length of the generic payload header in bytes.
pub const GENERIC_HEADER_LEN: usize = 4;

const CRITICAL: u8 = 0x80;

/// One payload. What we send never has the critical bit: every payload we send is defined by RFC 7296.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant is documented at its payload")]
pub enum Payload {
    Sa(SaPayload),
    Ke(KePayload),
    IdInitiator(IdPayload),
    IdResponder(IdPayload),
    Cert(CertPayload),
    CertReq(CertReqPayload),
    Auth(AuthPayload),
    Nonce(Nonce),
    Notify(NotifyPayload),
    Delete(DeletePayload),
    VendorId(VendorIdPayload),
    TsInitiator(TsPayload),
    TsResponder(TsPayload),
    Encrypted(EncryptedPayload),
    EncryptedFragment(FragmentPayload),
    /// Configuration, EAP, and payloads of unknown type that were not critical.
    Opaque(OpaquePayload),
}

impl Payload {
    /// Its number in the registry.
    pub fn payload_type(&self) -> PayloadType {
        match self {
            Self::Sa(_) => PayloadType::SA,
            Self::Ke(_) => PayloadType::KE,
            Self::IdInitiator(_) => PayloadType::ID_INITIATOR,
            Self::IdResponder(_) => PayloadType::ID_RESPONDER,
            Self::Cert(_) => PayloadType::CERT,
            Self::CertReq(_) => PayloadType::CERTREQ,
            Self::Auth(_) => PayloadType::AUTH,
            Self::Nonce(_) => PayloadType::NONCE,
            Self::Notify(_) => PayloadType::NOTIFY,
            Self::Delete(_) => PayloadType::DELETE,
            Self::VendorId(_) => PayloadType::VENDOR_ID,
            Self::TsInitiator(_) => PayloadType::TS_INITIATOR,
            Self::TsResponder(_) => PayloadType::TS_RESPONDER,
            Self::Encrypted(_) => PayloadType::ENCRYPTED,
            Self::EncryptedFragment(_) => PayloadType::ENCRYPTED_FRAGMENT,
            Self::Opaque(opaque) => opaque.payload_type,
        }
    }

    /// Reads the body of a payload of type `kind`; `next` is the next-payload field of its generic header,
    /// which for an encrypted payload names the first one inside.
    pub fn decode(kind: PayloadType, next: PayloadType, body: &[u8]) -> Result<Self, DecodeError> {
        Ok(match kind {
            PayloadType::SA => Self::Sa(SaPayload::decode(body)?),
            PayloadType::KE => Self::Ke(KePayload::decode(body)?),
            PayloadType::ID_INITIATOR => Self::IdInitiator(IdPayload::decode(body)?),
            PayloadType::ID_RESPONDER => Self::IdResponder(IdPayload::decode(body)?),
            PayloadType::CERT => Self::Cert(CertPayload::decode(body)?),
            PayloadType::CERTREQ => Self::CertReq(CertReqPayload::decode(body)?),
            PayloadType::AUTH => Self::Auth(AuthPayload::decode(body)?),
            PayloadType::NONCE => Self::Nonce(Nonce::decode(body)?),
            PayloadType::NOTIFY => Self::Notify(NotifyPayload::decode(body)?),
            PayloadType::DELETE => Self::Delete(DeletePayload::decode(body)?),
            PayloadType::VENDOR_ID => Self::VendorId(VendorIdPayload(body.to_vec())),
            PayloadType::TS_INITIATOR => Self::TsInitiator(TsPayload::decode(body)?),
            PayloadType::TS_RESPONDER => Self::TsResponder(TsPayload::decode(body)?),
            PayloadType::ENCRYPTED => {
                Self::Encrypted(EncryptedPayload { first_inner: next, body: body.to_vec() })
            }
            PayloadType::ENCRYPTED_FRAGMENT => Self::EncryptedFragment(FragmentPayload::decode(next, body)?),
            _ => Self::Opaque(OpaquePayload { payload_type: kind, body: body.to_vec() }),
        })
    }

    /// Appends the body, without the generic header.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Sa(sa) => sa.encode(out)?,
            Self::Ke(ke) => ke.encode(out),
            Self::IdInitiator(id) | Self::IdResponder(id) => id.encode(out),
            Self::Cert(cert) => cert.encode(out),
            Self::CertReq(request) => request.encode(out),
            Self::Auth(auth) => auth.encode(out),
            Self::Nonce(nonce) => nonce.encode(out),
            Self::Notify(notify) => notify.encode(out)?,
            Self::Delete(delete) => delete.encode(out)?,
            Self::VendorId(vendor) => out.extend_from_slice(&vendor.0),
            Self::TsInitiator(ts) | Self::TsResponder(ts) => ts.encode(out)?,
            Self::Encrypted(sealed) => out.extend_from_slice(&sealed.body),
            Self::EncryptedFragment(fragment) => fragment.encode(out),
            Self::Opaque(opaque) => out.extend_from_slice(&opaque.body),
        }
        Ok(())
    }

    /// For an encrypted payload, the type of the first payload inside: it ends the outer chain.
    fn first_inner(&self) -> Option<PayloadType> {
        match self {
            Self::Encrypted(sealed) => Some(sealed.first_inner),
            Self::EncryptedFragment(fragment) => Some(fragment.first_inner),
            _ => None,
        }
    }
}

/// Whether RFC 7296 has at most one payload of this type in a message.
fn is_single(kind: PayloadType) -> bool {
    matches!(
        kind,
        PayloadType::SA
            | PayloadType::KE
            | PayloadType::ID_INITIATOR
            | PayloadType::ID_RESPONDER
            | PayloadType::AUTH
            | PayloadType::NONCE
            | PayloadType::TS_INITIATOR
            | PayloadType::TS_RESPONDER
    )
}

/// Reads the payloads that fill `bytes`, the first of which is of type `first`.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Next Payload  |C|  RESERVED   |         Payload Length        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// The critical bit of a payload RFC 7296 defines is ignored; an unknown payload is kept when it is clear
/// and ends the decoding with an error when it is set (RFC 7296 section 2.5).
pub(crate) fn decode_chain(first: PayloadType, bytes: &[u8]) -> Result<Vec<Payload>, DecodeError> {
    let mut r = Reader::new(bytes, "payload");
    let mut payloads: Vec<Payload> = Vec::new();
    let mut kind = first;
    while kind != PayloadType::NONE {
        if payloads.len() == MAX_PAYLOADS {
            return Err(DecodeError::TooMany { what: "payloads", limit: MAX_PAYLOADS });
        }
        let next = PayloadType(r.u8()?);
        let critical = r.u8()? & CRITICAL != 0;
        let length = r.u16()?;
        let body = r.sub(length, GENERIC_HEADER_LEN, "payload")?.rest();
        if critical && !kind.is_known() {
            return Err(DecodeError::UnsupportedCriticalPayload(kind));
        }
        if is_single(kind) && payloads.iter().any(|p| p.payload_type() == kind) {
            return Err(DecodeError::DuplicatePayload(kind));
        }
        let payload = Payload::decode(kind, next, body)?;
        kind = if payload.first_inner().is_some() { PayloadType::NONE } else { next };
        payloads.push(payload);
    }
    r.finish()?;
    Ok(payloads)
}

/// Appends the payloads with their generic headers; gives the type of the first.
pub(crate) fn encode_chain(payloads: &[Payload], out: &mut Vec<u8>) -> Result<PayloadType, EncodeError> {
    if payloads.len() > MAX_PAYLOADS {
        return Err(EncodeError::TooLong { what: "payloads", size: payloads.len(), limit: MAX_PAYLOADS });
    }
    for (at, payload) in payloads.iter().enumerate() {
        let following = payloads.get(at + 1).map_or(PayloadType::NONE, Payload::payload_type);
        let next = payload.first_inner().unwrap_or(following);
        let start = out.len();
        out.extend_from_slice(&[next.0, 0, 0, 0]);
        payload.encode(out)?;
        patch_length(out, start, start + 2, "payload")?;
    }
    Ok(payloads.first().map_or(PayloadType::NONE, Payload::payload_type))
}
