//! The objects of the configuration: interfaces, routes, next hops, tunnels, policy entries.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::message::codec::{DecodeError, Field, ListWire, U16, ZeroIsNone, record, wire_enum};
use crate::message::id::{ConnectionId, InterfaceId, NextHopId, PortId, TunnelId, VrfId};

/// Most tunnels one next hop balances over.
pub const MAX_NEXT_HOP_TUNNELS: usize = 16;

/// An IEEE 802.1Q VLAN, 1 to 4094.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VlanId(u16);

impl VlanId {
    /// `None` outside 1..=4094.
    pub const fn new(value: u16) -> Option<Self> {
        if value == 0 || value > 4094 { None } else { Some(Self(value)) }
    }

    pub const fn value(self) -> u16 {
        self.0
    }
}

impl Field for VlanId {
    type Wire = U16;

    fn store(&self) -> U16 {
        U16::new(self.0)
    }

    fn load(wire: U16) -> Result<Self, DecodeError> {
        Self::new(wire.get()).ok_or(DecodeError::Value { field: "VLAN", value: wire.get().into() })
    }
}

impl ZeroIsNone for VlanId {}

/// An address range written as address and length; bits beyond the length are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    addr: IpAddr,
    len: u8,
}

impl Prefix {
    /// `None` when `len` exceeds the family's width or a host bit is set.
    pub fn new(addr: IpAddr, len: u8) -> Option<Self> {
        let (bits, width) = match addr {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let host_bits = bits.checked_shl(len.into()).unwrap_or(0);
        (len <= width && host_bits == 0).then_some(Self { addr, len })
    }

    pub const fn addr(self) -> IpAddr {
        self.addr
    }

    /// Bits, 0 to 32 or 128.
    #[expect(clippy::len_without_is_empty, reason = "the length of a prefix; 0 is not empty")]
    pub const fn len(self) -> u8 {
        self.len
    }
}

impl std::fmt::Debug for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct PrefixWire {
    addr: <IpAddr as Field>::Wire,
    len: u8,
}

impl Field for Prefix {
    type Wire = PrefixWire;

    fn store(&self) -> PrefixWire {
        PrefixWire { addr: self.addr.store(), len: self.len }
    }

    fn load(wire: PrefixWire) -> Result<Self, DecodeError> {
        let addr = IpAddr::load(wire.addr)?;
        Self::new(addr, wire.len).ok_or(DecodeError::Value { field: "prefix length", value: wire.len.into() })
    }
}

/// Ports `first` to `last`, both included; `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// `None` when `first > last`.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first > last { None } else { Some(Self { first, last }) }
    }

    pub const fn first(self) -> u16 {
        self.first
    }

    pub const fn last(self) -> u16 {
        self.last
    }
}

impl Field for PortRange {
    type Wire = [U16; 2];

    fn store(&self) -> [U16; 2] {
        [U16::new(self.first), U16::new(self.last)]
    }

    fn load([first, last]: [U16; 2]) -> Result<Self, DecodeError> {
        Self::new(first.get(), last.get())
            .ok_or(DecodeError::Value { field: "port range", value: first.get().into() })
    }
}

wire_enum! {
    /// Which side of the gateway an interface faces (rule 2: an outside one never emits an inner packet).
    pub enum Role: "role" {
        Outside = 1,
        Inside = 2,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Interface as InterfaceWire[11] {
        pub id: InterfaceId,
        pub port: PortId,
        pub vlan: Option<VlanId>,
        pub role: Role,
        pub vrf: VrfId,
        /// Bytes of an IP packet, 576 to 9216.
        pub mtu: u16,
    }
}

record! {
    /// An address of the gateway on an interface, with its on-link prefix.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Address as AddressWire[23] {
        pub interface: InterfaceId,
        pub ip: IpAddr,
        /// Bits, at most 32 or 128.
        pub prefix_len: u8,
    }
}

record! {
    /// An address of the programs of this machine, on the TUN device of a VRF.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct HostAddress as HostAddressWire[23] {
        pub vrf: VrfId,
        pub ip: IpAddr,
        /// Bits, at most 32 or 128: what the kernel routes to the device. Only `ip` itself is ours.
        pub prefix_len: u8,
    }
}

/// What becomes of a packet that a route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHopKind {
    /// Into a tunnel of the group; bit `n` of `active` lets `tunnels[n]` carry traffic.
    Tunnels { tunnels: ArrayVec<TunnelId, MAX_NEXT_HOP_TUNNELS>, active: u16 },
    /// Out of an interface in clear, to a router or, without one, to the destination itself.
    Interface { interface: InterfaceId, gateway: Option<IpAddr> },
    /// To this gateway.
    Local,
    /// Dropped.
    Discard,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct NextHopKindWire {
    tag: u8,
    interface: U16,
    active: U16,
    gateway: <Option<IpAddr> as Field>::Wire,
    tunnels: ListWire<<TunnelId as Field>::Wire, MAX_NEXT_HOP_TUNNELS>,
}

impl Field for NextHopKind {
    type Wire = NextHopKindWire;

