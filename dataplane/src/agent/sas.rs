//! The agent's book of security associations: numbers, times, keys, final counters.
//!
//! The tables hold what workers need; here is what they do not: which SPIs are free, since when an SA
//! lives, when it is to be freed, and what a half that is gone had carried.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crypto::{Backend, Key, KeyError, KeyMaterial, KeyMemory, Suite};
use packet::Spi;
use packet::ids::SlotBits;
use packet::policer::Policer;
use packet::sad::{OutboundSa, SadEntry, SpiAllocator};
use packet::tables::{Change, InstallInbound, InstallOutbound, SaParameters};
use shm::message as contract;
use shm::message::{RejectCode, SaTotals};
use std::sync::Arc;

use super::convert;

/// A reservation for which no keys came is freed after this: an IKE exchange has long given up by then.
const RESERVATION_LIFE: Duration = Duration::from_secs(300);

/// Turns changes of the contract into changes of the tables: expands keys.
#[derive(Clone)]
pub struct Expander {
    pub(super) backend: Arc<dyn Backend>,
    memory: KeyMemory,
    workers: u16,
    /// Of the clock that policers use.
    ticks_per_second: u64,
}

impl std::fmt::Debug for Expander {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expander").field("backend", &self.backend).finish_non_exhaustive()
    }
}

impl Expander {
    /// An expander for so many workers, whose clock has so many ticks a second.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, memory: KeyMemory, workers: u16, ticks_per_second: u64) -> Self {
        Self { backend, memory, workers, ticks_per_second }
    }

    /// The change as the tables understand it; an SA belongs to the worker `owner`, and nothing else looks at that.
    ///
    /// # Errors
    ///
    /// Why control's change is refused: a suite or a key that we do not have, no memory, a value out of range.
    pub fn change(&self, from: &contract::Change, owner: u16) -> Result<Change<Key>, RejectCode> {
        match from {
            contract::Change::InstallInbound(install) => self.inbound(install, owner),
            contract::Change::InstallOutbound(install) => self.outbound(install, owner),
            contract::Change::PutPolicer(put) => {
                let rates = convert::policer_rates(put);
                let policer = Policer::new(rates, usize::from(self.workers), self.ticks_per_second);
                Ok(Change::PutPolicer { connection: put.connection.0, policer: Arc::new(policer) })
            }
            other => convert::object(other)?.ok_or(RejectCode::Unsupported),
        }
    }

    fn inbound(&self, from: &contract::InstallInbound, worker: u16) -> Result<Change<Key>, RejectCode> {
        let spi = convert::spi(from.spi);
        let sa = SaParameters {
            spi,
            owner: convert::owner(from.owner),
            tunnel: packet::TunnelId(from.tunnel.0),
            suite: convert::suite(from.suite),
            esn: from.esn,
            key: self.expand(from.suite, &from.keys)?,
            outer: convert::outer(&from.outer),
            lifetime: convert::lifetime(from.limits),
            worker,
        };
        let replay_window = from.replay_window.into();
        Ok(Change::InstallInbound(InstallInbound { sa, replay_window, follow_nat: from.follow_nat }))
    }

    fn outbound(&self, from: &contract::InstallOutbound, worker: u16) -> Result<Change<Key>, RejectCode> {
        let spi = convert::spi(from.spi);
        let sa = SaParameters {
            spi,
            owner: convert::owner(from.owner),
            tunnel: packet::TunnelId(from.tunnel.0),
            suite: convert::suite(from.suite),
            esn: from.esn,
            key: self.expand(from.suite, &from.keys)?,
            outer: convert::outer(&from.outer),
            lifetime: convert::lifetime(from.limits),
            worker,
        };
        let peer_spi = from.peer_spi.value();
        let (active, tfc) = (from.active, from.tfc);
        Ok(Change::InstallOutbound(InstallOutbound { sa, peer_spi, active, tfc }))
    }

    fn expand(&self, suite: contract::Suite, keys: &contract::SaKeys) -> Result<Key, RejectCode> {
        let contract::Suite { encryption, key_bits, integrity } = suite;
        let suite = Suite::from_transforms(encryption, key_bits, integrity)
            .map_err(|_| RejectCode::UnsupportedSuite)?;
        let material =
            KeyMaterial { encryption: keys.encryption.expose(), authentication: keys.integrity.expose() };
        self.backend.expand(suite, &material, &self.memory).map_err(|error| match error {
            KeyError::Length { .. } => RejectCode::KeyLength,
            KeyError::Memory => RejectCode::NoCapacity,
            KeyError::Backend(_) => RejectCode::Unsupported,
        })
    }
}

