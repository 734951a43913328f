//! What the network between the gateways does to datagrams.

use std::time::Duration;

use crate::Random;

/// Properties of the network, in both directions. Reordering comes from delays that differ.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Percent of datagrams that never arrive.
    pub loss: u8,
    /// Percent of datagrams that arrive twice.
    pub duplicate: u8,
    /// Percent of datagrams that arrive with a byte changed.
    pub corrupt: u8,
    /// Shortest delay.
    pub least_delay: Duration,
    /// Longest delay.
    pub most_delay: Duration,
}

impl Link {
    /// 10 ms, nothing lost.
    pub const GOOD: Self = Self {
        loss: 0,
        duplicate: 0,
        corrupt: 0,
        least_delay: Duration::from_millis(10),
        most_delay: Duration::from_millis(10),
    };

    /// A third lost, a third repeated, and reordered by up to two seconds.
    pub const BAD: Self = Self {
        loss: 33,
        duplicate: 33,
        corrupt: 0,
        least_delay: Duration::from_millis(5),
        most_delay: Duration::from_secs(2),
    };

    /// Nothing gets through.
    pub const CUT: Self = Self { loss: 100, ..Self::GOOD };

    /// When the copies of one datagram arrive, counted from now.
    pub fn deliveries(&self, random: &mut Random) -> Vec<Duration> {
        let copies = 1 + u8::from(random.chance(self.duplicate));
        let mut delays = Vec::new();
        for _ in 0..copies {
            let delay = random.between(self.least_delay, self.most_delay);
            if !random.chance(self.loss) {
                delays.push(delay);
            }
        }
        delays
    }
}
