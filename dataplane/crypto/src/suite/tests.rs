use super::*;

#[test]
fn transforms_round_trip() {
    for suite in Suite::all() {
        let (encryption, key_bits) = suite.cipher().transform();
        let integrity = suite.integrity().map_or(0, Integrity::transform);
        assert_eq!(Suite::from_transforms(encryption, key_bits, integrity), Ok(suite));
    }
    assert_eq!(Suite::all().count(), 9 * 5 + 13);
}

#[test]
fn pairs_that_do_not_go_together_are_refused() {
    for (encryption, key_bits, integrity) in [
        (20, 128, 2),
        (12, 128, 0),
        (11, 0, 0),
        (12, 0, 2),
        (3, 128, 2),
        (12, 256, 5),
        (99, 0, 0),
        (13, 128, 0),
        (21, 128, 2),
        (28, 0, 2),
    ] {
        let refused = UnsupportedSuite { encryption, key_bits, integrity };
        assert_eq!(Suite::from_transforms(encryption, key_bits, integrity), Err(refused));
    }
}
