//! Virtual time: a turn brings what each sender sends in it, and handles [`ROOM`] packets.

use super::*;
use crate::ids::{InterfaceId, NextHopId, TunnelId, VrfId};
use std::net::{IpAddr, Ipv4Addr};

/// Packets of a turn.
const ROOM: usize = 64;
/// Turns of a millisecond.
const TURNS: u64 = 2;
const TICKS_PER_MS: u64 = TURNS;
/// How long most tests run: six half-lives.
const MILLIS: u64 = 100;
/// When a run begins, ticks: the first key is changed at once then, and no other before the end.
const START: u64 = 1100 * TICKS_PER_MS;

/// The account of a sender's n-th packet.
type Sends = fn(u64) -> Account;

/// Who sends how many packets a turn, of what length.
struct Sender {
    account: Sends,
    per_turn: f64,
    len: usize,
}

fn tunnel(id: u32) -> Account {
    Account::Tunnel(TunnelId(id))
}

/// A source that nobody used before.
fn source(n: u64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(n.wrapping_mul(0x9e37_79b9) & 0xffff_ffff).unwrap_or(0)))
}

/// Each of the kinds that a flood can be made of; `n` counts its packets.
const FLOODS: [(&str, Sends); 8] = [
    ("valid or replayed, or forged from the peer's address", |_| tunnel(1000)),
    ("forged from elsewhere", |n| Account::Stranger(Stranger::Esp, source(n))),
    ("first contacts", |n| Account::Stranger(Stranger::Ike, source(n))),
    ("fragments", |n| Account::Stranger(Stranger::Fragment, source(n))),
    ("IKE from a peer's address", |_| Account::PeerIke(VrfId(0), source(0))),
    ("ARP", |_| Account::Discovery(InterfaceId(1))),
    ("from behind us", |_| Account::Route(VrfId(1), NextHopId(7))),
    ("a mixture", |n| match n % 5 {
        0 => tunnel(1000),
        1 => Account::Stranger(Stranger::Esp, source(n)),
        2 => Account::Stranger(Stranger::Ike, source(n)),
        3 => Account::Stranger(Stranger::Fragment, source(n)),
        _ => Account::Discovery(InterfaceId(1)),
    }),
];

/// Packets offered and handled of each sender.
fn run(fair: &mut FairShare, senders: &[Sender], millis: u64) -> Vec<(u64, u64)> {
    let mut totals = vec![(0_u64, 0_u64); senders.len()];
    let mut due = vec![0.0; senders.len()];
    for turn in 0..millis * TURNS {
        let mut batch = Vec::new();
        for (index, sender) in senders.iter().enumerate() {
            due[index] += sender.per_turn;
            while due[index] >= 1.0 {
                due[index] -= 1.0;
                batch.push(index);
            }
        }
        assert!(batch.len() <= BATCH);
        // Interleaved, and not in the same order in every turn.
        let mut random = crate::fair::fold(turn ^ 0x5555, 0x9e37_79b9_7f4a_7c15);
        for at in (1..batch.len()).rev() {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            batch.swap(at, usize::try_from(random >> 33).unwrap_or(0) % (at + 1));
        }
        fair.begin(START + turn);
        for &index in &batch {
            let sender = &senders[index];
            fair.offer(&(sender.account)(totals[index].0), sender.len);
            totals[index].0 += 1;
        }
        fair.decide(ROOM);
        let passed = batch.iter().zip(0..).filter(|(_, place)| fair.goes_on(*place));
        let passed: Vec<usize> = passed.map(|(index, _)| *index).collect();
        assert_eq!(passed.len(), batch.len().min(ROOM), "no capacity is left over");
        passed.into_iter().for_each(|index| totals[index].1 += 1);
    }
    totals
}

const HONEST: [Sends; 6] = [
    |_| tunnel(1),
    |_| tunnel(2),
    |_| Account::ToTunnel(TunnelId(3)),
    |_| Account::Route(VrfId(1), NextHopId(1)),
    |_| Account::Route(VrfId(1), NextHopId(2)),
    |_| Account::PeerIke(VrfId(0), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))),
];

#[test]
fn whoever_stays_below_its_share_loses_nothing_in_ten_times_overload() {
    for (kind, flood) in FLOODS {
        let mut senders: Vec<_> =
            HONEST.iter().map(|account| Sender { account: *account, per_turn: 4.3, len: 500 }).collect();
        senders.push(Sender { account: flood, per_turn: 600.0, len: 100 });
        let totals = run(&mut FairShare::new(7, TICKS_PER_MS), &senders, MILLIS);
        for (offered, handled) in &totals[..HONEST.len()] {
            assert_eq!(offered, handled, "{kind}");
        }
        // The flood has what is left, and not less.
        let (_, handled) = totals[HONEST.len()];
        let left = 64.0 - 6.0 * 4.3;
        assert!((handled as f64 / ((MILLIS * TURNS) as f64) - left).abs() < 0.01 * left, "{kind}: {handled}");
    }
}

#[test]
fn those_above_their_share_get_equal_shares() {
    let mut senders = vec![Sender { account: |_| tunnel(1), per_turn: 10.0, len: 100 }];
    let heavy: [Sends; 3] = [|_| tunnel(2), |_| tunnel(3), |_| tunnel(4)];
    let rates = [60.0, 150.0, 400.0];
    senders.extend(heavy.into_iter().zip(rates).map(|(account, per_turn)| Sender {
        account,
        per_turn,
        len: 100,
    }));
    let totals = run(&mut FairShare::new(7, TICKS_PER_MS), &senders, MILLIS);
    assert_eq!(totals[0].0, totals[0].1);
    for (_, handled) in &totals[1..] {
        let per_turn = *handled as f64 / ((MILLIS * TURNS) as f64);
        assert!((per_turn - 18.0).abs() < 0.5, "{totals:?}");
    }
}

