//! Payloads whose contents are carried but not interpreted.

use serde::{Deserialize, Serialize};

use super::iana::PayloadType;

/// A Vendor ID (RFC 7296 section 3.12): an opaque constant of one implementation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorIdPayload(pub Vec<u8>);

/// A payload of a type we do not interpret: CP, EAP, or one we do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpaquePayload {
    /// Its type.
    pub payload_type: PayloadType,
    /// Everything after the generic header.
    pub body: Vec<u8>,
}
