//! TCP: clamping the maximum segment size of a SYN.

use super::checksum;

const MIN_HEADER_LEN: usize = 20;
const SYN: u8 = 0x02;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;

/// Lowers the MSS option of a SYN to `mss` and corrects the checksum incrementally; true if it did.
///
/// `segment` starts at the TCP header. Anything malformed is left alone: it is the receiver's to refuse.
#[inline]
pub fn clamp_mss(segment: &mut [u8], mss: u16) -> bool {
    let Some(header) = segment.first_chunk::<MIN_HEADER_LEN>() else { return false };
    if header[13] & SYN == 0 {
        return false;
    }
    clamp_syn(segment, mss)
}

#[cold]
fn clamp_syn(segment: &mut [u8], mss: u16) -> bool {
    let header_len = usize::from(segment[12] >> 4) * 4;
    let Some(at) = segment.get(..header_len).and_then(find_mss) else { return false };
    let old = [segment[at], segment[at + 1]];
    if u16::from_be_bytes(old) <= mss {
        return false;
    }
    let new = mss.to_be_bytes();
    segment[at..at + 2].copy_from_slice(&new);
    // The option may start at an odd offset: then its bytes lie in two checksum words, swapped.
    let word = |[a, b]: [u8; 2]| u16::from_be_bytes(if at.is_multiple_of(2) { [a, b] } else { [b, a] });
    let sum = u16::from_be_bytes([segment[16], segment[17]]);
    segment[16..18].copy_from_slice(&checksum::update(sum, word(old), word(new)).to_be_bytes());
    true
}

/// The offset of the MSS value in a header with options.
fn find_mss(header: &[u8]) -> Option<usize> {
    let mut at = MIN_HEADER_LEN;
    loop {
        match *header.get(at)? {
            OPTION_END => return None,
            OPTION_NOP => at += 1,
            OPTION_MSS => return (header.get(at + 1..at + 4)?[0] == 4).then_some(at + 2),
            _ => {
                let len = usize::from(*header.get(at + 1)?);
                if len < 2 {
                    return None;
                }
                at += len;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn syn(options: &[u8]) -> Vec<u8> {
        let mut segment = vec![0x11; MIN_HEADER_LEN];
        segment[12] = u8::try_from((MIN_HEADER_LEN + options.len()) / 4).expect("short") << 4;
        segment[13] = SYN;
        segment[16..18].fill(0);
        segment.extend_from_slice(options);
        let sum = checksum::checksum(&segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        segment
    }

    #[test]
    fn clamps_at_even_and_odd_offsets() {
        for options in
            [&[2, 4, 0x05, 0xb4][..], &[1, 2, 4, 0x05, 0xb4, 1, 1, 0], &[8, 3, 9, 2, 4, 5, 0xb4, 0]]
        {
            let mut segment = syn(options);
            assert!(clamp_mss(&mut segment, 1360));
            assert_eq!(checksum::checksum(&segment), 0, "{options:?}");
            assert!(segment.windows(4).any(|w| w == [2, 4, 0x05, 0x50]));
            assert!(!clamp_mss(&mut segment, 1400), "never raised");
        }
    }

    #[test]
    fn leaves_other_segments_alone() {
        let mut ack = syn(&[2, 4, 0x05, 0xb4]);
        ack[13] = 0x10;
        assert!(!clamp_mss(&mut ack, 500));
        for options in [&[2, 3, 5, 5][..], &[8, 1, 2, 4], &[8, 0, 0, 0], &[1, 1, 1, 2], &[0, 2, 4, 9]] {
            assert!(!clamp_mss(&mut syn(options), 500), "{options:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..80), mss: u16) {
            clamp_mss(&mut bytes, mss);
        }
    }
}
