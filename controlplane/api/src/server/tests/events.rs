//! Events over a real connection.

use std::time::Duration;

use super::hostile::{refused, tight};
use super::*;
use crate::{Occurrence, Reason};

fn down(served: &Served, times: usize) {
    for _ in 0..times {
        let what = Occurrence::TunnelDown { reason: Reason::PeerDead };
        served.publisher.publish(Some(("hq".into(), 2)), what);
    }
}

/// A connection that has asked for events and has the beginning of the answer.
async fn follow(served: &Served, query: &str, header: &str) -> UnixStream {
    let mut stream = served.connect().await;
    let request = format!("GET /v1/events{query} HTTP/1.1\r\nhost: x\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let begin = until(&mut stream, "\n\n").await;
    assert!(
        begin.contains("200 OK")
            && begin.contains("content-type: text/event-stream")
            && begin.contains("retry: 2000\n"),
        "{begin}"
    );
    stream
}

/// What comes up to `wanted`.
async fn until(stream: &mut UnixStream, wanted: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        while !seen.ends_with(wanted.as_bytes()) {
            seen.push(stream.read_u8().await.expect("read"));
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), reading).await.is_ok();
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(in_time, "no {wanted:?} in {seen}");
    seen
}

#[tokio::test]
async fn events_are_followed_and_gone_on_with() {
    let served = Served::start(Limits { header_time: Duration::from_millis(50), ..Limits::default() });
    let mut stream = follow(&served, "?kind=tunnel&connection=hq", "").await;
    served.publisher.publish(None, Occurrence::ConfigReloaded { changed: 1 });
    // Longer than a connection may be idle between requests.
    tokio::time::sleep(Duration::from_millis(200)).await;
    down(&served, 1);
    let event = until(&mut stream, "\n\n").await;
    assert!(event.contains("-2\nevent: tunnel-down\ndata: {"), "{event}");
    assert!(event.contains(r#""connection":"hq","tunnel":2,"kind":"tunnel-down","reason":"peer-dead"}"#));
    let id = event.lines().find_map(|line| line.strip_prefix("id: ")).expect("an ID").to_owned();
    drop(stream);
    down(&served, 1);
    let mut stream = follow(&served, "", &format!("last-event-id: {id}\r\n")).await;
    let event = until(&mut stream, "\n\n").await;
    assert!(event.contains("-3\nevent: tunnel-down") && !event.contains("-2\n"), "{event}");
    served.stop().await;
    assert!(rest(&mut stream).await.ends_with("0\r\n\r\n"), "a whole answer, not a broken one");
}

#[tokio::test]
async fn kinds_ids_and_queries_that_are_none_are_refused() {
    let served = Served::start(Limits::default());
    refused(&served.ask("GET /v1/events?kind=weather").await, 400, "UnknownKind");
    refused(&served.ask("GET /v1/events?since=1").await, 400, "BadRequest");
    let ahead = b"GET /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\nlast-event-id: \xff\r\n\r\n";
    refused(&served.exchange(ahead).await, 400, "UnknownEvent");
}

#[tokio::test]
async fn a_client_follows_so_often_and_gives_its_place_back() {
    let served = Served::start(Limits { followers: 3, followers_each: 2, ..Limits::default() });
    let first = follow(&served, "", "").await;
    let _second = follow(&served, "", "").await;
    refused(&served.ask("GET /v1/events").await, 429, "TooManyFollowers");
    drop(first);
    let mut again = String::new();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut stream = served.connect().await;
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
        again = until(&mut stream, "\r\n\r\n").await;
        if again.contains("200 OK") {
            return;
        }
    }
    panic!("{again}");
}

#[tokio::test]
async fn many_that_never_read_hinder_nobody_and_are_cut_off() {
    let many =
        Limits { requests_per_sec: 10_000, burst: 10_000, connections: 64, connections_each: 64, ..tight() };
    let served = Served::start(many);
    let mut deaf = Vec::new();
    for _ in 0..15 {
        deaf.push(follow(&served, "", "").await);
    }
    let mut hearing = follow(&served, "?kind=config", "").await;
    // More than their sockets hold.
    for _ in 0..40 {
        down(&served, 1_000);
        tokio::task::yield_now().await;
    }
    served.publisher.publish(None, Occurrence::ConfigReloaded { changed: 7 });
    until(&mut hearing, r#""changed":7}"#).await;
    for mut stream in deaf {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let ended = tokio::time::timeout(Duration::from_secs(10), rest(&mut stream)).await;
        assert!(!ended.expect("cut off").ends_with("0\r\n\r\n"));
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_hears_no_more() {
    let served = Served::start(Limits::default());
    let made =
        served.exchange(&post("/v1/tokens", "application/json", r#"{"name":"x","role":"viewer"}"#)).await;
    let field = |name: &str| {
        let begin = made.split_once(&format!("\"{name}\":\"")).expect("a field").1;
        begin.split_once('"').expect("an end").0.to_owned()
    };
    let mut stream = follow(&served, "", &format!("authorization: Bearer {}\r\n", field("secret"))).await;
    down(&served, 1);
    until(&mut stream, "}\n\n").await;
    assert!(served.ask(&format!("DELETE /v1/tokens/{}", field("id"))).await.contains("204"));
    down(&served, 1);
    assert!(!rest(&mut stream).await.contains("tunnel-down"));
}
