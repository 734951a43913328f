//! Encapsulating Security Payload in tunnel mode (RFC 4303), native and in UDP (RFC 3948).
//!
//! ```text
//!  outer IPv4/IPv6 │ UDP? │ SPI │ sequence │ IV │ inner packet │ padding 1,2,3.. │ pad len │ next header │ tag
//!                         └ AAD: 8 or 12 bytes ┘ └──────────────── cipher range ────────────────────┘
//!                         └ encrypt-then-MAC covers all from the SPI to the tag, then the ESN high half ┘
//! ```
//!
//! Neither direction holds a key: [`encap::encap`] lays a packet out and says where the cipher works,
//! [`decap::EspPacket::plan`] does so for one that arrived; [`decap::strip`] and [`decap::inspect`] check what came out
//! of it.

pub mod decap;
pub mod ecn;
pub mod encap;
pub mod layout;
pub mod quoted;
pub mod replay;
pub mod sequence;
pub mod template;

pub use layout::{CipherKind, EspGeometry, EspLayout, TransformIds};
pub use replay::{ReplayWindow, Verdict};
pub use sequence::{Issued, SeqNo, SequenceCounter};
pub use template::{DfPolicy, DscpPolicy, Encap, OuterEndpoints, OuterTemplate};

/// SPI and sequence number.
pub const ESP_HEADER_LEN: usize = 8;
/// Pad length and next header.
pub const ESP_TRAILER_LEN: usize = 2;

/// Where the parts of an ESP packet are: offsets in bytes from the start of the outer IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EspSpans {
    /// The ESP header; also where encrypt-then-MAC starts.
    pub esp: u16,
    /// The explicit IV.
    pub iv: u16,
    /// The first encrypted byte.
    pub cipher: u16,
    /// Length of what is encrypted, a whole number of blocks.
    pub cipher_len: u16,
    /// The integrity check value.
    pub tag: u16,
    /// The end of the ESP packet.
    pub end: u16,
}

/// The additional authenticated data of an AEAD (RFC 4106 section 5): 8 bytes, or 12 with ESN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aad {
    bytes: [u8; 12],
    len: u8,
}

impl Aad {
    /// SPI and sequence number: the 64-bit number with its high half first if `esn`, else its low half.
    #[inline]
    #[must_use]
    pub fn new(spi: u32, seq: SeqNo, esn: bool) -> Self {
        let [a, b, c, d] = spi.to_be_bytes();
        let [e, f, g, h] = seq.high().to_be_bytes();
        let [i, j, k, l] = seq.low().to_be_bytes();
        if esn {
            Self { bytes: [a, b, c, d, e, f, g, h, i, j, k, l], len: 12 }
        } else {
            Self { bytes: [a, b, c, d, i, j, k, l, 0, 0, 0, 0], len: 8 }
        }
    }

    /// The bytes to authenticate.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}
