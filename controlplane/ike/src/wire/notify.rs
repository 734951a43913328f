//! The Notify payload (RFC 7296 section 3.10).

use serde::{Deserialize, Serialize};

use super::codec::{Reader, field};
use super::error::{DecodeError, EncodeError};
use super::iana::{NotifyType, ProtocolId};

/// An error or a status.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  Protocol ID  |   SPI Size    |      Notify Message Type      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                Security Parameter Index (SPI)                 ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                       Notification Data                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyPayload {
    /// The protocol of `spi`; [`ProtocolId::NONE`] when it is empty.
    pub protocol: ProtocolId,
    /// The existing SA this is about; empty for the IKE SA itself.
    pub spi: Vec<u8>,
    /// What is notified.
    pub notify_type: NotifyType,
    /// Its data.
    pub data: Vec<u8>,
}

impl NotifyPayload {
    /// A notification about the IKE SA.
    pub fn new(notify_type: NotifyType, data: impl Into<Vec<u8>>) -> Self {
        Self { protocol: ProtocolId::NONE, spi: Vec::new(), notify_type, data: data.into() }
    }

    /// A notification about the ESP SA with the given SPI.
    pub fn for_esp(notify_type: NotifyType, spi: u32) -> Self {
        let spi = spi.to_be_bytes().to_vec();
        Self { protocol: ProtocolId::ESP, spi, notify_type, data: Vec::new() }
    }

    /// Reads the payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body, "Notify payload");
        let protocol = ProtocolId(r.u8()?);
        let spi_size = r.u8()?;
        let notify_type = NotifyType(r.u16()?);
        let spi = r.take(usize::from(spi_size))?.to_vec();
        Ok(Self { protocol, spi, notify_type, data: r.rest().to_vec() })
    }

    /// Appends the payload body.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(self.protocol.0);
        out.push(field(self.spi.len(), usize::from(u8::MAX), "Notify SPI")?);
        out.extend_from_slice(&self.notify_type.0.to_be_bytes());
        out.extend_from_slice(&self.spi);
        out.extend_from_slice(&self.data);
        Ok(())
    }
}
