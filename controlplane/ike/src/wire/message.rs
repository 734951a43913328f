//! A whole IKE message: the header and its payloads.

use serde::{Deserialize, Serialize};

use super::codec::field;
use super::error::{DecodeError, EncodeError};
use super::header::{HEADER_LEN, Header};
use super::iana::NotifyType;
use super::payload::{Payload, decode_chain, encode_chain};
use super::{
    AuthPayload, CertPayload, DeletePayload, EncryptedPayload, FragmentPayload, IdPayload, KePayload, Nonce,
    NotifyPayload, SaPayload, TsPayload,
};

/// Most payloads read from one message.
pub const MAX_PAYLOADS: usize = 128;

/// A message as it stands on the wire, or, after opening, with the payloads that were sealed in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The header.
    pub header: Header,
    /// The payloads, in order.
    pub payloads: Vec<Payload>,
}

macro_rules! single {
    ($($(#[$meta:meta])* $name:ident: $variant:ident => $ty:ty;)*) => {
        $($(#[$meta])*
        pub fn $name(&self) -> Option<&$ty> {
            self.payloads.iter().find_map(|p| match p {
                Payload::$variant(payload) => Some(payload),
                _ => None,
            })
        })*
    };
}

impl Message {
    /// Reads a datagram (without non-ESP marker) of IKE major version 2.
    pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        let (header, first) = Header::decode(datagram)?;
        if header.version.major != 2 {
            let (major, minor) = (header.version.major, header.version.minor);
            return Err(DecodeError::UnsupportedVersion { major, minor });
        }
        let payloads = decode_chain(first, datagram.get(HEADER_LEN..).unwrap_or_default())?;
        Ok(Self { header, payloads })
    }

    /// The datagram (without non-ESP marker).
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut chain = Vec::with_capacity(512);
        let first = encode_chain(&self.payloads, &mut chain)?;
        let total = HEADER_LEN + chain.len();
        // A UDP datagram holds no more, whatever the 32-bit length field could say.
        let length: u16 = field(total, usize::from(u16::MAX), "message")?;
        let mut out = Vec::with_capacity(total);
        self.header.encode(first, length.into(), &mut out);
        out.extend_from_slice(&chain);
        Ok(out)
    }

    single! {
        /// The SA payload.
        sa: Sa => SaPayload;
        /// The Key Exchange payload.
        ke: Ke => KePayload;
        /// The initiator's identity.
        id_initiator: IdInitiator => IdPayload;
        /// The responder's identity.
        id_responder: IdResponder => IdPayload;
        /// The Authentication payload.
        auth: Auth => AuthPayload;
        /// The nonce.
        nonce: Nonce => Nonce;
        /// The initiator's traffic selectors.
        ts_initiator: TsInitiator => TsPayload;
        /// The responder's traffic selectors.
        ts_responder: TsResponder => TsPayload;
        /// The sealed payloads.
        encrypted: Encrypted => EncryptedPayload;
        /// The sealed fragment.
        encrypted_fragment: EncryptedFragment => FragmentPayload;
    }

    /// All notifications.
    pub fn notifies(&self) -> impl Iterator<Item = &NotifyPayload> {
        self.payloads.iter().filter_map(|p| match p {
            Payload::Notify(notify) => Some(notify),
            _ => None,
        })
    }

    /// The first notification of a type.
    pub fn notify(&self, notify_type: NotifyType) -> Option<&NotifyPayload> {
        self.notifies().find(|notify| notify.notify_type == notify_type)
    }

    /// The first error notification.
    pub fn error_notify(&self) -> Option<&NotifyPayload> {
        self.notifies().find(|notify| notify.notify_type.is_error())
    }

    /// All certificates and what else CERT payloads carry, in order.
    pub fn certs(&self) -> impl Iterator<Item = &CertPayload> {
        self.payloads.iter().filter_map(|p| match p {
            Payload::Cert(cert) => Some(cert),
            _ => None,
        })
    }

    /// All deletions.
    pub fn deletes(&self) -> impl Iterator<Item = &DeletePayload> {
        self.payloads.iter().filter_map(|p| match p {
            Payload::Delete(delete) => Some(delete),
            _ => None,
        })
    }
}
