//! Data plane → control: answers to commands.

use crate::message::codec::{record, ring_messages, wire_enum};
use crate::message::id::{OwnerTag, RequestId, Spi, TxnId};
use crate::message::object::{Interface, Route, Tunnel};
use crate::message::record::{NeighbourRecord, PathRecord, PortRecord, SaRecord, SaTotals};

record! {
    /// Every worker sees all changes of the transaction.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Committed as CommittedWire[8] {
        pub txn: TxnId,
    }
}

wire_enum! {
    /// Why a transaction or a request was refused.
    #[non_exhaustive]
    pub enum RejectCode: "reject code" {
        /// `Change`, `Commit` or `Abort` without its `Begin`.
        UnknownTransaction = 1,
        /// `Begin` while another transaction is open, or of a number used before.
        TransactionOrder = 2,
        /// More changes than the data plane stages.
        TooManyChanges = 3,
        UnknownInterface = 4,
        UnknownPort = 5,
        UnknownTunnel = 6,
        UnknownNextHop = 7,
        /// A delete names a route, policy route, policy entry or address that is not there.
        UnknownEntry = 8,
        UnknownSpi = 9,
        /// Keys for an SPI that is not reserved, or was freed since.
        SpiNotReserved = 10,
        /// The half is installed already.
        AlreadyInstalled = 11,
        /// The SA belongs to another owner.
        WrongOwner = 12,
        UnsupportedSuite = 13,
        /// The length of a key does not fit the suite.
        KeyLength = 14,
        /// A value outside its range, or values that contradict each other.
        Invalid = 15,
        /// Another interface has this port and VLAN, or this address.
        Duplicate = 16,
        /// Deleted while something else refers to it.
        InUse = 17,
        /// A table is full.
        NoCapacity = 18,
        /// Known, but this version does not do it.
        Unsupported = 19,
    }
}

record! {
    /// Nothing of the transaction was changed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rejected as RejectedWire[13] {
        pub txn: TxnId,
        /// The offending change, counted from 0; `u32::MAX` where it is none of them.
        pub index: u32,
        pub code: RejectCode,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Aborted as AbortedWire[8] {
        pub txn: TxnId,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SpiReserved as SpiReservedWire[12] {
        pub request: RequestId,
        pub spi: Spi,
    }
}

record! {
    /// A request outside transactions failed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Refused as RefusedWire[9] {
        pub request: RequestId,
        pub code: RejectCode,
    }
}

record! {
    /// Both halves of an SA are gone; its final counters.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SaDeleted as SaDeletedWire[128] {
        pub spi: Spi,
        pub owner: OwnerTag,
        pub totals: SaTotals,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ListSa as ListSaWire[263] {
        pub request: RequestId,
        pub sa: SaRecord,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ListNeighbour as ListNeighbourWire[43] {
        pub request: RequestId,
        pub neighbour: NeighbourRecord,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ListPort as ListPortWire[93] {
        pub request: RequestId,
        pub port: PortRecord,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ListInterface as ListInterfaceWire[19] {
        pub request: RequestId,
        pub interface: Interface,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ListRoute as ListRouteWire[35] {
        pub request: RequestId,
        pub route: Route,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ListTunnel as ListTunnelWire[59] {
        pub request: RequestId,
        pub tunnel: Tunnel,
        /// CHILD_SAs that carry traffic.
        pub active_children: u32,
        pub path: PathRecord,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ListEnd as ListEndWire[16] {
        pub request: RequestId,
        /// The cursor to go on from; 0 = that was all.
        pub next: u64,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Pong as PongWire[8] {
        pub request: RequestId,
    }
}

ring_messages! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Completion[320] {
        Committed(Committed) = 1,
        Rejected(Rejected) = 2,
        Aborted(Aborted) = 3,
        SpiReserved(SpiReserved) = 4,
        Refused(Refused) = 5,
        SaDeleted(SaDeleted) = 6,
        Sa(ListSa) = 7,
        Neighbour(ListNeighbour) = 8,
        Port(ListPort) = 9,
        Interface(ListInterface) = 10,
        Route(ListRoute) = 11,
        Tunnel(ListTunnel) = 12,
        ListEnd(ListEnd) = 13,
        Pong(Pong) = 14,
    }
}
