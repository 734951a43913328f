//! Single objects over the API: made, read, changed, removed, and what is refused.

use crate::common::{Daemon, ask, ask_with, folder};
use serde_json::{Value, json};
use std::path::Path;

fn start(folder: &Path) -> Daemon {
    let arguments = ["--state".into(), folder.join("state"), "--config".into(), folder.join("gw.toml")];
    Daemon::start(folder, arguments)
}

fn text(folder: &Path) -> String {
    let secrets = ask(folder, "GET", "/v1/config?secrets=true", None).1;
    secrets["text"].as_str().expect("a text").to_owned()
}

/// The second connection, without a key of its own.
fn osaka() -> Value {
    json!({
        "routing-mode": "flows",
        "local-networks": ["10.1.0.0/24"],
        "remote-networks": ["10.3.0.0/24"],
        "profile": "modern",
        "tunnel": [{ "customer-gateway": "osaka" }],
    })
}

#[test]
fn objects_are_made_read_changed_and_removed() {
    let folder = folder();
    let folder = folder.path();
    let _daemon = start(folder);
    let first = text(folder);
    let peer = json!({ "ip": "192.0.2.10", "tags": { "site": "osaka" } });
    let (status, report) = ask(folder, "PUT", "/v1/config/customer-gateways/osaka", Some(&peer));
    assert_eq!(
        (status, &report["revision"], &report["state"]),
        (201, &json!(2), &json!("updating")),
        "{report}"
    );
    let path = "/v1/config/connections/osaka";
    let plan = ask(folder, "PUT", &format!("{path}?dry-run=true&comment=more"), Some(&osaka()));
    assert_eq!((plan.0, &plan.1["revision"]), (200, &Value::Null));
    assert_eq!(ask(folder, "GET", path, None).0, 404);
    assert_eq!(ask(folder, "PUT", path, Some(&osaka())).0, 201);
    let stored = text(folder);
    assert!(first.lines().all(|line| stored.contains(line)), "{stored}");
    let key = stored.split("psk = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a key");
    assert_eq!(key.len(), 16, "it was made");

    let (status, mut object) = ask(folder, "GET", path, None);
    assert_eq!((status, &object["tunnel"][0]["psk"]), (200, &json!("(not shown)")), "{object}");
    let (_, all) = ask(folder, "GET", "/v1/config/connections", None);
    let names: Vec<&Value> = all.as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["osaka", "site"]);
    let tagged = ask(folder, "GET", "/v1/config/customer-gateways?tag=site=osaka&limit=5", None).1;
    assert_eq!((tagged.as_array().map(Vec::len), &tagged[0]["name"]), (Some(1), &json!("osaka")));
    assert!(!all.to_string().contains(key));

    object["tunnel"][0]["ike"] = json!({ "lifetime": 3600 });
    assert_eq!(ask(folder, "PUT", path, Some(&object)).0, 200);
    assert_eq!(ask(folder, "PATCH", path, Some(&json!({ "mtu": 1300 }))).0, 200);
    let expected = text(folder);
    assert!(
        expected.contains(key) && expected.contains("mtu = 1300") && expected.contains("lifetime = 3600")
    );
    let peer_config = ask(folder, "GET", "/v1/connections/osaka/peer-config/generic", None).1;
    assert!(peer_config.to_string().contains(key), "the peer gets it");

    let used = ask(folder, "DELETE", "/v1/config/customer-gateways/osaka", None);
    assert_eq!((used.0, &used.1["code"]), (409, &json!("InUse")));
    assert_eq!(ask(folder, "DELETE", path, None).0, 200);
    assert_eq!(ask(folder, "DELETE", "/v1/config/customer-gateways/osaka", None).0, 200);
    assert_eq!(text(folder), first);
    assert_eq!(ask(folder, "DELETE", path, None).0, 404);
    let history = ask(folder, "GET", "/v1/config/history", None).1;
    assert_eq!(history["revisions"].as_array().map(Vec::len), Some(7), "{history}");
}