/// What the agent knows of an SPI beside its slot in the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Book {
    /// Who asked for it.
    pub(super) owner: contract::OwnerTag,
    /// When it was reserved, then when it was installed.
    pub(super) since: Duration,
    /// `None` while reserved.
    pub(super) suite: Option<contract::Suite>,
    /// When it is freed.
    deadline: Option<Duration>,
    /// What outbound halves that are gone have carried.
    out_packets: u64,
    out_bytes: u64,
    out_policed: u64,
    out_seq: u64,
    out_last_use: u64,
}

/// All SPIs of the box.
#[derive(Debug)]
pub(super) struct SaKeeper {
    allocator: SpiAllocator,
    books: BTreeMap<Spi, Book>,
    deadlines: BTreeSet<(Duration, Spi)>,
}

impl SaKeeper {
    pub(super) fn new(bits: SlotBits) -> Self {
        Self { allocator: SpiAllocator::new(bits), books: BTreeMap::new(), deadlines: BTreeSet::new() }
    }

    /// A new SPI, or `None` when every slot is taken.
    pub(super) fn reserve(&mut self, random: u32, owner: contract::OwnerTag, now: Duration) -> Option<Spi> {
        let spi = self.allocator.allocate(random)?;
        let book = Book {
            owner,
            since: now,
            suite: None,
            deadline: None,
            out_packets: 0,
            out_bytes: 0,
            out_policed: 0,
            out_seq: 0,
            out_last_use: 0,
        };
        self.books.insert(spi, book);
        self.free_at(spi, now + RESERVATION_LIFE);
        Some(spi)
    }

    /// The keys came: it lives until it is deleted.
    pub(super) fn installed(&mut self, spi: Spi, suite: contract::Suite, now: Duration) {
        if let Some(book) = self.books.get_mut(&spi) {
            book.since = now;
            book.suite = Some(suite);
            if let Some(deadline) = book.deadline.take() {
                self.deadlines.remove(&(deadline, spi));
            }
        }
    }

    /// Sets or moves the time when the SPI is freed.
    pub(super) fn free_at(&mut self, spi: Spi, at: Duration) {
        let Some(book) = self.books.get_mut(&spi) else { return };
        if let Some(old) = book.deadline.replace(at) {
            self.deadlines.remove(&(old, spi));
        }
        self.deadlines.insert((at, spi));
    }

    /// Keeps what an outbound half carried that no worker uses any more.
    pub(super) fn outbound_gone<K>(&mut self, spi: Spi, sa: &OutboundSa<K>) {
        if let Some(book) = self.books.get_mut(&spi) {
            book.out_packets += sa.usage.packets();
            book.out_bytes += sa.usage.bytes();
            book.out_policed += sa.policed();
            book.out_seq = sa.sequence.used().0;
            book.out_last_use = book.out_last_use.max(sa.usage.last_use());
        }
    }

    /// The next SPI whose time has come; it will not be named again.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<Spi> {
        let (at, spi) = *self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        if let Some(book) = self.books.get_mut(&spi) {
            book.deadline = None;
        }
        Some(spi)
    }

    /// No table names the SPI any more: its slot may be used again.
    pub(super) fn release(&mut self, spi: Spi) -> Option<Book> {
        let book = self.books.remove(&spi)?;
        if let Some(deadline) = book.deadline {
            self.deadlines.remove(&(deadline, spi));
        }
        self.allocator.release(spi);
        Some(book)
    }

    pub(super) fn book(&self, spi: Spi) -> Option<&Book> {
        self.books.get(&spi)
    }
}

/// The clock that workers stamp usage with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    pub(super) now: u64,
    pub(super) per_second: u64,
}