    fn store(&self) -> NextHopKindWire {
        let mut wire = NextHopKindWire::new_zeroed();
        match self {
            Self::Tunnels { tunnels, active } => {
                wire.tag = 1;
                wire.active = U16::new(*active);
                wire.tunnels = tunnels.store();
            }
            Self::Interface { interface, gateway } => {
                wire.tag = 2;
                wire.interface = interface.store();
                wire.gateway = gateway.store();
            }
            Self::Local => wire.tag = 3,
            Self::Discard => wire.tag = 4,
        }
        wire
    }

    fn load(wire: NextHopKindWire) -> Result<Self, DecodeError> {
        let kind = match wire.tag {
            1 => Self::Tunnels { tunnels: ArrayVec::load(wire.tunnels)?, active: wire.active.get() },
            2 => Self::Interface {
                interface: InterfaceId::load(wire.interface)?,
                gateway: Field::load(wire.gateway)?,
            },
            3 => Self::Local,
            4 => Self::Discard,
            tag => return Err(DecodeError::Value { field: "next hop kind", value: tag.into() }),
        };
        if kind.store().as_bytes() != wire.as_bytes() {
            return Err(DecodeError::Reserved { field: "next hop" });
        }
        Ok(kind)
    }
}

record! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct NextHop as NextHopWire[94] {
        pub id: NextHopId,
        pub kind: NextHopKind,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct RouteKey as RouteKeyWire[23] {
        pub vrf: VrfId,
        pub prefix: Prefix,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Route as RouteWire[27] {
        pub key: RouteKey,
        pub next_hop: NextHopId,
    }
}

record! {
    /// Policy routes of a VRF are tried before its table, the smallest `priority` first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct PolicyRouteKey as PolicyRouteKeyWire[48] {
        pub vrf: VrfId,
        pub priority: u32,
        pub src: Prefix,
        pub dst: Prefix,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PolicyRoute as PolicyRouteWire[52] {
        pub key: PolicyRouteKey,
        pub next_hop: NextHopId,
    }
}

wire_enum! {
    /// What becomes of the packets of a policy entry.
    pub enum PolicyAction: "policy action" {
        /// They may cross an outside interface in clear. Without such an entry none does.
        Bypass = 1,
        Discard = 2,
    }
}

wire_enum! {
    /// Which way the packets of a policy entry go, seen from the protected side.
    pub enum PolicyHeading: "policy direction" {
        Both = 1,
        Out = 2,
        In = 3,
    }
}

record! {
    /// The place of an entry in the security policy of a VRF; the first entry that matches decides.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct PolicyKey as PolicyKeyWire[4] {
        pub vrf: VrfId,
        /// Below 1024.
        pub order: u16,
    }
}

record! {
    /// An entry of the security policy, written from the protected side (RFC 4301 section 4.4.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Policy as PolicyWire[57] {
        pub key: PolicyKey,
        pub action: PolicyAction,
        pub heading: PolicyHeading,
        pub src: Prefix,
        pub dst: Prefix,
        /// IP protocol, 0 = any.
        pub protocol: u8,
        /// Ports on the side of `src`.
        pub src_ports: PortRange,
        /// Ports on the side of `dst`.
        pub dst_ports: PortRange,
    }
}

wire_enum! {
    /// The DF bit of outer IPv4 headers (RFC 4301 section 8.1).
    pub enum DfPolicy: "DF policy" {
        Copy = 1,
        Set = 2,
        Clear = 3,
    }
}

wire_enum! {
    /// Where packets that do not fit are fragmented, if they may be.
    pub enum Fragmentation: "fragmentation" {
        /// Before encryption.
        Before = 1,
        /// After encryption: the peer puts the ESP packet together.
        After = 2,
    }
}

/// The DSCP of outer headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DscpPolicy {
    Copy,
    /// 0 to 63.
    Value(u8),
}

impl Field for DscpPolicy {
    type Wire = u8;

    fn store(&self) -> u8 {
        match self {
            Self::Copy => 0xff,
            Self::Value(value) => *value,
        }
    }

    fn load(wire: u8) -> Result<Self, DecodeError> {
        match wire {
            0xff => Ok(Self::Copy),
            0..=63 => Ok(Self::Value(wire)),
            value => Err(DecodeError::Value { field: "DSCP", value: value.into() }),
        }
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Tunnel as TunnelWire[40] {
        pub id: TunnelId,
        pub connection: ConnectionId,
        /// Where decapsulated packets are routed.
        pub inner_vrf: VrfId,
        /// Where ESP packets are routed.
        pub outer_vrf: VrfId,
        /// Largest inner packet in bytes; 0 = what the outer interface leaves.
        pub mtu: u16,
        /// TCP MSS clamp in bytes; 0 = from the MTU.
        pub mss: u16,
        pub df: DfPolicy,
        pub fragmentation: Fragmentation,
        pub dscp: DscpPolicy,
        /// Raise `Acquire` for a packet without an SA.
        pub acquire: bool,
        /// The address behind the peer that probes of the path MTU ask; `None` = there are no probes.
        pub probe: Option<IpAddr>,
    }
}

record! {
    /// What the tunnels of a connection may carry together; a limit of 0 is none. Packets above are dropped.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Policer as PolicerWire[20] {
        pub connection: ConnectionId,
        /// Of inner packets, in each direction for itself; 64,000 and more.
        pub bits_per_second: u64,
        /// In both directions together; 10 and more.
        pub packets_per_second: u32,
        /// The depth of the token buckets, as the time in which one fills; 1 to 10,000.
        pub burst_ms: u32,
    }
}
