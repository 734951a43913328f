//! Changes on a gateway whose data plane is in memory.

use api::server::{Change, Edit, Precondition};
use api::{ConfigObject, EditTerms, ObjectKind, TunnelState};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::*;
use crate::engine::tests::world::{Gateway, World};

/// A gateway with a store beside its document, and what is asked of it.
struct Kept {
    transactions: Transactions,
    _folder: tempfile::TempDir,
}

impl Kept {
    fn new(gateway: &Gateway) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = gateway.folder.path().join("gw.toml");
        let opened = state::open(folder.path(), Some(&file)).expect("opened");
        let source = Source::Store(opened.store, folder.path().to_owned());
        Self { transactions: Transactions::new(source), _folder: folder }
    }

    /// The answer to an edit, once it is in force.
    async fn edit(&mut self, gateway: &mut Gateway, kind: ObjectKind, name: &str, change: Value) -> Answer {
        let change = match change {
            Value::Object(patch) => Change::Patch(ConfigObject(patch)),
            _ => Change::Delete,
        };
        let (precondition, terms) = (Precondition::default(), EditTerms::default());
        let edit = Edit { kind, name: name.to_owned(), change, precondition, terms };
        let (reply, answer) = oneshot::channel();
        let author = Author("a test".to_owned());
        self.transactions.submit(Transaction::Edit { edit, author, reply }, &gateway.engine);
        self.settle(gateway, answer).await
    }

    async fn commit(&mut self, gateway: &mut Gateway, text: &str) -> Answer {
        let request = CommitRequest {
            text: text.to_owned(),
            file: "a document".to_owned(),
            comment: String::new(),
            confirm_secs: None,
            dry_run: false,
            idempotency_key: None,
        };
        let (reply, answer) = oneshot::channel();
        let author = Author("a test".to_owned());
        self.transactions.submit(Transaction::Commit { request, author, reply }, &gateway.engine);
        self.settle(gateway, answer).await
    }

    async fn settle(&mut self, gateway: &mut Gateway, answer: oneshot::Receiver<Answer>) -> Answer {
        if self.transactions.job.is_some() {
            let stored = self.transactions.stored().await;
            self.transactions.handle_stored(stored, &mut gateway.engine);
        }
        answer.await.expect("an answer")
    }
}

type Answer = Result<CommitReport, Problem>;

fn code(answer: Answer) -> String {
    answer.expect_err("refused").code.into()
}

#[tokio::test]
async fn an_object_is_busy_until_the_data_plane_has_its_last_change() {
    let (mut world, spis) = World::up();
    let now = world.now;
    let gateway = &mut world.gateways[0];
    let mut kept = Kept::new(gateway);
    let site = ObjectKind::Connections;
    let done = kept.edit(gateway, site, "site", json!({ "mtu": 1300 })).await.expect("done");
    assert_eq!((done.revision, done.state), (Some(2), Some(TunnelState::Updating)));
    let busy = kept.edit(gateway, site, "site", json!({ "mtu": 1310 })).await.expect_err("busy");
    assert_eq!((&*busy.code, busy.status, busy.retry_after_secs), ("ResourceBusy", 409, Some(1)));
    let other = kept.edit(gateway, ObjectKind::CustomerGateways, "peer", json!({ "asn": 65_001 })).await;
    assert_eq!(other.expect("another object is not busy").revision, Some(3));
    gateway.run(now);
    let done = kept.edit(gateway, site, "site", json!({ "mtu": 1310 })).await.expect("done");
    assert_eq!(done.revision, Some(4));
    gateway.run(now);
    let again = kept.edit(gateway, site, "site", json!({ "mtu": 1310 })).await.expect("nothing to do");
    assert_eq!((again.revision, again.state), (Some(4), Some(TunnelState::Active)));
    assert_eq!(gateway.plane.installed(), [spis[0]], "no SA was touched");
}

#[tokio::test]
async fn an_edited_redacted_document_keeps_keys_and_spis() {
    let (mut world, spis) = World::up();
    let now = world.now;
    let gateway = &mut world.gateways[0];
    let mut kept = Kept::new(gateway);
    let shown = gateway::redact::redact(gateway.engine.document().text.expose());
    let edited = format!("{shown}ike = {{ lifetime = 7200 }}\n");
    assert!(!edited.contains("sesame"));
    let done = kept.commit(gateway, &edited).await.expect("done");
    assert_eq!(done.revision, Some(2), "{done:?}");
    gateway.run(now);
    let in_force = gateway.engine.document();
    assert!(in_force.text.expose().contains("psk = \"sesame\""));
    assert_eq!(in_force.desired.connections[0].tunnels[0].ike.lifetime.as_secs(), 7200);
    world.pass(5);
    assert_eq!(world.spis(), spis);
    let renamed = edited.replace("\"site\"", "\"elsewhere\"");
    let refused = kept.commit(&mut world.gateways[0], &renamed).await.expect("a report");
    assert!(!refused.valid && refused.problems[0].message.contains("was not shown"), "{refused:?}");
}

