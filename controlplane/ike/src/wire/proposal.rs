//! The Security Association payload (RFC 7296 section 3.3): proposals of transforms.

use serde::{Deserialize, Serialize};
use std::fmt;

use super::codec::{Reader, field, patch_length};
use super::error::{DecodeError, EncodeError};
use super::iana::{AttributeType, EncrId, EsnId, IntegId, KeId, PrfId, ProtocolId, TransformType};

/// Most proposals read from one payload.
pub const MAX_PROPOSALS: usize = 64;
/// Most transforms read from one proposal.
pub const MAX_TRANSFORMS: usize = 128;
/// Most attributes read from one transform.
const MAX_ATTRIBUTES: usize = 16;

/// "More of the same follow" in the first byte of a proposal and of a transform; zero says it is the last.
const MORE_PROPOSALS: u8 = 2;
const MORE_TRANSFORMS: u8 = 3;
/// The format bit of an attribute: set for a value of two bytes without a length.
const ATTRIBUTE_SHORT: u16 = 0x8000;

/// What one side offers, in order of preference; in a response exactly one proposal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SaPayload {
    /// At least one on the wire.
    pub proposals: Vec<Proposal>,
}

impl SaPayload {
    /// Reads the payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body, "SA payload");
        let mut proposals = Vec::new();
        loop {
            if proposals.len() == MAX_PROPOSALS {
                return Err(DecodeError::TooMany { what: "proposals", limit: MAX_PROPOSALS });
            }
            let (proposal, more) = Proposal::decode(&mut r)?;
            proposals.push(proposal);
            if !more {
                break;
            }
        }
        r.finish()?;
        Ok(Self { proposals })
    }

    /// Appends the payload body.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let last = self.proposals.len().saturating_sub(1);
        self.proposals.iter().enumerate().try_for_each(|(at, proposal)| proposal.encode(at < last, out))
    }
}

/// One acceptable combination: a transform of each type is chosen from it.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Last Substruc |   RESERVED    |         Proposal Length       |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Proposal Num  |  Protocol ID  |    SPI Size   |Num  Transforms|
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                        SPI (variable)                         ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                        <Transforms>                           ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// From 1; a response repeats the number of the proposal it accepts.
    pub number: u8,
    /// What the SA is for.
    pub protocol: ProtocolId,
    /// The sender's inbound SPI: empty in IKE_SA_INIT, 8 bytes in an IKE rekey, 4 bytes for ESP.
    pub spi: Vec<u8>,
    /// The alternatives.
    pub transforms: Vec<Transform>,
}

impl Proposal {
    /// The SPI of an ESP proposal.
    pub fn esp_spi(&self) -> Option<u32> {
        <[u8; 4]>::try_from(&self.spi[..]).ok().map(u32::from_be_bytes)
    }

    /// The alternatives of one type, in the sender's order.
    pub fn of_type(&self, transform_type: TransformType) -> impl Iterator<Item = &Transform> {
        self.transforms.iter().filter(move |t| t.transform_type == transform_type)
    }

    /// Reads one proposal; also says whether another follows.
    fn decode(r: &mut Reader<'_>) -> Result<(Self, bool), DecodeError> {
        let more = r.u8()?;
        if more != 0 && more != MORE_PROPOSALS {
            return Err(DecodeError::Value { what: "proposal Last Substruc", value: u64::from(more) });
        }
        r.u8()?;
        let length = r.u16()?;
        let mut body = r.sub(length, 4, "proposal")?;
        let number = body.u8()?;
        let protocol = ProtocolId(body.u8()?);
        let spi_size = body.u8()?;
        let count = usize::from(body.u8()?);
        if count > MAX_TRANSFORMS {
            return Err(DecodeError::TooMany { what: "transforms", limit: MAX_TRANSFORMS });
        }
        let spi = body.take(usize::from(spi_size))?.to_vec();
        let mut transforms = Vec::with_capacity(count);
        for at in 1..=count {
            transforms.push(Transform::decode(&mut body, at == count)?);
        }
        body.finish()?;
        Ok((Self { number, protocol, spi, transforms }, more == MORE_PROPOSALS))
    }

    fn encode(&self, more: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.extend_from_slice(&[if more { MORE_PROPOSALS } else { 0 }, 0, 0, 0]);
        out.extend_from_slice(&[self.number, self.protocol.0]);
        out.push(field(self.spi.len(), usize::from(u8::MAX), "proposal SPI")?);
        if self.transforms.len() > MAX_TRANSFORMS {
            let size = self.transforms.len();
            return Err(EncodeError::TooLong { what: "transforms", size, limit: MAX_TRANSFORMS });
        }
        out.push(field(self.transforms.len(), MAX_TRANSFORMS, "transforms")?);
        out.extend_from_slice(&self.spi);
        let last = self.transforms.len().saturating_sub(1);
        for (at, transform) in self.transforms.iter().enumerate() {
            transform.encode(at < last, out)?;
        }
        patch_length(out, start, start + 2, "proposal")
    }
}

