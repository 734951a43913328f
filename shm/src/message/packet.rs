//! Descriptors of the packets that cross the contract; the IP packet follows in the slot.

use zerocopy::IntoBytes;

use crate::message::codec::{DecodeError, Field, record, wire_enum};
use crate::message::id::{InterfaceId, VrfId};

/// Largest IP packet that is punted or injected, in bytes.
pub const MAX_PACKET_LEN: usize = 9216;

/// Bytes of a packet slot: descriptor and packet.
pub const PACKET_SLOT_LEN: usize = 16 + MAX_PACKET_LEN;

wire_enum! {
    /// One ring each, so that none starves another.
    pub enum PuntClass: "punt class" {
        /// IKE with a responder SPI, or from the address of a peer we have an SA with.
        IkeKnown = 1,
        /// First contacts.
        IkeNew = 2,
        /// ICMP that answers to our own packets.
        Icmp = 3,
        /// Anything else for our addresses.
        Local = 4,
    }
}

impl PuntClass {
    /// The place of the class's ring, from 0.
    pub const fn index(self) -> usize {
        self as usize - 1
    }
}

record! {
    /// Before a punted packet.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Punt as PuntWire[5] {
        pub vrf: VrfId,
        /// Where it came in.
        pub interface: InterfaceId,
        pub class: PuntClass,
    }
}

record! {
    /// Before an injected packet: the data plane routes it in `vrf` and sends it in clear. Its source must be
    /// an address of this gateway.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Inject as InjectWire[2] {
        pub vrf: VrfId,
    }
}

/// Bytes of the packet slot header: packet length, then a descriptor padded with zeros.
pub(crate) const PACKET_HEADER_LEN: usize = 16;

/// Writes the header of a packet slot.
pub(crate) fn put_packet_header<D: Field>(descriptor: &D, packet_len: u16) -> [u8; PACKET_HEADER_LEN] {
    const { assert!(size_of::<D::Wire>() <= PACKET_HEADER_LEN - 2) };
    let mut header = [0; PACKET_HEADER_LEN];
    header[..2].copy_from_slice(&packet_len.to_le_bytes());
    header[2..2 + size_of::<D::Wire>()].copy_from_slice(descriptor.store().as_bytes());
    header
}

/// Reads a private copy of the header of a packet slot.
pub(crate) fn take_packet_header<D: Field>(
    header: &[u8; PACKET_HEADER_LEN],
) -> Result<(D, usize), DecodeError> {
    let [len_low, len_high, rest @ ..] = header;
    let len = usize::from(u16::from_le_bytes([*len_low, *len_high]));
    if len == 0 || len > MAX_PACKET_LEN {
        return Err(DecodeError::Length { expected: MAX_PACKET_LEN, found: len });
    }
    let (descriptor, padding) = rest.split_at(size_of::<D::Wire>());
    if padding.iter().any(|&byte| byte != 0) {
        return Err(DecodeError::Reserved { field: "packet descriptor" });
    }
    crate::message::take(descriptor).map(|descriptor| (descriptor, len))
}
