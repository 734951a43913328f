//! Clients that mean no good, against the real server over a real socket.

use std::time::Duration;

use super::*;

/// Bounds that a test reaches soon.
pub(super) fn tight() -> Limits {
    Limits {
        connections: 4,
        connections_each: 3,
        requests_per_sec: 1,
        burst: 5,
        header_time: Duration::from_millis(100),
        body_time: Duration::from_millis(100),
        stall_time: Duration::from_millis(100),
        body: 1 << 10,
        ..Limits::default()
    }
}

/// The answer is a problem of this status and code.
#[track_caller]
pub(super) fn refused(answer: &str, status: u16, code: &str) {
    let problem = answer.starts_with(&format!("HTTP/1.1 {status} "))
        && answer.contains("content-type: application/problem+json")
        && answer.contains(&format!("\"code\":\"{code}\""));
    assert!(problem, "{status} {code} expected: {answer}");
}

#[tokio::test]
async fn bodies_are_bounded_whether_they_say_their_length_or_not() {
    let served = Served::start(tight());
    let long = " ".repeat(2 << 10);
    refused(
        &served.exchange(&post("/v1/config/check", "application/json", &long)).await,
        413,
        "BodyTooLarge",
    );
    let announced =
        b"POST /v1/config/check HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\nconnection: close\r\n\r\n";
    refused(&served.exchange(announced).await, 413, "BodyTooLarge");
    let chunked = format!(
        "POST /v1/config/check HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n800\r\n{long}\r\n0\r\n\r\n"
    );
    refused(&served.exchange(chunked.as_bytes()).await, 413, "BodyTooLarge");
}

#[tokio::test]
async fn bodies_are_json() {
    let served = Served::start(Limits::default());
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        for path in ["/v1/config/check", "/v1/shutdown", "/v1/connections/a/initiate"] {
            refused(&served.exchange(&post(path, kind, "{}")).await, 415, "UnsupportedMediaType");
        }
    }
    let deep = "[".repeat(100_000);
    refused(&served.exchange(&post("/v1/config/check", "application/json", &deep)).await, 422, "BadRequest");
    let cut =
        b"POST /v1/config/check HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n";
    refused(&served.exchange(cut).await, 400, "BadRequest");
}

#[tokio::test]
async fn slow_clients_are_let_go() {
    let served = Served::start(tight());
    let mut silent = served.connect().await;
    assert_eq!(rest(&mut silent).await, "", "one that says nothing hears nothing");
    refused(
        &served.exchange(b"GET /v1/version HTTP/1.1\r\nhost: x\r\nx-slow: ").await,
        408,
        "RequestTimeout",
    );
    let unfinished = b"POST /v1/config/check HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    refused(&served.exchange(unfinished).await, 408, "RequestTimeout");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let served = Served::start(Limits { requests_per_sec: 1_000_000, burst: 1_000_000, ..tight() });
    let mut stream = served.connect().await;
    let request = b"GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    let pushing = async { while stream.write_all(request).await.is_ok() {} };
    assert!(tokio::time::timeout(Duration::from_secs(20), pushing).await.is_ok(), "the server hung up");
}

#[tokio::test]
async fn headers_are_bounded() {
    let served = Served::start(Limits::default());
    let with = |fields: String| format!("GET /v1/version HTTP/1.1\r\nconnection: close\r\n{fields}\r\n");
    let flood: String = (0..100).map(|n| format!("x-{n}: 1\r\n")).collect();
    refused(&served.exchange(with(flood).as_bytes()).await, 431, "HeaderTooLarge");
    let large = format!("x: {}\r\n", "a".repeat(20 << 10));
    refused(&served.exchange(with(large).as_bytes()).await, 431, "HeaderTooLarge");
    // What is larger still ends in the parser.
    let flood: String = (0..10_000).map(|n| format!("x-{n}: 1\r\n")).collect();
    assert!(served.exchange(with(flood).as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let huge = format!("x: {}\r\n", "a".repeat(200 << 10));
    assert!(served.exchange(with(huge).as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let smuggled =
        "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/status HTTP/1.1\r\n";
    let answer = served.exchange(with(smuggled.to_owned()).as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test]
async fn paths_have_no_tricks() {
    let served = Served::start(Limits::default());
    for path in [
        "//v1/version",
        "/v1//version",
        "/v1/../v1/version",
        "/v1/%2e%2e/v1/version",
        "/v1/connections/%00/initiate",
        "/v1/connections/a%2fb/initiate",
        "/v1/connections/%ff/initiate",
        "/v1/connections/%zz/initiate",
    ] {
        refused(&served.ask(&format!("POST {path}")).await, 400, "BadPath");
    }
    refused(&served.ask(&format!("POST /v1/connections/{}/initiate", "a".repeat(300))).await, 400, "BadPath");
    refused(&served.ask(&format!("GET /v1/version?{}", "a".repeat(5 << 10))).await, 414, "UriTooLong");
    refused(&served.ask("GET /v1/connections?tag=a&tag=b").await, 400, "BadRequest");
    assert!(
        served.exchange(b"GET /v1/ver\0sion HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 400 ")
    );
    assert!(served.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01").await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_client_makes_so_many_requests_a_second() {
    let served = Served::start(tight());
    for _ in 0..5 {
        assert!(served.ask("GET /v1/version").await.starts_with("HTTP/1.1 200 "));
    }
    let answer = served.ask("GET /v1/version").await;
    refused(&answer, 429, "TooManyRequests");
    assert!(answer.contains("retry-after: 1\r\n") && answer.contains("\"retry_after_secs\":1"), "{answer}");
}

#[tokio::test]
async fn a_client_has_so_many_connections() {
    let served = Served::start(Limits { header_time: Duration::from_secs(60), ..tight() });
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(served.connect().await);
    }
    let answer = served.exchange(b"").await;
    refused(&answer, 429, "TooManyConnections");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    drop(open);
    // The server sees them go at its own pace.
    for _ in 0..100 {
        if served.ask("GET /v1/version").await.starts_with("HTTP/1.1 200 ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the seats were not given back");
}

#[tokio::test]
async fn a_server_that_stops_finishes_its_answers_and_takes_no_more() {
    let served = Served::start(Limits::default());
    let mut idle = served.connect().await;
    served.server.stop().await;
    assert_eq!(rest(&mut idle).await, "");
    assert!(UnixStream::connect(served.folder.path().join("api.sock")).await.is_err());
}
