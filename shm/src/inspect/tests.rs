use super::*;
use std::net::Ipv4Addr;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

fn pair() -> (Inspector, InspectorEnd) {
    let flags = SocketFlags::NONBLOCK;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    (Inspector::new(theirs), InspectorEnd::new(ours, 1))
}

fn question() -> Question {
    Question::Explain(Explain {
        arrival: Arrival::Inside,
        vrf: Some(7),
        src: Ipv4Addr::new(10, 1, 0, 9).into(),
        dst: Ipv4Addr::new(10, 2, 0, 9).into(),
        protocol: 17,
        ports: (1000, 53),
        len: 100,
        dont_fragment: true,
    })
}

#[test]
fn questions_and_records_cross() {
    let (mut inspector, mut end) = pair();
    assert_eq!(end.receive().unwrap(), None);
    inspector.ask(&question()).unwrap();
    assert_eq!(end.receive().unwrap(), Some(question()));
    let record = Record::Refused { message: "no".into() };
    assert!(end.send(&record).unwrap());
    assert_eq!(inspector.next_record().unwrap(), record);
    drop(inspector);
    assert!(matches!(end.receive(), Err(InspectError::Gone)));
}

#[test]
fn a_stream_waits_no_longer_than_it_is_told() {
    let (mut inspector, mut end) = pair();
    let filter = Filter {
        spi: Some(0x1000),
        src: Some(Network { address: Ipv4Addr::new(10, 1, 0, 0).into(), len: 16 }),
        drop_reason: Some("replay_old".into()),
        ..Filter::default()
    };
    let capture = Capture { point: Point::PreCrypto, snap_len: 96, filter };
    for question in [Question::Trace(capture.filter.clone()), Question::Capture(capture)] {
        inspector.ask(&question).unwrap();
        assert_eq!(end.receive().unwrap(), Some(question));
    }
    assert_eq!(inspector.record_within(Duration::from_millis(1)).unwrap(), None);
    let packet = Packet {
        id: 1,
        at: 1_700_000_000_000_000_000,
        inbound: true,
        interface: "wan".into(),
        len: 300,
        bytes: (0..=255).collect(),
        spis: vec![0x1000],
        drop_reason: None,
    };
    assert!(end.send(&Record::Packet(packet.clone())).unwrap());
    assert_eq!(inspector.record_within(Duration::from_secs(1)).unwrap(), Some(Record::Packet(packet)));
    drop(end);
    assert!(matches!(inspector.record_within(Duration::from_secs(1)), Err(InspectError::Gone)));
}

#[test]
fn bytes_are_pairs_of_digits() {
    let packet = |bytes: &str| {
        let text = format!(
            r#"{{"packet":{{"id":1,"at":1,"inbound":true,"interface":"","len":1,"bytes":"{bytes}","spis":[],"drop_reason":null}}}}"#
        );
        serde_json::from_str::<Record>(&text)
    };
    assert!(matches!(packet("00fF"), Ok(Record::Packet(Packet { bytes, .. })) if bytes == [0, 255]));
    assert!(packet("0").is_err() && packet("0g").is_err() && packet("+1").is_err());
}

#[test]
fn a_slow_inspector_loses_records() {
    let (_inspector, end) = pair();
    let record = Record::Refused { message: "x".repeat(10_000) };
    assert!((0..1000).any(|_| !end.send(&record).unwrap()));
}

#[test]
fn what_is_malformed_or_too_long_ends_the_inspection() {
    let (inspector, mut end) = pair();
    for bytes in [&b"{"[..], b"[]", b"{\"explain\":{}}", b"{\"destroy\":1}", &[b'['; 60_000]] {
        rustix::net::send(&inspector.socket, bytes, SendFlags::empty()).unwrap();
        assert!(matches!(end.receive(), Err(InspectError::Malformed(_))));
    }
    rustix::net::send(&inspector.socket, &vec![b' '; MAX_MESSAGE_LEN + 1], SendFlags::empty()).unwrap();
    assert!(matches!(end.receive(), Err(InspectError::TooLong(_))));
    let long = Record::Refused { message: "x".repeat(MAX_MESSAGE_LEN) };
    assert!(matches!(end.send(&long), Err(InspectError::TooLong(_))));
}
