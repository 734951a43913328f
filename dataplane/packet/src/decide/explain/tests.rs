use super::*;
use crate::decide::{classify_outside, decide_inner};
use crate::ids::NextHopId;
use crate::policy::PolicyRoute;
use crate::prefix::Prefix;
use crate::selectors::{PortRange, SelectorPair};
use crate::spd::{Action, Heading, SpdEntry};
use crate::tables::{Change, NextHop, NextHopKind, Tunnel};
use crate::testing::*;

/// Reproducible pseudo-random numbers (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn small(&mut self, bound: u8) -> u8 {
        u8::try_from(self.below(bound.into())).expect("below a byte")
    }

    fn port(&mut self) -> u16 {
        u16::try_from(self.below(1 << 16)).expect("16 bits")
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).expect("an index")]
    }

    fn prefix(&mut self) -> Prefix {
        let len = *self.of(&[0, 8, 12, 16, 20, 24, 28, 32]);
        Prefix::containing(self.address(), len).expect("a length of IPv4")
    }

    fn address(&mut self) -> IpAddr {
        let network = *self.of(&[[10, 1], [10, 2], [10, 3], [192, 0], [203, 0], [127, 0], [224, 1], [0, 0]]);
        let [a, b] = if self.below(8) == 0 { network } else { *self.of(&[[10, 1], [10, 2], [10, 3]]) };
        IpAddr::from([a, b, self.small(3), self.small(20)])
    }
}

/// The gateway of the fixtures with a few tunnels, and routes, policy routes and bypass entries by chance.
fn random_tables(chance: &mut Chance) -> Tables<u32> {
    let mut tables = gateway();
    let ids: Vec<_> = (20..26).map(TunnelId).collect();
    for (index, id) in (0..).zip(&ids) {
        let acquire = chance.below(4) == 0;
        apply(&mut tables, [Change::PutTunnel(Tunnel { acquire, ..tunnel(*id) })]);
        for age in 0..chance.below(3) {
            let name = spi(0x2_0100 + index * 16 + u32::try_from(age).expect("small"));
            let mut changes = install(name, *id, chance.below(4) != 0);
            changes.pop();
            let mut selector = SelectorPair::between(chance.prefix(), chance.prefix());
            if chance.below(3) == 0 {
                selector.remote.ports = PortRange::new(0, 30_000).expect("a range");
            }
            changes.push(Change::AddSelector { spi: name, selector });
            apply(&mut tables, changes);
        }
    }
    let active = *chance.of(&[0, 1, 0b10_1010, 0b11_1111]);
    let out = |gateway: Option<&str>| NextHopKind::Interface { interface: OUTSIDE, gateway: gateway.map(ip) };
    let kinds = [
        group(&ids, active),
        group(&ids[..1], 1),
        out(Some("192.0.2.254")),
        out(None),
        NextHopKind::Interface { interface: INSIDE, gateway: Some(ip("10.1.0.250")) },
        NextHopKind::Local,
        NextHopKind::Discard,
    ];
    let hops: Vec<_> = (10..).map(NextHopId).take(kinds.len()).collect();
    let puts = hops.iter().zip(kinds).map(|(id, kind)| Change::PutNextHop(NextHop { id: *id, kind }));
    apply(&mut tables, puts.collect::<Vec<_>>());
    for _ in 0..20 {
        let (src, dst, next_hop) = (chance.prefix(), chance.prefix(), *chance.of(&hops));
        let vrf = *chance.of(&[INNER, OUTER]);
        let change = match chance.below(8) {
            0 => {
                let priority = 1 + u32::from(chance.small(4));
                let src = Prefix::containing(src.address(), src.len().max(16)).expect("IPv4");
                Change::PutPolicyRoute { vrf, route: PolicyRoute { priority, src, dst, next_hop } }
            }
            1 => Change::PutSpdEntry { vrf, order: chance.small(30).into(), entry: random_entry(chance) },
            _ => Change::PutRoute { vrf, prefix: dst, next_hop },
        };
        apply(&mut tables, [change]);
    }
    tables
}

fn random_entry(chance: &mut Chance) -> SpdEntry {
    let mut selectors = SelectorPair::between(chance.prefix(), chance.prefix());
    if chance.below(3) == 0 {
        selectors.remote.ports = PortRange::new(20_000, u16::MAX).expect("a range");
    }
    SpdEntry {
        action: *chance.of(&[Action::Bypass, Action::Bypass, Action::Discard]),
        heading: *chance.of(&[Heading::Both, Heading::Out, Heading::In]),
        selectors,
    }
}

fn random_flow(chance: &mut Chance) -> Flow {
    let (src, dst) = (chance.address().to_string(), chance.address().to_string());
    let packet = udp(&src, &dst, (chance.port(), chance.port()), &[]);
    Flow {
        hop_limit: *chance.of(&[1, 2, 64]),
        len: *chance.of(&[28, 1000, 1446, 1447, 1501, 9000]),
        dont_fragment: chance.below(2) == 0,
        fragment: chance.below(8) == 0,
        ..flow(&packet)
    }
}

