//! The largest size that passes in one direction: several sizes a round, each tried a few times.

use std::time::Duration;

use arrayvec::ArrayVec;

use super::{PATIENCE, Reach};
use crate::esp::EspLayout;

/// Sizes tried in one round.
const WAYS: u16 = 7;
/// How often a size is sent before it counts as one that does not pass.
const TRIES: u8 = 3;
/// How often the size that was found is sent before it counts as lost.
const CONFIRM_TRIES: u8 = 6;
/// Between confirmations of what was found.
const CONFIRM: Duration = Duration::from_secs(30);
/// Until larger sizes are tried again (RFC 8899 section 5.1.1, PMTU_RAISE_TIMER).
const RAISE: Duration = Duration::from_secs(600);
/// Until everything is tried again where nothing passed.
const RETRY: Duration = Duration::from_secs(60);

/// Why larger packets do not pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Limit {
    /// The link takes no larger ones.
    #[default]
    Link,
    /// They vanish.
    Vanish,
    /// They are fragmented on the way, or by the peer after encryption.
    Fragmented,
    /// The peer, or the host behind it, sends no larger ones.
    Sender,
}

/// The lengths that an SA's packets can have, bytes: from `least` to `most`, each `step` above the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    least: u16,
    /// What is used while the size that was found is lost (RFC 8899 section 5.1.2, BASE_PLPMTU).
    base: u16,
    most: u16,
    step: u16,
}

/// What every IPv4 host takes (RFC 791), bytes.
const LEAST_V4: u16 = 576;
/// What every IPv6 link takes (RFC 8200 section 5), and about every link of IPv4, bytes.
const BASE: u16 = 1280;

impl Sizes {
    /// Those of an SA on a link of `mtu` bytes.
    #[must_use]
    pub fn new(layout: &EspLayout, over_v4: bool, mtu: u16) -> Self {
        let sealed = |mtu: u16| {
            let inner = usize::from(layout.inner_mtu(mtu));
            u16::try_from(layout.sealed_len(inner)).unwrap_or(u16::MAX)
        };
        let least = sealed(if over_v4 { LEAST_V4 } else { BASE }.min(mtu));
        let (base, most) = (sealed(BASE.min(mtu)).max(least), sealed(mtu).max(least));
        Self { least, base, most, step: u16::from(layout.geometry.align).max(1) }
    }

    /// The smallest one, bytes.
    #[must_use]
    pub fn least(&self) -> u16 {
        self.least
    }

    fn count(self) -> u16 {
        (self.most - self.least) / self.step + 1
    }

    fn size(self, place: u16) -> u16 {
        self.least + place * self.step
    }

    /// How many of them are at most `size`.
    fn up_to(self, size: u16) -> u16 {
        let above = size.min(self.most).checked_sub(self.least);
        above.map_or(0, |above| above / self.step + 1)
    }
}

/// A size on its way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    place: u16,
    left: u8,
    sent: Option<(Duration, Duration)>,
}

impl Flight {
    fn new(place: u16, tries: u8) -> Self {
        Self { place, left: tries, sent: None }
    }

    /// True if it may be sent: for the first time, or again.
    fn is_due(&self, now: Duration) -> bool {
        self.left > 0 && self.sent.is_none_or(|(_, last)| now.saturating_sub(last) >= PATIENCE)
    }

    /// True if no try is left, and the last one had its time.
    fn is_lost(&self, now: Duration) -> bool {
        self.left == 0 && self.sent.is_some_and(|(_, last)| now.saturating_sub(last) >= PATIENCE)
    }

