//! A daemon as a process, with its folder and its API.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

/// A daemon that is killed when dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts it, and waits until its API answers.
    pub(crate) fn start(folder: &Path, arguments: impl IntoIterator<Item = PathBuf>) -> Self {
        let program = env!("CARGO_BIN_EXE_esplanade-controlplane");
        let process = Process::new(program).args(arguments).stderr(Stdio::null()).spawn();
        let daemon = Self(process.expect("started"));
        let end = Instant::now() + Duration::from_secs(20);
        while exchange(folder, "GET", "/v1/version", JSON, None).is_none() {
            assert!(Instant::now() < end, "it does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Status and body of an answer.
#[track_caller]
pub(crate) fn ask(
    folder: &Path,
    method: &str,
    path: &str,
    body: Option<&serde_json::Value>,
) -> (u16, serde_json::Value) {
    exchange(folder, method, path, JSON, body).expect("an answer")
}

/// As [`ask`], with a header field more; or with another kind of body.
#[track_caller]
pub(crate) fn ask_with(
    folder: &Path,
    method: &str,
    path: &str,
    field: &str,
    body: Option<&serde_json::Value>,
) -> (u16, serde_json::Value) {
    let fields =
        if field.starts_with("content-type") { field.to_owned() } else { format!("{JSON}\r\n{field}") };
    exchange(folder, method, path, &fields, body).expect("an answer")
}

/// The kind of a body.
const JSON: &str = "content-type: application/json";

/// `None` while nobody listens.
fn exchange(
    folder: &Path,
    method: &str,
    path: &str,
    fields: &str,
    body: Option<&serde_json::Value>,
) -> Option<(u16, serde_json::Value)> {
    let mut stream = UnixStream::connect(folder.join("control.sock")).ok()?;
    let body = body.map(ToString::to_string).unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

/// A folder with a document, `gw.toml`, and the key that it names.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        r#"
[control]
socket = {:?}
[dataplane]
socket = {:?}
[[interface]]
name = "wan"
port = "p0"
role = "outside"
addresses = ["192.0.2.1/24"]
[[interface]]
name = "lan"
port = "p1"
role = "inside"
addresses = ["10.1.0.1/24"]
[vpn-gateway]
name = "gw"
addresses = ["192.0.2.1"]
[[customer-gateway]]
name = "peer"
ip = "192.0.2.9"
[[connection]]
name = "site"
routing-mode = "flows"
local-networks = ["10.1.0.0/24"]
remote-networks = ["10.2.0.0/24"]
profile = "modern"
[[connection.tunnel]]
customer-gateway = "peer"
psk-file = "site.psk"
"#,
        folder.path().join("control.sock"),
        folder.path().join("dp/dataplane.sock"),
    );
    std::fs::write(folder.path().join("gw.toml"), text).expect("written");
    let psk = folder.path().join("site.psk");
    std::fs::write(&psk, "sesame\n").expect("written");
    std::fs::set_permissions(&psk, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode set");
    folder
}

/// The events of a daemon as they come.
pub(crate) struct Events(BufReader<UnixStream>);

impl Events {
    /// From now on, or from the one after `last`.
    pub(crate) fn follow(folder: &Path, last: Option<&str>) -> Self {
        let mut stream = UnixStream::connect(folder.join("control.sock")).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        write!(stream, "GET /v1/events HTTP/1.1\r\nhost: x\r\n{last}\r\n").expect("written");
        let mut events = Self(BufReader::new(stream));
        while !events.line().starts_with("retry: ") {}
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.0.read_line(&mut line).expect("a line in time"), 0, "the events end");
        line
    }

    /// The next event that is not a tunnel's.
    pub(crate) fn of_the_configuration(&mut self) -> serde_json::Value {
        loop {
            let line = self.line();
            let event: Option<serde_json::Value> =
                line.strip_prefix("data: ").map(|data| serde_json::from_str(data).expect("JSON"));
            match event {
                Some(event) if !event["kind"].to_string().contains("tunnel") => return event,
                _ => {}
            }
        }
    }
}
