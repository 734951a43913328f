//! The command on a terminal, as a person has it: a pseudo-terminal of a given size, keys, and what the screen shows.
//!
//! The control plane is played by a socket that answers what the API would.

use api::{
    Connection, Counters, Diagnosis, DropCounter, IkeSa, NegotiationStatus, Tunnel, TunnelState,
    TunnelTraffic,
};
use esplanade::lab::Terminal;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

/// `esplanade ARGS` on a terminal, against the control plane at `socket`.
fn start(columns: u16, socket: &Path, args: &[&str]) -> Terminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_esplanade"));
    command.arg("--socket").arg(socket).args(args);
    command.env("ESPLANADE_DATAPLANE", socket.with_file_name("nobody.sock"));
    Terminal::start(columns, &command).expect("a terminal")
}

/// Its exit status, and what it wrote.
fn run(columns: u16, socket: &Path, args: &[&str]) -> (Option<i32>, String) {
    start(columns, socket, args).finish().expect("it ends")
}

fn tunnel(connection: &str, index: u8, up: bool) -> Tunnel {
    Tunnel {
        id: u32::from(index),
        name: format!("{connection}/{index}"),
        index,
        role: if index == 1 { "Primary" } else { "Secondary" }.to_owned(),
        gateway_ip: "192.0.2.1".parse().expect("an address"),
        customer_gateway: "a-customer-gateway-with-a-long-name".to_owned(),
        customer_gateway_ip: "198.51.100.7".parse().expect("an address"),
        state: TunnelState::Active,
        status: if up {
            NegotiationStatus::IpsecSaEstablished
        } else {
            NegotiationStatus::IkeSaNotEstablished
        },
        up_secs: up.then_some(100),
        failure: None,
        traffic: Some(TunnelTraffic::default()),
    }
}

fn connections() -> Vec<Connection> {
    let connection = |name: &str, up| Connection {
        name: name.to_owned(),
        routing_mode: "destination".to_owned(),
        local_networks: Vec::new(),
        remote_networks: Vec::new(),
        resource_group: None,
        tags: std::collections::BTreeMap::new(),
        tunnels: vec![tunnel(name, 1, true), tunnel(name, 2, up)],
    };
    vec![connection("osaka", true), connection("tokyo", false)]
}

/// A control plane that answers at `path` until the test ends.
fn serve(path: &Path) {
    let listener = UnixListener::bind(path).expect("a socket");
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(answer(stream))));
}

fn answer(mut stream: UnixStream) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let len = stream.read(&mut request)?;
    let request = String::from_utf8_lossy(&request[..len]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    if path.starts_with(api::path::EVENTS) {
        let event = r#"{"id":"1-7","time":0,"connection":"osaka","tunnel":2,"kind":"tunnel-up"}"#;
        let data = format!("id: 1-7\nevent: tunnel-up\ndata: {event}\n\n");
        let len = data.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{len:x}\r\n{data}\r\n"
        )?;
        // Until the client hangs up, or to the end of the answer where it comes back.
        return if request.contains("last-event-id: 1-7") { stream.read(&mut [0]).map(drop) } else { Ok(()) };
    }
    let (status, body) = match path.split('?').next().unwrap_or_default() {
        "/v1/config/connections/osaka" => ("200 OK", edited(&request).to_string()),
        api::path::CONNECTIONS => ("200 OK", serde_json::to_string(&connections())?),
        api::path::SAS => ("200 OK", serde_json::to_string::<[IkeSa; 0]>(&[])?),
        api::path::DIAGNOSES => ("200 OK", serde_json::to_string::<[Diagnosis; 0]>(&[])?),
        api::path::ERRORS => ("200 OK", serde_json::to_string::<[DropCounter; 0]>(&[])?),
        api::path::COUNTERS => ("200 OK", serde_json::to_string(&Counters::default())?),
        _ => ("503 Service Unavailable", r#"{"title":"The data plane is not connected"}"#.to_owned()),
    };
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}"
    )
}

/// What a control plane says to a change of a connection: that it interrupts traffic, and then that it was done.
fn edited(request: &str) -> serde_json::Value {
    let (method, target) = request.split_once(' ').expect("a request");
    let impact = match method {
        "GET" => {
            return serde_json::json!({ "name": "osaka", "mtu": 1400, "tunnel": [{ "psk": "(not shown)" }] });
        }
        "DELETE" => "removed",
        _ => "interrupting",
    };
    let change = serde_json::json!({ "kind": "connection", "name": "osaka", "impact": impact });
    let mut report = serde_json::json!({ "valid": true, "problems": [], "changes": [change] });
    if target.contains("dry-run=false") {
        report["revision"] = 7.into();
    }
    report
}

/// A folder with a control plane's socket in it.
fn control() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    serve(&socket);
    (folder, socket)
}

