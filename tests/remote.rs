//! The command line and a gateway's API over real TLS: whom it trusts, what it says where it does not, and that roles count.

use api::server::{Access, Call, Calls, Limits, Server, Tls};
use api::{Role, TokenCreated, TokenRequest, Version};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};

/// A server that knows its version only, on a socket and on a port of the loopback.
struct Gateway {
    folder: tempfile::TempDir,
    at: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Gateway {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let at = runtime.block_on(async {
            let tls = Arc::new(Tls::own(&state).expect("a CA"));
            let (calls, mut queue) = Calls::new(4);
            tokio::spawn(async move {
                while let Some(call) = queue.recv().await {
                    if let Call::Version(reply) = call {
                        let version = Version { version: "1".into(), contract: 2, dataplane: None };
                        drop(reply.send(Ok(version)));
                    }
                }
            });
            let ca = tls.ca().map(str::to_owned);
            let access = Access { state: Some(state.clone()), ca, ..Access::default() };
            let server = Server::new(calls, Limits::default(), access).expect("a server");
            let unix = UnixListener::bind(state.join("control.sock")).expect("a socket");
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            let at = tcp.local_addr().expect("bound");
            tokio::spawn(Arc::clone(&server).serve_unix(unix));
            tokio::spawn(server.serve_tls(tcp, tls));
            at
        });
        Self { folder, at, _runtime: runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with a token of this role, made over the socket.
    fn token(&self, role: Role) -> PathBuf {
        let client = esplanade::client::Client::new(&self.path("control.sock"));
        let request = TokenRequest { name: "a test".into(), role, days: 1 };
        let made: TokenCreated = client.post(api::path::TOKENS, &request).expect("made");
        let file = self.path(role.name());
        std::fs::write(&file, made.secret + "\n").expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("set");
        file
    }

    /// What a command says that asks over TLS, as the variables have it.
    fn run(&self, variables: &[(&str, PathBuf)], arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_esplanade"));
        command.env("ESPLANADE_URL", format!("https://{}", self.at)).env_remove("ESPLANADE_SOCKET");
        command.envs(variables.iter().map(|(name, value)| (name, value))).args(arguments);
        command.output().expect("run")
    }
}

#[track_caller]
fn failed(output: &Output, with: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && with.iter().all(|part| said.contains(part)), "{with:?}: {said}");
}

#[test]
fn a_gateway_is_asked_over_tls_and_each_obstacle_has_its_words() {
    let gateway = Gateway::start();
    let socket = gateway.path("control.sock");
    let shown = Command::new(env!("CARGO_BIN_EXE_esplanade"))
        .args(["show", "ca", "--socket"])
        .arg(&socket)
        .env_remove("ESPLANADE_URL")
        .output()
        .expect("run");
    let ca = ("ESPLANADE_CA", gateway.path("trusted.pem"));
    std::fs::write(&ca.1, &shown.stdout).expect("written");
    let viewer = ("ESPLANADE_TOKEN_FILE", gateway.token(Role::Viewer));

    let ca_again = gateway.run(&[ca.clone(), viewer.clone()], &["show", "ca"]);
    assert_eq!(ca_again.stdout, shown.stdout, "{}", String::from_utf8_lossy(&ca_again.stderr));
    failed(
        &gateway.run(&[ca.clone(), viewer.clone()], &["token", "list"]),
        &["needs the role admin", "viewer"],
    );
    failed(&gateway.run(&[ca.clone(), viewer.clone()], &["show", "ca", "--socket", "/x"]), &["--socket"]);
    failed(&gateway.run(std::slice::from_ref(&ca), &["show", "ca"]), &["--token-file", "token create"]);
    failed(&gateway.run(std::slice::from_ref(&viewer), &["show", "ca"]), &["--ca", "esplanade show ca"]);

    let stranger = tempfile::tempdir().expect("a folder");
    Tls::own(stranger.path()).expect("a CA");
    let other = ("ESPLANADE_CA", stranger.path().join("ca.crt"));
    failed(
        &gateway.run(&[other, viewer.clone()], &["show", "ca"]),
        &["not trusted", "UnknownIssuer", "--ca"],
    );

    let secret = "esplanade_00000000_sesame";
    std::fs::write(&viewer.1, secret).expect("written");
    let refused = gateway.run(&[ca.clone(), viewer.clone()], &["show", "ca"]);
    failed(&refused, &["unknown, revoked or expired", "token create"]);
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("sesame"));
    std::fs::set_permissions(&viewer.1, std::fs::Permissions::from_mode(0o644)).expect("set");
    failed(&gateway.run(&[ca, viewer], &["show", "ca"]), &["chmod 600"]);
}