#[test]
fn what_is_refused_names_its_field_and_changes_nothing() {
    let folder = folder();
    let folder = folder.path();
    let _daemon = start(folder);
    let first = text(folder);
    let refused = |method: &str, path: &str, body: Value| {
        let (status, problem) = ask(folder, method, &format!("/v1/config/{path}"), Some(&body));
        let field = problem["problems"][0]["path"].as_str().unwrap_or_default().to_owned();
        (status, problem["code"].as_str().unwrap_or_default().to_owned(), field)
    };
    let is = |status: u16, code: &str, field: &str| (status, code.to_owned(), field.to_owned());
    let tunnel = |more: Value| {
        let mut tunnel = json!({ "customer-gateway": "peer" });
        tunnel.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "tunnel": [tunnel] })
    };
    let site = "connections/site";
    let lifetime = refused("PATCH", site, tunnel(json!({ "ike": { "lifetime": 90_000 } })));
    assert_eq!(lifetime, is(422, "LifetimeOutOfRange", "tunnel[0].ike.lifetime"));
    let key = refused("PATCH", site, tunnel(json!({ "psk": "two words" })));
    assert_eq!(key, is(422, "PskCharset", "tunnel[0].psk"));
    let mark = refused("PATCH", site, tunnel(json!({ "psk": "(not shown)" })));
    assert_eq!(mark, is(422, "PskCharset", "tunnel[0].psk"), "its key is in a file");
    assert_eq!(refused("PATCH", site, json!({ "colour": 1 })), is(422, "UnknownKey", "colour"));
    assert_eq!(refused("PATCH", site, json!({ "name": "other" })), is(422, "NameImmutable", ""));
    assert_eq!(refused("PUT", site, json!([])), is(422, "BadRequest", ""));
    assert_eq!(refused("PATCH", "connections/nobody", json!({})), is(404, "NotFound", ""));
    assert_eq!(refused("PUT", "interfaces/wan", json!({})), is(404, "NotFound", ""));
    let lonely = refused("PUT", "connections/two%20words", tunnel(json!({})));
    assert_eq!(lonely, is(422, "Malformed", "name"));
    assert_eq!(refused("PUT", &format!("{site}?confirm-secs=5"), json!({})), is(422, "OutOfRange", ""));
    assert_eq!(text(folder), first);
    assert_eq!(
        ask(folder, "GET", "/v1/config/history", None).1["revisions"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn a_change_may_depend_on_what_was_read_and_is_done_once() {
    let folder = folder();
    let folder = folder.path();
    let _daemon = start(folder);
    let path = "/v1/config/customer-gateways/peer";
    let patch = json!({ "asn": 65_001 });
    let with = |field: &str, method: &str, body: &Value| ask_with(folder, method, path, field, Some(body));
    let peer = json!({ "ip": "192.0.2.9" });
    let there = with("if-none-match: *", "PUT", &peer);
    assert_eq!((there.0, &there.1["code"]), (412, &json!("AlreadyThere")));
    assert_eq!(with("if-match: \"1\"", "PATCH", &patch).1["revision"], 2);
    let late = with("if-match: \"1\"", "PUT", &peer);
    assert_eq!((late.0, &late.1["code"]), (412, &json!("RevisionChanged")));
    assert_eq!(with("if-match: 1", "PUT", &peer).0, 400);
    for _ in 0..2 {
        assert_eq!(with("idempotency-key: k", "PATCH", &json!({ "asn": 65_002 })).1["revision"], 3);
    }
    let other = with("idempotency-key: k", "PATCH", &json!({ "asn": 65_003 }));
    assert_eq!((other.0, &other.1["code"]), (422, &json!("IdempotencyKeyReused")));
    assert_eq!(ask(folder, "GET", path, None).1["asn"], 65_002);
    let patch = "content-type: application/merge-patch+json";
    assert_eq!(with(patch, "PATCH", &json!({ "asn": null })).1["revision"], 4);
    assert_eq!(ask(folder, "GET", path, None).1, json!({ "name": "peer", "ip": "192.0.2.9" }));
}

#[test]
fn a_gateway_run_from_a_file_shows_its_objects_and_changes_none() {
    let folder = folder();
    let folder = folder.path();
    let _daemon = Daemon::start(folder, ["--config".into(), folder.join("gw.toml")]);
    let (status, gateways) = ask(folder, "GET", "/v1/config/vpn-gateways", None);
    assert_eq!((status, gateways), (200, json!([{ "name": "gw", "addresses": ["192.0.2.1"] }])));
    let (status, problem) = ask(folder, "DELETE", "/v1/config/connections/site", None);
    assert_eq!((status, &problem["code"]), (409, &json!("RunFromFile")));
}
