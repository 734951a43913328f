//! The hash by which devices choose queues, worked out beforehand.
//!
//! A prophecy, not a promise: what a device really hashes is its driver's business, and a wrong one costs a hand-over.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use dpdk::{HashFields, HashTable};
use packet::Spi;
use packet::esp::{Encap, OuterEndpoints};

/// Two IPv6 addresses and four bytes of ports or SPI.
const INPUT_MAX: usize = 36;

/// The hash of "Verifying the RSS hash calculation" (Microsoft, Windows Driver Kit): for each bit of the input that
/// is set, the 32 bits of the key from there on. A key that is too short goes on with zeros.
#[must_use]
pub fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
    let at = |index: usize| u64::from(key.get(index).copied().unwrap_or(0));
    let mut window = at(0) << 24 | at(1) << 16 | at(2) << 8 | at(3);
    let mut hash = 0;
    for (index, byte) in input.iter().enumerate() {
        window = window << 8 | at(index + 4);
        for bit in (0..8).filter(|bit| byte >> (7 - bit) & 1 == 1) {
            // The upper of 40 bits, `bit` further.
            hash ^= u32::try_from(window >> (8 - bit) & 0xffff_ffff).unwrap_or(0);
        }
        window &= 0xffff_ffff;
    }
    hash
}

/// The hash of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prophet {
    /// Key and queues.
    pub table: HashTable,
    /// What is hashed.
    pub fields: HashFields,
    /// Of ESP, the SPI alone.
    pub spi_alone: bool,
}

impl Prophet {
    /// The queue to which whole packets of an SA come; `None` where everything goes to one.
    #[must_use]
    pub fn queue(&self, spi: Spi, outer: &OuterEndpoints) -> Option<u16> {
        let mut input = ArrayVec::<u8, INPUT_MAX>::new();
        let spi = spi.value().to_be_bytes();
        if self.spi_alone {
            input.extend(spi);
        } else {
            self.lay_out(&mut input, spi, outer)?;
        }
        let hash = usize::try_from(toeplitz(&self.table.key, &input)).ok()?;
        self.table.queues.get(hash % self.table.queues.len().max(1)).copied()
    }

    /// The packet comes from the peer: its address is the source.
    fn lay_out(
        &self,
        input: &mut ArrayVec<u8, INPUT_MAX>,
        spi: [u8; 4],
        outer: &OuterEndpoints,
    ) -> Option<()> {
        let HashFields { addresses, rest, ports, spi: by_spi, .. } = self.fields;
        for address in [outer.remote, outer.local] {
            match address {
                IpAddr::V4(address) => input.extend(address.octets()),
                IpAddr::V6(address) => input.extend(address.octets()),
            }
        }
        match outer.encap {
            Encap::Udp { local_port, remote_port } if ports => {
                input.extend(remote_port.to_be_bytes());
                input.extend(local_port.to_be_bytes());
            }
            Encap::Native if by_spi => input.extend(spi),
            Encap::Native => (addresses || rest).then_some(())?,
            Encap::Udp { .. } => addresses.then_some(())?,
        }
        Some(())
    }
}
