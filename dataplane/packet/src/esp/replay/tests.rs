use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The window as the RFC tells it: a set of numbers and a right edge.
struct Naive {
    seen: BTreeSet<u64>,
    top: u64,
    size: u64,
}

impl Naive {
    fn check(&self, seq: u64) -> Result<(), DropReason> {
        if seq + self.size <= self.top {
            Err(DropReason::ReplayOld)
        } else if self.seen.contains(&seq) {
            Err(DropReason::ReplayDuplicate)
        } else {
            Ok(())
        }
    }

    fn mark(&mut self, seq: u64) -> Result<Verdict, DropReason> {
        self.check(seq)?;
        self.seen.insert(seq);
        let verdict = if seq > self.top { Verdict::Advanced } else { Verdict::Late };
        self.top = self.top.max(seq);
        Ok(verdict)
    }
}

#[test]
fn sizes_are_bounded() {
    assert!(ReplayWindow::new(31).is_none() && ReplayWindow::new(32_769).is_none());
    assert!(ReplayWindow::new(32).is_some() && ReplayWindow::new(32_768).is_some());
}

#[test]
fn accepts_each_number_once_and_none_left_of_the_window() {
    let window = ReplayWindow::new(64).expect("a size");
    assert_eq!(window.mark(SeqNo(100)), Ok(Verdict::Advanced));
    assert_eq!(window.check(SeqNo(100)), Err(DropReason::ReplayDuplicate));
    assert_eq!(window.mark(SeqNo(37)), Ok(Verdict::Late));
    assert_eq!(window.mark(SeqNo(37)), Err(DropReason::ReplayDuplicate));
    assert_eq!(window.check(SeqNo(36)), Err(DropReason::ReplayOld));
    assert_eq!(window.mark(SeqNo(1 << 40)), Ok(Verdict::Advanced));
    assert_eq!(window.check(SeqNo(100)), Err(DropReason::ReplayOld));
}

#[test]
fn zero_is_no_sequence_number() {
    let window = ReplayWindow::new(64).expect("a size");
    assert_eq!(window.infer(0, false), Err(DropReason::SequenceInvalid));
    assert_eq!(window.infer(0, true), Err(DropReason::SequenceInvalid));
    assert_eq!(window.infer(1, true), Ok(SeqNo(1)));
    assert_eq!(window.mark(SeqNo(u64::from(u32::MAX))), Ok(Verdict::Advanced));
    assert_eq!(window.infer(0, true), Ok(SeqNo(1 << 32)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn agrees_with_the_naive_window(
        size in prop_oneof![Just(32u32), Just(33), Just(64), Just(1024), 32u32..=4096],
        start in 1u64..1 << 34,
        steps in prop::collection::vec((-3000i64..3000, any::<bool>()), 1..300),
    ) {
        let window = ReplayWindow::new(size).expect("a size");
        let mut naive = Naive { seen: BTreeSet::new(), top: 0, size: u64::from(size) };
        let mut at = start;
        for (delta, small) in steps {
            let delta = if small { delta % 70 } else { delta };
            at = at.saturating_add_signed(delta).max(1);
            prop_assert_eq!(window.check(SeqNo(at)), naive.check(at));
            prop_assert_eq!(window.mark(SeqNo(at)), naive.mark(at));
            prop_assert_eq!(window.top(), SeqNo(naive.top));
        }
    }
}
