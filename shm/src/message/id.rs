//! Names of the objects both processes speak about.

use crate::message::codec::{DecodeError, Field, U16, U32, U64, record};

macro_rules! id {
    ($( $(#[$meta:meta])* $name:ident($native:ty => $wire:ty); )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $native);

        impl Field for $name {
            type Wire = $wire;

            fn store(&self) -> $wire {
                <$wire>::new(self.0)
            }

            fn load(wire: $wire) -> Result<Self, DecodeError> {
                Ok(Self(wire.get()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

id! {
    /// A routing instance. Every address on the contract is read within one.
    VrfId(u16 => U16);
    /// A (port, VLAN) pair with its role and VRF. Chosen by control.
    InterfaceId(u16 => U16);
    /// A DPDK port, in the order of the data plane's configuration.
    PortId(u16 => U16);
    /// A tunnel of a connection. Chosen by control.
    TunnelId(u32 => U32);
    /// Where a route leads. Chosen by control.
    NextHopId(u32 => U32);
    /// An IPsec connection; only ever compared.
    ConnectionId(u32 => U32);
    /// A transaction of changes. Chosen by control, never reused within a session.
    TxnId(u64 => U64);
    /// Pairs a question with its answer. Chosen by control.
    RequestId(u64 => U64);
    /// One control session. Rises with each connect; 0 is never used.
    Epoch(u64 => U64);
}

/// An ESP SPI. On the contract a CHILD_SA is named by our inbound SPI, also where its outbound half is meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spi(u32);

impl Spi {
    /// 0 to 255 are reserved (RFC 4303 section 2.1).
    pub const MIN: u32 = 256;

    /// `None` when `value` is reserved.
    pub const fn new(value: u32) -> Option<Self> {
        if value < Self::MIN { None } else { Some(Self(value)) }
    }

    pub const fn value(self) -> u32 {
        self.0
    }
}

impl std::fmt::Debug for Spi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spi({:08x})", self.0)
    }
}

impl std::fmt::Display for Spi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl Field for Spi {
    type Wire = U32;

    fn store(&self) -> U32 {
        U32::new(self.0)
    }

    fn load(wire: U32) -> Result<Self, DecodeError> {
        Self::new(wire.get()).ok_or(DecodeError::Value { field: "SPI", value: wire.get().into() })
    }
}

record! {
    /// Whose an SA is. A restarted control process finds its SAs again by it; the data plane only stores it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct OwnerTag as OwnerTagWire[20] {
        pub connection: ConnectionId,
        pub tunnel: TunnelId,
        /// Control's own number of the IKE SA.
        pub ike_sa: u64,
        /// Rises with each rekey of the child.
        pub generation: u32,
    }
}
