//! Who may what, and what is kept of it.

use super::*;
use crate::{AuditRecord, Role, TokenCreated};

/// A request with a token; the status of its answer, and the body.
async fn ask(served: &Served, line: &str, token: &str) -> (u16, String) {
    let header = format!("host: x\r\nconnection: close\r\nauthorization: Bearer {token}");
    split(&served.exchange(format!("{line} HTTP/1.1\r\n{header}\r\n\r\n").as_bytes()).await)
}

fn split(answer: &str) -> (u16, String) {
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// A token made over the socket, as root or the daemon's user, whom the tests are.
async fn make(served: &Served, role: &str) -> TokenCreated {
    let body = format!("{{\"name\": \"a test\", \"role\": \"{role}\"}}");
    let (status, body) = split(&served.exchange(&post("/v1/tokens", "application/json", &body)).await);
    assert_eq!(status, 201, "{body}");
    serde_json::from_str(&body).expect("a token")
}

#[tokio::test]
async fn every_operation_is_refused_to_the_roles_below_its_own() {
    let mut served = Served::start(Limits { burst: 10_000, ..Limits::default() });
    // Whoever follows its events is at their end.
    served.publisher = Publisher::default();
    let tokens =
        [make(&served, "viewer").await, make(&served, "operator").await, make(&served, "admin").await];
    let document: serde_json::Value = serde_json::from_str(document()).expect("JSON");
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let needed: Role = serde_json::from_value(operation["x-required-role"].clone()).expect("a role");
            let path = path.replace("{action}", "initiate").replace(['{', '}'], "");
            let line = format!("{} {path}", method.to_uppercase());
            for made in &tokens {
                let (status, body) = ask(&served, &line, &made.secret).await;
                let allowed = made.token.role >= needed;
                assert_eq!(status != 403, allowed, "{line} as {}: {status} {body}", made.token.role.name());
            }
            assert_eq!(ask(&served, &line, "esplanade_00000000_0").await.0, 401, "{line}");
        }
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let served = Served::start(Limits::default());
    let made = make(&served, "viewer").await;
    assert_eq!(ask(&served, "GET /v1/version", &made.secret).await.0, 200);
    let other = format!("{}0", &made.secret[..made.secret.len() - 1]);
    let wrong =
        if other == made.secret { format!("{}1", &made.secret[..made.secret.len() - 1]) } else { other };
    assert_eq!(ask(&served, "GET /v1/version", &wrong).await.0, 401);
    assert!(served.ask(&format!("DELETE /v1/tokens/{}", made.token.id)).await.starts_with("HTTP/1.1 204 "));
    let header = format!("host: x\r\nconnection: close\r\nauthorization: bearer {}", made.secret);
    let answer = served.exchange(format!("GET /v1/version HTTP/1.1\r\n{header}\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Bearer"), "{answer}");
    assert!(served.ask("GET /v1/tokens").await.ends_with("\r\n\r\n[]"));
}

#[tokio::test]
async fn the_audit_log_has_changes_secrets_and_refusals_and_no_secret() {
    let served = Served::start(Limits::default());
    let made = make(&served, "viewer").await;
    ask(&served, "GET /v1/version", &made.secret).await;
    ask(&served, "POST /v1/config/reload", &made.secret).await;
    ask(&served, "GET /v1/version?key=sesame", "sesame").await;
    served.ask("GET /v1/connections/hq/peer-config/strongswan").await;
    let expected = [
        ("uid", "GET", "/v1/connections/hq/peer-config/strongswan", 503),
        ("uid", "GET", "/v1/version", 401),
        (&*format!("token {}", made.token.id), "POST", "/v1/config/reload", 403),
        ("uid", "POST", "/v1/tokens", 201),
    ];
    for _ in 0..100 {
        let (status, body) = split(&served.ask("GET /v1/audit").await);
        let mut records: Vec<AuditRecord> = serde_json::from_str(&body).expect("records");
        records.retain(|record| record.path != "/v1/audit");
        if records.len() < expected.len() {
            // They are on their way to the disk.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        }
        assert!(status == 200 && !body.contains("sesame") && !body.contains(&made.secret), "{body}");
        let from = format!("pid {} on the Unix socket", std::process::id());
        for (record, (who, method, path, status)) in records.iter().zip(expected) {
            let same = record.method == method && record.path == path && record.status == status;
            assert!(same && record.from == from, "{record:?}");
            assert!(record.who.starts_with(who), "{record:?}");
        }
        return;
    }
    panic!("records are missing");
}