#[test]
fn long_packets_count_for_more() {
    let senders = [
        Sender { account: |_| tunnel(1), per_turn: 300.0, len: 64 },
        Sender { account: |_| tunnel(2), per_turn: 300.0, len: 1400 },
    ];
    let totals = run(&mut FairShare::new(7, TICKS_PER_MS), &senders, MILLIS);
    let ratio = totals[0].1 as f64 / totals[1].1 as f64;
    assert!((ratio - 9.0 / 4.0).abs() < 0.1, "{ratio}");
}

#[test]
fn all_strangers_of_a_class_together_have_one_share() {
    // Two heavy tunnels and a flood from ever new sources: a third each.
    let senders = [
        Sender { account: |_| tunnel(1), per_turn: 200.0, len: 100 },
        Sender { account: |_| tunnel(2), per_turn: 200.0, len: 100 },
        Sender { account: |n| Account::Stranger(Stranger::Ike, source(n)), per_turn: 400.0, len: 100 },
    ];
    let totals = run(&mut FairShare::new(7, TICKS_PER_MS), &senders, MILLIS);
    for (_, handled) in totals {
        let share = handled as f64 / ((MILLIS * TURNS) as f64 * ROOM as f64);
        assert!((0.3..0.37).contains(&share), "{share}");
    }
}

#[test]
fn one_stranger_does_not_take_the_place_of_the_others() {
    let senders = [
        Sender { account: |_| tunnel(1), per_turn: 300.0, len: 100 },
        Sender { account: |_| Account::Stranger(Stranger::Ike, source(1)), per_turn: 300.0, len: 100 },
        Sender { account: |_| Account::Stranger(Stranger::Ike, source(2)), per_turn: 1.0, len: 100 },
    ];
    let fair = &mut FairShare::new(7, TICKS_PER_MS);
    let part = |n| fair.bucket(&Account::Stranger(Stranger::Ike, source(n)));
    assert_ne!(part(1), part(2));
    let totals = run(fair, &senders, MILLIS);
    assert_eq!(totals[2].0, totals[2].1);
}

#[test]
fn keys_change_and_take_nothing_with_them() {
    let mut fair = FairShare::new(7, TICKS_PER_MS);
    let bucket = |fair: &mut FairShare, millis: u64| {
        fair.begin(millis * TICKS_PER_MS);
        fair.bucket(&tunnel(1)).0
    };
    let first = bucket(&mut fair, 100_000);
    assert_eq!(bucket(&mut fair, 100_900), first);
    assert_ne!(bucket(&mut fair, 101_100), first);
    // What everybody used before the change is forgotten with it.
    fair.buckets.fill(Bucket { used: u32::MAX, at: fair.at });
    fair.begin(200_000 * TICKS_PER_MS);
    fair.offer(&tunnel(1), 100);
    assert_eq!(fair.charges[0].rank, cost(100));
}

#[test]
fn a_batch_has_an_end() {
    let mut fair = FairShare::new(7, TICKS_PER_MS);
    fair.begin(1);
    (0..BATCH + 10).for_each(|_| fair.offer(&tunnel(1), 100));
    fair.decide(ROOM);
    let passed = (0..2000).filter(|place| fair.goes_on(*place)).count();
    assert_eq!(passed, ROOM);
    fair.begin(2);
    fair.decide(ROOM);
    assert!(!fair.goes_on(0), "nothing was offered");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]

    /// Whatever the others send, everybody gets what it offers or its fair share, less a fiftieth.
    #[test]
    fn everybody_gets_a_fair_share(
        seed in 1_u64..1 << 60,
        rates in proptest::collection::vec((1_u32..400, 40_usize..1500), 1..10),
    ) {
        const ACCOUNTS: [Sends; 10] = [
            |_| tunnel(1), |_| tunnel(2), |_| tunnel(3), |_| tunnel(4), |_| tunnel(5),
            |_| Account::Route(VrfId(1), NextHopId(1)), |_| Account::ToTunnel(TunnelId(1)),
            |_| Account::Discovery(InterfaceId(1)), |_| Account::PeerIke(VrfId(0), source(1)),
            |n| Account::Stranger(Stranger::Esp, source(n)),
        ];
        let total: u32 = rates.iter().map(|(rate, _)| rate).sum();
        let scale = f64::min(1.0, 1000.0 / f64::from(total));
        let senders: Vec<_> = rates.iter().zip(ACCOUNTS)
            .map(|((rate, len), account)| Sender { account, per_turn: f64::from(*rate) * scale, len: *len })
            .collect();
        let mut fair = FairShare::new(seed, TICKS_PER_MS);
        fair.begin(START);
        let mut buckets: Vec<_> = senders.iter().map(|sender| fair.bucket(&(sender.account)(0)).0).collect();
        buckets.sort_unstable();
        buckets.dedup();
        proptest::prop_assume!(buckets.len() == senders.len());
        let totals = run(&mut fair, &senders, MILLIS);
        let spent: f64 = totals.iter().zip(&senders).map(|((_, n), s)| *n as f64 * f64::from(cost(s.len))).sum();
        let share = spent / senders.len() as f64;
        for ((offered, handled), sender) in totals.iter().zip(&senders) {
            let fair_share = f64::min(*offered as f64, share / f64::from(cost(sender.len)));
            proptest::prop_assert!(*handled as f64 >= 0.98 * fair_share - 64.0, "{totals:?} {fair_share}");
        }
    }
}