/// One algorithm.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Last Substruc |   RESERVED    |        Transform Length       |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |Transform Type |   RESERVED    |          Transform ID         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                      Transform Attributes                     ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transform {
    /// Which of the registries `id` belongs to.
    pub transform_type: TransformType,
    /// The algorithm.
    pub id: u16,
    /// The Key Length attribute, in bits.
    pub key_bits: Option<u16>,
    /// Attributes we do not understand: with any of them the transform cannot be chosen
    /// (RFC 7296 section 3.3.6).
    pub unknown: Vec<Attribute>,
}

impl Transform {
    /// A transform without attributes.
    pub fn new(transform_type: TransformType, id: u16) -> Self {
        Self { transform_type, id, key_bits: None, unknown: Vec::new() }
    }

    /// An encryption algorithm, with a key length where the algorithm has several.
    pub fn encr(id: EncrId, key_bits: Option<u16>) -> Self {
        Self { key_bits, ..Self::new(TransformType::ENCR, id.0) }
    }

    /// A pseudorandom function.
    pub fn prf(id: PrfId) -> Self {
        Self::new(TransformType::PRF, id.0)
    }

    /// An integrity algorithm.
    pub fn integ(id: IntegId) -> Self {
        Self::new(TransformType::INTEG, id.0)
    }

    /// A key exchange method.
    pub fn ke(id: KeId) -> Self {
        Self::new(TransformType::KE, id.0)
    }

    /// Whether sequence numbers are extended.
    pub fn esn(id: EsnId) -> Self {
        Self::new(TransformType::ESN, id.0)
    }

    fn decode(r: &mut Reader<'_>, last: bool) -> Result<Self, DecodeError> {
        let more = r.u8()?;
        if more != if last { 0 } else { MORE_TRANSFORMS } {
            return Err(DecodeError::Value { what: "transform Last Substruc", value: u64::from(more) });
        }
        r.u8()?;
        let length = r.u16()?;
        let mut body = r.sub(length, 4, "transform")?;
        let transform_type = TransformType(body.u8()?);
        body.u8()?;
        let mut transform = Self::new(transform_type, body.u16()?);
        while !body.is_empty() {
            if transform.unknown.len() == MAX_ATTRIBUTES {
                return Err(DecodeError::TooMany { what: "attributes", limit: MAX_ATTRIBUTES });
            }
            let attribute = Attribute::decode(&mut body)?;
            match (attribute.attribute_type, &attribute.value, transform.key_bits) {
                (AttributeType::KEY_LENGTH, AttributeValue::Short(bits), None) => {
                    transform.key_bits = Some(*bits);
                }
                _ => transform.unknown.push(attribute),
            }
        }
        Ok(transform)
    }

    fn encode(&self, more: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.extend_from_slice(&[if more { MORE_TRANSFORMS } else { 0 }, 0, 0, 0]);
        out.extend_from_slice(&[self.transform_type.0, 0]);
        out.extend_from_slice(&self.id.to_be_bytes());
        if let Some(bits) = self.key_bits {
            let value = AttributeValue::Short(bits);
            Attribute { attribute_type: AttributeType::KEY_LENGTH, value }.encode(out)?;
        }
        self.unknown.iter().try_for_each(|attribute| attribute.encode(out))?;
        patch_length(out, start, start + 2, "transform")
    }
}

/// The algorithm's registry name and key length, as it would stand in a diagnosis.
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transform_type {
            TransformType::ENCR => EncrId(self.id).fmt(f)?,
            TransformType::PRF => PrfId(self.id).fmt(f)?,
            TransformType::INTEG => IntegId(self.id).fmt(f)?,
            TransformType::KE => KeId(self.id).fmt(f)?,
            TransformType::ESN => EsnId(self.id).fmt(f)?,
            other => write!(f, "{other}/{}", self.id)?,
        }
        if let Some(bits) = self.key_bits {
            write!(f, "-{bits}")?;
        }
        self.unknown.iter().try_for_each(|a| write!(f, "+{}", a.attribute_type))
    }
}

/// A property of a transform.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |A|       Attribute Type        |    AF=0  Attribute Length     |
/// |F|                             |    AF=1  Attribute Value      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                   AF=0  Attribute Value                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attribute {
    /// Below 2^15.
    pub attribute_type: AttributeType,
    /// Its value, in the format it came in.
    pub value: AttributeValue,
}

/// The two formats of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AttributeValue {
    /// AF=1.
    Short(u16),
    /// AF=0.
    Long(Vec<u8>),
}

impl Attribute {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let first = r.u16()?;
        let second = r.u16()?;
        let attribute_type = AttributeType(first & !ATTRIBUTE_SHORT);
        let value = if first & ATTRIBUTE_SHORT != 0 {
            AttributeValue::Short(second)
        } else {
            AttributeValue::Long(r.take(usize::from(second))?.to_vec())
        };
        Ok(Self { attribute_type, value })
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let kind = self.attribute_type.0 & !ATTRIBUTE_SHORT;
        match &self.value {
            AttributeValue::Short(value) => {
                out.extend_from_slice(&(kind | ATTRIBUTE_SHORT).to_be_bytes());
                out.extend_from_slice(&value.to_be_bytes());
            }
            AttributeValue::Long(value) => {
                let len: u16 = field(value.len(), usize::from(u16::MAX), "attribute")?;
                out.extend_from_slice(&kind.to_be_bytes());
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(value);
            }
        }
        Ok(())
    }
}
