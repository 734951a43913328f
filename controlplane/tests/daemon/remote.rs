//! `[api] listen`: the daemon serves TLS there, and says what keeps it from that.

use crate::common::{Daemon, ask, folder};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Lets the document say this of `[api]`.
fn api(folder: &Path, lines: &str) {
    let file = folder.join("gw.toml");
    let text = std::fs::read_to_string(&file).expect("read");
    std::fs::write(file, format!("{text}\n[api]\n{lines}\n")).expect("written");
}

/// A port of the loopback that nobody has.
fn port() -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    free.local_addr().expect("bound").port()
}

/// What a daemon says that does not start.
#[track_caller]
fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_esplanade-controlplane"))
        .args(arguments)
        .arg(folder.join("gw.toml"))
        .env_remove("STATE_DIRECTORY")
        .stdout(Stdio::null())
        .output()
        .expect("run");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_api_is_served_over_tls_with_a_ca_that_stays_the_same() {
    let folder = folder();
    let folder = folder.path();
    let port = port();
    api(folder, &format!("listen = [\"127.0.0.1:{port}\", \"[::1]:{port}\"]"));
    let start = || {
        Daemon::start(
            folder,
            ["--state".into(), folder.join("state"), "--config".into(), folder.join("gw.toml")],
        )
    };
    let daemon = start();
    let ca = ask(folder, "GET", "/v1/ca", None).1["certificate"].clone();
    assert!(ca.as_str().is_some_and(|pem| pem.starts_with("-----BEGIN CERTIFICATE")), "{ca}");
    let key = std::fs::metadata(folder.join("state/api/ca.key")).expect("kept");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    for address in ["127.0.0.1", "::1"] {
        // Whoever does not speak TLS is told so by an alert of it (RFC 8446 section 6), and no more.
        let mut stream = TcpStream::connect((address, port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        stream.write_all(b"GET /v1/version HTTP/1.1\r\n\r\n").expect("written");
        let mut alert = [0; 2];
        stream.read_exact(&mut alert).expect("an alert");
        assert_eq!(alert, [21, 3], "{address}");
    }
    let text = std::fs::read_to_string(folder.join("gw.toml")).expect("read");
    let moved = json!({ "text": text.replace("\"127.0.0.1", "\"127.0.0.2"), "dry_run": true });
    let plan = ask(folder, "POST", "/v1/config/commit", Some(&moved)).1;
    let control = plan["changes"].as_array().and_then(|all| all.iter().find(|one| one["kind"] == "control"));
    let control = control.expect("a change");
    assert_eq!(control["impact"], "next-start");
    assert_eq!(control["fields"][0]["field"], "api.listen", "{control}");
    let lost = format!("{text}certificate = \"no.pem\"\nkey = \"no.key\"\n");
    let (status, problem) = ask(folder, "POST", "/v1/config/commit", Some(&json!({ "text": lost })));
    assert!(status == 422 && problem.to_string().contains("[api] certificate"), "{problem}");
    drop(daemon);
    let _daemon = start();
    assert_eq!(ask(folder, "GET", "/v1/ca", None).1["certificate"], ca);
}

#[test]
fn what_keeps_the_api_from_tls_keeps_the_daemon_from_starting() {
    let folder = folder();
    let folder = folder.path();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    api(folder, &format!("listen = \"{}\"", taken.local_addr().expect("bound")));
    let said = refusal(folder, &["--config"]);
    assert!(said.contains("[api] listen") && said.contains("choose another port"), "{said}");
    drop(taken);
    let said = refusal(folder, &["--config"]);
    assert!(said.contains("needs a folder for tokens"), "{said}");
    let text = std::fs::read_to_string(folder.join("gw.toml")).expect("read");
    let (text, _) = text.split_once("[api]").expect("there");
    std::fs::write(folder.join("gw.toml"), text).expect("written");
    api(folder, "listen = \"198.51.100.1:8443\"");
    let said = refusal(folder, &["--config"]);
    assert!(said.contains("cannot listen at 198.51.100.1:8443") && said.contains("kernel"), "{said}");
}
