//! The IKE header (RFC 7296 section 3.1).

use serde::{Deserialize, Serialize};
use std::fmt;

use super::codec::Reader;
use super::error::DecodeError;
use super::iana::{ExchangeType, PayloadType};

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 28;

/// One side's name for an IKE SA; zero while the responder's is not known yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct IkeSpi(pub u64);

impl IkeSpi {
    /// The responder SPI of the first message.
    pub const ZERO: Self = Self(0);

    /// Whether this is the SPI not chosen yet.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// The eight bytes in network order.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IkeSpi({self})")
    }
}

/// Number of an exchange in one direction (RFC 7296 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct MessageId(pub u32);

impl MessageId {
    /// The number after this one; the IKE SA must be rekeyed before it wraps, so `None` at the end.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Major and minor version, four bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// 2 for IKEv2, 1 for IKEv1.
    pub major: u8,
    /// Ignored on receipt, 0 on sending.
    pub minor: u8,
}

impl Version {
    /// IKEv1 (RFC 2409).
    pub const V1: Self = Self { major: 1, minor: 0 };
    /// IKEv2 (RFC 7296).
    pub const V2: Self = Self { major: 2, minor: 0 };
}

/// The flags of the header; bits the RFC reserves are dropped on receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Flags {
    /// Set by the original initiator of the IKE SA, in requests and responses.
    pub initiator: bool,
    /// The sender speaks a higher major version.
    pub version: bool,
    /// This is the response to the message of the same ID.
    pub response: bool,
}

impl Flags {
    const INITIATOR: u8 = 0x08;
    const VERSION: u8 = 0x10;
    const RESPONSE: u8 = 0x20;

    fn decode(bits: u8) -> Self {
        Self {
            initiator: bits & Self::INITIATOR != 0,
            version: bits & Self::VERSION != 0,
            response: bits & Self::RESPONSE != 0,
        }
    }

    fn encode(self) -> u8 {
        let bit = |set, bit| if set { bit } else { 0 };
        bit(self.initiator, Self::INITIATOR)
            | bit(self.version, Self::VERSION)
            | bit(self.response, Self::RESPONSE)
    }
}

/// The header, without the two fields that follow from the payloads (first payload, length).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                       IKE SA Initiator's SPI                  |
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                       IKE SA Responder's SPI                  |
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  Next Payload | MjVer | MnVer | Exchange Type |     Flags     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                          Message ID                           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                            Length                             |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Header {
    /// Never zero.
    pub initiator_spi: IkeSpi,
    /// Zero in the first message of an IKE SA.
    pub responder_spi: IkeSpi,
    /// 2.0 in what we send.
    pub version: Version,
    /// The exchange this message belongs to.
    pub exchange: ExchangeType,
    /// Who sends, and whether it answers.
    pub flags: Flags,
    /// Pairs the response with its request.
    pub message_id: MessageId,
}

impl Header {
    /// Reads the header of a whole datagram of any major version, with the type of its first payload.
    ///
    /// For major version 1 and 2 alike the length field must be the length of `datagram` (the layout is the
    /// same, RFC 2408 section 3.1). A zero initiator SPI is refused.
    pub fn decode(datagram: &[u8]) -> Result<(Self, PayloadType), DecodeError> {
        let mut r = Reader::new(datagram, "IKE header");
        let initiator_spi = IkeSpi(r.u64()?);
        let responder_spi = IkeSpi(r.u64()?);
        let first = PayloadType(r.u8()?);
        let version = r.u8()?;
        let version = Version { major: version >> 4, minor: version & 0x0f };
        let exchange = ExchangeType(r.u8()?);
        let flags = Flags::decode(r.u8()?);
        let message_id = MessageId(r.u32()?);
        let claimed = usize::try_from(r.u32()?).unwrap_or(usize::MAX);
        if claimed != datagram.len() {
            return Err(DecodeError::Length { what: "IKE header", claimed, actual: datagram.len() });
        }
        if initiator_spi.is_zero() {
            return Err(DecodeError::Value { what: "initiator SPI", value: 0 });
        }
        Ok((Self { initiator_spi, responder_spi, version, exchange, flags, message_id }, first))
    }

    /// Appends the 28 bytes with the given first payload and total length.
    pub fn encode(&self, first: PayloadType, length: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.initiator_spi.to_bytes());
        out.extend_from_slice(&self.responder_spi.to_bytes());
        out.push(first.0);
        out.push(self.version.major << 4 | self.version.minor & 0x0f);
        out.push(self.exchange.0);
        out.push(self.flags.encode());
        out.extend_from_slice(&self.message_id.0.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
    }
}
