//! What `List` answers with, and the counters of an SA.

use std::net::IpAddr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::message::codec::{DecodeError, Field, ZeroIsNone, record, wire_enum};
use crate::message::id::{InterfaceId, OwnerTag, PortId, Spi, TunnelId};
use crate::message::sa::{Outer, Suite};

/// Bytes of a [`Label`].
pub const LABEL_LEN: usize = 31;

/// A short name, at most [`LABEL_LEN`] bytes of UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label {
    len: u8,
    bytes: [u8; LABEL_LEN],
}

impl Label {
    /// Takes what fits, cut at a character boundary.
    pub fn new(text: &str) -> Self {
        let end = text.floor_char_boundary(LABEL_LEN);
        let mut bytes = [0; LABEL_LEN];
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        Self { len: u8::try_from(end).unwrap_or(0), bytes }
    }

    pub fn as_str(&self) -> &str {
        let used = self.bytes.get(..self.len.into()).unwrap_or_default();
        std::str::from_utf8(used).unwrap_or_default()
    }
}

impl std::fmt::Debug for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct LabelWire {
    len: u8,
    bytes: [u8; LABEL_LEN],
}

impl Field for Label {
    type Wire = LabelWire;

    fn store(&self) -> LabelWire {
        LabelWire { len: self.len, bytes: self.bytes }
    }

    fn load(wire: LabelWire) -> Result<Self, DecodeError> {
        let (used, unused) = wire
            .bytes
            .split_at_checked(wire.len.into())
            .ok_or(DecodeError::Value { field: "label length", value: wire.len.into() })?;
        if unused.iter().any(|&byte| byte != 0) {
            return Err(DecodeError::Reserved { field: "label" });
        }
        match std::str::from_utf8(used) {
            Ok(_) => Ok(Self { len: wire.len, bytes: wire.bytes }),
            Err(_) => Err(DecodeError::Value { field: "label", value: wire.len.into() }),
        }
    }
}

record! {
    /// What passed through an SA since it was installed.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SaTotals as SaTotalsWire[104] {
        pub in_packets: u64,
        /// Of inner packets.
        pub in_bytes: u64,
        pub out_packets: u64,
        /// Of inner packets.
        pub out_bytes: u64,
        pub auth_failures: u64,
        pub replays: u64,
        /// Authentic packets outside the selectors (RFC 4301 section 5.2 step 4).
        pub selector_failures: u64,
        /// Packets above the limits of the connection.
        pub in_policed: u64,
        pub out_policed: u64,
        /// Everything else that this SA dropped.
        pub other_drops: u64,
        /// The last sequence number sent.
        pub out_seq: u64,
        /// The right edge of the replay window.
        pub in_seq: u64,
        /// Milliseconds since the last packet in either direction; `u64::MAX` = never.
        pub idle_ms: u64,
    }
}

wire_enum! {
    /// Rule 3: the life of an inbound SPI.
    pub enum SaState: "SA state" {
        Reserved = 1,
        Installed = 2,
        Lingering = 3,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OutboundRecord as OutboundRecordWire[54] {
        pub peer_spi: Spi,
        pub outer: Outer,
        pub active: bool,
    }
}

impl ZeroIsNone for OutboundRecord {}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SaRecord as SaRecordWire[255] {
        pub spi: Spi,
        pub state: SaState,
        pub owner: OwnerTag,
        pub tunnel: TunnelId,
        pub suite: Suite,
        pub esn: bool,
        pub replay_window: u16,
        /// The worker that owns it.
        pub worker: u16,
        /// Milliseconds since the inbound half was installed (or reserved).
        pub age_ms: u64,
        pub outer: Option<Outer>,
        pub outbound: Option<OutboundRecord>,
        pub totals: SaTotals,
    }
}

