use super::*;
use crate::prefix::Prefix;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest prefix match by looking at every prefix.
fn naive(model: &BTreeMap<Prefix, u32>, address: IpAddr) -> Option<u32> {
    model.iter().filter(|(p, _)| p.contains(address)).max_by_key(|(p, _)| p.len()).map(|(_, v)| *v)
}

/// Addresses from a small space, so that prefixes nest and collide.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = prop::collection::vec(prop::sample::select(vec![0u8, 1, 10, 127, 128, 255]), 4)
        .prop_map(|b| Ipv4Addr::new(b[0], b[1], b[2], b[3]).into());
    let v6 = prop::collection::vec(prop::sample::select(vec![0u16, 1, 0x2001, 0x8000, 0xffff]), 8)
        .prop_map(|w| Ipv6Addr::new(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]).into());
    prop_oneof![v4, v6]
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (address(), 0u8..=128).prop_map(|(a, len)| {
        Prefix::containing(a, if a.is_ipv4() { len % 33 } else { len }).expect("a length of the family")
    })
}

/// What is listed after a prefix.
fn listed_after(map: &PrefixMap<u32>, last: Prefix) -> Vec<(Prefix, u32)> {
    let mut listed = Vec::new();
    let _: ControlFlow<()> = map.try_for_each_after(last, |prefix, value| {
        listed.push((prefix, *value));
        ControlFlow::Continue(())
    });
    listed
}

type Op = (Prefix, Option<u32>);

fn step(map: &mut PrefixMap<u32>, model: &mut BTreeMap<Prefix, u32>, (prefix, value): Op) {
    match value {
        Some(value) => assert_eq!(map.insert(prefix, value), model.insert(prefix, value)),
        None => assert_eq!(map.remove(prefix), model.remove(&prefix)),
    }
    assert_eq!(map.exact(prefix), model.get(&prefix));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn agrees_with_the_naive_match_and_leaves_snapshots_alone(
        before in prop::collection::vec((prefix(), any::<Option<u32>>()), 0..60),
        after in prop::collection::vec((prefix(), any::<Option<u32>>()), 0..60),
        probes in prop::collection::vec(address(), 40),
        networks in prop::collection::vec(prefix(), 10),
    ) {
        let (mut map, mut model) = (PrefixMap::default(), BTreeMap::new());
        // Removing what was inserted exercises pruning.
        let removals: Vec<Op> = before.iter().step_by(3).map(|(p, _)| (*p, None)).collect();
        for op in before { step(&mut map, &mut model, op); }
        let (snapshot, old) = (map.clone(), model.clone());
        for op in after.into_iter().chain(removals) { step(&mut map, &mut model, op); }
        for (map, model) in [(&snapshot, &old), (&map, &model)] {
            for probe in &probes {
                prop_assert_eq!(map.lookup(*probe).copied(), naive(model, *probe));
            }
            for network in networks.iter() {
                let mut inside = BTreeMap::new();
                let _: ControlFlow<()> = map.try_for_each_within(*network, |prefix, value| {
                    assert!(inside.insert(prefix, *value).is_none());
                    ControlFlow::Continue(())
                });
                let expected = model.iter().filter(|(p, _)| network.covers(p));
                prop_assert!(inside.iter().eq(expected));
            }
            let mut listed = Vec::new();
            map.for_each(|prefix, value| listed.push((prefix, *value)));
            prop_assert!(listed.windows(2).all(|pair| !pair[1].0.covers(&pair[0].0)));
            prop_assert_eq!(&listed.iter().copied().collect::<BTreeMap<_, _>>(), model);
            prop_assert_eq!((map.len(), listed.len()), (model.len(), model.len()));
            for (at, (last, _)) in listed.iter().enumerate() {
                prop_assert_eq!(&listed_after(map, *last), &listed[at + 1..]);
            }
            for gone in &networks {
                let mut with = map.clone();
                with.insert(*gone, 0);
                prop_assert_eq!(listed_after(map, *gone), listed_after(&with, *gone), "it need not be there");
            }
            // How it came about leaves no trace: what is removed takes its nodes along.
            let mut fresh = PrefixMap::default();
            for (prefix, value) in model { fresh.insert(*prefix, *value); }
            prop_assert_eq!(format!("{map:?}"), format!("{fresh:?}"));
        }
    }
}

#[test]
fn an_emptied_trie_holds_no_nodes() {
    let mut trie = Trie::<u32, u8>::default();
    trie.insert(0x0a01_0200, 24, 1);
    trie.insert(0, 0, 2);
    assert_eq!(trie.lookup(0x0a01_02ff), Some(&1));
    assert_eq!(trie.lookup(0x0b00_0000), Some(&2));
    assert_eq!(trie.remove(0x0a01_0200, 24), Some(1));
    assert_eq!(trie.remove(0, 0), Some(2));
    assert!(trie.is_empty() && trie.root.is_empty());
}

#[test]
fn a_hundred_thousand_routes_build_and_one_change_is_small() {
    let mut trie = Trie::<u32, u32>::default();
    let mut seed = 1u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(seed >> 32).expect("32 bits")
    };
    let mut inserted = 0;
    for i in 0..100_000 {
        inserted += usize::from(trie.insert(next() & 0xffff_ff00, 24, i).is_none());
    }
    assert_eq!(trie.len(), inserted);
    let snapshot = trie.clone();
    trie.insert(0xcb00_7100, 24, 7);
    assert_eq!(trie.lookup(0xcb00_7109), Some(&7));
    assert_ne!(snapshot.lookup(0xcb00_7109), Some(&7));
}
