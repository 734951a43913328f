//! The protocol on one thread, step by step; `tests/model.rs` has the interleavings.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{Domain, Laggard, RcuCell, RegisterError};

/// Counts how many values were dropped.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicUsize>);

struct Value {
    number: u32,
    drops: Drops,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.drops.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drops {
    fn value(&self, number: u32) -> Value {
        Value { number, drops: self.clone() }
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_value_is_freed_after_every_worker_has_reported() {
    let (domain, drops) = (Domain::new(2), Drops::default());
    let cell = RcuCell::new(&domain, drops.value(1));
    let (mut a, mut b) = (domain.register().expect("a slot"), domain.register().expect("a slot"));
    assert_eq!(cell.load(&a).number, 1);

    let ticket = cell.publish(drops.value(2));
    assert_eq!(cell.load(&a).number, 2, "visible at once to a new load");
    assert_eq!((domain.reclaim(), domain.grace_passed(ticket)), (0, false));
    a.quiescent();
    assert_eq!((domain.reclaim(), domain.grace_passed(ticket)), (0, false));
    b.quiescent();
    assert!(domain.grace_passed(ticket));
    assert_eq!(drops.count(), 0, "only `reclaim` frees");
    assert_eq!((domain.reclaim(), domain.pending(), drops.count()), (1, 0, 1));
    drop(cell);
    assert_eq!(drops.count(), 2);
}

#[test]
fn without_workers_everything_is_free_at_once() {
    let (domain, drops) = (Domain::new(1), Drops::default());
    let cell = RcuCell::new(&domain, drops.value(1));
    let ticket = cell.publish(drops.value(2));
    assert!(domain.grace_passed(ticket));
    assert_eq!((domain.reclaim(), drops.count()), (1, 1));
}

#[test]
fn a_sleeping_worker_holds_up_nobody_and_sees_the_new_value() {
    let (domain, drops) = (Domain::new(1), Drops::default());
    let cell = RcuCell::new(&domain, drops.value(1));
    let mut worker = domain.register().expect("a slot");
    worker.offline(|| {
        assert_eq!(domain.online(), 0);
        let ticket = cell.publish(drops.value(2));
        assert!(domain.grace_passed(ticket));
        assert_eq!(domain.reclaim(), 1);
    });
    assert_eq!((domain.online(), cell.load(&worker).number), (1, 2));
    cell.publish(drops.value(3));
    assert_eq!(domain.reclaim(), 0, "it is online again");
}

#[test]
fn a_panic_while_asleep_brings_the_worker_back_online() {
    let domain = Domain::new(1);
    let mut worker = domain.register().expect("a slot");
    let panicked = catch_unwind(AssertUnwindSafe(|| worker.offline(|| panic!("asleep"))));
    assert!(panicked.is_err());
    assert_eq!(domain.online(), 1);
}

#[test]
fn a_late_worker_does_not_hold_up_what_it_cannot_have_seen() {
    let (domain, drops) = (Domain::new(2), Drops::default());
    let cell = RcuCell::new(&domain, drops.value(1));
    let mut early = domain.register().expect("a slot");
    cell.publish(drops.value(2));
    let late = domain.register().expect("a slot");
    early.quiescent();
    assert_eq!(domain.reclaim(), 1);
    assert_eq!(cell.load(&late).number, 2);
}

#[test]
fn slots_are_given_back() {
    let domain = Domain::new(1);
    let worker = domain.register().expect("a slot");
    assert_eq!(domain.register().expect_err("no slot"), RegisterError { slots: 1 });
    drop(worker);
    assert_eq!(domain.online(), 0);
    assert_eq!(domain.register().expect("a slot").index(), 0);
}

#[test]
fn retired_values_wait_like_published_ones_and_go_with_the_domain() {
    let (domain, drops) = (Domain::new(1), Drops::default());
    let mut worker = domain.register().expect("a slot");
    let first = domain.retire(drops.value(1));
    worker.quiescent();
    let second = domain.retire(drops.value(2));
    assert!(first < second);
    assert_eq!((domain.reclaim(), domain.pending(), drops.count()), (1, 1, 1));
    drop(worker);
    drop(domain);
    assert_eq!(drops.count(), 2);
}

#[test]
#[should_panic(expected = "another domain")]
fn a_worker_of_another_domain_is_refused() {
    let cell = RcuCell::new(&Domain::new(1), 1);
    let stranger = Domain::new(1).register().expect("a slot");
    let _ = cell.load(&stranger);
}

#[test]
fn laggards_are_those_that_do_not_report() {
    let domain = Domain::new(3);
    let mut steady = domain.register().expect("a slot");
    let mut stuck = domain.register().expect("a slot");
    let mut asleep = domain.register().expect("a slot");
    assert_eq!(domain.laggards(), []);
    steady.quiescent();
    asleep.offline(|| {
        assert_eq!(domain.laggards(), [Laggard { worker: stuck.index(), missed: 1 }]);
        steady.quiescent();
        assert_eq!(domain.laggards(), [Laggard { worker: stuck.index(), missed: 2 }]);
    });
    steady.quiescent();
    stuck.quiescent();
    assert_eq!(domain.laggards(), []);
}

#[test]
fn threads_never_see_a_freed_value() {
    let (domain, drops) = (Domain::new(2), Drops::default());
    let cell = RcuCell::new(&domain, drops.value(0));
    const LAST: u32 = 2_000;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut worker = domain.register().expect("a slot");
                let mut newest = 0;
                while newest < LAST {
                    let number = cell.load(&worker).number;
                    assert!((newest..=LAST).contains(&number), "{number} after {newest}");
                    newest = number;
                    worker.quiescent();
                    worker.offline(std::thread::yield_now);
                }
            });
        }
        for number in 1..=LAST {
            cell.publish(drops.value(number));
            domain.reclaim();
        }
    });
    domain.reclaim();
    assert_eq!((domain.pending(), drops.count()), (0, LAST as usize));
}
