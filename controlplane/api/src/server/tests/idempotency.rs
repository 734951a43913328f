//! `Idempotency-Key`, through the whole server.

use super::*;

/// `POST /v1/tokens` with this key, which makes one each time it is done.
async fn make(served: &Served, key: &str, name: &str) -> (u16, serde_json::Value) {
    let body = format!("{{\"name\": \"{name}\", \"role\": \"viewer\"}}");
    let request = String::from_utf8(post("/v1/tokens", "application/json", &body)).expect("text");
    let request = request.replace("host: x", &format!("host: x\r\nidempotency-key: {key}"));
    let answer = served.exchange(request.as_bytes()).await;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    (status, serde_json::from_str(body).expect("JSON"))
}

async fn count(served: &Served) -> usize {
    let answer = served.ask("GET /v1/tokens").await;
    serde_json::from_str::<Vec<crate::Token>>(answer.split_once("\r\n\r\n").expect("a body").1)
        .expect("a list")
        .len()
}

#[tokio::test]
async fn the_same_request_with_the_same_key_is_done_once_and_answered_twice() {
    let served = Served::start(Limits::default());
    let first = make(&served, "a", "one").await;
    assert_eq!(first.0, 201, "{}", first.1);
    assert_eq!((make(&served, "a", "one").await, count(&served).await), (first, 1));
    let (status, problem) = make(&served, "a", "two").await;
    assert_eq!((status, &problem["code"]), (422, &"IdempotencyKeyReused".into()));
    assert_eq!(make(&served, "b", "two").await.0, 201);
    assert_eq!(count(&served).await, 2);
    // What was refused did nothing: its key is free.
    assert_eq!(make(&served, "c", "").await.0, 422);
    assert_eq!(make(&served, "c", "three").await.0, 201);
    let long = "k".repeat(129);
    for key in ["", &long, "a\r\nidempotency-key: b"] {
        let (status, problem) = make(&served, key, "four").await;
        assert_eq!((status, &problem["code"]), (400, &"BadRequest".into()), "{key}");
    }
}

#[tokio::test]
async fn a_request_whose_client_hung_up_is_done_and_its_answer_kept() {
    let served = Served::start(Limits::default());
    let body = "{\"name\": \"one\", \"role\": \"viewer\"}";
    let request = String::from_utf8(post("/v1/tokens", "application/json", body)).expect("text");
    let mut stream = served.connect().await;
    let request = request.replace("host: x", "host: x\r\nidempotency-key: a");
    stream.write_all(request.as_bytes()).await.expect("written");
    drop(stream);
    while count(&served).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let again = loop {
        match make(&served, "a", "one").await {
            (409, _) => tokio::time::sleep(Duration::from_millis(10)).await,
            answer => break answer,
        }
    };
    assert_eq!((again.0, count(&served).await), (201, 1), "{}", again.1);
}
