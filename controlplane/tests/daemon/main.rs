//! The daemon over a real session of the contract: a data plane that answers commands and forwards nothing.

mod common;
mod objects;
mod remote;
mod store;

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Daemon, folder};
use esplanade_controlplane::udp;
use shm::counters::{CountersSpec, CountersWriter, Text};
use shm::message::{
    Begin, Change, Command, Committed, Completion, Inject, Label, ListEnd, ListKind, ListPort,
    MAX_PACKET_LEN, PortId, PortRecord, Spi, SpiReserved, Steering, SteeringPath, TxnId,
};
use shm::session::{DataplaneEnd, Listener, ListenerConfig, ListenerEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the data plane saw.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Session,
    /// A full transaction of so many changes.
    Configuration(usize),
    /// An IKE message to this address.
    Ike(String),
}

struct Plane {
    seen: std::sync::mpsc::Receiver<Seen>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Plane {
    fn start(path: PathBuf) -> Self {
        let spec = CountersSpec {
            workers: 1,
            interfaces: 2,
            sa_slots: 16,
            reasons: vec![Text::new("no_route", "Add a route.")],
            ..CountersSpec::default()
        };
        let counters = CountersWriter::create(&spec).expect("counters").fd().expect("a descriptor");
        let journal = shm::journal::create(4, 16 << 10).expect("a journal");
        let config = ListenerConfig { path, allowed_uids: Vec::new(), counters, journal };
        let listener = Listener::bind(config).expect("a listener");
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, seen) = std::sync::mpsc::channel();
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(listener, &sender, &stopping));
        Self { seen, stop, thread: Some(thread) }
    }

    /// Waits until `wanted` was seen.
    #[track_caller]
    fn expect(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let mut others = Vec::new();
        while let Ok(seen) = self.seen.recv_timeout(Duration::from_secs(10)) {
            if wanted(&seen) {
                return seen;
            }
            others.push(seen);
        }
        panic!("not seen; but {others:?}");
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

fn serve(mut listener: Listener, seen: &std::sync::mpsc::Sender<Seen>, stop: &AtomicBool) {
    let mut end: Option<Box<DataplaneEnd>> = None;
    let mut open: Option<(TxnId, bool, usize)> = None;
    let mut packet = Box::new([0; MAX_PACKET_LEN]);
    while !stop.load(Ordering::Relaxed) {
        if let Some(ListenerEvent::Connected(new)) = listener.poll(Instant::now()).expect("listening") {
            end = Some(new);
            drop(seen.send(Seen::Session));
        }
        if let Some(session) = &mut end {
            while let Ok(Some(command)) = session.receive_command() {
                for completion in answer(command, &mut open, seen) {
                    session.send_completion(&completion).expect("room");
                }
            }
            while let Ok(Some((Inject { vrf }, len))) = session.receive_inject(&mut packet) {
                assert_eq!(vrf.0, 0);
                let remote = std::net::Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
                assert!(len > 28 && udp::parse(0, &packet[..len]).is_ok());
                drop(seen.send(Seen::Ike(remote.to_string())));
            }
            if session.notify().is_err() || session.check_peer().is_err() {
                end = None;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn answer(
    command: Command,
    open: &mut Option<(TxnId, bool, usize)>,
    seen: &std::sync::mpsc::Sender<Seen>,
) -> Vec<Completion> {
    match command {
        Command::Begin(Begin { txn, full }) => {
            *open = Some((txn, full, 0));
            Vec::new()
        }
        Command::Change(staged) => {
            assert!(!matches!(staged.change, Change::InstallInbound(_)), "nobody negotiates here");
            if let Some((_, _, changes)) = open {
                *changes += 1;
            }
            Vec::new()
        }
        Command::Commit(commit) => {
            let (txn, full, changes) = open.take().expect("begun");
            assert_eq!(txn, commit.txn);
            if full {
                drop(seen.send(Seen::Configuration(changes)));
            }
            vec![Committed { txn }.into()]
        }
        Command::ReserveSpi(reserve) => {
            let spi = Spi::new(0x1_0000).expect("an SPI");
            vec![SpiReserved { request: reserve.request, spi }.into()]
        }
        Command::List(list) => {
            let request = list.request;
            let mut answers = Vec::new();
            if list.kind == ListKind::Ports {
                answers =
                    ["p0", "p1"].into_iter().zip(0..).map(|(name, id)| port(request, id, name)).collect();
            }
            answers.push(ListEnd { request, next: 0 }.into());
            answers
        }
        Command::Abort(_) | Command::ReleaseSpi(_) | Command::Ping(_) => Vec::new(),
    }
}

fn port(request: shm::message::RequestId, id: u16, name: &str) -> Completion {
    let port = PortRecord {
        id: PortId(id),
        name: Label::new(name),
        driver: Label::new("net_null"),
        mac: [2, 0, 0, 0, 0, 1],
        link_up: true,
        speed_mbit: 10_000,
        queues: 1,
        mtu: 1500,
        offloads: 0,
        steering: Steering { path: SteeringPath::OneWorker, rules: 0, refused: 0 },
    };
    ListPort { request, port }.into()
}

fn start(folder: &Path) -> Daemon {
    Daemon::start(folder, ["--config".into(), folder.join("gw.toml")])
}

/// `GET path`; `None` while nobody listens.
fn get(folder: &Path, path: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut stream = tokio::net::UnixStream::connect(folder.join("control.sock")).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    })
}

/// Polls `path` until `wanted` is in the answer.
#[track_caller]
fn wait_for(folder: &Path, path: &str, wanted: &str) -> String {
    let end = Instant::now() + Duration::from_secs(10);
    let mut last = None;
    while Instant::now() < end {
        last = get(folder, path);
        match last {
            Some(answer) if answer.contains(wanted) => return answer,
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    panic!("no {wanted:?} in {last:?}");
}

#[test]
fn the_daemon_serves_without_a_data_plane_and_finds_it_when_it_comes_and_comes_again() {
    let folder = folder();
    let _daemon = start(folder.path());
    wait_for(folder.path(), "/v1/status", r#""state":"away""#);
    wait_for(folder.path(), "/v1/counters", "DataplaneAway");
    for _ in 0..2 {
        let plane = Plane::start(folder.path().join("dp/dataplane.sock"));
        plane.expect(|seen| *seen == Seen::Session);
        // Two interfaces, two addresses, a tunnel, its group, its flow.
        plane.expect(|seen| *seen == Seen::Configuration(7));
        wait_for(folder.path(), "/v1/status", r#""state":"ready""#);
        plane.expect(|seen| *seen == Seen::Ike("192.0.2.9".to_owned()));
        wait_for(folder.path(), "/v1/sas", r#""state":"CONNECTING""#);
        wait_for(folder.path(), "/v1/ports", r#""name":"p1""#);
        wait_for(
            folder.path(),
            "/v1/errors",
            r#"{"name":"no_route","count":0,"help":"Add a route.","interfaces":[]}"#,
        );
        drop(plane);
        wait_for(folder.path(), "/v1/status", r#""state":"away""#);
    }
}

#[test]
fn a_second_daemon_is_refused() {
    let folder = folder();
    let _daemon = start(folder.path());
    wait_for(folder.path(), "/v1/version", "200 OK");
    let program = env!("CARGO_BIN_EXE_esplanade-controlplane");
    let output =
        Process::new(program).arg("--config").arg(folder.path().join("gw.toml")).output().expect("ran");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("another control plane listens"), "{said}");
}

#[test]
fn a_bad_document_is_refused_with_every_error() {
    let folder = folder();
    let file = folder.path().join("gw.toml");
    let text =
        std::fs::read_to_string(&file).expect("read").replace("outside", "between").replace("192.0.2.9", "x");
    std::fs::write(&file, text).expect("written");
    let program = env!("CARGO_BIN_EXE_esplanade-controlplane");
    let output = Process::new(program).arg("--config").arg(&file).output().expect("ran");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("error[UnknownValue]") && said.contains("error[Malformed]"), "{said}");
}
