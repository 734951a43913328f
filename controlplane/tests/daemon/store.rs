//! The daemon on its store, as a process: what was committed is in force after a restart, and what was not confirmed is not.

use crate::common::{Daemon, Events, ask, folder};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

fn start(folder: &Path, seed: bool) -> Daemon {
    let mut arguments = vec!["--state".into(), folder.join("state")];
    if seed {
        arguments.extend(["--config".into(), folder.join("gw.toml")]);
    }
    Daemon::start(folder, arguments)
}

fn text(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("gw.toml")).expect("read")
}

fn commit(folder: &Path, text: &str, more: &Value) -> Value {
    let mut request = json!({ "text": text });
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    ask(folder, "POST", "/v1/config/commit", Some(&request)).1
}

fn running(folder: &Path) -> String {
    ask(folder, "GET", "/v1/config", None).1["text"].as_str().expect("a text").to_owned()
}

fn history(folder: &Path) -> Value {
    ask(folder, "GET", "/v1/config/history", None).1
}

#[test]
fn what_was_committed_is_in_force_after_a_restart_and_the_file_is_not_read_again() {
    let folder = folder();
    let folder = folder.path();
    let first = text(folder);
    let daemon = start(folder, true);
    assert_eq!(running(folder), first);
    let second = first.replace("10.2.0.0/24", "10.3.0.0/24");
    let plan = commit(folder, &second, &json!({ "dry_run": true }));
    assert_eq!((&plan["valid"], &plan["revision"]), (&json!(true), &Value::Null));
    let of_the_connection = |change: &&Value| change["kind"] == "connection";
    let changes = plan["changes"].as_array().expect("a list");
    assert_eq!(changes.iter().find(of_the_connection).expect("a change")["impact"], "renegotiate");
    assert_eq!(running(folder), first);
    let keyed = json!({ "comment": "osaka moves", "idempotency_key": "k" });
    for _ in 0..2 {
        assert_eq!(commit(folder, &second, &keyed)["revision"], 2);
    }
    let other = commit(folder, &first, &keyed);
    assert_eq!((&other["code"], running(folder)), (&json!("IdempotencyKeyReused"), second.clone()));
    let bad = commit(folder, &second.replace("192.0.2.9", "x"), &json!({}));
    assert_eq!((&bad["valid"], &bad["problems"][0]["code"]), (&json!(false), &json!("Malformed")));
    drop(daemon);
    std::fs::write(folder.join("gw.toml"), "not even TOML").expect("written");
    let _daemon = start(folder, true);
    assert_eq!(running(folder), second);
    assert_eq!(commit(folder, &second, &keyed)["revision"], 2, "the store remembers its key");
    let entries = history(folder);
    assert_eq!(entries["revisions"].as_array().map(Vec::len), Some(2));
    assert_eq!(entries["revisions"][0]["comment"], "osaka moves");
    let old = ask(folder, "GET", "/v1/config/revisions/1", None).1;
    assert_eq!(old["text"], json!(first));
    let back = ask(folder, "POST", "/v1/config/rollback", Some(&json!({ "revision": 1 }))).1;
    assert_eq!((&back["revision"], running(folder)), (&json!(3), first));
    assert_eq!(ask(folder, "POST", "/v1/config/rollback", Some(&json!({ "revision": 9 }))).0, 404);
}

#[test]
fn what_is_not_confirmed_goes_while_the_daemon_runs_and_while_it_is_dead() {
    let folder = folder();
    let folder = folder.path();
    let first = text(folder);
    let second = first.replace("10.2.0.0/24", "10.3.0.0/24");
    let daemon = start(folder, true);
    let confirm = json!({ "confirm_secs": 10 });
    assert_eq!(commit(folder, &second, &confirm)["pending"]["fallback"], 1);
    let (status, problem) = ask(folder, "POST", "/v1/config/commit", Some(&json!({ "text": first })));
    assert_eq!((status, &problem["code"]), (409, &json!("ConfirmationPending")));
    assert!(problem["fix"].as_str().is_some_and(|fix| fix.contains("config confirm")), "{problem}");
    let confirmed = ask(folder, "POST", "/v1/config/confirm", None).1;
    assert_eq!((&confirmed["revision"], &history(folder)["pending"]), (&json!(2), &Value::Null));
    assert_eq!(ask(folder, "POST", "/v1/config/confirm", None).0, 409);

    commit(folder, &first, &confirm);
    assert_eq!(running(folder), first);
    let end = Instant::now() + Duration::from_secs(20);
    while running(folder) != second {
        assert!(Instant::now() < end, "it does not return");
        std::thread::sleep(Duration::from_millis(100));
    }
    let entries = history(folder);
    assert_eq!((&entries["revisions"][0]["revision"], &entries["pending"]), (&json!(4), &Value::Null));

    commit(folder, &first, &confirm);
    drop(daemon);
    let daemon = start(folder, false);
    // Before its time it is in force, still waiting.
    assert_eq!((running(folder), &history(folder)["pending"]["revision"]), (first, &json!(5)));
    drop(daemon);
    std::thread::sleep(Duration::from_secs(11));
    let _daemon = start(folder, false);
    assert_eq!(running(folder), second);
    let comment = history(folder)["revisions"][0]["comment"].clone();
    assert_eq!(comment, "revision 5 was not confirmed within 10 s: back to revision 4");
}

