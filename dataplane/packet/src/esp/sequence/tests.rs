use super::*;
use proptest::prelude::*;

#[test]
fn stops_before_the_number_repeats() {
    let counter = SequenceCounter::new(false);
    assert_eq!(counter.issue().map(|i| i.seq), Ok(SeqNo(1)));
    counter.resume_after(SeqNo(u64::from(u32::MAX) - 1));
    assert_eq!(counter.issue().map(|i| i.seq), Ok(SeqNo(u64::from(u32::MAX))));
    assert_eq!(counter.issue(), Err(DropReason::SequenceExhausted));
    assert_eq!(counter.used(), SeqNo(u64::from(u32::MAX)));

    let counter = SequenceCounter::new(true);
    counter.resume_after(SeqNo(u64::from(u32::MAX)));
    assert_eq!(counter.issue().map(|i| (i.seq.high(), i.seq.low())), Ok((1, 0)));
    counter.resume_after(SeqNo(u64::MAX - 1));
    assert!(counter.issue().is_ok());
    assert_eq!(counter.issue(), Err(DropReason::SequenceExhausted));
}

#[test]
fn reports_the_soft_limit_and_reminds() {
    for esn in [false, true] {
        let counter = SequenceCounter::new(esn);
        for at in [counter.soft, counter.soft + REMIND, counter.soft + 5 * REMIND] {
            counter.resume_after(SeqNo(at - 3));
            let reports: Vec<_> = (0..6).map(|_| counter.issue().expect("numbers left").soft_limit).collect();
            assert_eq!(reports, [false, false, true, false, false, false]);
        }
    }
}

/// The cases of RFC 4303 appendix A2.2 with W = 64.
#[test]
fn infers_the_high_half() {
    let infer = |low, high_top, low_top| SeqNo::infer(low, SeqNo::from_halves(high_top, low_top), 64);
    // Case A: inside or right of the window, or wrapped into the next subspace.
    assert_eq!(infer(1000, 0, 1000), Some(SeqNo(1000)));
    assert_eq!(infer(937, 0, 1000), Some(SeqNo(937)));
    assert_eq!(infer(936, 0, 1000), Some(SeqNo::from_halves(1, 936)));
    assert_eq!(infer(5, 3, u32::MAX), Some(SeqNo::from_halves(4, 5)));
    // Case B: the window straddles two subspaces.
    assert_eq!(infer(u32::MAX, 4, 5), Some(SeqNo::from_halves(3, u32::MAX)));
    assert_eq!(infer(u32::MAX - 100, 4, 5), Some(SeqNo::from_halves(4, u32::MAX - 100)));
    // Before the first and after the last number.
    assert_eq!(infer(u32::MAX, 0, 5), None);
    assert_eq!(infer(0, 0, 0), None);
    assert_eq!(infer(0, u32::MAX, u32::MAX), None);
}

proptest! {
    /// Whatever is sent within half a subspace of the top is inferred exactly.
    #[test]
    fn inference_recovers_what_was_sent(top in 1u64..1 << 40, ahead in 0u64..1 << 31, window in 32u32..=32768) {
        for seq in [top + ahead, top.saturating_sub(ahead % u64::from(window)).max(1)] {
            prop_assert_eq!(SeqNo::infer(SeqNo(seq).low(), SeqNo(top), window), Some(SeqNo(seq)));
        }
    }
}
