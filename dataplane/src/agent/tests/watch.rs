//! Operators who watch packets: `trace` and `capture`.

use packet::decide::Verdict;
use packet::flow::Flow;
use shm::inspect::{Capture, Filter, Inspector, Network, Point, Question, Record};

use super::inspect::inspector;
use super::*;
use crate::journey::{self, Heading, Journey, Noted, Shot, Step};

/// An inspector who watches, and what the workers are told to look through.
fn watch(bench: &mut Bench, question: &Question) -> (Inspector, journey::Lenses) {
    let mut inspector = inspector(bench);
    inspector.ask(question).unwrap();
    bench.advance(Duration::from_micros(10));
    assert_eq!(inspector.next_record().unwrap(), Record::Watching);
    let lenses = bench.shared.mailboxes[0].lenses.pop().expect("the workers are told");
    (inspector, lenses)
}

/// An ESP packet that came in, and how it ended.
fn journey(bench: &Bench, spi: u32, end: Step) -> Option<Box<Journey>> {
    let mut journey = bench.shared.stock.journey()?;
    let at = u64::try_from(bench.now.get().as_nanos()).unwrap();
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 50, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1];
    let sum = packet::headers::checksum::checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend([0; 8]);
    for step in [
        Step::Received { interface: Some(OUTSIDE), len: 42 },
        Step::Header(Flow::parse(&packet).unwrap()),
        Step::Outside(Verdict::Esp { spi }),
        end,
    ] {
        journey.note(Noted { at, worker: 0, step });
    }
    Some(journey)
}

fn shot(bench: &Bench, point: journey::Point) -> Box<Shot> {
    let mut shot = bench.shared.stock.shot().unwrap();
    (shot.point, shot.heading, shot.interface) = (point, Heading::In, Some(OUTSIDE));
    shot.keep(&[7; 60], 1000);
    shot
}

fn next(inspector: &mut Inspector) -> Option<Record> {
    inspector.record_within(Duration::ZERO).unwrap()
}

#[test]
fn a_trace_tells_what_its_filter_shows() {
    let (mut bench, _control) = Bench::configured();
    let replayed = Step::Dropped(DropReason::ReplayOld);
    let src = Some(Network { address: PEER.into(), len: 24 });
    let drop_reason = Some("replay_old".to_owned());
    let filter = Filter { spi: Some(0x1000), src, drop_reason, ..Filter::default() };
    let (mut inspector, lenses) = watch(&mut bench, &Question::Trace(filter));
    assert_eq!(lenses[0].filter.reason, Some(DropReason::ReplayOld));
    let ended = bench.agent.environment.unix_time();
    for (spi, end) in [
        (0x1000, replayed),
        (0x1000, Step::Dropped(DropReason::SpiInvalid)),
        (0x2000, replayed),
        (0x1000, Step::Merged),
    ] {
        let journey = journey(&bench, spi, end).unwrap();
        bench.shared.stock.finish(journey);
    }
    bench.advance(Duration::from_micros(10));
    let Some(Record::Journey(told)) = next(&mut inspector) else { panic!("nothing is told") };
    let words: Vec<_> = told.stages.iter().map(|stage| stage.stage.as_str()).collect();
    assert_eq!(words, ["receive", "header", "classify", "drop"]);
    assert_eq!(told.stages[0].found, "42 bytes on wan");
    assert_eq!(told.stages[1].found, "192.0.2.2 to 192.0.2.1, ESP, 28 bytes, hop limit 64, DF");
    assert_eq!(Duration::from_nanos(told.stages[0].at), ended, "wall-clock time");
    assert_eq!(told.help.as_deref(), Some(DropReason::ReplayOld.help()));
    assert_eq!((next(&mut inspector), told.spis), (None, vec![0x1000]));

    // Whoever goes takes the lens along, and what was made for it is freed.
    drop(inspector);
    bench.advance(Duration::from_micros(10));
    assert_eq!(bench.shared.mailboxes[0].lenses.pop(), Some(journey::Lenses::new()));
    bench.advance(Duration::from_micros(10));
    assert!(bench.shared.stock.is_empty());
}

#[test]
fn a_capture_tells_the_shots_of_its_point() {
    let (mut bench, _control) = Bench::configured();
    let capture = Capture { point: Point::PostCrypto, snap_len: 40, filter: Filter::default() };
    let (mut inspector, lenses) = watch(&mut bench, &Question::Capture(capture));
    let photo = journey::Photo { point: journey::Point::PostCrypto, snap_len: 40 };
    assert_eq!(lenses[0].photo, Some(photo));
    let mut journey = journey(&bench, 0x1000, Step::Dropped(DropReason::SpiInvalid)).unwrap();
    for point in [journey::Point::Outside, journey::Point::PostCrypto] {
        journey.shots.push(shot(&bench, point));
    }
    bench.shared.stock.finish(journey);
    bench.advance(Duration::from_micros(10));
    let Some(Record::Packet(packet)) = next(&mut inspector) else { panic!("nothing is told") };
    assert_eq!((packet.bytes.len(), packet.len, packet.inbound), (40, 60, true));
    assert_eq!((packet.interface.as_str(), packet.spis), ("wan", vec![0x1000]));
    assert_eq!(packet.drop_reason.as_deref(), Some("spi_invalid"));
    assert_eq!(next(&mut inspector), None);
}

#[test]
fn a_watcher_who_does_not_read_learns_how_much_it_missed() {
    let (mut bench, _control) = Bench::configured();
    let (mut slow, _) = watch(&mut bench, &Question::Trace(Filter::default()));
    let mut made = 0;
    for _ in 0..20 {
        while let Some(journey) = journey(&bench, 0x1000, Step::Merged) {
            bench.shared.stock.finish(journey);
            made += 1;
        }
        (0..5).for_each(|_| bench.advance(Duration::from_micros(10)));
    }
    let mut read = 0;
    let lost = loop {
        match next(&mut slow) {
            Some(Record::Journey(_)) => read += 1,
            Some(Record::Lost { records }) => break records,
            None => bench.advance(Duration::from_micros(10)),
            other => panic!("{other:?}"),
        }
    };
    // Each time the stock was found empty is one more.
    assert_eq!((read + lost, read > 0), (made + 20, true));
    // The inspector figure is written once a second.
    bench.advance(Duration::from_secs(1));
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.figure(AgentFigure::InspectLost), lost);
}

#[test]
fn a_filter_that_makes_no_sense_is_refused() {
    let (mut bench, _control) = Bench::configured();
    let mut inspector = inspector(&mut bench);
    let unknown = Filter { drop_reason: Some("bad_luck".into()), ..Filter::default() };
    let long = Network { address: OURS.into(), len: 33 };
    let filters = [unknown, Filter { src: Some(long), ..Filter::default() }];
    for filter in filters {
        inspector.ask(&Question::Trace(filter)).unwrap();
        bench.advance(Duration::from_micros(10));
        assert!(matches!(next(&mut inspector), Some(Record::Refused { .. })));
    }
    assert!(bench.shared.mailboxes[0].lenses.is_empty() && bench.shared.stock.is_empty());
}
