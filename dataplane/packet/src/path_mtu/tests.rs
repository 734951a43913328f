use super::*;
use crate::esp::layout::TransformIds;
use crate::esp::{EspGeometry, EspLayout};
use crate::flow::Flow;
use proptest::prelude::*;

/// How often the owner of a prober comes round.
const TICK: Duration = Duration::from_millis(100);
/// Between a probe and its answer.
const ROUND_TRIP: Duration = Duration::from_millis(200);

fn layout(suite: (u16, u16, u16), outer_len: u8) -> EspLayout {
    let (encryption, key_bits, integrity) = suite;
    let ids = TransformIds { encryption, key_bits, integrity };
    EspLayout { outer_len, geometry: EspGeometry::new(ids).expect("a suite") }
}

fn gcm() -> EspLayout {
    layout((20, 128, 0), 20)
}

/// What is on the way.
#[derive(Clone, Copy, Debug)]
struct Path {
    outbound: u16,
    inbound: u16,
    /// What becomes of answers that are too large.
    too_large: Option<Pieces>,
    /// Of 100 packets in either direction, so many are lost by chance.
    loss: u32,
    /// The peer takes padding of ESP.
    padding: bool,
    up: bool,
}

impl Path {
    fn of(outbound: u16, inbound: u16) -> Self {
        Self { outbound, inbound, too_large: None, loss: 0, padding: true, up: true }
    }

    /// How the answer to a probe arrives, if it does.
    fn answer(&self, ask: Ask, chance: &mut impl FnMut(u32) -> bool) -> Option<Arrived> {
        if !self.up || chance(self.loss) || chance(self.loss) {
            return None;
        }
        let whole = |largest| Some(Arrived { largest, pieces: Pieces::Whole });
        match ask {
            Ask::Alive => whole(100),
            Ask::Outbound { size, filling: Filling::Padding } => {
                (self.padding && size <= self.outbound).then_some(())?;
                whole(100)
            }
            Ask::Outbound { size, filling: Filling::Data } => {
                (size <= self.outbound.min(self.inbound)).then_some(())?;
                whole(size)
            }
            Ask::Inbound { size } if size <= self.inbound => whole(size),
            Ask::Inbound { .. } => {
                let pieces = self.too_large?;
                let largest =
                    if pieces == Pieces::Outer { (self.inbound - 20) / 8 * 8 + 20 } else { self.inbound };
                Some(Arrived { largest, pieces })
            }
        }
    }
}

/// A prober on a path, in virtual time.
struct Bench {
    prober: Prober,
    now: Duration,
    answers: Vec<(Duration, u16, Arrived)>,
    random: u32,
    sent: usize,
}

impl Bench {
    fn new(sizes: Sizes, seed: u32) -> Self {
        Self {
            prober: Prober::new(sizes),
            now: Duration::ZERO,
            answers: Vec::new(),
            random: seed | 1,
            sent: 0,
        }
    }

    fn run(&mut self, path: &Path, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick(path);
        }
    }

    /// Runs until the search is complete, and says how long that took.
    fn complete(&mut self, path: &Path, limit: Duration) -> Duration {
        let start = self.now;
        while self.prober.status().state != State::Complete && self.now - start < limit {
            self.tick(path);
        }
        self.now - start
    }

    fn tick(&mut self, path: &Path) {
        self.now += TICK;
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.answers).into_iter().partition(|(at, ..)| *at <= now);
        self.answers = later;
        let due: Vec<(Duration, u16, Arrived)> = due;
        for (_, sequence, arrived) in due {
            assert!(self.prober.handle_answer(sequence, arrived, now));
        }
        while let Some(probe) = self.prober.poll(now) {
            self.sent += 1;
            let random = &mut self.random;
            let mut chance = |percent: u32| {
                *random ^= *random << 13;
                *random ^= *random >> 17;
                *random ^= *random << 5;
                *random % 100 < percent
            };
            if let Some(arrived) = path.answer(probe.ask, &mut chance) {
                self.answers.push((now + ROUND_TRIP, probe.sequence, arrived));
            }
        }
    }
}