impl Ticks {
    /// Milliseconds since `stamp`; `None` if it never was.
    pub(super) fn millis_since(self, stamp: u64) -> Option<u64> {
        let ticks = u128::from(self.now.saturating_sub(stamp));
        let millis = ticks * 1000 / u128::from(self.per_second.max(1));
        (stamp != 0).then(|| u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// When the last authentic packet arrived, since boot as `now` is; zero if none did.
pub(super) fn heard<K>(entry: &SadEntry<K>, ticks: Ticks, now: Duration) -> Duration {
    let last = entry.inbound.as_ref().and_then(|sa| ticks.millis_since(sa.usage.last_use()));
    last.map_or(Duration::ZERO, |millis| now.saturating_sub(Duration::from_millis(millis)))
}

/// What the pair has carried so far.
pub(super) fn totals<K>(entry: &SadEntry<K>, book: Option<&Book>, ticks: Ticks) -> SaTotals {
    let mut totals = SaTotals::default();
    let mut last_use = 0;
    if let Some(sa) = &entry.inbound {
        totals.in_packets = sa.usage.packets();
        totals.in_bytes = sa.usage.bytes();
        totals.auth_failures = sa.authentication_failures();
        totals.replays = sa.replays();
        totals.selector_failures = sa.selector_failures();
        totals.in_policed = sa.policed();
        totals.in_seq = sa.replay.top().0;
        last_use = sa.usage.last_use();
    }
    if let Some(book) = book {
        totals.out_packets = book.out_packets;
        totals.out_bytes = book.out_bytes;
        totals.out_policed = book.out_policed;
        totals.out_seq = book.out_seq;
        last_use = last_use.max(book.out_last_use);
    }
    if let Some(sa) = &entry.outbound {
        totals.out_packets += sa.usage.packets();
        totals.out_bytes += sa.usage.bytes();
        totals.out_policed += sa.policed();
        totals.out_seq = sa.sequence.used().0;
        last_use = last_use.max(sa.usage.last_use());
    }
    totals.idle_ms = ticks.millis_since(last_use).unwrap_or(u64::MAX);
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: contract::OwnerTag = contract::OwnerTag {
        connection: contract::ConnectionId(1),
        tunnel: contract::TunnelId(1),
        ike_sa: 1,
        generation: 1,
    };
    const SUITE: contract::Suite = contract::Suite { encryption: 20, key_bits: 128, integrity: 0 };

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_reservation_without_keys_is_freed_in_the_end() {
        let mut keeper = SaKeeper::new(SlotBits::new(8).unwrap());
        let spi = keeper.reserve(1, OWNER, secs(0)).unwrap();
        assert_eq!(keeper.pop_due(secs(299)), None);
        assert_eq!(keeper.pop_due(secs(300)), Some(spi));
        assert_eq!(keeper.pop_due(secs(300)), None);
        assert!(keeper.release(spi).is_some());
        assert!(keeper.release(spi).is_none());
    }

    #[test]
    fn an_installed_sa_lives_until_it_lingered() {
        let mut keeper = SaKeeper::new(SlotBits::new(8).unwrap());
        let (first, second) =
            (keeper.reserve(1, OWNER, secs(0)).unwrap(), keeper.reserve(1, OWNER, secs(0)).unwrap());
        keeper.installed(first, SUITE, secs(1));
        keeper.installed(second, SUITE, secs(1));
        assert_eq!(keeper.pop_due(secs(100_000)), None);
        keeper.free_at(first, secs(20));
        keeper.free_at(second, secs(15));
        keeper.free_at(first, secs(10));
        assert_eq!(keeper.pop_due(secs(9)), None);
        assert_eq!([keeper.pop_due(secs(30)), keeper.pop_due(secs(30))], [Some(first), Some(second)]);
        assert_eq!(keeper.book(first).map(|book| book.since), Some(secs(1)));
    }

    #[test]
    fn a_full_sad_says_so_and_a_released_slot_gets_another_generation() {
        let bits = SlotBits::new(8).unwrap();
        let mut keeper = SaKeeper::new(bits);
        let spis: Vec<_> = (0..256).map(|_| keeper.reserve(7, OWNER, secs(0)).unwrap()).collect();
        assert_eq!(keeper.reserve(7, OWNER, secs(0)), None);
        keeper.release(spis[3]);
        let again = keeper.reserve(7, OWNER, secs(0)).unwrap();
        assert_eq!(again.slot(bits), spis[3].slot(bits));
        assert_ne!(again, spis[3]);
    }

    #[test]
    fn idle_time_is_in_milliseconds() {
        let ticks = Ticks { now: 5_000_000_000, per_second: 2_000_000_000 };
        assert_eq!(ticks.millis_since(4_000_000_000), Some(500));
        assert_eq!(ticks.millis_since(0), None);
        assert_eq!(ticks.millis_since(6_000_000_000), Some(0));
    }
}
