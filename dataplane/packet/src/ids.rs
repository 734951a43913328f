//! Identifiers shared by every table, message and counter.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $name {
            /// The index of this identifier in a table.
            #[inline]
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id! {
    /// A routing domain: addresses and prefixes mean something only together with it.
    VrfId(u16)
}
id! {
    /// A logical interface: one (port, VLAN) pair.
    InterfaceId(u16)
}
id! {
    /// A device port of the data plane.
    PortId(u16)
}
id! {
    /// A tunnel of a connection; below 2^20.
    TunnelId(u32)
}
id! {
    /// A next hop that routes and policy routes name; below 2^20.
    NextHopId(u32)
}

/// An IEEE 802.1Q VLAN identifier, 1..=4094.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VlanId(u16);

impl VlanId {
    /// `None` outside 1..=4094: 0 means "priority tag only" and 4095 is reserved.
    #[must_use]
    pub fn new(id: u16) -> Option<Self> {
        (1..=4094).contains(&id).then_some(Self(id))
    }

    /// The number as on the wire.
    #[must_use]
    pub fn value(self) -> u16 {
        self.0
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// True for group addresses, broadcast among them.
    #[inline]
    #[must_use]
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// The address in the low 48 bits, first octet most significant.
    #[inline]
    #[must_use]
    pub fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// The inverse of [`MacAddr::to_u64`]; the upper 16 bits are ignored.
    #[inline]
    #[must_use]
    pub fn from_u64(bits: u64) -> Self {
        let [_, _, a, b, c, d, e, f] = bits.to_be_bytes();
        Self([a, b, c, d, e, f])
    }
}

/// A neighbour's Ethernet address and the interface that it is on, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Station(u64);

impl Station {
    /// The station with address `mac` on an interface.
    #[inline]
    #[must_use]
    pub fn new(interface: InterfaceId, mac: MacAddr) -> Self {
        Self(u64::from(interface.0) << 48 | mac.to_u64())
    }

    /// The interface.
    #[inline]
    #[must_use]
    pub fn interface(self) -> InterfaceId {
        InterfaceId((self.0 >> 48) as u16)
    }

    /// The address.
    #[inline]
    #[must_use]
    pub fn mac(self) -> MacAddr {
        MacAddr::from_u64(self.0)
    }

    /// The word.
    #[inline]
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`Station::to_bits`].
    #[inline]
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An ESP security parameters index, at least 256 (RFC 4303 section 2.1: 0 is local, 1..=255 reserved).
///
/// One of ours is a SAD slot in its low bits ([`SlotBits`]) and a random generation above, so that a
/// lookup is an array access and a stale SPI is told from the slot's present tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(u32);

impl Spi {
    /// The smallest SPI that names an SA.
    pub const MIN: u32 = 256;

    /// `None` below 256.
    #[inline]
    #[must_use]
    pub fn new(value: u32) -> Option<Self> {
        (value >= Self::MIN).then_some(Self(value))
    }

    /// The SPI of `slot` in its `generation`; bits that do not fit are cut off. `None` if the result is reserved.
    #[must_use]
    pub fn from_parts(bits: SlotBits, slot: u32, generation: u32) -> Option<Self> {
        Self::new((generation << bits.0) | (slot & bits.mask()))
    }

    /// The number as on the wire, in host order.
    #[inline]
    #[must_use]
    pub fn value(self) -> u32 {
        self.0
    }

    /// The SAD slot.
    #[inline]
    #[must_use]
    pub fn slot(self, bits: SlotBits) -> usize {
        (self.0 & bits.mask()) as usize
    }

    /// The generation of the slot.
    #[inline]
    #[must_use]
    pub fn generation(self, bits: SlotBits) -> u32 {
        self.0 >> bits.0
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spi({self})")
    }
}

/// How many low bits of an SPI are the slot: 8..=20, so that a generation of at least 12 bits is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotBits(u8);

impl SlotBits {
    /// 16,384 slots.
    pub const DEFAULT: Self = Self(14);

    /// `None` outside 8..=20.
    #[must_use]
    pub fn new(bits: u8) -> Option<Self> {
        (8..=20).contains(&bits).then_some(Self(bits))
    }

    /// The fewest bits that hold `slots` slots; `None` above 2^20.
    #[must_use]
    pub fn for_capacity(slots: usize) -> Option<Self> {
        (8..=20).find(|&bits| 1usize << bits >= slots).map(Self)
    }

    /// The number of slots.
    #[inline]
    #[must_use]
    pub fn slots(self) -> usize {
        1 << self.0
    }

    /// The number of generation bits above the slot.
    #[must_use]
    pub fn generation_bits(self) -> u32 {
        32 - u32::from(self.0)
    }

    #[inline]
    fn mask(self) -> u32 {
        (1 << self.0) - 1
    }
}

impl Default for SlotBits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Whose an SA is: carried by the data plane so that a restarted control process can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct OwnerTag {
    /// The connection resource.
    pub connection: u32,
    /// The tunnel within the configuration.
    pub tunnel: u32,
    /// The IKE SA that negotiated it.
    pub ike_sa: u64,
    /// The generation of that IKE SA's configuration.
    pub generation: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spi_splits_into_slot_and_generation() {
        let bits = SlotBits::DEFAULT;
        let spi = Spi::from_parts(bits, 0x1234, 0x2_abcd).expect("not reserved");
        assert_eq!((spi.slot(bits), spi.generation(bits)), (0x1234, 0x2_abcd));
        assert_eq!(Spi::from_parts(bits, 255, 0), None);
        assert_eq!(Spi::new(255), None);
        assert_eq!(Spi::new(256).map(Spi::value), Some(256));
    }

    #[test]
    fn slot_bits_cover_the_capacity() {
        assert_eq!(SlotBits::for_capacity(16_384), Some(SlotBits::DEFAULT));
        assert_eq!(SlotBits::for_capacity(1), SlotBits::new(8));
        assert_eq!(SlotBits::for_capacity((1 << 20) + 1), None);
    }

    #[test]
    fn mac_round_trips_through_bits() {
        let mac = MacAddr([2, 0, 0x5e, 0x10, 0xff, 1]);
        assert_eq!(MacAddr::from_u64(mac.to_u64() | 7 << 48), mac);
        let station = Station::from_bits(Station::new(InterfaceId(0xfffe), mac).to_bits());
        assert_eq!((station.interface(), station.mac()), (InterfaceId(0xfffe), mac));
        assert_eq!(mac.to_string(), "02:00:5e:10:ff:01");
    }
}
