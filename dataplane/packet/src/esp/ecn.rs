//! Explicit congestion notification through a tunnel (RFC 6040).

use crate::drop_reason::DropReason;

/// The ECN bits of a TOS or traffic class octet.
pub const ECN_MASK: u8 = 0b11;
/// The sender does not use ECN.
pub const NOT_ECT: u8 = 0b00;
/// ECN-capable transport (1).
pub const ECT_1: u8 = 0b01;
/// ECN-capable transport (0).
pub const ECT_0: u8 = 0b10;
/// Congestion experienced.
pub const CE: u8 = 0b11;

/// The outer ECN field of a packet to encapsulate: normal mode, a copy (section 4.1).
#[inline]
#[must_use]
pub fn encapsulate(inner: u8) -> u8 {
    inner & ECN_MASK
}

/// The ECN field to forward with the inner packet (section 4.2, figure 4).
///
/// Congestion marked on the way of a packet that does not understand the mark drops the packet.
#[inline]
pub fn decapsulate(inner: u8, outer: u8) -> Result<u8, DropReason> {
    match (inner & ECN_MASK, outer & ECN_MASK) {
        (NOT_ECT, CE) => Err(DropReason::EcnNotCapable),
        (NOT_ECT, _) => Ok(NOT_ECT),
        (_, CE) => Ok(CE),
        (ECT_0, ECT_1) => Ok(ECT_1),
        (inner, _) => Ok(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decapsulation_follows_figure_4() {
        let drop = Err(DropReason::EcnNotCapable);
        let table = [
            // outer:   Not-ECT       ECT(0)        ECT(1)        CE
            (NOT_ECT, [Ok(NOT_ECT), Ok(NOT_ECT), Ok(NOT_ECT), drop]),
            (ECT_0, [Ok(ECT_0), Ok(ECT_0), Ok(ECT_1), Ok(CE)]),
            (ECT_1, [Ok(ECT_1), Ok(ECT_1), Ok(ECT_1), Ok(CE)]),
            (CE, [Ok(CE), Ok(CE), Ok(CE), Ok(CE)]),
        ];
        for (inner, row) in table {
            for (outer, expected) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
                assert_eq!(
                    decapsulate(inner | 0xb8, outer | 0x28),
                    expected,
                    "inner {inner:02b}, outer {outer:02b}"
                );
            }
        }
    }

    #[test]
    fn encapsulation_copies() {
        assert_eq!([0xb8, 0xb9, 0xba, 0xbb].map(encapsulate), [NOT_ECT, ECT_1, ECT_0, CE]);
    }
}