wire_enum! {
    /// How far the probing of a tunnel's path MTU is (RFC 8899 section 5.2).
    pub enum PathState: "path state" {
        /// It has no probe target.
        Off = 1,
        /// No SA carries a probe: the tunnel is down, or its selectors do not cover one of our addresses and the
        /// target.
        Waiting = 2,
        /// The target does not answer.
        Silent = 3,
        Searching = 4,
        /// Both directions are found.
        Complete = 5,
        /// The target answers, but not even the smallest size passes.
        Stuck = 6,
    }
}

wire_enum! {
    /// Why larger packets than those that were found do not pass.
    pub enum PathLimit: "path limit" {
        /// The link takes no larger ones.
        Link = 1,
        /// A router on the way said so.
        Router = 2,
        /// They vanish, and nobody says so: a black hole.
        BlackHole = 3,
        /// They arrive in fragments.
        Fragmented = 4,
        /// The peer, or the host behind it, sends no larger ones.
        Sender = 5,
    }
}

record! {
    /// What passes in one direction.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Reach as ReachWire[3] {
        /// The largest outer packet that passed, bytes; 0 = not known yet.
        pub size: u16,
        pub limit: PathLimit,
    }
}

record! {
    /// What probes found of a tunnel's path.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PathRecord as PathRecordWire[7] {
        pub state: PathState,
        /// From us to the peer.
        pub outbound: Reach,
        /// From the peer to us.
        pub inbound: Reach,
    }
}

wire_enum! {
    /// RFC 4861 section 7.3.2, for both families.
    pub enum NeighbourState: "neighbour state" {
        Incomplete = 1,
        Reachable = 2,
        Stale = 3,
        Probe = 4,
        Failed = 5,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct NeighbourRecord as NeighbourRecordWire[35] {
        pub interface: InterfaceId,
        pub ip: IpAddr,
        /// Zero while incomplete.
        pub mac: [u8; 6],
        pub state: NeighbourState,
        /// Packets that wait for the address.
        pub held: u16,
        /// Milliseconds since the last confirmation.
        pub age_ms: u32,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PortRecord as PortRecordWire[85] {
        pub id: PortId,
        /// As in the configuration of the data plane.
        pub name: Label,
        /// Of DPDK.
        pub driver: Label,
        pub mac: [u8; 6],
        pub link_up: bool,
        /// 0 = unknown.
        pub speed_mbit: u32,
        pub queues: u16,
        /// Largest IP packet in bytes.
        pub mtu: u16,
        /// Of [`offload`].
        pub offloads: u8,
        pub steering: Steering,
    }
}

wire_enum! {
    /// How packets of an SA find the worker that owns it, from the worst to the best.
    pub enum SteeringPath: "steering path" {
        OneWorker = 1,
        /// The device does not spread packets.
        HandOver = 2,
        /// The kernel or the other end of a virtual device spreads them.
        Elsewhere = 3,
        AddressHash = 4,
        InnerHash = 5,
        SpiHash = 6,
        SpiRules = 7,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Steering as SteeringWire[3] {
        pub path: SteeringPath,
        /// Of [`rule`]: those that are made for SAs.
        pub rules: u8,
        /// 1 << path for each better one that the device has and refused.
        pub refused: u8,
    }
}

/// Bits of [`Steering::rules`].
pub mod rule {
    /// ESP over IPv4.
    pub const ESP_V4: u8 = 1;
    /// ESP over IPv6.
    pub const ESP_V6: u8 = 2;
    /// ESP in UDP over IPv4.
    pub const UDP_V4: u8 = 4;
    /// ESP in UDP over IPv6.
    pub const UDP_V6: u8 = 8;
}

/// Bits of [`PortRecord::offloads`].
pub mod offload {
    /// The device spreads packets over the queues by their headers.
    pub const RSS: u8 = 1;
    /// The device checks the checksum of IPv4 headers.
    pub const IPV4_CHECKSUM: u8 = 2;
    /// Workers complete TCP and UDP checksums that come unfinished.
    pub const COMPLETES_CHECKSUMS: u8 = 4;
}
