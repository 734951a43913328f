//! What control installs for a CHILD_SA.

use std::net::IpAddr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::message::codec::{DecodeError, Field, U16, ZeroIsNone, record};
use crate::message::id::{OwnerTag, Spi, TunnelId, VrfId};
use crate::message::object::PortRange;

/// Room for one key of a suite, in bytes: HMAC-SHA2-512 takes 64.
pub const MAX_KEY_LEN: usize = 64;

/// Smallest and largest anti-replay window, in packets.
pub const REPLAY_WINDOW_RANGE: std::ops::RangeInclusive<u16> = 32..=32768;

/// Key bytes. `Debug` prints the length only; dropped bytes are zeroized.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    len: usize,
    bytes: [u8; MAX_KEY_LEN],
}

impl Secret {
    /// `None` when `key` is longer than [`MAX_KEY_LEN`].
    pub fn new(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_KEY_LEN];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self { len: key.len(), bytes })
    }

    pub fn expose(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bytes)", self.len)
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SecretWire {
    len: u8,
    bytes: [u8; MAX_KEY_LEN],
}

impl std::fmt::Debug for SecretWire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretWire(..)")
    }
}

impl Field for Secret {
    type Wire = SecretWire;

    fn store(&self) -> SecretWire {
        SecretWire { len: u8::try_from(self.len).unwrap_or(u8::MAX), bytes: self.bytes }
    }

    fn load(wire: SecretWire) -> Result<Self, DecodeError> {
        let (key, unused) = wire
            .bytes
            .split_at_checked(wire.len.into())
            .ok_or(DecodeError::Value { field: "key length", value: wire.len.into() })?;
        if unused.iter().any(|&byte| byte != 0) {
            return Err(DecodeError::Reserved { field: "key" });
        }
        Self::new(key).ok_or(DecodeError::Value { field: "key length", value: wire.len.into() })
    }
}

record! {
    /// An ESP suite by its IANA IKEv2 transform IDs: (20, 128, 0) is AES-GCM-16-128, (12, 256, 12) is
    /// AES-CBC-256 with HMAC-SHA2-256-128, (3, 0, 1) is 3DES with HMAC-MD5-96.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Suite as SuiteWire[6] {
        /// Transform type 1.
        pub encryption: u16,
        /// Key Length attribute; 0 where the cipher has one length.
        pub key_bits: u16,
        /// Transform type 3; 0 with an AEAD.
        pub integrity: u16,
    }
}

record! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SaKeys as SaKeysWire[130] {
        /// For AES-GCM with the 4-octet salt at the end (RFC 4106 section 8.1).
        pub encryption: Secret,
        /// Empty with an AEAD.
        pub integrity: Secret,
    }
}

/// How ESP is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encap {
    /// IP protocol 50.
    Native,
    /// In UDP (RFC 3948).
    Udp { local_port: u16, remote_port: u16 },
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EncapWire {
    tag: u8,
    local_port: U16,
    remote_port: U16,
}

impl Field for Encap {
    type Wire = EncapWire;

    fn store(&self) -> EncapWire {
        match *self {
            Self::Native => EncapWire { tag: 1, local_port: U16::ZERO, remote_port: U16::ZERO },
            Self::Udp { local_port, remote_port } => {
                EncapWire { tag: 2, local_port: local_port.into(), remote_port: remote_port.into() }
            }
        }
    }

    fn load(wire: EncapWire) -> Result<Self, DecodeError> {
        let (local_port, remote_port) = (wire.local_port.get(), wire.remote_port.get());
        match wire.tag {
            1 if local_port == 0 && remote_port == 0 => Ok(Self::Native),
            1 => Err(DecodeError::Reserved { field: "encapsulation" }),
            2 if local_port == 0 || remote_port == 0 => {
                Err(DecodeError::Value { field: "UDP port", value: 0 })
            }
            2 => Ok(Self::Udp { local_port, remote_port }),
            tag => Err(DecodeError::Value { field: "encapsulation", value: tag.into() }),
        }
    }
}

record! {
    /// The outer header of an SA pair: `local` is ours in both directions.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Outer as OuterWire[49] {
        pub vrf: VrfId,
        pub local: IpAddr,
        pub remote: IpAddr,
        pub encap: Encap,
        /// NAT keepalive when nothing else was sent, in seconds; 0 = none (RFC 3948 section 4).
        pub keepalive_secs: u16,
    }
}

impl ZeroIsNone for Outer {}

record! {
    /// Volume limits of one direction; 0 = none.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Limits as LimitsWire[32] {
        pub soft_bytes: u64,
        pub hard_bytes: u64,
        pub soft_packets: u64,
        pub hard_packets: u64,
    }
}

record! {
    /// The inbound half. Its SPI was reserved before.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct InstallInbound as InstallInboundWire[249] {
        pub spi: Spi,
        pub owner: OwnerTag,
        pub tunnel: TunnelId,
        pub suite: Suite,
        pub esn: bool,
        /// Packets, [`REPLAY_WINDOW_RANGE`].
        pub replay_window: u16,
        pub keys: SaKeys,
        pub outer: Outer,
        /// Take a changed remote address of an authenticated packet over at once.
        pub follow_nat: bool,
        pub limits: Limits,
    }
}

record! {
    /// The outbound half of the pair that `spi` names.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct InstallOutbound as InstallOutboundWire[253] {
        /// Our inbound SPI.
        pub spi: Spi,
        /// What goes into the packets.
        pub peer_spi: Spi,
        pub owner: OwnerTag,
        pub tunnel: TunnelId,
        pub suite: Suite,
        pub esn: bool,
        pub keys: SaKeys,
        pub outer: Outer,
        pub limits: Limits,
        /// Carries traffic at once; otherwise after `ActivateOutbound`.
        pub active: bool,
        /// Inner packets are padded to this length, in bytes and as far as the MTU goes; 0 = not at all. Not for
        /// a peer that does not take it (RFC 7296 section 3.10.1).
        pub tfc: u16,
    }
}

record! {
    /// RFC 7296 section 3.13.1: `first..=last` addresses of one family.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct TrafficSelector as TrafficSelectorWire[45] {
        /// IP protocol, 0 = any.
        pub protocol: u8,
        /// For ICMP the type and code as RFC 4301 section 4.4.1.1 puts them into ports.
        pub ports: PortRange,
        pub first: IpAddr,
        pub last: IpAddr,
    }
}

impl TrafficSelector {
    /// Whether both ends are of one family and in order.
    pub fn is_valid(&self) -> bool {
        self.first.is_ipv4() == self.last.is_ipv4() && self.first <= self.last
    }
}

record! {
    /// One more pair of selectors for both halves of `spi`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct AddSelector as AddSelectorWire[94] {
        pub spi: Spi,
        pub local: TrafficSelector,
        pub remote: TrafficSelector,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeleteInbound as DeleteInboundWire[8] {
        pub spi: Spi,
        /// How long packets under way are still accepted, in milliseconds.
        pub linger_ms: u32,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct UpdateOuter as UpdateOuterWire[53] {
        pub spi: Spi,
        pub outer: Outer,
    }
}
