//! The Delete payload (RFC 7296 section 3.11).

use serde::{Deserialize, Serialize};

use super::codec::{Reader, field};
use super::error::{DecodeError, EncodeError};
use super::iana::ProtocolId;

/// SAs the sender no longer receives on.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Protocol ID   |   SPI Size    |          Num of SPIs          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~               Security Parameter Index(es) (SPI)              ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletePayload {
    /// The IKE SA that carries this message.
    Ike,
    /// ESP SAs, by the sender's inbound SPIs.
    Esp(Vec<u32>),
    /// AH SAs, by the sender's inbound SPIs; we never have any.
    Ah(Vec<u32>),
}

impl DeletePayload {
    /// Reads the payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body, "Delete payload");
        let protocol = ProtocolId(r.u8()?);
        let spi_size = r.u8()?;
        let count = r.u16()?;
        let payload = match (protocol, spi_size) {
            (ProtocolId::IKE, 0) if count == 0 => Self::Ike,
            (ProtocolId::ESP, 4) => Self::Esp(Self::spis(&mut r, count)?),
            (ProtocolId::AH, 4) => Self::Ah(Self::spis(&mut r, count)?),
            (ProtocolId::IKE, _) => {
                return Err(DecodeError::Value { what: "Delete SPI count of IKE", value: u64::from(count) });
            }
            (ProtocolId::ESP | ProtocolId::AH, size) => {
                return Err(DecodeError::Value { what: "Delete SPI size", value: u64::from(size) });
            }
            (ProtocolId(value), _) => {
                return Err(DecodeError::Value { what: "Delete protocol", value: u64::from(value) });
            }
        };
        r.finish()?;
        Ok(payload)
    }

    fn spis(r: &mut Reader<'_>, count: u16) -> Result<Vec<u32>, DecodeError> {
        let claimed = usize::from(count) * 4;
        if claimed != r.remaining() {
            return Err(DecodeError::Length { what: "Delete SPIs", claimed, actual: r.remaining() });
        }
        (0..count).map(|_| r.u32()).collect()
    }

    /// Appends the payload body.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let (protocol, size, spis): (_, u8, &[u32]) = match self {
            Self::Ike => (ProtocolId::IKE, 0, &[]),
            Self::Esp(spis) => (ProtocolId::ESP, 4, spis),
            Self::Ah(spis) => (ProtocolId::AH, 4, spis),
        };
        let count: u16 = field(spis.len(), usize::from(u16::MAX), "Delete SPIs")?;
        out.extend_from_slice(&[protocol.0, size]);
        out.extend_from_slice(&count.to_be_bytes());
        spis.iter().for_each(|spi| out.extend_from_slice(&spi.to_be_bytes()));
        Ok(())
    }
}