#[test]
fn what_becomes_of_the_configuration_is_told_and_a_restart_shows_as_a_gap() {
    let folder = folder();
    let folder = folder.path();
    let daemon = start(folder, true);
    let mut events = Events::follow(folder, None);
    let first = text(folder);
    let second = first.replace("10.2.0.0/24", "10.3.0.0/24");
    commit(folder, &second, &json!({}));
    let committed = events.of_the_configuration();
    let wanted = json!(["config-committed", 2, "uid 0", 1]);
    assert_eq!(
        json!([committed["kind"], committed["revision"], committed["author"], committed["changed"]]),
        wanted
    );
    commit(folder, &first, &json!({ "confirm_secs": 10 }));
    ask(folder, "POST", "/v1/config/confirm", None);
    ask(folder, "POST", "/v1/config/rollback", Some(&json!({ "revision": 2 })));
    ask(folder, "POST", "/v1/config/reload", None);
    commit(folder, &first, &json!({ "confirm_secs": 10 }));
    let told: Vec<Value> = (0..6).map(|_| events.of_the_configuration()).collect();
    let kinds: Vec<&str> = told.iter().map(|event| event["kind"].as_str().expect("a kind")).collect();
    let wanted = [
        "config-committed",
        "config-confirmed",
        "config-rolled-back",
        "config-reloaded",
        "config-committed",
        "config-returned",
    ];
    assert_eq!((kinds, &told[0]["confirm_secs"]), (wanted.to_vec(), &json!(10)));
    let mut again = Events::follow(folder, committed["id"].as_str());
    assert_eq!(again.of_the_configuration(), told[0]);
    drop(daemon);
    let _daemon = start(folder, false);
    let gap = Events::follow(folder, committed["id"].as_str()).of_the_configuration();
    assert_eq!((&gap["kind"], &gap["count"]), (&json!("missed"), &Value::Null));
}

#[test]
fn the_audit_log_is_kept_beside_the_store() {
    let folder = folder();
    let folder = folder.path();
    let daemon = start(folder, true);
    let second = text(folder).replace("10.2.0.0/24", "10.3.0.0/24");
    assert_eq!(commit(folder, &second, &json!({}))["revision"], 2);
    // It is written by a thread of its own, which the daemon's end would take along.
    let end = Instant::now() + Duration::from_secs(20);
    while !ask(folder, "GET", "/v1/audit", None).1.to_string().contains("/v1/config/commit") {
        assert!(Instant::now() < end, "it is not written");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(daemon);
    let _daemon = start(folder, false);
    let (status, records) = ask(folder, "GET", "/v1/audit", None);
    assert_eq!(status, 200, "{records}");
    assert!(records.to_string().contains("/v1/config/commit"), "{records}");
    assert!(folder.join("state/api/audit.jsonl").exists());
}

#[test]
fn a_store_begins_with_the_keys_that_its_seed_leaves_out() {
    let folder = folder();
    let folder = folder.path();
    let open = text(folder).replace("psk-file = \"site.psk\"\n", "");
    std::fs::write(folder.join("gw.toml"), &open).expect("written");
    let daemon = start(folder, true);
    let first = running(folder);
    assert!(first.starts_with(&open) && first.contains("psk = \"(not shown)\""), "{first}");
    let secret = || ask(folder, "GET", "/v1/config?secrets=true", None).1["text"].clone();
    let key = secret();
    drop(daemon);
    let _daemon = start(folder, true);
    assert_eq!(secret(), key);
    let check = |text: &str| ask(folder, "POST", "/v1/config/check", Some(&json!({ "text": text }))).1;
    assert!(check(&open)["valid"] == true && check(&first)["valid"] == true, "{}", check(&open));
    assert_eq!(check(&first.replace("\"site\"", "\"other\""))["valid"], false, "its key is not known");
    let diff = ask(folder, "POST", "/v1/config/diff", Some(&json!({ "text": open }))).1;
    let changes = diff["changes"].as_array().expect("changes");
    assert!(changes.iter().all(|change| change["impact"] == "unchanged"), "{diff}");
    for _ in 0..2 {
        let again = commit(folder, &open, &json!({ "idempotency_key": "k" }));
        assert_eq!((&again["revision"], secret()), (&json!(2), key.clone()));
    }
}

#[test]
fn a_gateway_run_from_a_file_says_so() {
    let folder = folder();
    let folder = folder.path();
    let _daemon = Daemon::start(folder, ["--config".into(), folder.join("gw.toml")]);
    assert_eq!(running(folder), text(folder));
    let (status, problem) = ask(folder, "POST", "/v1/config/commit", Some(&json!({ "text": "" })));
    assert_eq!((status, &problem["code"]), (409, &json!("RunFromFile")));
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("gw.toml")), "{problem}");
}
