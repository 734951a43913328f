//! Operators' questions.

use shm::inspect::{Arrival, Explain, Inspector, MAX_INSPECTORS, Question, Record};

use super::*;

pub(super) fn inspector(bench: &mut Bench) -> Inspector {
    let path = bench.path.clone();
    let connecting = thread::spawn(move || Inspector::connect(&path).unwrap());
    bench.serve(connecting)
}

fn about(arrival: Arrival, src: &str, dst: &str) -> Explain {
    Explain {
        arrival,
        vrf: Some(0),
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
        protocol: 17,
        ports: (1000, 4500),
        len: 100,
        dont_fragment: true,
    }
}

fn ask(bench: &mut Bench, inspector: &mut Inspector, what: Explain) -> Record {
    inspector.ask(&Question::Explain(what)).unwrap();
    bench.advance(Duration::from_micros(10));
    inspector.next_record().unwrap()
}

#[test]
fn the_running_tables_explain_a_packet_without_control() {
    let (mut bench, mut control) = Bench::configured();
    let spi = bench.install(&mut control, native());
    drop(control);
    let mut inspector = inspector(&mut bench);
    let inside = about(Arrival::Inside, "10.1.0.9", "10.2.0.9");
    let Record::Explained(explained) = ask(&mut bench, &mut inspector, inside) else { panic!("refused") };
    assert_eq!(explained.verdict.text, format!("encrypted with SA {spi} of tunnel 1"));
    let stages: Vec<_> = explained.steps.iter().map(|step| step.stage.as_str()).collect();
    assert_eq!(stages, ["policy", "route", "next-hop", "group", "child-sa", "limits", "outer"]);
    assert_eq!(explained.interfaces[0].name, "wan");

    let nowhere = about(Arrival::Inside, "10.1.0.9", "10.77.0.9");
    let Record::Explained(explained) = ask(&mut bench, &mut inspector, nowhere) else { panic!("refused") };
    assert_eq!(explained.verdict.drop_reason.as_deref(), Some("no_route"));
    assert_eq!(explained.verdict.help.as_deref(), Some(DropReason::NoRoute.help()));

    let esp = about(Arrival::Outside, "192.0.2.2", "192.0.2.1");
    let Record::Explained(explained) = ask(&mut bench, &mut inspector, esp) else { panic!("refused") };
    assert!(explained.verdict.text.starts_with("ESP for us"), "{}", explained.verdict.text);

    let mixed = about(Arrival::Inside, "10.1.0.9", "2001:db8::1");
    assert!(matches!(ask(&mut bench, &mut inspector, mixed), Record::Refused { .. }));
}

#[test]
fn each_worker_is_shown_with_what_it_owns() {
    let (mut bench, mut control) = Bench::configured();
    bench.install(&mut control, native());
    let mut inspector = inspector(&mut bench);
    let mut ask = |worker| {
        inspector.ask(&Question::Runtime { worker }).unwrap();
        bench.advance(Duration::from_micros(10));
        inspector.next_record().unwrap()
    };
    let Record::Runtime(runtime) = ask(0) else { panic!("refused") };
    assert_eq!((runtime.worker, runtime.workers, runtime.seat), (0, 1, None));
    assert_eq!((runtime.inbound_sas, runtime.outbound_sas), (1, 1));
    assert_eq!((runtime.queues[0].port.as_str(), runtime.queues[0].queue), ("wan", 0));
    let limits: Vec<_> = runtime.burst_sizes.iter().map(|bucket| bucket.up_to).collect();
    assert_eq!(limits, [1, 2, 4, 8, 16, 32, 64].map(Some));
    assert!(runtime.gaps.is_sorted_by_key(|bucket| bucket.up_to.unwrap_or(u64::MAX)));
    let stages: Vec<_> = runtime.stages.iter().map(|stage| stage.stage.as_str()).collect();
    assert_eq!(stages, ["receive", "admit", "open", "seal", "transmit"]);
    assert!(matches!(ask(1), Record::Refused { .. }));
}

#[test]
fn inspectors_are_few_and_leave() {
    let (mut bench, _control) = Bench::configured();
    let crowd: Vec<_> = (0..MAX_INSPECTORS).map(|_| inspector(&mut bench)).collect();
    let mut refused = inspector(&mut bench);
    bench.advance(Duration::from_millis(20));
    assert!(matches!(refused.next_record().unwrap(), Record::Refused { .. }));
    drop(crowd);
    bench.advance(Duration::from_micros(10));
    let mut next = inspector(&mut bench);
    let what = about(Arrival::Inside, "10.1.0.9", "10.2.0.9");
    assert!(matches!(ask(&mut bench, &mut next, what), Record::Explained(_)));
}
