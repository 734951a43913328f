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