    fn first_sent(&self) -> Option<Duration> {
        self.sent.map(|(first, _)| first)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Searching,
    Complete { confirm: Duration, raise: Duration },
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Search {
    sizes: Sizes,
    /// So many sizes, from the least on, pass.
    good: u16,
    /// This one does not pass, nor do those above it; `sizes.count()` = none is known.
    bad: u16,
    limit: Limit,
    /// `bad` was tried once more after all below it had passed.
    sure: bool,
    flights: ArrayVec<Flight, { WAYS as usize }>,
    phase: Phase,
    /// What the last complete search found, for as long as another one goes on.
    found: Option<Reach>,
}

impl Search {
    pub(super) fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            good: 0,
            bad: sizes.count(),
            limit: Limit::Link,
            sure: false,
            flights: ArrayVec::new(),
            phase: Phase::Searching,
            found: None,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.phase != Phase::Searching
    }

    /// What was found; while what was found is lost, what is known to pass at least.
    pub(super) fn reach(&self) -> Reach {
        self.found.unwrap_or_default()
    }

    /// Begins anew, with what is known to pass.
    pub(super) fn restart(&mut self) {
        let found = self.found;
        *self = Self { found, ..Self::new(self.sizes) };
    }

    /// True if a size ran out of tries and nothing at all was heard since it was first sent.
    pub(super) fn is_unheard(&self, now: Duration, heard: Duration) -> bool {
        self.flights.iter().any(|flight| flight.is_lost(now) && flight.first_sent() > Some(heard))
    }

    /// True if a size is on its way and nothing was heard since it was first sent.
    pub(super) fn awaits(&self, heard: Duration) -> bool {
        self.flights.iter().any(|flight| flight.first_sent() > Some(heard))
    }

    pub(super) fn forget_flights(&mut self) {
        self.flights.clear();
    }

    /// Takes note of the sizes that ran out of tries. Something was heard since they were first sent.
    pub(super) fn judge(&mut self, now: Duration) {
        let Some(lost) = self.flights.iter().filter(|f| f.is_lost(now)).map(|f| f.place).min() else {
            return;
        };
        if self.is_complete() {
            // What was found is gone: everything below it is tried anew (RFC 8899 section 4.3).
            self.restart();
            let Sizes { least, base, .. } = self.sizes;
            let size = if self.sizes.size(lost) > base { base } else { least };
            self.found = Some(Reach { size, limit: Limit::Vanish });
        }
        self.sure = lost == self.bad;
        self.refuse(lost, Limit::Vanish);
    }

    /// The next size to send now, if any; it counts as sent.
    pub(super) fn poll(&mut self, now: Duration) -> Option<u16> {
        if self.flights.is_empty() {
            self.next_round(now);
        }
        let flight = self.flights.iter_mut().find(|flight| flight.is_due(now))?;
        let first = flight.first_sent().unwrap_or(now);
        flight.sent = Some((first, now));
        flight.left -= 1;
        Some(self.sizes.size(flight.place))
    }

    /// A packet of this size passed.
    pub(super) fn passed(&mut self, size: u16, now: Duration) {
        self.good = self.good.max(self.sizes.up_to(size));
        if self.good > self.bad {
            // What did not pass was lost by chance, or the path is another one now.
            (self.bad, self.limit, self.sure) = (self.sizes.count(), Limit::Link, false);
        }
        let good = self.good;
        self.flights.retain(|flight| flight.place >= good);
        if let Phase::Complete { confirm, .. } = &mut self.phase {
            *confirm = now + CONFIRM;
        }
    }

    /// A packet of this size came in pieces of at most `largest` bytes.
    pub(super) fn came_as(&mut self, size: u16, largest: u16, limit: Limit, now: Duration) {
        let Some(place) = self.sizes.up_to(size).checked_sub(1) else { return };
        if place < self.good {
            // It came whole before: the path is another one now.
            self.restart();
        }
        self.refuse(place, limit);
        self.sure = true;
        let whole_below = largest.min(self.sizes.size(place).saturating_sub(1));
        self.passed(whole_below, now);
    }

    fn refuse(&mut self, place: u16, limit: Limit) {
        if place <= self.bad {
            (self.bad, self.limit) = (place, limit);
        }
        self.flights.retain(|flight| flight.place < place);
    }

    /// Puts the sizes of the next round, or of a confirmation, on their way.
    fn next_round(&mut self, now: Duration) {
        match self.phase {
            Phase::Complete { raise, .. } if now >= raise && self.bad < self.sizes.count() => {
                (self.bad, self.limit, self.sure) = (self.sizes.count(), Limit::Link, false);
                self.phase = Phase::Searching;
            }
            Phase::Complete { confirm, .. } => {
                if let Some(place) = self.good.checked_sub(1).filter(|_| now >= confirm) {
                    self.flights.push(Flight::new(place, CONFIRM_TRIES));
                }
                return;
            }
            Phase::Searching => {}
        }
        let open = self.bad - self.good;
        if open > 0 {
            let ways = WAYS.min(open);
            // The last is the largest that may pass: where nothing is in the way, that is all it takes.
            let place = |way: u16| self.good + scaled(open, way, ways) - 1;
            self.flights = (1..=ways).map(|way| Flight::new(place(way), TRIES)).collect();
        } else if self.bad < self.sizes.count() && !self.sure {
            self.flights.push(Flight::new(self.bad, TRIES));
        } else {
            self.complete(now);
        }
    }

    fn complete(&mut self, now: Duration) {
        let size = self.good.checked_sub(1).map_or(0, |place| self.sizes.size(place));
        self.found = Some(Reach { size, limit: self.limit });
        let raise = now + if size == 0 { RETRY } else { RAISE };
        self.phase = Phase::Complete { confirm: now + CONFIRM, raise };
    }
}

/// `whole * part / parts`, for a part that is at most the whole.
fn scaled(whole: u16, part: u16, parts: u16) -> u16 {
    let scaled = u32::from(whole) * u32::from(part) / u32::from(parts.max(1));
    u16::try_from(scaled).unwrap_or(u16::MAX)
}
