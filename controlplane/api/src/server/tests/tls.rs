//! Clients over real TLS: who is let in, and what they can make the server hold.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::*;
use crate::{Role, TokenRequest};

/// A server on a port of the loopback.
struct Remote {
    served: Served,
    tls: Arc<Tls>,
    at: SocketAddr,
}

impl Remote {
    async fn start(limits: Limits) -> Self {
        let served = Served::start(limits);
        let tls = Tls::own(served.folder.path()).expect("a CA");
        Self::with(served, tls).await
    }

    async fn with(served: Served, tls: Tls) -> Self {
        let (tls, listener) = (Arc::new(tls), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await);
        let listener = listener.expect("a port");
        let at = listener.local_addr().expect("bound");
        tokio::spawn(Arc::clone(&served.server).serve_tls(listener, Arc::clone(&tls)));
        Self { served, tls, at }
    }

    /// A handshake that trusts `ca` and means the server to be `name`.
    async fn connect(&self, ca: &str, name: &str, config: Versions) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("PEM")).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(config);
        let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(self.at).await?).await
    }

    async fn exchange(&self, request: &[u8]) -> String {
        let ca = self.tls.ca().expect("an own CA");
        let mut stream = self.connect(ca, "127.0.0.1", TLS13).await.expect("trusted");
        let _ = stream.write_all(request).await;
        rest(&mut stream).await
    }

    /// A token of this role, made as on the disk.
    async fn token(&self, role: Role) -> String {
        let request = TokenRequest { name: "a test".into(), role, days: 1 };
        let body = serde_json::to_string(&request).expect("JSON");
        let answer = self.served.exchange(&post("/v1/tokens", "application/json", &body)).await;
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        serde_json::from_str::<crate::TokenCreated>(body).expect("a token").secret
    }
}

type Versions = &'static [&'static rustls::SupportedProtocolVersion];
const TLS13: Versions = &[&rustls::version::TLS13];

fn get(path: &str, token: Option<&str>) -> Vec<u8> {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{token}connection: close\r\n\r\n").into_bytes()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn over_tls_nobody_is_known_without_a_token() {
    let remote = Remote::start(Limits::default()).await;
    let viewer = remote.token(Role::Viewer).await;
    assert_eq!(status(&remote.exchange(&get("/v1/version", Some(&viewer))).await), 200);
    // Not even the user whom the Unix socket would take for an admin; and the connection ends with that.
    let stranger = get("/v1/version", None);
    let twice = [&stranger[..stranger.len() - "connection: close\r\n\r\n".len()], b"\r\n"].concat().repeat(2);
    let refused = remote.exchange(&twice).await;
    assert_eq!((status(&refused), refused.matches("HTTP/1.1").count()), (401, 1), "{refused}");
    assert!(refused.contains("esplanade token create"), "{refused}");
    let commit = String::from_utf8(post("/v1/config/commit", "application/json", "{}")).expect("text");
    let commit = commit.replace("host: x", &format!("host: x\r\nauthorization: Bearer {viewer}"));
    let refused = remote.exchange(commit.as_bytes()).await;
    assert!(status(&refused) == 403 && refused.contains("needs the role admin"), "{refused}");
}

#[tokio::test]
async fn the_certificate_is_of_our_ca_for_this_address_and_of_no_other() {
    let remote = Remote::start(Limits::default()).await;
    let ca = remote.tls.ca().expect("an own CA");
    let other = tempfile::tempdir().expect("a folder");
    let stranger = Tls::own(other.path()).expect("a CA");
    for (ca, name) in
        [(stranger.ca().expect("an own CA"), "127.0.0.1"), (ca, "192.0.2.1"), (ca, "gw.example")]
    {
        let refused = remote.connect(ca, name, TLS13).await.expect_err("not trusted").to_string();
        assert!(refused.contains("certificate"), "{name}: {refused}");
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert!(remote.connect(ca, &host, TLS13).await.is_ok(), "by the name of the machine, {host}");
}

#[tokio::test]
async fn the_ca_is_made_once_and_its_key_is_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Tls::own(folder.path()).expect("a CA").ca().map(str::to_owned);
    let mode =
        |name| std::fs::metadata(folder.path().join(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("ca.key"), mode("ca.crt")), (0o600, 0o644));
    assert_eq!(Tls::own(folder.path()).expect("the same").ca().map(str::to_owned), first);
    // The key is what counts: its certificate is made again, and clients that have the one before trust it still.
    std::fs::remove_file(folder.path().join("ca.crt")).expect("removed");
    let again = Tls::own(folder.path()).expect("the same");
    assert!(again.ca().is_some_and(|ca| Some(ca) != first.as_deref()));
    let remote = Remote::with(Served::start(Limits::default()), again).await;
    assert!(remote.connect(&first.expect("a CA"), "127.0.0.1", TLS13).await.is_ok());
    let key = folder.path().join("ca.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).expect("set");
    assert!(Tls::own(folder.path()).expect_err("open to others").to_string().contains("chmod 600"));
}

#[tokio::test]
async fn a_certificate_is_replaced_before_it_ends() {
    const DAY: u64 = 86_400;
    let folder = tempfile::tempdir().expect("a folder");
    let tls = Tls::own(folder.path()).expect("a CA");
    let at = |day: u64| tls.config(Ipv4Addr::LOCALHOST.into(), 2_000_000_000 + day * DAY).expect("issued");
    let first = at(0);
    assert!(Arc::ptr_eq(&first, &at(59)) && !Arc::ptr_eq(&first, &at(60)), "after 60 of 90 days");
    let newest = at(60);
    assert!(!Arc::ptr_eq(&newest, &at(1)), "the clock was set back");
}

#[tokio::test]
async fn given_files_are_shown_and_read_again_when_they_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["a.pem", "a.key"].map(|name| folder.path().join(name));
    let make = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("made");
        super::super::kept::write(&files[0], made.cert.pem().as_bytes(), 0o644).expect("written");
        super::super::kept::write(&files[1], made.signing_key.serialize_pem().as_bytes(), 0o600)
            .expect("written");
    };
    make("gw.example");
    let tls = Tls::from_files(&files[0], &files[1]).expect("usable");
    assert!(tls.ca().is_none());
    let at = |secs| tls.config(Ipv4Addr::LOCALHOST.into(), secs).expect("there");
    let first = at(1000);
    tokio::time::sleep(Duration::from_millis(20)).await;
    std::fs::write(&files[0], "nonsense").expect("written");
    assert!(Arc::ptr_eq(&first, &at(2000)), "what cannot be used is not taken up");
    make("other.example");
    assert!(Arc::ptr_eq(&first, &at(2030)), "not looked at yet");
    assert!(!Arc::ptr_eq(&first, &at(2060)));
    let swapped = Tls::from_files(&files[1], &files[0]).expect_err("swapped");
    assert!(swapped.to_string().contains("no certificate in PEM"), "{swapped}");
    let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    std::fs::write(&files[1], other).expect("written");
    let mismatch = Tls::from_files(&files[0], &files[1]).expect_err("another key");
    assert!(mismatch.to_string().contains("cannot be used"), "{mismatch}");
}

