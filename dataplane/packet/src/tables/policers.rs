//! The limits of connections.

use super::apply::{at_most, in_range_u32};
use super::change::ChangeError;
use super::{MAX_ID, Tables};
use crate::policer::{Policer, PolicerRates};
use std::sync::Arc;

/// The most connections with limits: each takes a cache line of every worker.
pub const MAX_POLICERS: usize = 1 << 14;

impl<K> Tables<K> {
    /// One that is put again with the same rates keeps what is left of its buckets.
    pub(super) fn put_policer(&mut self, connection: u32, policer: Arc<Policer>) -> Result<(), ChangeError> {
        let index = policer_index(connection)?;
        check_rates(policer.rates())?;
        let same = |known: &&Arc<Policer>| known.rates() == policer.rates();
        let known = self.policers.lookup(index).or(self.former_policers.lookup(index));
        let policer = known.filter(same).map_or(policer.clone(), Arc::clone);
        self.policers.insert(index, policer);
        at_most("policers", self.policers.len(), MAX_POLICERS)
    }

    pub(super) fn delete_policer(&mut self, connection: u32) -> Result<(), ChangeError> {
        let missing = ChangeError::Missing { object: "policer of connection", id: connection };
        self.policers.remove(policer_index(connection)?).map(drop).ok_or(missing)
    }
}

fn policer_index(connection: u32) -> Result<usize, ChangeError> {
    in_range_u32("connection of a policer", connection, 0..=MAX_ID - 1)?;
    Ok(usize::try_from(connection).unwrap_or(usize::MAX))
}

fn check_rates(rates: PolicerRates) -> Result<(), ChangeError> {
    let PolicerRates { bits_per_second, packets_per_second, burst_ms } = rates;
    let allowed = PolicerRates::BITS_PER_SECOND;
    if bits_per_second != 0 && !allowed.contains(&bits_per_second) {
        let (min, max) = allowed.into_inner();
        return Err(ChangeError::OutOfRange { field: "bits per second", value: bits_per_second, min, max });
    }
    if packets_per_second != 0 {
        in_range_u32("packets per second", packets_per_second, PolicerRates::PACKETS_PER_SECOND)?;
    }
    in_range_u32("burst", burst_ms, PolicerRates::BURST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DropReason;
    use crate::sad::Direction;
    use crate::tables::Change;
    use crate::testing::{TUNNEL, gateway};

    const RATES: PolicerRates = PolicerRates { bits_per_second: 0, packets_per_second: 10, burst_ms: 100 };

    fn put(connection: u32, rates: PolicerRates) -> Change<u32> {
        Change::PutPolicer { connection, policer: Arc::new(Policer::new(rates, 1, 1000)) }
    }

    fn admit(tables: &Tables<u32>) -> Result<(), DropReason> {
        tables.policer(TUNNEL).map_or(Ok(()), |policer| policer.admit(Direction::Outbound, 64, 0, 10_000))
    }

    #[test]
    fn the_tunnels_of_a_connection_find_its_policer() {
        let mut tables = gateway();
        assert!(tables.policer(TUNNEL).is_none());
        tables.apply(put(2, RATES)).unwrap();
        assert!(tables.policer(TUNNEL).is_none());
        tables.apply(put(1, RATES)).unwrap();
        assert_eq!(tables.policer(TUNNEL).map(Policer::rates), Some(RATES));
        tables.apply(Change::DeletePolicer { connection: 1 }).unwrap();
        assert!(tables.policer(TUNNEL).is_none());
        assert!(tables.apply(Change::DeletePolicer { connection: 1 }).is_err());
    }

    #[test]
    fn unchanged_rates_keep_their_buckets_and_others_begin_full() {
        let mut tables = gateway();
        tables.apply(put(1, RATES)).unwrap();
        assert_eq!((admit(&tables), admit(&tables)), (Ok(()), Err(DropReason::PolicerPackets)));
        tables.apply(put(1, RATES)).unwrap();
        assert_eq!(admit(&tables), Err(DropReason::PolicerPackets));

        let mut full = tables.begin_full();
        assert!(full.policers.is_empty());
        full.apply(Change::PutTunnel(crate::testing::tunnel(TUNNEL))).unwrap();
        full.apply(put(1, RATES)).unwrap();
        full.commit();
        assert_eq!(admit(&full), Err(DropReason::PolicerPackets));
        assert!(full.former_policers.is_empty());

        tables.apply(put(1, PolicerRates { burst_ms: 200, ..RATES })).unwrap();
        assert_eq!((admit(&tables), admit(&tables)), (Ok(()), Ok(())));
    }

    #[test]
    fn hostile_values_are_refused() {
        let mut tables = gateway();
        for rates in [
            PolicerRates { bits_per_second: 1, ..RATES },
            PolicerRates { bits_per_second: u64::MAX, ..RATES },
            PolicerRates { packets_per_second: 9, ..RATES },
            PolicerRates { packets_per_second: u32::MAX, ..RATES },
            PolicerRates { burst_ms: 0, ..RATES },
            PolicerRates { burst_ms: u32::MAX, ..RATES },
        ] {
            assert!(tables.apply(put(1, rates)).is_err(), "{rates:?}");
        }
        assert!(tables.apply(put(MAX_ID, RATES)).is_err());
        let connections = 0..u32::try_from(MAX_POLICERS).unwrap();
        connections.clone().for_each(|connection| tables.apply(put(connection, RATES)).unwrap());
        let one_more = tables.apply(put(connections.end, RATES));
        assert!(matches!(one_more, Err(ChangeError::TooMany { .. })));
    }
}
