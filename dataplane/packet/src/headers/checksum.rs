//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// The ones' complement sum of `bytes` as big-endian words, unfolded; an odd last byte is padded with zero.
///
/// At most 128 KiB fit the 32-bit sum without overflow; IP packets are shorter.
#[inline]
#[must_use]
pub fn sum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    sum + rest.first().map_or(0, |byte| u32::from(*byte) << 8)
}

/// Folds a sum to 16 bits.
#[inline]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "folded twice: fits")]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    (sum + (sum >> 16)) as u16
}

/// The checksum of `bytes`: over data with its checksum in place it is 0.
#[inline]
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

/// True if the checksum of an IPv4 header without options is right: its words add up to a multiple of 0xffff. Neither
/// the order of bytes within words matters for that (RFC 1071 section 2 (B)), nor how many words are added at once,
/// as long as a carry comes back at the other end. No header is all zeros.
#[inline]
#[must_use]
pub fn is_right(header: &[u8; 20]) -> bool {
    let [a, b] = [0, 8].map(|at| u64::from_ne_bytes(*header[at..].first_chunk().unwrap_or(&[0; 8])));
    let [.., c0, c1, c2, c3] = *header;
    let (sum, carry) = a.overflowing_add(b);
    let (sum, again) =
        sum.overflowing_add(u64::from(u32::from_ne_bytes([c0, c1, c2, c3])) + u64::from(carry));
    (sum + u64::from(again)) % 0xffff == 0
}

/// The checksum after one word changed from `old` to `new`: HC' = ~(~HC + ~m + m') (RFC 1624 equation 3).
#[inline]
#[must_use]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(!checksum as u32 + !old as u32 + new as u32)
}

/// The sum of the pseudo-header of an upper-layer packet over IPv4 or IPv6 (RFC 768, RFC 8200 section 8.1).
#[must_use]
pub fn pseudo_header(src: std::net::IpAddr, dst: std::net::IpAddr, protocol: u8, len: u16) -> u32 {
    let address = |a| match a {
        std::net::IpAddr::V4(a) => sum(&a.octets()),
        std::net::IpAddr::V6(a) => sum(&a.octets()),
    };
    address(src) + address(dst) + u32::from(protocol) + u32::from(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
        assert_eq!(sum(&[0x12]), 0x1200);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    proptest! {
        #[test]
        fn an_update_equals_a_new_sum(mut bytes in prop::collection::vec(1u8.., 20), at in 0usize..9, new in any::<u16>()) {
            let old = u16::from_be_bytes([bytes[2 * at], bytes[2 * at + 1]]);
            let before = checksum(&bytes);
            bytes[2 * at..2 * at + 2].copy_from_slice(&new.to_be_bytes());
            prop_assert_eq!(update(before, old, new), checksum(&bytes));
        }
    }
}