#[test]
fn an_explanation_is_the_decision() {
    let mut chance = Chance(7);
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..100 {
        let tables = random_tables(&mut chance);
        for _ in 0..1000 {
            let flow = random_flow(&mut chance);
            let ingress =
                *chance.of(&[Ingress::Inside, Ingress::Outside, Ingress::Tunnel(TUNNEL), Ingress::Own]);
            let vrf = *chance.of(&[INNER, INNER, INNER, OUTER, VrfId(9)]);
            let explained = explain_inner(&tables, vrf, &flow, ingress);
            assert_eq!(
                explained.verdict,
                Verdict::from(&decide_inner(&tables, vrf, &flow, ingress)),
                "{flow:?}"
            );
            check_steps(&explained);
            *seen.entry(kind(explained.verdict)).or_default() += 1;
        }
    }
    // The tables are random enough to lead everywhere.
    let must = [
        "Encapsulate",
        "Forward",
        "Local",
        "Acquire",
        "TimeExceeded",
        "TooBig",
        "FragmentIntoTunnel",
        "Fragment",
    ];
    for kind in must.into_iter().chain([
        "FragmentForward",
        "no_active_tunnel",
        "no_matching_selector",
        "policy_discard",
    ]) {
        assert!(seen.contains_key(kind), "{kind} never seen: {seen:?}");
    }
}

fn kind(verdict: Verdict) -> String {
    match verdict {
        Verdict::Drop(reason) => reason.name().to_owned(),
        other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    }
}

/// What the steps say was chosen is what the verdict names.
fn check_steps(explained: &Explanation) {
    for step in &explained.steps {
        assert!(!step.to_string().is_empty() && step.losers().iter().all(|loser| !loser.is_empty()));
        if let Step::Spd { matched: Some((_, entry)), needs_whole: false, .. } = step {
            let discarded = explained.verdict == Verdict::Drop(DropReason::PolicyDiscard);
            assert_eq!(entry.action == Action::Discard, discarded);
        }
        if let Step::Children { tried, .. } = step {
            let found = |because| tried.iter().find(|tried| tried.because == because).map(|t| t.spi);
            let (chosen, held) = (found(TriedBecause::Chosen), found(TriedBecause::NeedsWhole));
            assert_eq!(held.is_some(), explained.verdict == Verdict::Fragment);
            match explained.verdict {
                Verdict::Encapsulate { spi, .. } | Verdict::FragmentIntoTunnel { spi, .. } => {
                    assert_eq!(chosen, Some(spi));
                }
                Verdict::Acquire(_) | Verdict::Drop(_) | Verdict::Fragment => assert_eq!(chosen, None),
                _ => assert!(chosen.is_some()),
            }
        }
    }
}

#[test]
fn the_losers_are_named() {
    let mut tables = gateway();
    let discard = NextHop { id: NextHopId(9), kind: NextHopKind::Discard };
    let route =
        PolicyRoute { priority: 5, src: prefix("10.9.0.0/16"), dst: Prefix::ANY_V4, next_hop: discard.id };
    apply(
        &mut tables,
        [
            Change::PutNextHop(discard),
            Change::PutRoute { vrf: INNER, prefix: Prefix::ANY_V4, next_hop: NextHopId(9) },
            Change::PutPolicyRoute { vrf: INNER, route },
        ],
    );
    apply(&mut tables, install(spi(0x1_0002), TUNNEL, false));
    let about = |flow: &Flow| explain_inner(&tables, INNER, flow, Ingress::Inside);
    let explained = about(&flow(&udp("10.1.0.9", "10.2.0.9", (1, 2), b"")));
    let losers: Vec<_> = explained.steps.iter().flat_map(Step::losers).collect();
    assert_eq!(
        losers,
        [
            "priority 5, 10.9.0.0/16 to 0.0.0.0/0, next hop 9: does not match",
            "0.0.0.0/0 to next hop 9: less specific",
            "SA 00010002: may not send (reserved, not active yet, or replaced)",
        ]
    );
    assert_eq!(explained.verdict.to_string(), "encrypted with SA 00010001 of tunnel 7");
    let stages: Vec<_> = explained.steps.iter().map(Step::stage).collect();
    assert_eq!(stages, ["policy", "route", "next-hop", "group", "child-sa", "limits", "outer"]);

    let strange = about(&flow(&udp("10.7.0.9", "10.2.0.9", (1, 2), b"")));
    assert_eq!(strange.verdict, Verdict::Drop(DropReason::NoMatchingSelector));
    let why = "SA 00010001: source address not in 10.1.0.0-10.1.0.255 === 10.2.0.0-10.2.0.255";
    assert!(strange.steps.iter().flat_map(Step::losers).any(|loser| loser == why));
}

#[test]
fn what_arrives_outside_is_explained_as_it_is_classified() {
    let mut chance = Chance(11);
    for _ in 0..20 {
        let tables = random_tables(&mut chance);
        let outside = tables.interface(OUTSIDE).expect("configured");
        for _ in 0..200 {
            let src = chance.address().to_string();
            let dst =
                if chance.below(2) == 0 { "192.0.2.1".to_owned() } else { chance.address().to_string() };
            let ports = (chance.port(), *chance.of(&[500, 4500, 53]));
            let packet = match chance.below(3) {
                0 => udp(&src, &dst, ports, &[chance.small(2); 40]),
                1 => ipv4(&src, &dst, *chance.of(&[1, 50, 6]), &[chance.small(200); 60]),
                _ => ipv4(&src, &dst, 50, &[1; 5]),
            };
            let flow = flow(&packet);
            let explained = explain_outside(&tables, outside, &packet, &flow);
            let classified = classify_outside(&tables, outside, &packet, &flow);
            assert_eq!(explained.verdict, Verdict::from(&classified));
        }
    }
}
