//! IKEv2 messages on the wire (RFC 7296 section 3, RFC 7383 section 2.5).
//!
//! Every type here is an owned struct with `decode(&[u8])` and `encode`. Decoding never panics and never
//! reads past what a length field and the enclosing slice both allow; counts and nesting are bounded by the
//! `MAX_*` constants. Values the registries do not know are kept as numbers, so that a diagnosis can show
//! what the peer sent.
//!
//! A protected message is first decoded as a [`Message`] whose last payload is [`EncryptedPayload`];
//! `crypto::SkCipher::open` turns the same bytes into the [`Message`] with the inner payloads.

mod auth;
mod cert;
mod codec;
mod delete;
mod encrypted;
mod error;
mod header;
pub mod iana;
mod id;
mod ke;
mod message;
mod nonce;
mod notify;
mod opaque;
mod payload;
mod proposal;
mod selector;

pub use auth::AuthPayload;
pub use cert::{CertPayload, CertReqPayload};
pub use delete::DeletePayload;
pub use encrypted::{EncryptedPayload, FragmentPayload};
pub use error::{DecodeError, EncodeError};
pub use header::{Flags, HEADER_LEN, Header, IkeSpi, MessageId, Version};
pub use id::IdPayload;
pub use ke::KePayload;
pub use message::{MAX_PAYLOADS, Message};
pub use nonce::Nonce;
pub use notify::NotifyPayload;
pub use opaque::{OpaquePayload, VendorIdPayload};
pub use payload::{GENERIC_HEADER_LEN, Payload};
pub use proposal::{
    Attribute, AttributeValue, MAX_PROPOSALS, MAX_TRANSFORMS, Proposal, SaPayload, Transform,
};
pub use selector::{PortRange, SelectorError, TrafficSelector, TsPayload, UnknownSelector};

pub(crate) use payload::{decode_chain, encode_chain};

#[cfg(test)]
mod tests;
