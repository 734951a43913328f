//! Fragments as the target `reassembly` reads them: limits, then six bytes each.

use super::{Seed, named};

const MORE: u8 = 2;
const V6: u8 = 1;

pub(super) fn all() -> Vec<Seed> {
    let in_order = [step(MORE, 0, 0, 8), step(MORE, 0, 8, 8), step(0, 0, 16, 3)];
    let backwards: Vec<_> =
        in_order.iter().rev().map(|s| [s[0] | V6, s[1], s[2], s[3], s[4], s[5]]).collect();
    let overlap = [step(MORE, 2, 0, 8), step(MORE, 2, 7, 8), step(0, 2, 8, 4), step(MORE, 2, 0, 8)];
    let twice = [step(MORE, 1, 0, 4), step(MORE, 1, 0, 4), step(0, 1, 4, 4)];
    let flood: Vec<_> = (0..64).map(|i| step(MORE | i & V6, i, i & 15, 2)).collect();
    let late = [step(MORE, 0, 0, 8), [0, 0, 8, 3, 0, 0xf0], [0, 0, 8, 3, 0, 0xf0]];
    let of = |name, steps: &[[u8; 6]]| {
        let limits = [8, 4, 20];
        named("reassembly", name, [&limits[..], &steps.concat()].concat())
    };
    vec![
        of("in-order", &in_order),
        of("backwards", &backwards),
        of("overlap", &overlap),
        of("twice", &twice),
        of("flood", &flood),
        of("late", &late),
    ]
}

/// Flags, whose, and where: `units` of 8 bytes from `at` on.
fn step(flags: u8, whose: u8, at: u8, units: u8) -> [u8; 6] {
    [flags, whose, at, units, 1, 0x10]
}
