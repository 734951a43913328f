//! Packets for control: one ring and one budget per class, so that none starves another.

use std::time::Duration;

use shm::message::PuntClass;

use super::rate::TokenBucket;

/// Packets per second of each class; known IKE peers are bounded by their ring alone. Whoever only claims to go on
/// with an exchange shares that ring, and could fill it.
const IKE_CLAIMED: u32 = 2_000;
const IKE_NEW: u32 = 2_000;
const ICMP: u32 = 200;
const LOCAL: u32 = 1_000;

/// What each class may still send.
#[derive(Debug)]
pub(super) struct PuntBudgets {
    ike_claimed: TokenBucket,
    ike_new: TokenBucket,
    icmp: TokenBucket,
    local: TokenBucket,
}

impl PuntBudgets {
    pub(super) fn new(now: Duration) -> Self {
        let bucket = |rate: u32| TokenBucket::new(rate, rate / 4, now);
        Self {
            // No more at once than half of the ring.
            ike_claimed: TokenBucket::new(IKE_CLAIMED, IKE_CLAIMED / 16, now),
            ike_new: bucket(IKE_NEW),
            icmp: bucket(ICMP),
            local: bucket(LOCAL),
        }
    }

    /// Whether IKE that claims to go on may join that of known peers now.
    pub(super) fn take_claimed(&mut self, now: Duration) -> bool {
        self.ike_claimed.take(now)
    }

    /// Whether a packet of `class` may go to control now.
    pub(super) fn take(&mut self, class: PuntClass, now: Duration) -> bool {
        match class {
            PuntClass::IkeKnown => true,
            PuntClass::IkeNew => self.ike_new.take(now),
            PuntClass::Icmp => self.icmp.take(now),
            PuntClass::Local => self.local.take(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_class_leaves_the_others_alone() {
        let mut budgets = PuntBudgets::new(Duration::ZERO);
        let passed = |budgets: &mut PuntBudgets, class| {
            (0..10_000).filter(|_| budgets.take(class, Duration::ZERO)).count()
        };
        assert_eq!(passed(&mut budgets, PuntClass::Icmp), 50);
        assert_eq!(passed(&mut budgets, PuntClass::IkeNew), 500);
        assert_eq!(passed(&mut budgets, PuntClass::IkeKnown), 10_000);
        assert_eq!(passed(&mut budgets, PuntClass::Local), 250);
        assert_eq!((0..10_000).filter(|_| budgets.take_claimed(Duration::ZERO)).count(), 125);
    }
}
