//! A worker that does not come round.

use packet::neighbour::Neighbour;
use shm::inspect::{Question, Record};

use super::*;

/// One look at the workers.
const LOOK: Duration = watchdog::INTERVAL;

fn event(bench: &mut Bench, control: &mut ControlEnd) -> Option<bool> {
    bench.advance(Duration::from_micros(10));
    while let Some(event) = control.receive_event().unwrap() {
        if let Event::WorkerSilent(told) = event {
            assert_eq!(told.worker, 0);
            return Some(told.silent);
        }
    }
    None
}

#[test]
fn it_ends_the_agent_after_a_second_and_not_by_a_jump_of_the_clock() {
    let (mut bench, mut control) = Bench::configured();
    bench.round();
    for _ in 0..3 {
        bench.advance(Duration::from_secs(3600));
    }
    bench.worker.quiescent();
    bench.advance(LOOK);
    assert_eq!(event(&mut bench, &mut control), None);
    for _ in 0..4 {
        bench.advance(LOOK);
    }
    assert_eq!(event(&mut bench, &mut control), Some(true), "before the second is over");
    bench.now.set(bench.now.get() + LOOK);
    assert!(matches!(bench.agent.turn(), Err(AgentError::WorkerStuck { worker: 0, .. })));
}

#[test]
fn it_is_reported_until_it_comes_back() {
    let (mut bench, mut control) = Bench::configured();
    bench.agent.stuck_worker = StuckWorker::Report;
    let mut inspector = inspect::inspector(&mut bench);
    let silent = |bench: &mut Bench, inspector: &mut shm::inspect::Inspector| {
        inspector.ask(&Question::Runtime { worker: 0 }).unwrap();
        bench.advance(Duration::from_micros(10));
        let Record::Runtime(runtime) = inspector.next_record().unwrap() else { panic!("refused") };
        runtime.silent
    };
    bench.round();
    for _ in 0..10 {
        bench.advance(LOOK);
    }
    assert_eq!(event(&mut bench, &mut control), Some(true));
    assert_eq!(event(&mut bench, &mut control), None, "once");
    assert_eq!(bench.figure(AgentFigure::SilentWorkers), 1);
    let shown = silent(&mut bench, &mut inspector).expect("it is silent");
    assert!((1000..=2000).contains(&shown.millis), "{shown:?}");
    bench.worker.quiescent();
    bench.advance(LOOK);
    assert_eq!(event(&mut bench, &mut control), Some(false));
    assert_eq!(bench.figure(AgentFigure::SilentWorkers), 0);
    assert_eq!(silent(&mut bench, &mut inspector), None);
}

#[test]
fn what_it_may_use_is_kept_within_bounds() {
    let (mut bench, mut control) = Bench::configured();
    bench.agent.stuck_worker = StuckWorker::Report;
    bench.round();
    let address = IpAddr::V4(PEER);
    let neighbour = |number: u16| Neighbour {
        state: NeighbourState::Reachable,
        mac: MacAddr([2, 0, 0, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]]),
    };
    let Bench { agent, shared, worker, now, .. } = &mut bench;
    let held = shared.tables.load(worker);
    let (version, before) = (held.version(), held.neighbours.lookup(OUTSIDE, address));
    for number in 0..3000 {
        agent
            .change(Change::PutNeighbour { interface: OUTSIDE, address, neighbour: neighbour(number) })
            .unwrap();
        now.set(now.get() + Duration::from_millis(1));
        agent.turn().unwrap();
        assert!(shared.domain.pending() <= MAX_RETIRED, "{}", shared.domain.pending());
    }
    assert_eq!(shared.domain.pending(), MAX_RETIRED);
    assert_eq!((held.version(), held.neighbours.lookup(OUTSIDE, address)), (version, before));
    // Control waits; it is not told that a worker sees what it does not.
    bench.stage(&mut control, false, vec![]);
    control.send_command(&Commit { txn: contract::TxnId(bench.txn) }.into()).unwrap();
    bench.advance(Duration::from_millis(1));
    assert_eq!(control.receive_completion().unwrap(), None);
    // It comes round: everything at once.
    bench.round();
    bench.round();
    assert!(matches!(control.receive_completion().unwrap(), Some(Completion::Committed(_))));
    assert!(bench.shared.domain.pending() <= 1, "{}", bench.shared.domain.pending());
    let seen = bench.shared.tables.load(&bench.worker);
    assert_eq!(seen.neighbours.lookup(OUTSIDE, address).map(|n| n.mac), Some(neighbour(2999).mac));
}
