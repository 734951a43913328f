//! The program: it starts, says so, stops when told, and names what is wrong.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_esplanade-dataplane");
/// Of a capture file of Ethernet frames (version 2.4, up to 65,535 bytes each).
const CAPTURE_HEADER: [u8; 24] =
    [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];

fn config(folder: &Path, ports: &[(&str, &str)], more: &str) -> PathBuf {
    let mut text = format!("[dataplane]\nsocket = {:?}\n{more}\n", folder.join("dp/dataplane.sock"));
    for (name, device) in ports {
        text.push_str(&format!("[[dataplane.port]]\nname = \"{name}\"\ndevice = \"{device}\"\n"));
    }
    let file = folder.join("gw.toml");
    std::fs::write(&file, text).expect("written");
    file
}

fn run(file: &Path) -> Output {
    Command::new(PROGRAM).arg("--config").arg(file).output().expect("it runs")
}

fn failure(file: &Path) -> String {
    let output = run(file);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// Kills the process when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn starts_tells_the_service_manager_and_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let file =
        config(folder.path(), &[("wan", "net_null0,no-rx=1"), ("lan", "net_null1,no-rx=1")], "workers = 2");
    let manager = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let mut child = Command::new(PROGRAM)
        .arg("--config")
        .arg(&file)
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut log = child.stderr.take().expect("piped");
    let mut running = Running(child);
    let mut message = [0; 32];
    let len = manager.recv(&mut message).expect("a message before the time is out");
    assert_eq!(&message[..len], b"READY=1");
    assert!(folder.path().join("dp/dataplane.sock").exists());

    let pid = Pid::from_child(&running.0);
    kill_process(pid, Signal::TERM).expect("sent");
    let status = running.0.wait().expect("ended");
    let mut text = String::new();
    log.read_to_string(&mut text).expect("UTF-8");
    assert!(status.success(), "{text}");
    for said in ["crypto: ", "2 worker(s)", "RX mode adaptive", "port wan: net_null0", "ready", "stopped"] {
        assert!(text.contains(said), "no {said:?} in\n{text}");
    }
}

/// A worker whose receive queue reads a pipe: with nothing in it, the kernel does not let the worker go.
struct Stuck {
    running: Running,
    log: BufReader<ChildStderr>,
    /// Once this is closed the device has come to its end, and the worker comes round for ever.
    pipe: Option<File>,
    _folder: TempDir,
}

impl Stuck {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("frames.pcap");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
        // Both ends, so that opening waits for nobody.
        let mut pipe = File::options().read(true).write(true).open(&path).expect("opened");
        pipe.write_all(&CAPTURE_HEADER).expect("room");
        let device = format!("net_pcap0,rx_pcap={}", path.display());
        let more = format!("rx-mode = \"poll\"\n{more}");
        let file = config(folder.path(), &[("wan", &device)], &more);
        let mut child = Command::new(PROGRAM)
            .arg("--config")
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        Self { running: Running(child), log, pipe: Some(pipe), _folder: folder }
    }

    /// Reads the log until it says so, or ends; returns all of it.
    fn read_until(&mut self, words: &str) -> String {
        let mut text = String::new();
        while self.log.read_line(&mut text).expect("UTF-8") > 0 && !text.contains(words) {}
        assert!(text.contains(words), "{text}");
        text
    }
}

#[test]
fn a_stuck_worker_ends_the_process() {
    let mut stuck = Stuck::start("");
    let text = stuck.read_until("aborting");
    assert!(text.contains("worker 0 does not come round: it waits in the kernel"), "{text}");
    assert!(text.contains("worker 0 is stuck: it waits in the kernel"), "{text}");
    let status = stuck.running.0.wait().expect("ended");
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
}

#[test]
fn a_stuck_worker_is_reported_until_it_comes_round() {
    let mut stuck = Stuck::start("stuck-worker = \"report\"");
    stuck.read_until("worker 0 is stuck (it waits in the kernel); restart the data plane");
    stuck.pipe = None;
    stuck.read_until("worker 0 comes round again");
    kill_process(Pid::from_child(&stuck.running.0), Signal::TERM).expect("sent");
    stuck.read_until("stopped");
    assert!(stuck.running.0.wait().expect("ended").success());
}

#[test]
fn a_device_that_does_not_come_up_is_one_line_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = config(folder.path(), &[("wan", "net_af_packet0,iface=nosuchif0")], "");
    let text = failure(&file);
    let line = text.lines().find(|line| line.starts_with("esplanade-dataplane: ")).expect("the error");
    assert!(line.contains("port wan") && line.contains("net_af_packet0,iface=nosuchif0"), "{text}");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = config(folder.path(), &[("wan", "net_null0")], "workers = 99\ncolour = 1");
    let text = failure(&file);
    assert!(text.contains(&format!("{}:3: dataplane.workers = 99", file.display())), "{text}");
    assert!(text.contains(&format!("{}:4: dataplane.colour", file.display())), "{text}");
    let missing = failure(&folder.path().join("nothing.toml"));
    assert!(missing.contains("nothing.toml"), "{missing}");
}
