use super::*;

/// Nanoseconds, so that any rate can be offered evenly.
const TICKS: u64 = 1_000_000_000;
const SECOND: u64 = TICKS;

/// A limit on bytes, 100 ms deep.
fn bandwidth(bits_per_second: u64) -> PolicerRates {
    PolicerRates { bits_per_second, packets_per_second: 0, burst_ms: 100 }
}

fn packets(packets_per_second: u32) -> PolicerRates {
    PolicerRates { bits_per_second: 0, packets_per_second, burst_ms: 100 }
}

/// Packets of `len` bytes that pass of `offered` per second, evenly for `seconds`, to the workers in turn.
fn passed(
    policer: &Policer,
    direction: Direction,
    len: u16,
    offered: u64,
    seconds: u64,
    workers: u16,
) -> u64 {
    let packets = (0..offered * seconds).zip((0..workers).cycle());
    let times = packets.map(|(i, worker)| (10 * SECOND + i * SECOND / offered, worker));
    times.filter(|&(now, worker)| policer.admit(direction, len, worker, now).is_ok()).count() as u64
}

/// `rate × time` and the burst, to one part in a hundred.
fn assert_near(passed: u64, rate: u64, seconds: u64) {
    let expected = rate * seconds + rate / 10;
    assert!(passed.abs_diff(expected) * 100 <= expected, "{passed} passed, {expected} expected");
}

#[test]
fn bits_and_packets_pass_at_their_rate_whatever_the_number_of_workers() {
    for workers in [1, 2, 7] {
        // 100 Mbit/s of 1,250 bytes are 10,000 packets a second.
        let policer = Policer::new(bandwidth(100_000_000), usize::from(workers), TICKS);
        assert_near(passed(&policer, Direction::Outbound, 1250, 40_000, 3, workers), 10_000, 3);
        let policer = Policer::new(packets(12_000), usize::from(workers), TICKS);
        assert_near(passed(&policer, Direction::Inbound, 64, 100_000, 3, workers), 12_000, 3);
    }
}

#[test]
fn what_stays_below_loses_nothing() {
    let rates = PolicerRates { bits_per_second: 100_000_000, packets_per_second: 10_000, burst_ms: 100 };
    for workers in [1, 2] {
        let policer = Policer::new(rates, usize::from(workers), TICKS);
        assert_eq!(passed(&policer, Direction::Outbound, 1250, 9_900, 3, workers), 29_700);
    }
}

#[test]
fn a_clock_of_milliseconds_polices_as_well() {
    let policer = Policer::new(packets(10_000), 1, 1000);
    let burst =
        |now| (0..100).filter(|_| policer.admit(Direction::Outbound, 64, 0, now).is_ok()).count() as u64;
    assert_near((10_000..13_000).map(burst).sum(), 10_000, 3);
}

#[test]
fn a_full_bucket_passes_its_burst_at_once_and_not_more() {
    let policer = Policer::new(bandwidth(80_000_000), 1, TICKS);
    let at = |now| (0..10_000).filter(|_| policer.admit(Direction::Outbound, 1000, 0, now).is_ok()).count();
    // 10 MB/s for 100 ms are 1,000 packets of 1,000 bytes.
    assert!((990..=1000).contains(&at(SECOND)));
    assert_eq!(at(SECOND), 0);
    // After a long rest it is no fuller than full.
    assert!((990..=1010).contains(&at(1000 * SECOND)));
}

#[test]
fn each_direction_has_its_bytes_and_both_share_the_packets() {
    let policer = Policer::new(bandwidth(1_000_000), 1, TICKS);
    let all = |direction| (0..100).filter(|_| policer.admit(direction, 1000, 0, SECOND).is_ok()).count();
    assert_eq!((all(Direction::Outbound), all(Direction::Inbound)), (12, 12));
    let policer = Policer::new(packets(200), 1, TICKS);
    let all = |direction| (0..100).filter(|_| policer.admit(direction, 1000, 0, SECOND).is_ok()).count();
    assert_eq!((all(Direction::Outbound), all(Direction::Inbound)), (20, 0));
    assert_eq!(policer.admit(Direction::Inbound, 64, 0, SECOND), Err(DropReason::PolicerPackets));
}

#[test]
fn a_refused_packet_is_charged_nowhere() {
    let rates = PolicerRates { bits_per_second: 1_000_000, packets_per_second: 100, burst_ms: 1000 };
    let policer = Policer::new(rates, 1, TICKS);
    let large = (0..1000).filter(|_| policer.admit(Direction::Outbound, 9000, 0, SECOND).is_ok()).count();
    assert_eq!(
        (large, policer.admit(Direction::Outbound, 9000, 0, SECOND)),
        (13, Err(DropReason::PolicerBandwidth))
    );
    // 1,000 packets too large took none of the 100 packets.
    assert_eq!((0..1000).filter(|_| policer.admit(Direction::Inbound, 0, 0, SECOND).is_ok()).count(), 87);
}

#[test]
fn the_largest_packet_passes_the_smallest_limit() {
    let rates = PolicerRates { bits_per_second: 64_000, packets_per_second: 10, burst_ms: 1 };
    let policer = Policer::new(rates, 64, TICKS);
    assert_eq!(policer.admit(Direction::Inbound, 9216, 63, 10 * SECOND), Ok(()));
    assert_eq!(policer.admit(Direction::Inbound, 9216, 0, 10 * SECOND), Err(DropReason::PolicerPackets));
}

#[test]
fn the_largest_limits_overflow_nothing() {
    let rates = PolicerRates {
        bits_per_second: *PolicerRates::BITS_PER_SECOND.end(),
        packets_per_second: *PolicerRates::PACKETS_PER_SECOND.end(),
        burst_ms: *PolicerRates::BURST_MS.end(),
    };
    let policer = Policer::new(rates, 1, 4_000_000_000);
    assert_eq!(policer.admit(Direction::Outbound, u16::MAX, 0, u64::MAX), Ok(()));
    assert_eq!(policer.admit(Direction::Outbound, u16::MAX, 0, 0), Ok(()), "a clock that goes back");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// The documented bound: rate × time + burst, and for each worker a quantum and a packet.
    #[test]
    fn never_more_than_the_bound(
        rate in 10_000_u64..1_000_000,
        burst_ms in 1_u32..1000,
        steps in proptest::collection::vec((0_u64..2_000_000, 0_u16..3, 40_u16..1500), 1..2000),
    ) {
        let policer = Policer::new(
            PolicerRates { bits_per_second: rate * 8, packets_per_second: 0, burst_ms }, 3, TICKS,
        );
        let start = 100 * SECOND;
        let (mut now, mut carried) = (start, 0);
        for (pause, worker, len) in steps {
            now += pause;
            if policer.admit(Direction::Outbound, len, worker, now).is_ok() {
                carried += u64::from(len);
            }
        }
        let depth = (rate * u64::from(burst_ms) / 1000).max(LARGEST_PACKET);
        let bound = rate * (now - start) / SECOND + depth + 3 * (depth / QUANTA + 1500);
        proptest::prop_assert!(carried <= bound, "{carried} > {bound}");
    }
}
