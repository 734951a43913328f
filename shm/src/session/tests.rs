//! Two ends of a session in one process, and peers that do not keep to the contract.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketType};
use tempfile::TempDir;
use zerocopy::IntoBytes;

use super::*;
use crate::counters::{CountersSpec, CountersWriter, Text};
use crate::error::{ConnectError, SendError};
use crate::layout::{COMMANDS, COMPLETIONS, EVENTS, INJECT, PUNTS, RingName};
use crate::message::*;
use crate::session::handshake::{CallerRole, Hello};

struct Plane {
    _directory: TempDir,
    path: PathBuf,
    listener: Listener,
}

fn plane(allowed_uids: Vec<u32>) -> Plane {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/dataplane.sock");
    let spec = CountersSpec {
        workers: 1,
        interfaces: 1,
        figures: vec![Text::new("n", "h")],
        ..CountersSpec::default()
    };
    let counters = CountersWriter::create(&spec).unwrap();
    counters.set_figure(0, 42);
    let listener = Listener::bind(ListenerConfig {
        path: path.clone(),
        allowed_uids,
        counters: counters.fd().unwrap(),
        journal: crate::journal::create(4, 1024).unwrap(),
    })
    .unwrap();
    Plane { _directory: directory, path, listener }
}

impl Plane {
    fn next_event(&mut self) -> ListenerEvent {
        loop {
            if let Some(event) = self.listener.poll(Instant::now()).unwrap() {
                return event;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn open(&mut self) -> (Box<DataplaneEnd>, ControlEnd) {
        let path = self.path.clone();
        let control = thread::spawn(move || ControlEnd::connect(&path).unwrap());
        match self.next_event() {
            ListenerEvent::Connected(end) => (end, control.join().unwrap()),
            other => panic!("{other:?}"),
        }
    }
}

fn raw_socket(path: &Path) -> OwnedFd {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    socket
}

fn say(socket: &OwnedFd, bytes: &[u8]) {
    let mut control = SendAncillaryBuffer::default();
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
}

fn ping(number: u64) -> Command {
    Ping { request: RequestId(number) }.into()
}

#[test]
fn messages_and_packets_pass_both_ways() {
    let mut plane = plane(vec![]);
    let (mut dataplane, mut control) = plane.open();
    assert_eq!(dataplane.epoch(), control.epoch());
    assert_eq!(control.counters().figure(0), 42);

    control.send_command(&ping(1)).unwrap();
    control.send_inject(&Inject { vrf: VrfId(3) }, &[0x45; 100]).unwrap();
    control.notify().unwrap();
    dataplane.drain_doorbell().unwrap();
    assert_eq!(dataplane.receive_command().unwrap(), Some(ping(1)));
    assert_eq!(dataplane.receive_command().unwrap(), None);
    let mut packet = [0; MAX_PACKET_LEN];
    assert_eq!(dataplane.receive_inject(&mut packet).unwrap(), Some((Inject { vrf: VrfId(3) }, 100)));
    assert_eq!(packet[..100], [0x45; 100]);

    let pong = Completion::from(Pong { request: RequestId(1) });
    let first_use = Event::from(FirstUse { spi: Spi::new(0x1000).unwrap() });
    dataplane.send_completion(&pong).unwrap();
    dataplane.send_event(&first_use).unwrap();
    for class in PuntClass::ALL {
        let punt = Punt { vrf: VrfId(1), interface: InterfaceId(2), class: *class };
        dataplane.send_punt(&punt, &[class.store(); MAX_PACKET_LEN]).unwrap();
    }
    dataplane.notify().unwrap();
    assert_eq!(control.receive_completion().unwrap(), Some(pong));
    assert_eq!(control.receive_event().unwrap(), Some(first_use));
    for class in PuntClass::ALL {
        let (punt, len) = control.receive_punt(*class, &mut packet).unwrap().unwrap();
        assert_eq!((punt.class, len, packet[len - 1]), (*class, MAX_PACKET_LEN, class.store()));
    }
    assert!(matches!(control.send_inject(&Inject { vrf: VrfId(0) }, &[]), Err(SendError::PacketLength(0))));
}

#[test]
fn commands_leave_nothing_in_the_ring() {
    let mut plane = plane(vec![]);
    let (mut dataplane, mut control) = plane.open();
    let contents = |region: &Region| {
        let mut bytes = vec![0; COMMANDS.len() - 128];
        region.memory.copy_out(COMMANDS.slot(0), &mut bytes);
        bytes
    };
    control.send_command(&ping(0x5a5a)).unwrap();
    assert!(contents(&control.region).contains(&0x5a));
    dataplane.receive_command().unwrap();
    assert!(contents(&control.region).iter().all(|&byte| byte == 0), "wiped when read");
    control.send_command(&ping(0x5a5a)).unwrap();
    drop(dataplane);
    assert!(contents(&control.region).iter().all(|&byte| byte == 0), "wiped when the session ends");
}

#[test]
fn backpressure_is_explicit() {
    let mut plane = plane(vec![]);
    let (mut dataplane, mut control) = plane.open();
    let slots = control.command_room().unwrap();
    for number in 0..slots {
        control.send_command(&ping(number as u64)).unwrap();
    }
    assert!(matches!(control.send_command(&ping(0)), Err(SendError::Full)));
    assert_eq!(dataplane.receive_command().unwrap(), Some(ping(0)));
    control.send_command(&ping(7)).unwrap();
}

#[test]
fn a_new_session_fences_the_old_one() {
    let mut plane = plane(vec![]);
    let (mut old_dataplane, mut old_control) = plane.open();
    let mut old_journal = old_control.take_journal().unwrap();
    old_control.send_command(&ping(1)).unwrap();
    let (mut dataplane, mut control) = plane.open();
    assert!(control.epoch() > old_control.epoch());
    assert!(matches!(old_control.send_command(&ping(2)), Err(SendError::Session(SessionError::Replaced))));
    assert!(matches!(old_control.receive_event(), Err(SessionError::Replaced)));
    assert!(matches!(old_dataplane.receive_command(), Err(SessionError::Replaced)));
    assert!(old_journal.put(1, b"late").is_err());
    control.send_command(&ping(3)).unwrap();
    assert_eq!(dataplane.receive_command().unwrap(), Some(ping(3)));
}

#[test]
fn each_side_notices_the_death_of_the_other() {
    let mut plane = plane(vec![]);
    let (dataplane, control) = plane.open();
    dataplane.check_peer().unwrap();
    drop(control);
    assert!(matches!(dataplane.check_peer(), Err(SessionError::PeerGone)));
    let (dataplane, mut control) = plane.open();
    drop(dataplane);
    assert!(matches!(control.receive_completion(), Err(SessionError::Closed)));
}

#[test]
fn scribbled_indices_end_the_session_by_name() {
    for (offset, value) in [(COMMANDS.tail(), u64::MAX), (COMMANDS.tail(), 1025)] {
        let mut plane = plane(vec![]);
        let (mut dataplane, control) = plane.open();
        control.region.memory.store(offset, value, Ordering::Release);
        let ended = dataplane.receive_command().unwrap_err();
        assert!(matches!(ended, SessionError::Index { ring: RingName::Commands, .. }), "{ended}");
    }
    let mut plane = plane(vec![]);
    let (mut dataplane, control) = plane.open();
    control.region.memory.store(INJECT.tail(), 257, Ordering::Release);
    let ended = dataplane.receive_inject(&mut [0; MAX_PACKET_LEN]).unwrap_err();
    assert!(matches!(ended, SessionError::Index { ring: RingName::Inject, .. }), "{ended}");

    let punt = Punt { vrf: VrfId(0), interface: InterfaceId(0), class: PuntClass::Local };
    let ring = PUNTS[punt.class.index()];
    control.region.memory.store(ring.head(), u64::MAX, Ordering::Release);
    let mut ended = None;
    while ended.is_none() {
        ended = dataplane.send_punt(&punt, &[1]).err();
    }
    assert!(matches!(ended, Some(SendError::Session(SessionError::Index { .. }))), "{ended:?}");
}

#[test]
fn garbage_in_a_slot_ends_the_session_by_name() {
    for (at, word) in [(0, 0xffff), (0, 1 | 5000 << 32), (0, 1 | 1 << 16 | 9 << 32), (8, 0)] {
        let mut plane = plane(vec![]);
        let (mut dataplane, mut control) = plane.open();
        control.send_command(&Begin { txn: TxnId(1), full: true }.into()).unwrap();
        control.region.memory.store(COMMANDS.slot(0) + at, word, Ordering::Release);
        match dataplane.receive_command() {
            Err(SessionError::Message { ring: RingName::Commands, .. }) => {}
            Ok(Some(Command::Begin(begin))) => assert_eq!((at, begin.txn), (8, TxnId(0))),
            other => panic!("{at} {word:#x}: {other:?}"),
        }
    }
}

/// A peer that rewrites all shared memory as fast as it can, while both ends work on it.
#[test]
fn a_peer_that_mutates_memory_while_we_read_is_survived() {
    let mut plane = plane(vec![]);
    let stop = Arc::new(AtomicBool::new(false));
    let mut ended = 0;
    let mut round = 0u64;
    while round < 20 || ended == 0 {
        round += 1;
        let (mut dataplane, mut control) = plane.open();
        stop.store(false, Ordering::Relaxed);
        let scribbler = thread::spawn({
            let (memory, stop) = (Arc::clone(&control.region.memory), Arc::clone(&stop));
            move || {
                let mut seed = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                while !stop.load(Ordering::Relaxed) {
                    for ring in [COMMANDS, COMPLETIONS, EVENTS, INJECT] {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        memory.store(
                            ring.slot(seed >> 60) + usize::try_from(seed % 32).unwrap() / 8 * 8,
                            seed,
                            Ordering::Relaxed,
                        );
                        if seed.is_multiple_of(64) {
                            memory.store(ring.tail(), seed >> 58, Ordering::Relaxed);
                        }
                    }
                }
            }
        });
        let mut packet = [0; MAX_PACKET_LEN];
        for number in 0..300 {
            let _ = control.send_command(&ping(number));
            let _ = control.send_inject(&Inject { vrf: VrfId(0) }, &[1; 60]);
            ended += u32::from(dataplane.receive_command().is_err());
            ended += u32::from(dataplane.receive_inject(&mut packet).is_err());
            let _ = dataplane.send_completion(&Pong { request: RequestId(number) }.into());
            let _ = control.receive_completion();
            let _ = control.receive_event();
        }
        stop.store(true, Ordering::Relaxed);
        scribbler.join().unwrap();
    }
}

#[test]
fn the_memory_cannot_be_resized() {
    let (_, fd) = Region::create(Epoch(1)).unwrap();
    for len in [0, 4096, 1 << 30] {
        assert!(rustix::fs::ftruncate(&fd, len).is_err());
    }
    let seals = rustix::fs::SealFlags::empty();
    assert!(rustix::fs::fcntl_add_seals(&fd, seals | rustix::fs::SealFlags::WRITE).is_err());
}

#[test]
fn unsealed_or_short_memory_is_not_mapped() {
    let unsealed = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&unsealed, crate::layout::REGION_LEN as u64).unwrap();
    assert!(Region::attach(&unsealed).is_err());
    let short = crate::memory::create("x", 4096, Sealing::Final).unwrap();
    assert!(matches!(Region::attach(&short), Err(MemoryError::Size { found: 4096, .. })));
}

#[test]
fn other_users_and_versions_are_turned_away() {
    let mut plane = plane(vec![]);
    let own = rustix::process::geteuid().as_raw();

    let socket = raw_socket(&plane.path);
    say(&socket, Hello { version: 99, ..Hello::new(CallerRole::Control) }.store().as_bytes());
    let refused = plane.next_event();
    assert!(
        matches!(&refused, ListenerEvent::Refused { uid, reason: RefuseReason::Version(99), .. } if *uid == own),
        "{refused:?}"
    );

    let socket = raw_socket(&plane.path);
    say(&socket, b"GET / HTTP/1.1\r\n");
    let refused = plane.next_event();
    assert!(
        matches!(&refused, ListenerEvent::Refused { reason: RefuseReason::Malformed(_), .. }),
        "{refused:?}"
    );

    drop(raw_socket(&plane.path));
    let refused = plane.next_event();
    assert!(matches!(&refused, ListenerEvent::Refused { reason: RefuseReason::Gone(_), .. }), "{refused:?}");

    let _silent = raw_socket(&plane.path);
    assert!(plane.listener.poll(Instant::now()).unwrap().is_none());
    let late = plane.listener.poll(Instant::now() + Duration::from_secs(3)).unwrap();
    assert!(matches!(late, Some(ListenerEvent::Refused { reason: RefuseReason::Silent, .. })), "{late:?}");
}

#[test]
fn a_foreign_user_gets_no_session() {
    let mut plane = plane(vec![]);
    plane.listener.pretend_own_uid(rustix::process::geteuid().as_raw().wrapping_add(1));
    let path = plane.path.clone();
    let caller = thread::spawn(move || ControlEnd::connect(&path).unwrap_err());
    let refused = plane.next_event();
    assert!(
        matches!(&refused, ListenerEvent::Refused { reason: RefuseReason::NotAllowed(_), .. }),
        "{refused:?}"
    );
    assert!(matches!(caller.join().unwrap(), ConnectError::NotAllowed { .. }));
}

#[test]
fn an_inspector_asks_and_leaves_the_session_alone() {
    use crate::inspect::{Inspector, Record};
    let mut plane = plane(vec![]);
    let (mut dataplane, mut control) = plane.open();
    let path = plane.path.clone();
    let inspector = thread::spawn(move || Inspector::connect(&path).unwrap().next_record().unwrap());
    let ListenerEvent::Inspecting(end) = plane.next_event() else { panic!("not admitted") };
    let record = Record::Refused { message: "enough".into() };
    assert!(end.send(&record).unwrap());
    assert_eq!(inspector.join().unwrap(), record);
    control.send_command(&ping(1)).unwrap();
    assert_eq!(dataplane.receive_command().unwrap(), Some(ping(1)));
}

#[test]
fn an_observer_reads_counters_and_leaves_the_session_alone() {
    let mut plane = plane(vec![]);
    let (mut dataplane, mut control) = plane.open();
    let path = plane.path.clone();
    let observer = thread::spawn(move || observe(&path).unwrap());
    assert!(matches!(plane.next_event(), ListenerEvent::Observed { .. }));
    assert_eq!(observer.join().unwrap().figure(0), 42);
    control.send_command(&ping(1)).unwrap();
    assert_eq!(dataplane.receive_command().unwrap(), Some(ping(1)));
}

#[test]
fn the_socket_is_private_and_not_stolen() {
    use std::os::unix::fs::PermissionsExt;
    let plane = plane(vec![]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&plane.path), 0o660);
    assert_eq!(mode(plane.path.parent().unwrap()) & 0o007, 0, "others have no way in");
    let config = || ListenerConfig {
        path: plane.path.clone(),
        allowed_uids: vec![],
        counters: crate::journal::create(1, 64).unwrap(),
        journal: crate::journal::create(1, 64).unwrap(),
    };
    assert!(matches!(Listener::bind(config()), Err(ListenerError::InUse { .. })));
    drop(plane.listener);
    assert!(!plane.path.exists());
    let stale = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    rustix::net::bind(&stale, &SocketAddrUnix::new(&plane.path).unwrap()).unwrap();
    drop(stale);
    Listener::bind(config()).unwrap();
}

#[test]
fn doorbells_wake_the_peer() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut plane = plane(vec![]);
    let (dataplane, mut control) = plane.open();
    let rung = |end: &DataplaneEnd| {
        let mut fds = [PollFd::from_borrowed_fd(end.doorbell_fd(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    };
    control.notify().unwrap();
    assert!(!rung(&dataplane), "nothing was sent");
    control.send_command(&ping(1)).unwrap();
    control.notify().unwrap();
    assert!(rung(&dataplane));
    dataplane.drain_doorbell().unwrap();
    assert!(!rung(&dataplane));
    assert!(
        rustix::io::fcntl_getfd(dataplane.socket_fd().as_fd())
            .unwrap()
            .contains(rustix::io::FdFlags::CLOEXEC)
    );
}
