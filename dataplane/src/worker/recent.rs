//! What was told lately, so that a thousand equal packets make one notice.

/// Remembers keys for a while, a fixed number of them; collisions forget the older key.
#[derive(Debug)]
pub(super) struct Recent {
    entries: [Entry; Self::SLOTS],
    hold: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    /// When the key may be told again.
    until: u64,
}

impl Recent {
    const SLOTS: usize = 64;

    /// Keys are remembered for `hold` units of the caller's time.
    #[must_use]
    pub(super) fn new(hold: u64) -> Self {
        Self { entries: [Entry { key: 0, until: 0 }; Self::SLOTS], hold }
    }

    /// True if `key` was not told within the last `hold`; it counts as told then.
    pub(super) fn is_news(&mut self, key: u64, now: u64) -> bool {
        let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        let entry = &mut self.entries[usize::try_from(spread).unwrap_or(0) % Self::SLOTS];
        if entry.key == key && now < entry.until {
            return false;
        }
        *entry = Entry { key, until: now.saturating_add(self.hold) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_news_once_in_a_while() {
        let mut recent = Recent::new(10);
        assert!(recent.is_news(7, 100) && !recent.is_news(7, 109) && recent.is_news(7, 110));
        assert!(recent.is_news(0, 0), "nothing was told before the first");
    }
}
