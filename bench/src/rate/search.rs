//! The highest rate without loss, found by halving (RFC 2544 section 26.1, with a loss of zero).

use anyhow::Result;

/// How long a search goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Trials at most.
    pub(crate) trials: usize,
}

/// It ends when what is known to pass and what is known to lose are closer than this share of the ceiling.
const RESOLUTION: u64 = 200;

/// Calls `trial` with rates up to `ceiling`, packets a second; it says whether all packets came through. Returns the
/// highest rate of those at which they did.
pub(crate) fn highest(
    ceiling: u64,
    effort: Effort,
    mut trial: impl FnMut(u64) -> Result<bool>,
) -> Result<Option<u64>> {
    let (mut passes, mut loses) = (0, ceiling);
    for _ in 0..effort.trials {
        if loses - passes <= ceiling / RESOLUTION {
            break;
        }
        let rate = passes + (loses - passes) / 2;
        if trial(rate)? {
            passes = rate;
        } else {
            loses = rate;
        }
    }
    Ok((passes > 0).then_some(passes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(limit: u64, trials: usize) -> (Option<u64>, usize) {
        let mut count = 0;
        let found = highest(1_000_000, Effort { trials }, |rate| {
            count += 1;
            Ok(rate <= limit)
        });
        (found.expect("no trial fails"), count)
    }

    #[test]
    fn it_ends_just_below_the_limit() {
        for limit in [10_000, 333_333, 500_000, 999_999] {
            let (found, trials) = search(limit, 20);
            let found = found.expect("a rate");
            assert!(found <= limit && limit - found <= 5000, "{found} for {limit}");
            assert!(trials <= 8);
        }
    }

    #[test]
    fn trials_are_bounded_and_nothing_may_pass() {
        assert_eq!(search(0, 5), (None, 5));
        assert_eq!(search(0, 20).0, None);
        let (found, trials) = search(700_000, 2);
        assert_eq!((found, trials), (Some(500_000), 2));
    }

    #[test]
    fn a_trial_that_fails_ends_it() {
        highest(1000, Effort { trials: 9 }, |_| anyhow::bail!("no buffers")).expect_err("its error");
    }
}
