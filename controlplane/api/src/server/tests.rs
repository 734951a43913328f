mod events;
mod hostile;
mod idempotency;
mod lists;
mod roles;
mod tls;

use std::io;
use std::sync::Arc;

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// A server with an engine that knows its version and tells events, on a socket of its own.
struct Served {
    folder: tempfile::TempDir,
    server: Arc<Server>,
    publisher: Publisher,
}

impl Served {
    fn start(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let access = Access { state: Some(folder.path().to_owned()), ..Access::default() };
        let listener = UnixListener::bind(folder.path().join("api.sock")).expect("a socket");
        let (calls, mut queue) = Calls::new(4);
        let publisher = Publisher::default();
        let feed = publisher.feed();
        tokio::spawn(async move {
            while let Some(call) = queue.recv().await {
                match call {
                    Call::Version(reply) => {
                        let version = Version { version: "1".into(), contract: 2, dataplane: None };
                        let _ = reply.send(Ok(version));
                    }
                    Call::Events(reply) => drop(reply.send(Ok(feed.clone()))),
                    _ => {}
                }
            }
        });
        let server = Server::new(calls, limits, access).expect("a server");
        tokio::spawn(Arc::clone(&server).serve_unix(listener));
        Self { folder, server, publisher }
    }

    /// The engine goes, then the server.
    async fn stop(self) {
        drop(self.publisher);
        self.server.stop().await;
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("api.sock")).await.expect("connected")
    }

    /// What comes back for these bytes until the server closes.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The answer may come, and the connection end, before all is written.
        let _ = stream.write_all(request).await;
        rest(&mut stream).await
    }

    /// The answer to a request without a body.
    async fn ask(&self, line: &str) -> String {
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        self.exchange(request.as_bytes()).await
    }
}

async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

/// A request with a body.
fn post(path: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let header = format!("host: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}");
    format!("POST {path} HTTP/1.1\r\n{header}\r\n\r\n{body}").into_bytes()
}

#[tokio::test]
async fn answers_and_problems() {
    let served = Served::start(Limits::default());
    let version = served.ask("GET /v1/version").await;
    assert!(version.contains("200 OK") && version.contains(r#"{"version":"1","contract":2}"#), "{version}");
    assert!(version.contains("cache-control: no-store"), "{version}");
    let unknown = served.ask("GET /v2").await;
    assert!(unknown.contains("404") && unknown.contains("application/problem+json"), "{unknown}");
    let method = served.ask("POST /v1/version").await;
    assert!(method.contains("405") && method.contains("MethodNotAllowed"), "{method}");
    let action = served.ask("POST /v1/connections/a/frobnicate").await;
    assert!(action.contains("no action frobnicate"), "{action}");
    let dropped = served.ask("GET /v1/status").await;
    assert!(dropped.contains("503") && dropped.contains("Stopping"), "{dropped}");
    let bad = served.exchange(&post("/v1/config/check", "application/json", "{\"text\": 5}")).await;
    assert!(bad.contains("422") && bad.contains("BadRequest"), "{bad}");
}

/// The checked-in document, for those who have no daemon at hand.
fn checked_in() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

#[test]
fn the_checked_in_document_is_current() {
    let there = std::fs::read_to_string(checked_in()).expect("docs/openapi.json");
    assert!(there == document(), "run `cargo test -p api --features server openapi -- --ignored`");
}

#[test]
#[ignore = "writes docs/openapi.json"]
fn writes_openapi() {
    std::fs::write(checked_in(), document()).expect("written");
}

fn every_reference_leads_somewhere(document: &serde_json::Value, part: &serde_json::Value) {
    use serde_json::Value::{Array, Object};
    if let Some(to) = part["$ref"].as_str() {
        assert!(to.strip_prefix('#').is_some_and(|to| document.pointer(to).is_some()), "{to}");
    }
    match part {
        Object(parts) => parts.values().for_each(|part| every_reference_leads_somewhere(document, part)),
        Array(parts) => parts.iter().for_each(|part| every_reference_leads_somewhere(document, part)),
        _ => {}
    }
}

#[test]
fn every_operation_is_described() {
    let document: serde_json::Value = serde_json::from_str(document()).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = std::collections::BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let of = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{of}: no summary");
            assert!(
                operation["responses"]
                    .as_object()
                    .is_some_and(|all| all.values().all(|one| one["description"] != ""))
            );
            let role = operation["x-required-role"].as_str().unwrap_or_default();
            assert!(["viewer", "operator", "admin"].contains(&role), "{of}: no role");
            assert!(names.insert(operation["operationId"].to_string()), "{of}: its name is another's");
            assert_eq!(operation["responses"]["default"]["$ref"], "#/components/responses/Problem", "{of}");
        }
    }
    every_reference_leads_somewhere(&document, &document);
    let problem = &document["components"]["responses"]["Problem"]["content"];
    assert!(problem["application/problem+json"]["schema"].is_object());
}