#[test]
fn top_is_live_takes_keys_and_leaves_the_terminal_as_it_was() {
    let (_folder, socket) = control();
    let mut terminal = start(80, &socket, &["top", "--interval", "0.2"]);
    terminal.writes("\u{1b}[?1049h").expect("written");
    terminal.writes("tokyo/2").expect("written");
    assert!(!terminal.is_as_before().expect("settings"), "keys come at once");
    terminal.press("/saka\rs").expect("pressed");
    terminal.draws(&["STATEv", "osaka/1", "/ filter (saka)"]).expect("drawn");
    terminal.press("q").expect("pressed");
    terminal.writes("\u{1b}[?1049l").expect("written");
    assert_eq!(terminal.finish().expect("it ends").0, Some(0));
    assert!(terminal.is_as_before().expect("settings"));
}

#[test]
fn top_leaves_the_terminal_as_it_was_when_it_is_asked_to_end() {
    let (_folder, socket) = control();
    let mut terminal = start(80, &socket, &["top"]);
    terminal.writes("tokyo/2").expect("written");
    let pid = i32::try_from(terminal.id()).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a process"), rustix::process::Signal::TERM).expect("told");
    terminal.writes("\u{1b}[?1049l").expect("written");
    assert_eq!(terminal.finish().expect("it ends").0, Some(0));
    assert!(terminal.is_as_before().expect("settings"));
}

#[test]
fn events_are_followed_beyond_a_broken_connection_until_ctrl_c() {
    let (_folder, socket) = control();
    let mut terminal = start(80, &socket, &["events", "--connection", "osaka", "--kind", "tunnel"]);
    terminal.writes("1970-01-01T00:00:00Z osaka/2 tunnel-up").expect("written");
    terminal.writes("osaka/2 tunnel-up").expect("written");
    terminal.press("\u{3}").expect("pressed");
    assert_eq!(terminal.finish().expect("it ends").0, Some(0));
}

#[test]
fn tables_are_as_wide_as_the_terminal() {
    let (_folder, socket) = control();
    let widest = |columns| {
        let (status, text) = run(columns, &socket, &["tunnel", "list"]);
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains("tokyo") && text.contains("Secondary"), "{text}");
        text.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0)
    };
    let (narrow, wide) = (widest(100), widest(240));
    assert!(narrow <= 100 && wide > 100 && wide <= 240, "{narrow} and {wide}");
}

#[test]
fn exit_statuses_tell_what_happened() {
    let (folder, socket) = control();
    let exit = |socket: &Path, args: &[&str]| run(80, socket, args).0;
    assert_eq!(exit(&socket, &["tunnel", "show", "osaka/1"]), Some(0));
    assert_eq!(exit(&socket, &["diagnose", "tokyo"]), Some(2));
    assert_eq!(exit(&socket, &["tunnel", "show", "kyoto"]), Some(3));
    assert_eq!(exit(&socket, &["show", "status"]), Some(4));
    assert_eq!(exit(&folder.path().join("nobody.sock"), &["tunnel", "list"]), Some(4));
    assert_eq!(exit(&socket, &["tunnel", "show", "osaka/7"]), Some(64));
    assert_eq!(exit(&socket, &["--help"]), Some(0));
}

#[test]
fn what_interrupts_or_deletes_is_asked_about() {
    let (_folder, socket) = control();
    let cases = [
        (&["connection", "set", "osaka", "mtu=1300"][..], "this interrupts traffic"),
        (&["connection", "delete", "osaka"], "this deletes connection osaka"),
    ];
    for (args, question) in cases {
        for (answer, exit, result) in [("n\r", 1, ""), ("\r", 1, ""), ("y\r", 0, "revision 7 is in force")] {
            let mut terminal = start(100, &socket, args);
            terminal.writes(&format!("{question}; go on? [y/N] ")).expect("written");
            terminal.press(answer).expect("pressed");
            let (status, text) = terminal.finish().expect("it ends");
            assert!(status == Some(exit) && text.contains(result), "{args:?} {answer:?}: {status:?} {text}");
            assert_eq!(text.contains("in force"), exit == 0, "{text}");
        }
        let (status, text) = run(100, &socket, &[args, &["--yes"]].concat());
        assert!(status == Some(0) && !text.contains("go on") && text.contains("in force"), "{text}");
        let (status, text) = run(100, &socket, &[args, &["--plan"]].concat());
        assert!(status == Some(0) && text.contains("nothing was done"), "{text}");
        let mut alone = Command::new(env!("CARGO_BIN_EXE_esplanade"));
        let alone = alone.arg("--socket").arg(&socket).args(args).stdin(Stdio::null());
        let said = alone.output().expect("started");
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.code() == Some(1) && text.contains("add --yes where it is meant"), "{text}");
    }
    let (status, text) = run(100, &socket, &["connection", "show", "osaka"]);
    assert!(status == Some(0) && text.contains("tunnel[0].psk=\"(not shown)\""), "{text}");
    assert_eq!(run(100, &socket, &["connection", "set", "osaka"]).0, Some(1));
    assert_eq!(run(100, &socket, &["connection", "delete", "a/b"]).0, Some(64));
}
