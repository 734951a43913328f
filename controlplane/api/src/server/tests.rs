use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Serves the routes with an engine that knows its version only.
fn serve() -> (std::path::PathBuf, tokio::task::JoinHandle<()>) {
    let file = format!("esplanade-api-{}-{:p}.sock", std::process::id(), &0);
    let path = std::env::temp_dir().join(file);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    let (calls, mut queue) = Calls::new(4);
    tokio::spawn(async move {
        while let Some(call) = queue.recv().await {
            if let Call::Version(reply) = call {
                let version = Version { version: "1".into(), contract: 2, dataplane: None };
                let _ = reply.send(Ok(version));
            }
        }
    });
    let server = async move { axum::serve(listener, router(calls)).await.expect("serving") };
    (path, tokio::spawn(server))
}

async fn exchange(path: &std::path::Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    answer
}

#[tokio::test]
async fn answers_and_problems() {
    let (path, server) = serve();
    let ask = |line: &str| format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let version = exchange(&path, &ask("GET /v1/version")).await;
    assert!(version.contains("200 OK") && version.contains(r#"{"version":"1","contract":2}"#), "{version}");
    let unknown = exchange(&path, &ask("GET /v2")).await;
    assert!(unknown.contains("404") && unknown.contains("application/problem+json"), "{unknown}");
    let method = exchange(&path, &ask("POST /v1/version")).await;
    assert!(method.contains("405") && method.contains("MethodNotAllowed"), "{method}");
    let action = exchange(&path, &ask("POST /v1/connections/a/frobnicate")).await;
    assert!(action.contains("no action frobnicate"), "{action}");
    let dropped = exchange(&path, &ask("GET /v1/status")).await;
    assert!(dropped.contains("503") && dropped.contains("Stopping"), "{dropped}");
    let body = "{\"text\": 5}";
    let bad = format!(
        "POST /v1/config/check HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(exchange(&path, &bad).await.contains("BadRequest"));
    server.abort();
    let _ = std::fs::remove_file(path);
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
            assert!(names.insert(operation["operationId"].to_string()), "{of}: its name is another's");
            assert_eq!(operation["responses"]["default"]["$ref"], "#/components/responses/Problem", "{of}");
        }
    }
    let problem = &document["components"]["responses"]["Problem"]["content"];
    assert!(problem["application/problem+json"]["schema"].is_object());
}
