//! The program: it starts, says so, stops when told, and names what is wrong.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_esplanade-dataplane");

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
