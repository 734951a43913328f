//! Data plane → control: hints. Their truth can be read again with `List`; one that finds the ring full is
//! counted and forgotten.

use std::net::IpAddr;

use crate::message::codec::{record, ring_messages, wire_enum};
use crate::message::id::{PortId, Spi, TunnelId, VrfId};
use crate::message::record::PathRecord;

record! {
    /// The first authentic packet on an inbound SA: a responder may switch its outbound traffic.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FirstUse as FirstUseWire[4] {
        pub spi: Spi,
    }
}

wire_enum! {
    /// Which limit was reached.
    pub enum LimitKind: "limit" {
        Bytes = 1,
        Packets = 2,
        /// The sequence number nears its end.
        Sequence = 3,
    }
}

wire_enum! {
    pub enum Direction: "direction" {
        Inbound = 1,
        Outbound = 2,
    }
}

record! {
    /// Time to rekey.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SoftLimit as SoftLimitWire[6] {
        pub spi: Spi,
        pub direction: Direction,
        pub kind: LimitKind,
    }
}

record! {
    /// This direction of the SA carries nothing any more.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HardLimit as HardLimitWire[6] {
        pub spi: Spi,
        pub direction: Direction,
        pub kind: LimitKind,
    }
}

record! {
    /// An authentic packet that advanced the window came from another address (RFC 7296 section 2.23).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PeerMoved as PeerMovedWire[27] {
        pub spi: Spi,
        pub remote: IpAddr,
        /// UDP port; 0 with native ESP.
        pub port: u16,
        /// The data plane follows already.
        pub followed: bool,
    }
}

record! {
    /// A packet wants a tunnel that has no SA for it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Acquire as AcquireWire[51] {
        pub tunnel: TunnelId,
        pub vrf: VrfId,
        pub src: IpAddr,
        pub dst: IpAddr,
        pub protocol: u8,
        pub src_port: u16,
        pub dst_port: u16,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PortLink as PortLinkWire[3] {
        pub port: PortId,
        pub up: bool,
    }
}

record! {
    /// ESP came for an SPI that is not ours: the peer holds an SA that we lost.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InvalidSpi as InvalidSpiWire[46] {
        pub vrf: VrfId,
        pub src: IpAddr,
        pub dst: IpAddr,
        /// As it stood in the packet.
        pub spi: u32,
    }
}

record! {
    /// Probes found something new of a tunnel's path.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PathFound as PathFoundWire[11] {
        pub tunnel: TunnelId,
        pub path: PathRecord,
    }
}

record! {
    /// A worker of the data plane does not come round, or does again.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WorkerSilent as WorkerSilentWire[3] {
        pub worker: u16,
        pub silent: bool,
    }
}

ring_messages! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Event[64] {
        FirstUse(FirstUse) = 1,
        SoftLimit(SoftLimit) = 2,
        HardLimit(HardLimit) = 3,
        PeerMoved(PeerMoved) = 4,
        Acquire(Acquire) = 5,
        PortLink(PortLink) = 6,
        InvalidSpi(InvalidSpi) = 7,
        PathFound(PathFound) = 8,
        WorkerSilent(WorkerSilent) = 9,
    }
}