#[tokio::test]
async fn a_key_that_is_left_out_is_made_once() {
    let mut world = World::new();
    let now = world.now;
    let gateway = &mut world.gateways[0];
    let mut kept = Kept::new(gateway);
    let open = gateway.engine.document().text.expose().replace("psk = \"sesame\"\n", "");
    kept.commit(gateway, &open).await.expect("done");
    assert!(gateway.engine.document().text.expose().contains("psk = \"sesame\""), "the key in force stays");
    gateway.run(now);
    let other = open.replace("\"site\"", "\"other\"");
    let done = kept.commit(gateway, &other).await.expect("done");
    assert!(done.valid, "{done:?}");
    let key = |gateway: &Gateway| {
        let text = gateway.engine.document().text.expose();
        text.split("psk = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a key").to_owned()
    };
    let made = key(gateway);
    assert_eq!((made.len(), made == "sesame"), (16, false));
    assert!(!format!("{done:?}").contains(&made));
    gateway.run(now);
    kept.commit(gateway, &other.replace("\"10.1.0.0/24\"", "\"10.1.1.0/24\"")).await.expect("done");
    assert_eq!(key(gateway), made, "it is kept");
    let bad = kept.commit(gateway, &other.replace("192.0.2.2", "x")).await.expect("a report");
    let line = other.lines().position(|line| line.contains("192.0.2.2")).expect("a line") + 1;
    assert_eq!((bad.valid, bad.problems[0].line), (false, line), "the line is that of what was sent");
}

#[tokio::test]
async fn what_makes_another_connection_of_it_is_refused() {
    let mut gateway = Gateway::new(1, true);
    let mut kept = Kept::new(&gateway);
    let second = "[[customer-gateway]]\nname = \"peer2\"\nip = \"192.0.2.3\"\n\
                  [[interface]]\nname = \"wan2\"\nport = \"p0\"\nvlan = 5\nrole = \"outside\"\n\
                  addresses = [\"203.0.113.1/24\"]\n\
                  [[vpn-gateway]]\nname = \"gw2\"\naddresses = [\"203.0.113.1\"]\n";
    let text = gateway.engine.document().text.expose().replace("[vpn-gateway]", "[[vpn-gateway]]");
    let text = text.replace("192.0.2.1/24\"", "192.0.2.1/24\", \"192.0.2.11/24\"");
    let text = text
        .replace("\"192.0.2.1\"", "\"192.0.2.1\", \"192.0.2.11\"")
        .replace("name = \"site\"", "name = \"site\"\nvpn-gateway = \"gw\"")
        + second;
    let done = kept.commit(&mut gateway, &text).await.expect("done");
    assert!(done.valid, "{done:?}");
    let site = ObjectKind::Connections;
    let moved = json!({ "vpn-gateway": "gw2" });
    assert_eq!(code(kept.edit(&mut gateway, site, "site", moved).await), "GatewayImmutable");
    let tunnel = json!({ "tunnel": [{ "customer-gateway": "peer2", "psk": "sesame" }] });
    assert_eq!(code(kept.edit(&mut gateway, site, "site", tunnel).await), "CustomerGatewayImmutable");
    let two = json!({ "tunnel": [{ "customer-gateway": "peer" }, { "customer-gateway": "peer2" }] });
    kept.edit(&mut gateway, site, "site", two).await.expect("a second tunnel");
    let two = json!({ "tunnel": [{ "customer-gateway": "peer2" }, { "customer-gateway": "peer" }] });
    assert_eq!(code(kept.edit(&mut gateway, site, "site", two).await), "RoleImmutable");
    kept.edit(&mut gateway, site, "site", json!({ "vpn-gateway": "gw", "mss": 1300 })).await.expect("done");
    for (kind, name) in [(ObjectKind::CustomerGateways, "peer"), (ObjectKind::VpnGateways, "gw")] {
        let used = kept.edit(&mut gateway, kind, name, Value::Null).await.expect_err("in use");
        assert!(&*used.code == "InUse" && used.detail.ends_with("is used by connection site"), "{used:?}");
    }
    kept.edit(&mut gateway, site, "site", Value::Null).await.expect("gone");
    kept.edit(&mut gateway, ObjectKind::CustomerGateways, "peer", Value::Null).await.expect("gone");
    kept.edit(&mut gateway, ObjectKind::VpnGateways, "gw", Value::Null).await.expect("gone");
    assert_eq!(gateway.engine.document().desired.connections, []);
}
