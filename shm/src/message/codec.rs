//! How a value crosses the contract: every field has a fixed, unaligned, little-endian wire form, so that a
//! message body is a `repr(C)` struct without padding and its size is a constant the compiler checks.
//!
//! Decoding takes bytes that were already copied out of shared memory; nothing here ever points into it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

pub use zerocopy::byteorder::little_endian::{U16, U32, U64};

/// Why the bytes of a slot are not a message. The peer is at fault: the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    #[error("message of kind {kind} does not exist in this version of the contract")]
    UnknownKind { kind: u16 },
    #[error("message is {found} bytes long, {expected} expected")]
    Length { expected: usize, found: usize },
    #[error("field {field} has the value {value}, which is not allowed")]
    Value { field: &'static str, value: u64 },
    #[error("reserved bytes of {field} are not zero")]
    Reserved { field: &'static str },
}

/// What a wire struct must be: plain bytes of any value, no padding, no alignment.
pub trait Plain: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned + Copy {}
impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned + Copy> Plain for T {}

/// A value with a fixed-size wire form.
pub trait Field: Sized {
    type Wire: Plain;

    fn store(&self) -> Self::Wire;

    /// Validates; every bit pattern of `Wire` either yields a value or names what is wrong with it.
    fn load(wire: Self::Wire) -> Result<Self, DecodeError>;
}

macro_rules! scalar_field {
    ($($native:ty => $wire:ty),+ $(,)?) => {$(
        impl Field for $native {
            type Wire = $wire;

            fn store(&self) -> $wire {
                <$wire>::new(*self)
            }

            fn load(wire: $wire) -> Result<Self, DecodeError> {
                Ok(wire.get())
            }
        }
    )+};
}
scalar_field!(u16 => U16, u32 => U32, u64 => U64);

impl Field for u8 {
    type Wire = u8;

    fn store(&self) -> u8 {
        *self
    }

    fn load(wire: u8) -> Result<Self, DecodeError> {
        Ok(wire)
    }
}

impl Field for bool {
    type Wire = u8;

    fn store(&self) -> u8 {
        u8::from(*self)
    }

    fn load(wire: u8) -> Result<Self, DecodeError> {
        match wire {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Value { field: "flag", value: value.into() }),
        }
    }
}

impl<const N: usize> Field for [u8; N] {
    type Wire = [u8; N];

    fn store(&self) -> [u8; N] {
        *self
    }

    fn load(wire: [u8; N]) -> Result<Self, DecodeError> {
        Ok(wire)
    }
}

/// Wire form of an address: the family is 4 or 6; unused octets are zero.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct IpWire {
    family: u8,
    reserved: [u8; 3],
    octets: [u8; 16],
}

impl Field for IpAddr {
    type Wire = IpWire;

    fn store(&self) -> IpWire {
        let mut octets = [0; 16];
        let family = match self {
            IpAddr::V4(v4) => {
                octets[..4].copy_from_slice(&v4.octets());
                4
            }
            IpAddr::V6(v6) => {
                octets = v6.octets();
                6
            }
        };
        IpWire { family, reserved: [0; 3], octets }
    }

    fn load(wire: IpWire) -> Result<Self, DecodeError> {
        let [a, b, c, d, rest @ ..] = wire.octets;
        match wire.family {
            _ if wire.reserved != [0; 3] => Err(DecodeError::Reserved { field: "address" }),
            4 if rest == [0; 12] => Ok(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
            4 => Err(DecodeError::Reserved { field: "address" }),
            6 => Ok(IpAddr::V6(Ipv6Addr::from(wire.octets))),
            family => Err(DecodeError::Value { field: "address family", value: family.into() }),
        }
    }
}

/// A field whose value is never all zero on the wire, so that zero can mean "absent".
pub trait ZeroIsNone: Field {}

impl ZeroIsNone for IpAddr {}

impl<T: ZeroIsNone> Field for Option<T> {
    type Wire = T::Wire;

    fn store(&self) -> T::Wire {
        self.as_ref().map_or_else(T::Wire::new_zeroed, T::store)
    }

    fn load(wire: T::Wire) -> Result<Self, DecodeError> {
        if wire.as_bytes().iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        T::load(wire).map(Some)
    }
}

/// Wire form of a short list: a count, then `N` places of which the unused ones are zero.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ListWire<T, const N: usize> {
    count: u8,
    items: [T; N],
}