/// The largest packet of an SA that a path of `mtu` takes.
fn fitting(layout: &EspLayout, mtu: u16) -> u16 {
    u16::try_from(layout.sealed_len(layout.inner_mtu(mtu).into())).expect("small")
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_mtu_is_found_within_a_minute_in_both_directions(
        outbound in 1280..=9000u16,
        inbound in 1280..=9000u16,
        loss in 0..=8u32,
        seed: u32,
        suite in prop::sample::select(vec![(20, 128, 0), (12, 128, 2), (12, 256, 14), (28, 0, 0)]),
        outer in prop::sample::select(vec![20u8, 28, 40, 48]),
        too_large in prop::sample::select(vec![None, Some(Pieces::Outer), Some(Pieces::Inner)]),
    ) {
        let layout = layout(suite, outer);
        let sizes = Sizes::new(&layout, outer < 40, 9000);
        let path = Path { loss, too_large, ..Path::of(outbound, inbound) };
        let mut bench = Bench::new(sizes, seed);
        let took = bench.complete(&path, minute());
        let status = bench.prober.status();
        prop_assert_eq!(status.state, State::Complete);
        prop_assert_eq!(status.outbound.size, fitting(&layout, outbound));
        prop_assert_eq!(status.inbound.size, fitting(&layout, inbound));
        prop_assert!(took < minute(), "{:?}", took);
        prop_assert!(bench.sent < 400, "{} probes", bench.sent);
    }
}

#[test]
fn every_mtu_is_found_and_said_to_vanish() {
    let layout = gcm();
    let sizes = Sizes::new(&layout, true, 9000);
    for mtu in 1280..=9000 {
        let mut bench = Bench::new(sizes, 1);
        let path = Path::of(mtu, 10_280 - mtu);
        let took = bench.complete(&path, minute());
        assert!(took < Duration::from_secs(30), "{mtu}: {took:?}");
        let status = bench.prober.status();
        assert_eq!(status.outbound.size, fitting(&layout, mtu));
        assert_eq!(status.inbound.size, fitting(&layout, 10_280 - mtu));
        let vanish = |mtu: u16| {
            if fitting(&layout, mtu) < fitting(&layout, 9000) { Limit::Vanish } else { Limit::Link }
        };
        assert_eq!((status.outbound.limit, status.inbound.limit), (vanish(mtu), vanish(10_280 - mtu)));
    }
}

#[test]
fn a_path_that_takes_what_the_link_takes_costs_a_few_probes() {
    let mut bench = Bench::new(Sizes::new(&gcm(), true, 1500), 1);
    let took = bench.complete(&Path::of(9000, 9000), minute());
    assert!(took < Duration::from_secs(3) && bench.sent < 25, "{took:?}, {} probes", bench.sent);
    bench.run(&Path::of(9000, 9000), Duration::from_secs(300));
    assert!(bench.sent < 50, "{} probes in five minutes", bench.sent);
}

#[test]
fn how_answers_come_says_why_larger_ones_do_not() {
    for (pieces, limit) in [(Pieces::Outer, Limit::Fragmented), (Pieces::Inner, Limit::Sender)] {
        let mut bench = Bench::new(Sizes::new(&gcm(), true, 1500), 1);
        let path = Path { too_large: Some(pieces), ..Path::of(1500, 1400) };
        bench.complete(&path, minute());
        let status = bench.prober.status();
        assert_eq!(status.inbound, Reach { size: 1400, limit });
        assert_eq!(status.outbound, Reach { size: 1500, limit: Limit::Link });
    }
}

#[test]
fn a_path_that_shrinks_is_noticed_and_one_that_grows_later() {
    let mut bench = Bench::new(Sizes::new(&gcm(), true, 1500), 1);
    bench.complete(&Path::of(1500, 1500), minute());
    bench.run(&Path::of(1300, 1500), minute());
    assert_eq!(bench.prober.status().outbound, Reach { size: 1300, limit: Limit::Vanish });
    bench.run(&Path::of(1500, 1500), minute());
    assert_eq!(bench.prober.status().outbound.size, 1300);
    bench.run(&Path::of(1500, 1500), Duration::from_secs(620));
    assert_eq!(bench.prober.status().outbound, Reach { size: 1500, limit: Limit::Link });
}

#[test]
fn an_outage_says_nothing_of_sizes() {
    let mut bench = Bench::new(Sizes::new(&gcm(), true, 1500), 1);
    let (up, down) = (Path::of(1400, 1400), Path { up: false, ..Path::of(1400, 1400) });
    bench.run(&down, minute());
    assert_eq!(bench.prober.status().state, State::Silent);
    bench.run(&up, Duration::from_secs(4));
    bench.run(&down, minute());
    assert_eq!(bench.prober.status().state, State::Silent);
    bench.complete(&up, minute());
    bench.run(&down, minute());
    assert_eq!((bench.prober.status().outbound.size, bench.prober.status().state), (1400, State::Silent));
    bench.run(&up, minute());
    assert_eq!((bench.prober.status().outbound.size, bench.prober.status().state), (1400, State::Complete));
}

#[test]
fn a_peer_that_takes_no_padding_gets_longer_requests() {
    let mut bench = Bench::new(Sizes::new(&gcm(), true, 1500), 1);
    let path = Path { padding: false, ..Path::of(1500, 1400) };
    assert!(bench.complete(&path, minute()) < minute());
    let status = bench.prober.status();
    assert_eq!((status.outbound.size, status.inbound.size), (1400, 1400));
}

