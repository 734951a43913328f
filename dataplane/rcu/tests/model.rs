//! The protocol under loom: every interleaving, up to a bound, of a publisher and its workers, on the
//! code of this crate.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p rcu --test model --target-dir target/loom`
#![cfg(loom)]

use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};
use rcu::{Domain, RcuCell, Ticket, Worker};

/// A published value. Loom fails the run when it is dropped while being read, or read after its drop
/// without an ordering between the two.
struct Value {
    number: u32,
    memory: UnsafeCell<u32>,
}

// SAFETY: `memory` is read by workers and written by `drop` alone; that these two are ordered is what
// the model checks.
#[allow(unsafe_code, reason = "loom's cell is the detector of races")]
unsafe impl Sync for Value {}

const ALIVE: u32 = 0x600d;

impl Value {
    fn new(number: u32) -> Value {
        Value { number, memory: UnsafeCell::new(ALIVE) }
    }

    #[allow(unsafe_code, reason = "loom's cell gives pointers")]
    fn read(&self) -> u32 {
        // SAFETY: loom panics rather than let this race with the write in `drop`.
        self.memory.with(|memory| assert_eq!(unsafe { *memory }, ALIVE));
        self.number
    }
}

impl Drop for Value {
    #[allow(unsafe_code, reason = "loom's cell gives pointers")]
    fn drop(&mut self) {
        // SAFETY: as in `read`.
        self.memory.with_mut(|memory| unsafe { *memory = 0 });
    }
}

/// Something outside the domain that only the first value leads to; whoever has waited for the grace
/// of the second may change it.
#[derive(Default)]
struct Outside(UnsafeCell<u32>);

// SAFETY: as for `Value`: the model checks that reads and the one write are ordered.
#[allow(unsafe_code, reason = "loom's cell is the detector of races")]
unsafe impl Sync for Outside {}

impl Outside {
    fn read_through(&self, value: &Value) {
        if value.read() == 1 {
            self.0.with(|_| ());
        }
    }

    fn change_after(&self, domain: &Domain, ticket: Ticket) {
        if domain.grace_passed(ticket) {
            self.0.with_mut(|_| ());
        }
    }
}

/// What the threads of one run share.
struct World {
    domain: Domain,
    cell: RcuCell<Value>,
    outside: Outside,
}

/// Runs `main` in every interleaving with at most `preemptions` involuntary switches.
fn model(preemptions: usize, main: impl Fn(Arc<World>) + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let domain = Domain::new(2);
        let cell = RcuCell::new(&domain, Value::new(1));
        main(Arc::new(World { domain, cell, outside: Outside::default() }));
    });
}

/// Two bursts; the second never sees an older value than the first.
fn two_bursts(world: &World, worker: &mut Worker) {
    let first = world.cell.load(worker);
    world.outside.read_through(first);
    let number = first.number;
    worker.quiescent();
    let second = world.cell.load(worker);
    world.outside.read_through(second);
    assert!(second.number >= number);
}

/// Replaces the value, then does what the agent does on its rounds.
fn publish(world: &World, number: u32) -> Ticket {
    let ticket = world.cell.publish(Value::new(number));
    world.outside.change_after(&world.domain, ticket);
    world.domain.reclaim();
    ticket
}

#[test]
fn a_worker_between_bursts() {
    model(3, |world| {
        let mut worker = world.domain.register().expect("a slot");
        let reader = thread::spawn({
            let world = Arc::clone(&world);
            move || two_bursts(&world, &mut worker)
        });
        publish(&world, 2);
        let ticket = publish(&world, 3);
        reader.join().expect("the worker");
        assert!(world.domain.grace_passed(ticket), "the worker is gone");
        world.domain.reclaim();
        assert_eq!(world.domain.pending(), 0);
    });
}

#[test]
fn a_worker_that_sleeps() {
    model(3, |world| {
        let mut worker = world.domain.register().expect("a slot");
        let reader = thread::spawn({
            let world = Arc::clone(&world);
            move || {
                world.outside.read_through(world.cell.load(&worker));
                worker.offline(thread::yield_now);
                world.outside.read_through(world.cell.load(&worker));
            }
        });
        let ticket = publish(&world, 2);
        world.outside.change_after(&world.domain, ticket);
        world.domain.reclaim();
        reader.join().expect("the worker");
    });
}

#[test]
fn a_worker_that_joins_late() {
    model(3, |world| {
        let joiner = thread::spawn({
            let world = Arc::clone(&world);
            move || {
                let mut worker = world.domain.register().expect("a slot");
                two_bursts(&world, &mut worker);
            }
        });
        publish(&world, 2);
        joiner.join().expect("the worker");
    });
}

#[test]
fn two_workers() {
    model(2, |world| {
        let readers = [(); 2].map(|()| {
            let mut worker = world.domain.register().expect("a slot");
            let world = Arc::clone(&world);
            thread::spawn(move || two_bursts(&world, &mut worker))
        });
        publish(&world, 2);
        for reader in readers {
            reader.join().expect("a worker");
        }
        world.domain.reclaim();
        assert_eq!(world.domain.pending(), 0);
    });
}

#[test]
fn a_watchdog_beside_the_publisher() {
    model(3, |world| {
        let mut worker = world.domain.register().expect("a slot");
        let reader = thread::spawn({
            let world = Arc::clone(&world);
            move || two_bursts(&world, &mut worker)
        });
        world.domain.laggards();
        publish(&world, 2);
        world.domain.laggards();
        world.domain.reclaim();
        reader.join().expect("the worker");
    });
}