impl<T, const N: usize> Field for ArrayVec<T, N>
where
    T: Field,
    ListWire<T::Wire, N>: Plain,
{
    type Wire = ListWire<T::Wire, N>;

    fn store(&self) -> Self::Wire {
        let mut wire = Self::Wire::new_zeroed();
        for (place, item) in wire.items.iter_mut().zip(self) {
            *place = item.store();
        }
        wire.count = u8::try_from(self.len()).unwrap_or(u8::MAX);
        wire
    }

    fn load(wire: Self::Wire) -> Result<Self, DecodeError> {
        let count = usize::from(wire.count);
        if count > N {
            return Err(DecodeError::Value { field: "list length", value: wire.count.into() });
        }
        let (used, unused) = wire.items.split_at(count);
        if unused.as_bytes().iter().any(|&byte| byte != 0) {
            return Err(DecodeError::Reserved { field: "list" });
        }
        used.iter().map(|item| T::load(*item)).collect()
    }
}

/// A struct of [`Field`]s together with its `repr(C)` wire form, whose size in bytes is asserted.
///
/// The fields travel in the order written, without padding.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $name:ident as $wire:ident[$size:literal] {
            $( $(#[$field_meta:meta])* pub $field:ident : $type:ty, )*
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        #[doc = concat!("Wire form of [`", stringify!($name), "`], ", stringify!($size), " bytes.")]
        #[derive(
            Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
            zerocopy::KnownLayout, zerocopy::Unaligned,
        )]
        #[repr(C)]
        pub struct $wire {
            $( $field: <$type as $crate::message::codec::Field>::Wire, )*
        }

        // Bodies may hold keys: what is on the wire is never printed.
        impl std::fmt::Debug for $wire {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($wire), "(..)"))
            }
        }

        const _: () = assert!(size_of::<$wire>() == $size, "layout changed: raise CONTRACT_VERSION");

        impl $crate::message::codec::Field for $name {
            type Wire = $wire;

            fn store(&self) -> $wire {
                $wire { $( $field: self.$field.store(), )* }
            }

            fn load(wire: $wire) -> Result<Self, $crate::message::codec::DecodeError> {
                Ok(Self { $( $field: $crate::message::codec::Field::load(wire.$field)?, )* })
            }
        }
    };
}

/// A field-less enum with the wire value of each variant, one byte.
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident : $label:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $value:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant = $value, )+
        }

        impl $name {
            /// Every value, in wire order.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];
        }

        impl $crate::message::codec::Field for $name {
            type Wire = u8;

            fn store(&self) -> u8 {
                *self as u8
            }

            fn load(wire: u8) -> Result<Self, $crate::message::codec::DecodeError> {
                match wire {
                    $( $value => Ok(Self::$variant), )+
                    value => Err($crate::message::codec::DecodeError::Value { field: $label, value: value.into() }),
                }
            }
        }
    };
}

/// The messages of one ring: a kind number and a body each. Generates encoding and decoding for slots of
/// `$slot` bytes and asserts that every body fits.
macro_rules! ring_messages {
    (
        $(#[$meta:meta])*
        pub enum $name:ident[$slot:expr] {
            $( $(#[$variant_meta:meta])* $variant:ident($body:ty) = $kind:literal, )+
        }
    ) => {
        $(#[$meta])*
        pub enum $name {
            $( $(#[$variant_meta])* $variant($body), )+
        }

        $( const _: () = assert!(
            $crate::message::HEADER_LEN + size_of::<<$body as $crate::message::codec::Field>::Wire>() <= $slot,
            "message does not fit its slot",
        ); )+

        impl $crate::message::Message for $name {
            const SLOT_LEN: usize = $slot;

            fn kind(&self) -> u16 {
                match self { $( Self::$variant(_) => $kind, )+ }
            }

            fn encode(&self, slot: &mut [u8]) -> usize {
                match self {
                    $( Self::$variant(body) => $crate::message::put($kind, body, slot), )+
                }
            }

            fn decode(slot: &[u8]) -> Result<Self, $crate::message::codec::DecodeError> {
                let (header, body) = $crate::message::split(slot)?;
                match header.kind.get() {
                    $( $kind => $crate::message::take(body).map(Self::$variant), )+
                    kind => Err($crate::message::codec::DecodeError::UnknownKind { kind }),
                }
            }
        }

        $( impl From<$body> for $name {
            fn from(body: $body) -> Self {
                Self::$variant(body)
            }
        } )+
    };
}

pub(crate) use {record, ring_messages, wire_enum};