#[tokio::test]
async fn those_who_do_not_finish_the_handshake_keep_nobody_out() {
    // Longer than the test: only who is turned away is hung up on.
    let handshake_time = Duration::from_secs(600);
    let limits = Limits { handshakes: 6, handshakes_each: 4, handshake_time, ..Limits::default() };
    let remote = Remote::start(limits).await;
    let token = remote.token(Role::Viewer).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(TcpStream::connect(remote.at).await.expect("connected"));
    }
    let beside = remote.exchange(&get("/v1/version", Some(&token))).await;
    assert_eq!(status(&beside), 200, "beside three of them");
    // As many as one address may have: the next is hung up on.
    slow.push(TcpStream::connect(remote.at).await.expect("connected"));
    let mut fifth = TcpStream::connect(remote.at).await.expect("connected");
    assert_eq!(fifth.read(&mut [0; 1]).await.unwrap_or_default(), 0);
}

#[tokio::test]
async fn a_handshake_is_over_after_its_time() {
    let handshake_time = Duration::from_millis(20);
    let remote = Remote::start(Limits { handshake_time, ..Limits::default() }).await;
    let mut slow = TcpStream::connect(remote.at).await.expect("connected");
    assert_eq!(slow.read(&mut [0; 1]).await.unwrap_or_default(), 0);
}

#[tokio::test]
async fn what_is_no_tls_13_gets_no_answer_and_what_is_too_large_is_refused() {
    let limits = Limits { body: 1 << 10, ..Limits::default() };
    let remote = Remote::start(limits).await;
    let token = remote.token(Role::Admin).await;
    let mut plain = TcpStream::connect(remote.at).await.expect("connected");
    plain.write_all(&get("/v1/version", Some(&token))).await.expect("written");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.windows(4).any(|part| part == b"HTTP"), "{answer:?}");
    let long = String::from_utf8(post("/v1/config/check", "application/json", &" ".repeat(2 << 10)));
    let long = long.expect("text").replace("host: x", &format!("host: x\r\nauthorization: Bearer {token}"));
    assert_eq!(status(&remote.exchange(long.as_bytes()).await), 413);
    let fields: String = (0..100).map(|n| format!("x-{n}: 1\r\n")).collect();
    let flood = format!("GET /v1/version HTTP/1.1\r\nauthorization: Bearer {token}\r\n{fields}\r\n");
    assert_eq!(status(&remote.exchange(flood.as_bytes()).await), 431);
}

#[tokio::test]
async fn the_ca_is_told_to_those_who_may_ask() {
    let folder = tempfile::tempdir().expect("a folder");
    let (calls, _queue) = Calls::new(1);
    let access = Access { ca: Some("a certificate".into()), ..Access::default() };
    let server = Server::new(calls, Limits::default(), access).expect("a server");
    let socket = folder.path().join("api.sock");
    tokio::spawn(Arc::clone(&server).serve_unix(UnixListener::bind(&socket).expect("a socket")));
    let mut stream = UnixStream::connect(&socket).await.expect("connected");
    stream.write_all(&get("/v1/ca", None)).await.expect("written");
    let answer = rest(&mut stream).await;
    assert!(status(&answer) == 200 && answer.contains("{\"certificate\":\"a certificate\"}"), "{answer}");
    let without = Served::start(Limits::default()).ask("GET /v1/ca").await;
    assert!(status(&without) == 404 && without.contains("listen"), "{without}");
}