#[test]
fn a_path_that_takes_nothing_but_the_shortest_is_stuck() {
    let mut bench = Bench::new(Sizes::new(&gcm(), true, 1500), 1);
    bench.run(&Path::of(500, 500), minute());
    assert_eq!(bench.prober.status().state, State::Stuck);
    bench.run(&Path::of(1500, 1500), Duration::from_secs(130));
    assert_eq!(bench.prober.status().state, State::Complete);
}

#[test]
fn a_word_of_a_router_is_looked_into_at_once() {
    let mut bench = Bench::new(Sizes::new(&gcm(), true, 1500), 1);
    bench.complete(&Path::of(1500, 1500), minute());
    bench.prober.handle_too_big(1400);
    assert_eq!(bench.prober.status().state, State::Searching);
    bench.complete(&Path::of(1400, 1500), minute());
    assert_eq!(bench.prober.status().outbound.size, 1400);
    bench.prober.handle_too_big(1400);
    assert_eq!(bench.prober.status().state, State::Complete, "known already");
}

#[test]
fn an_answer_to_nothing_changes_nothing() {
    let mut prober = Prober::new(Sizes::new(&gcm(), true, 1500));
    let arrived = Arrived { largest: 1500, pieces: Pieces::Whole };
    assert!(!prober.handle_answer(7, arrived, Duration::ZERO));
    assert_eq!(prober.status().state, State::Silent);
}

fn echo(source: &str, target: &str) -> Echo {
    let address = |text: &str| text.parse().expect("an address");
    Echo {
        source: address(source),
        target: address(target),
        identifier: 0x4550,
        nonce: 0x0123_4567_89ab_cdef,
    }
}

/// The answer that a host would give to a request.
fn reply_to(mut request: Vec<u8>) -> Vec<u8> {
    let (header, addresses, reply) = if request[0] >> 4 == 4 { (20, 12..20, 0) } else { (40, 8..40, 129) };
    let half = addresses.len() / 2;
    request[addresses].rotate_left(half);
    request[header] = reply;
    request
}

#[test]
fn requests_are_as_long_as_asked_and_their_answers_are_known_again() {
    for echo in [echo("10.1.0.1", "10.2.0.1"), echo("2001:db8:1::1", "2001:db8:2::1")] {
        for len in [0, 64, 65, 1400, 9000] {
            let request = echo.request(9, len).expect("fits");
            assert_eq!(request.len(), len.max(echo.least_len()));
            let flow = Flow::parse(&request).expect("sound");
            assert_eq!(
                (flow.src, flow.dst, usize::from(flow.len)),
                (echo.source, echo.target, request.len())
            );
            assert_eq!(answer(&request, &flow), None, "a request is no answer");
            let reply = reply_to(request);
            let answer = answer(&reply, &Flow::parse(&reply).expect("sound")).expect("an answer");
            assert!(echo.is_answered_by(&answer) && answer.sequence == 9);
            assert!(!Echo { nonce: 1, ..echo }.is_answered_by(&answer));
        }
        assert_eq!(echo.request(1, 70_000), None);
    }
}

#[test]
fn fragments_fit_and_make_up_the_request() {
    use crate::headers::{ipv4::Ipv4View, ipv6::Ipv6View};
    for echo in [echo("10.1.0.1", "10.2.0.1"), echo("2001:db8:1::1", "2001:db8:2::1")] {
        let whole = echo.request(9, 4001).expect("fits");
        let header = if echo.target.is_ipv4() { 20 } else { 40 };
        let fragments = echo.fragments(9, 4001, 1200).expect("can be cut");
        let mut message = Vec::new();
        for fragment in &fragments {
            assert!(fragment.len() <= 1200);
            let flow = Flow::parse(fragment).expect("sound");
            assert!(flow.fragment);
            message.extend(match flow.dst.is_ipv4() {
                true => Ipv4View::parse(fragment).expect("IPv4").payload().to_vec(),
                false => Ipv6View::parse(fragment).expect("IPv6").after(48).to_vec(),
            });
        }
        assert_eq!(message, whole[header..]);
        assert_eq!(echo.fragments(9, 1000, 1200), Some(vec![echo.request(9, 1000).expect("fits")]));
        assert_eq!(echo.fragments(9, 1000, 27), None);
        let first = reply_to_first(&fragments[0]);
        let answer = answer(&first, &Flow::parse(&first).expect("sound")).expect("a first fragment");
        assert!(echo.is_answered_by(&answer));
    }
}

/// As a first fragment of the reply.
fn reply_to_first(fragment: &[u8]) -> Vec<u8> {
    let mut reply = reply_to(fragment.to_vec());
    if reply[0] >> 4 == 6 {
        reply[40] = 58;
        reply[48] = 129;
    }
    reply
}
