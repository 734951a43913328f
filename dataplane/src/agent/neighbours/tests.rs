use super::*;

const LIMITS: Limits = Limits { entries: 3, reachable: Duration::from_secs(30), hold: 2, hold_total: 3 };
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn key(n: u8) -> Key {
    (InterfaceId(1), IpAddr::from([192, 0, 2, n]))
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

struct Bench(Neighbours<u32>);

impl Bench {
    fn new() -> Self {
        Self(Neighbours::new(LIMITS))
    }

    fn want(&mut self, n: u8, packet: u32, now: u64) -> Vec<Action<u32>> {
        let mut actions = Vec::new();
        self.0.want(key(n), packet, secs(now), |action| actions.push(action));
        actions
    }

    fn confirm(&mut self, n: u8, mac: MacAddr, create: bool, now: u64) -> Vec<Action<u32>> {
        let mut actions = Vec::new();
        self.0.confirm(key(n), mac, create, secs(now), |action| actions.push(action));
        actions
    }

    fn poll(&mut self, now: u64) -> Vec<Action<u32>> {
        let mut actions = Vec::new();
        self.0.poll(secs(now), |action| actions.push(action));
        actions
    }

    fn state(&self, n: u8) -> Option<State> {
        self.0.iter_after(None).find(|(k, _)| *k == key(n)).map(|(_, facts)| facts.state)
    }
}

#[test]
fn packets_wait_for_the_answer_and_leave_in_order() {
    let mut bench = Bench::new();
    assert_eq!(bench.want(1, 10, 0), [Action::Request { key: key(1), mac: None }]);
    assert_eq!(bench.want(1, 11, 0), []);
    assert_eq!(bench.0.held(), 2);
    assert_eq!(
        bench.confirm(1, MAC, false, 1),
        [
            Action::Publish { key: key(1), mac: MAC },
            Action::Release { key: key(1), packet: 10 },
            Action::Release { key: key(1), packet: 11 },
        ]
    );
    assert_eq!(bench.0.held(), 0);
    assert_eq!(bench.want(1, 12, 1), [Action::Release { key: key(1), packet: 12 }]);
}

#[test]
fn the_hold_queues_are_bounded_and_the_newest_packet_stays() {
    let mut bench = Bench::new();
    bench.want(1, 10, 0);
    bench.want(1, 11, 0);
    assert_eq!(bench.want(1, 12, 0), [Action::NoRoom { key: key(1), packet: 10 }]);
    bench.want(2, 20, 0);
    assert_eq!(bench.want(2, 21, 0), [Action::NoRoom { key: key(2), packet: 21 }], "three in all");
    assert_eq!(bench.0.held(), 3);
}

#[test]
fn a_silent_neighbour_fails_and_is_tried_again_later() {
    let mut bench = Bench::new();
    bench.want(1, 10, 0);
    assert_eq!(bench.poll(0), []);
    assert_eq!(bench.poll(1), [Action::Request { key: key(1), mac: None }]);
    assert_eq!(bench.poll(2), [Action::Request { key: key(1), mac: None }]);
    assert_eq!(
        bench.poll(3),
        [Action::PublishFailed { key: key(1) }, Action::Unreachable { key: key(1), packet: 10 }]
    );
    assert_eq!(bench.0.held(), 0);
    assert_eq!(bench.want(1, 11, 4), [Action::Unreachable { key: key(1), packet: 11 }]);
    assert_eq!(bench.poll(6), [Action::Withdraw { key: key(1) }]);
    assert_eq!(bench.want(1, 12, 7), [Action::Request { key: key(1), mac: None }]);
}

#[test]
fn a_reachable_neighbour_is_probed_and_keeps_its_traffic() {
    let mut bench = Bench::new();
    assert_eq!(bench.confirm(1, MAC, true, 0), [Action::Publish { key: key(1), mac: MAC }]);
    assert_eq!(bench.poll(29), []);
    let probe = Action::Request { key: key(1), mac: Some(MAC) };
    assert_eq!(bench.poll(30), [probe]);
    assert_eq!(bench.state(1), Some(State::Probe));
    assert_eq!(bench.want(1, 5, 30), [Action::Release { key: key(1), packet: 5 }]);
    assert_eq!(bench.confirm(1, MAC, false, 31), [], "nothing changed for the workers");
    assert_eq!(bench.state(1), Some(State::Reachable));
    assert_eq!(bench.poll(60), [], "the answer counts from its own time");
    bench.poll(61);
    bench.poll(62);
    bench.poll(63);
    assert_eq!(bench.poll(64), [Action::PublishFailed { key: key(1) }]);
}

#[test]
fn a_new_address_is_published_at_once() {
    let mut bench = Bench::new();
    bench.confirm(1, MAC, true, 0);
    let other = MacAddr([2, 0, 0, 0, 0, 9]);
    assert_eq!(bench.confirm(1, other, false, 1), [Action::Publish { key: key(1), mac: other }]);
    assert_eq!(bench.confirm(2, MAC, false, 1), [], "nobody asked for it");
    assert_eq!(bench.0.len(), 1);
}

#[test]
fn a_full_cache_gives_up_the_oldest_but_nobody_being_resolved() {
    let mut bench = Bench::new();
    bench.confirm(1, MAC, true, 1);
    bench.confirm(2, MAC, true, 0);
    bench.want(3, 30, 2);
    assert_eq!(
        bench.want(4, 40, 3),
        [Action::Withdraw { key: key(2) }, Action::Request { key: key(4), mac: None }]
    );
    bench.want(5, 50, 3);
    assert_eq!(bench.want(6, 60, 3), [Action::NoRoom { key: key(6), packet: 60 }]);
    assert_eq!(bench.0.len(), 3);
}

#[test]
fn neighbours_of_a_removed_interface_are_forgotten() {
    let mut bench = Bench::new();
    bench.want(1, 10, 0);
    bench.confirm(2, MAC, true, 0);
    let mut actions = Vec::new();
    bench.0.retain(|key| key.0 != InterfaceId(1), |action| actions.push(action));
    assert_eq!(
        actions,
        [
            Action::Unreachable { key: key(1), packet: 10 },
            Action::Withdraw { key: key(1) },
            Action::Withdraw { key: key(2) },
        ]
    );
    assert!(bench.0.is_empty() && bench.0.held() == 0);
}
