//! Lists in parts, over a real connection.

use super::hostile::refused;
use super::*;

/// The IDs of the tokens of a part, and where the next one is.
fn read(answer: &str) -> (Vec<String>, Option<String>) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    let tokens: Vec<crate::Token> = serde_json::from_str(body).expect("tokens");
    let link = head.lines().find_map(|line| line.strip_prefix("link: <")?.strip_suffix(">; rel=\"next\""));
    (tokens.into_iter().map(|token| token.id).collect(), link.map(str::to_owned))
}

async fn make(served: &Served) -> String {
    let body = r#"{"name":"x","role":"viewer"}"#;
    let made = served.exchange(&post("/v1/tokens", "application/json", body)).await;
    let made: crate::TokenCreated =
        serde_json::from_str(made.split_once("\r\n\r\n").expect("an answer").1).expect("a token");
    made.token.id
}

#[tokio::test]
async fn a_list_is_walked_while_its_entries_come_and_go() {
    let served = Served::start(Limits::default());
    let mut there = Vec::new();
    for _ in 0..9 {
        there.push(make(&served).await);
    }
    there.sort();
    let (mut seen, mut next) = read(&served.ask("GET /v1/tokens?limit=2").await);
    // One that was read goes, one that was not goes, and others come.
    for gone in [&there[1], &there[4]] {
        served.ask(&format!("DELETE /v1/tokens/{gone}")).await;
    }
    for _ in 0..3 {
        make(&served).await;
    }
    let mut parts = 1;
    while let Some(link) = next {
        let (tokens, after) = read(&served.ask(&format!("GET {link}")).await);
        assert!(tokens.len() <= 2 && link.contains("limit=2&cursor="), "{link}");
        seen.extend(tokens);
        (next, parts) = (after, parts + 1);
    }
    assert!(parts > 3 && seen.is_sorted_by(|one, next| one < next), "nothing twice: {seen:?}");
    there.remove(4);
    assert!(there.iter().all(|id| seen.contains(id)), "{there:?} in {seen:?}");
}

#[tokio::test]
async fn broken_cursors_and_limits_are_refused() {
    let served = Served::start(Limits::default());
    for list in ["tokens", "audit"] {
        for cursor in ["x", "", "2f", "2f76312f736173%3f37"] {
            refused(&served.ask(&format!("GET /v1/{list}?cursor={cursor}")).await, 400, "BadCursor");
        }
        for limit in ["0", "1001", "-1", "x"] {
            refused(&served.ask(&format!("GET /v1/{list}?limit={limit}")).await, 400, "BadRequest");
        }
        refused(&served.ask(&format!("GET /v1/{list}?page=2")).await, 400, "BadRequest");
    }
}
