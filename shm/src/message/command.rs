//! Control → data plane.
//!
//! ```text
//! Begin ──> Change ... Change ──> Commit ──> Committed   every worker sees all of it
//!                          └────> Abort  ──> Aborted     └─> Rejected: nothing was changed
//! ```
//!
//! Changes are staged until their `Commit`. Everything else takes effect at once.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::message::codec::{DecodeError, Field, record, ring_messages, wire_enum};
use crate::message::id::{
    ConnectionId, InterfaceId, NextHopId, OwnerTag, RequestId, Spi, TunnelId, TxnId, VrfId,
};
use crate::message::object::{
    Address, HostAddress, Interface, NextHop, Policer, Policy, PolicyKey, PolicyRoute, PolicyRouteKey, Route,
    RouteKey, Tunnel,
};
use crate::message::sa::{AddSelector, DeleteInbound, InstallInbound, InstallOutbound, UpdateOuter};
use crate::message::{HEADER_LEN, Message};

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Begin as BeginWire[9] {
        pub txn: TxnId,
        /// Configuration objects that this transaction does not put again are removed; SAs never are.
        pub full: bool,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Commit as CommitWire[8] {
        pub txn: TxnId,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Abort as AbortWire[8] {
        pub txn: TxnId,
    }
}

record! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Staged as StagedWire[288] {
        pub txn: TxnId,
        pub change: Change,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ReserveSpi as ReserveSpiWire[30] {
        pub request: RequestId,
        pub owner: OwnerTag,
        /// Where the ESP packets will arrive.
        pub outer_vrf: VrfId,
    }
}

record! {
    /// Gives a reserved SPI back, for which no SA was installed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ReleaseSpi as ReleaseSpiWire[4] {
        pub spi: Spi,
    }
}

wire_enum! {
    /// What `List` reads.
    pub enum ListKind: "list kind" {
        Sas = 1,
        Neighbours = 2,
        Ports = 3,
        Interfaces = 4,
        Routes = 5,
        Tunnels = 6,
    }
}

record! {
    /// Asks for records; `ListEnd` says where to go on.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct List as ListRequestWire[17] {
        pub request: RequestId,
        pub kind: ListKind,
        /// 0, or what the last `ListEnd` of this list said.
        pub cursor: u64,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ping as PingWire[8] {
        pub request: RequestId,
    }
}

ring_messages! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[expect(clippy::large_enum_variant, reason = "every message takes one slot of this size anyway")]
    pub enum Command[320] {
        Begin(Begin) = 1,
        Commit(Commit) = 2,
        Abort(Abort) = 3,
        Change(Staged) = 4,
        ReserveSpi(ReserveSpi) = 5,
        ReleaseSpi(ReleaseSpi) = 6,
        List(List) = 7,
        Ping(Ping) = 8,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeleteInterface as DeleteInterfaceWire[2] {
        pub id: InterfaceId,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeleteAddress as DeleteAddressWire[23] {
        pub address: Address,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeleteHostAddress as DeleteHostAddressWire[23] {
        pub host: HostAddress,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeleteNextHop as DeleteNextHopWire[4] {
        pub id: NextHopId,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeleteRoute as DeleteRouteWire[23] {
        pub key: RouteKey,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeletePolicyRoute as DeletePolicyRouteWire[48] {
        pub key: PolicyRouteKey,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeletePolicy as DeletePolicyWire[4] {
        pub key: PolicyKey,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeleteTunnel as DeleteTunnelWire[4] {
        pub id: TunnelId,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeletePolicer as DeletePolicerWire[4] {
        pub connection: ConnectionId,
    }
}

record! {
    /// Lets the outbound half of the pair carry traffic.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ActivateOutbound as ActivateOutboundWire[4] {
        pub spi: Spi,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeleteOutbound as DeleteOutboundWire[4] {
        pub spi: Spi,
    }
}

ring_messages! {
    /// One change of a transaction. `Put` creates or replaces.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Change[280] {
        PutInterface(Interface) = 1,
        DeleteInterface(DeleteInterface) = 2,
        PutAddress(Address) = 3,
        DeleteAddress(DeleteAddress) = 4,
        PutNextHop(NextHop) = 5,
        DeleteNextHop(DeleteNextHop) = 6,
        PutRoute(Route) = 7,
        DeleteRoute(DeleteRoute) = 8,
        PutPolicyRoute(PolicyRoute) = 9,
        DeletePolicyRoute(DeletePolicyRoute) = 10,
        PutPolicy(Policy) = 11,
        DeletePolicy(DeletePolicy) = 12,
        PutTunnel(Tunnel) = 13,
        DeleteTunnel(DeleteTunnel) = 14,
        InstallInbound(InstallInbound) = 15,
        InstallOutbound(InstallOutbound) = 16,
        AddSelector(AddSelector) = 17,
        ActivateOutbound(ActivateOutbound) = 18,
        DeleteOutbound(DeleteOutbound) = 19,
        DeleteInbound(DeleteInbound) = 20,
        UpdateOuter(UpdateOuter) = 21,
        PutHostAddress(HostAddress) = 22,
        DeleteHostAddress(DeleteHostAddress) = 23,
        PutPolicer(Policer) = 24,
        DeletePolicer(DeletePolicer) = 25,
    }
}

/// A change inside a `Staged` command: its own small slot, zero after the body.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ChangeWire {
    slot: [u8; Change::SLOT_LEN],
}

impl std::fmt::Debug for ChangeWire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChangeWire(..)")
    }
}

impl Field for Change {
    type Wire = ChangeWire;

    fn store(&self) -> ChangeWire {
        let mut wire = ChangeWire { slot: [0; Change::SLOT_LEN] };
        self.encode(&mut wire.slot);
        wire
    }

    fn load(wire: ChangeWire) -> Result<Self, DecodeError> {
        let (_, body) = crate::message::split(&wire.slot)?;
        if wire.slot[HEADER_LEN + body.len()..].iter().any(|&byte| byte != 0) {
            return Err(DecodeError::Reserved { field: "change" });
        }
        Self::decode(&wire.slot)
    }
}
