use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::redact::NOT_SHOWN;

const TOML: &str = r#"# The gateway of Tokyo.
[[interface]]
name = "wan"
port = "p0"
role = "outside"
addresses = ["192.0.2.1/24", "192.0.2.2/24"]

[vpn-gateway]  # the only one
name = "gw"
address = ["192.0.2.1", "192.0.2.2"]

[[customer-gateway]]
name = "osaka"
ip = "198.51.100.7"
ASN = 1.10

# The first.
[[connection]]
name = "hq"   # head quarters
Local_Network = "10.1.0.0/24"
remote-networks = ["10.2.0.0/24"]
tags = { Site = "osaka" }

[[connection.tunnel]]
customer-gateway = "osaka"
psk = "sesame"
[connection.tunnel.ike]
lifetime = 7200   # two hours
encryption = "aes256"

[[connection.tunnel]]
customer-gateway = "osaka"
pre_shared_key = 'open\sesame'
ipsec = { pfs = "group14", lifetime = 3600 }

# The second.
[[connection]]
name = "lab"
[connection.tunnel]
customer-gateway = "osaka"
psk = "sesame2"
"#;

const JSON: &str = r#"{
  "vpn-gateway": {"name": "gw", "addresses": ["192.0.2.1"]},
  "customer-gateway": [
    {"name": "osaka", "ip": "198.51.100.7"}
  ],
  "connection": [
    {
      "name": "hq",
      "Tunnel": [ {"customer_gateway": "osaka", "psk": "sesame", "ike": {"lifetime": 7200}} ]
    }, {
      "name": "lab",
      "tunnel": {"customer-gateway": "osaka", "psk": "sesame"}
    }
  ]
}
"#;

fn object(text: &str, kind: Kind, wanted: &str) -> Object {
    let all = list(text, kind);
    all.into_iter().find(|object| name(object) == wanted).unwrap_or_else(|| panic!("no {wanted}"))
}

/// The text after a merge patch of an object.
fn patch(text: &str, kind: Kind, wanted: &str, patch: Value) -> String {
    let Value::Object(patch) = patch else { panic!("no object") };
    let object = patched(object(text, kind, wanted), named_patch(kind, patch));
    put(text, kind, &named(kind, object).expect("an object")).expect("a document").to_string()
}

#[test]
fn objects_have_the_names_of_the_schema_and_no_secret() {
    let hq = Value::from(object(TOML, Kind::Connection, "hq"));
    let expected = json!({
        "name": "hq",
        "local-networks": "10.1.0.0/24",
        "remote-networks": ["10.2.0.0/24"],
        "tags": { "Site": "osaka" },
        "tunnel": [
            { "customer-gateway": "osaka", "psk": NOT_SHOWN, "ike": { "lifetime": 7200, "encryption": "aes256" } },
            { "customer-gateway": "osaka", "psk": NOT_SHOWN, "ipsec": { "pfs": "group14", "lifetime": 3600 } },
        ],
    });
    assert_eq!(hq, expected);
    assert_eq!(object(TOML, Kind::Connection, "lab")["tunnel"][0]["psk"], NOT_SHOWN);
    let osaka = Value::from(object(TOML, Kind::CustomerGateway, "osaka"));
    assert_eq!(osaka, json!({ "name": "osaka", "ip": "198.51.100.7", "asn": "1.10" }));
    let tunnel = json!([{ "customer-gateway": "osaka", "psk": NOT_SHOWN, "ike": { "lifetime": 7200 } }]);
    assert_eq!(object(JSON, Kind::Connection, "hq")["tunnel"], tunnel);
}

#[test]
fn what_is_put_back_as_it_was_read_changes_nothing() {
    for text in [TOML, JSON] {
        for kind in [Kind::VpnGateway, Kind::CustomerGateway, Kind::Connection] {
            for object in list(text, kind) {
                assert_eq!(
                    *put(text, kind, &named(kind, object).expect("an object")).expect("a document"),
                    text
                );
            }
        }
    }
}

#[test]
fn only_the_line_of_a_changed_value_changes() {
    let mut tunnels = object(TOML, Kind::Connection, "hq")["tunnel"].clone();
    tunnels[0]["ike"]["lifetime"] = 3600.into();
    tunnels[1]["ipsec"]["pfs"] = "group19".into();
    let changed =
        patch(TOML, Kind::Connection, "hq", json!({ "tunnel": tunnels, "local-networks": "10.9.0.0/24" }));
    let expected = TOML.replace("7200", "3600").replace("group14", "group19").replace("10.1.0.0", "10.9.0.0");
    assert_eq!(changed, expected);
    let changed = patch(TOML, Kind::VpnGateway, "gw", json!({ "addresses": "192.0.2.1", "bandwidth": 500 }));
    assert!(changed.contains("address = \"192.0.2.1\"\nbandwidth = 500\n"), "{changed}");

    let mut tunnels = object(JSON, Kind::Connection, "hq")["tunnel"].clone();
    tunnels[0]["ike"]["lifetime"] = 3600.into();
    let changed = patch(JSON, Kind::Connection, "hq", json!({ "tunnel": tunnels }));
    assert_eq!(changed, JSON.replace("7200", "3600"));
}

#[test]
fn objects_come_and_go_and_the_others_stay_as_they_are() {
    for text in [TOML, JSON, "", "{}", "vpn-gateway = [{ name = \"gw\" }]", "vpn-gateway.name = \"gw\""] {
        for kind in [Kind::VpnGateway, Kind::CustomerGateway, Kind::Connection] {
            let new = json!({ "name": "kyoto", "tunnel": [{ "customer-gateway": "kyoto", "ike": { "lifetime": 5 } }] });
            let Value::Object(new) = new else { panic!("no object") };
            let put = put(text, kind, &new).expect("a document");
            let mut expected = list(text, kind);
            expected.push(new.clone());
            assert_eq!(list(&put, kind), expected, "{}", *put);
            let removed = remove(&put, kind, "kyoto").expect("it is there");
            assert_eq!(list(&removed, kind), list(text, kind), "{}", *removed);
            assert!(remove(text, kind, "kyoto").is_none());
            for object in list(text, kind) {
                let rest = remove(&put, kind, name(&object)).expect("it is there");
                assert_eq!(list(&rest, kind).len(), expected.len() - 1, "{}", *rest);
            }
        }
    }
    let without = remove(TOML, Kind::Connection, "hq").expect("it is there");
    assert!(without.contains("# The second.") && !without.contains("sesame\""), "{}", *without);
}

#[test]
fn tunnels_come_and_go_within_a_connection() {
    for text in [TOML, JSON] {
        let lab = object(text, Kind::Connection, "lab");
        let two = json!([lab["tunnel"][0], { "customer-gateway": "osaka", "psk": "new" }]);
        let changed = patch(text, Kind::Connection, "lab", json!({ "tunnel": two }));
        assert_eq!(object(&changed, Kind::Connection, "lab")["tunnel"][1]["psk"], NOT_SHOWN, "{changed}");
        let back = patch(&changed, Kind::Connection, "lab", json!({ "tunnel": [two[0]] }));
        assert_eq!(object(&back, Kind::Connection, "lab"), lab, "{back}");
    }
}

#[test]
fn a_merge_patch_sets_merges_and_removes() {
    let Value::Object(before) = json!({ "a": 1, "b": { "c": 2, "d": 3 }, "e": [4] }) else {
        panic!("no object")
    };
    let Value::Object(patch) =
        json!({ "a": null, "b": { "c": null, "f": 5 }, "e": [6, 7], "g": { "h": null } })
    else {
        panic!("no object")
    };
    let after = json!({ "b": { "d": 3, "f": 5 }, "e": [6, 7], "g": {} });
    assert_eq!(Value::from(patched(before, patch)), after);
}

#[test]
fn what_no_document_can_say_is_refused_and_not_left_out() {
    let refused = |value: Value| {
        named(Kind::Connection, Object::from_iter([("mtu".to_owned(), value)])).expect_err("no")
    };
    assert_eq!(refused(json!([1, null])), "null is no element of a list");
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(refused(deep), "nested too deep");
    let twice = json!({ "mtu": 1300, "MTU": 1400 });
    let Value::Object(twice) = twice else { panic!("no object") };
    assert_eq!(
        named(Kind::Connection, twice.clone()).expect("an object"),
        twice,
        "for the document to refuse"
    );
}

/// Values of any shape.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z\" .\n-]{0,6}", inner, 0..4)
                .prop_map(|table| Value::Object(table.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_object_is_read_as_it_was_put(value in any_value(), other in any_value(), at in 0..2usize) {
        for text in [TOML, JSON] {
            let mut before = list(text, Kind::Connection);
            let name = ["hq", "kyoto"][at];
            let object = |value: &Value| {
                let tunnel = json!([{ "ike": value, "psk": "x" }, { "ipsec": other }]);
                let object = json!({ "name": name, "mtu": value, "tunnel": tunnel });
                object.as_object().cloned().and_then(|object| named(Kind::Connection, object).ok())
            };
            let Some(put_one) = object(&value) else { continue };
            let shown = |object: &Object| {
                let mut shown = object.clone();
                shown["tunnel"][0]["psk"] = NOT_SHOWN.into();
                shown
            };
            let text = put(text, Kind::Connection, &put_one).expect("a document");
            before.retain(|one| super::name(one) != name);
            let mut after = list(&text, Kind::Connection);
            let found = after.iter().position(|one| super::name(one) == name).expect("it is there");
            prop_assert_eq!(after.remove(found), shown(&put_one));
            prop_assert_eq!(&after, &before);
            let Some(put_other) = object(&other) else { continue };
            let text = put(&text, Kind::Connection, &put_other).expect("a document");
            let after = list(&text, Kind::Connection);
            prop_assert_eq!(&after[found], &shown(&put_other));
        }
    }
}

#[test]
fn a_patch_may_spell_keys_otherwise() {
    let changed =
        patch(TOML, Kind::Connection, "hq", json!({ "Local_Subnet": "10.9.0.0/24", "remote-network": null }));
    let expected = TOML.replace("10.1.0.0", "10.9.0.0").replace("remote-networks = [\"10.2.0.0/24\"]\n", "");
    assert_eq!(changed, expected);
}

const EXAMPLE: &str = include_str!("../../../../docs/examples/two-sites.toml");

fn connection(text: &str) -> Connection {
    let report = crate::check(text, "test");
    let desired = report.desired.unwrap_or_else(|| panic!("{:#?}", report.errors));
    desired.connections.into_iter().next().expect("a connection")
}

#[test]
fn gateways_and_roles_stay_as_long_as_a_connection() {
    let one = connection(EXAMPLE);
    assert_eq!(immutable(&one, &one), None);
    let with = |change: &dyn Fn(&mut Connection)| {
        let mut new = one.clone();
        change(&mut new);
        immutable(&one, &new).map(|found| (found.code, found.path))
    };
    assert_eq!(with(&|new| new.tunnels[0].nat_traversal = false), None);
    assert_eq!(with(&|new| new.tunnels.push(new.tunnels[0].clone())), None, "a second tunnel");
    let gateway = with(&|new| "other".clone_into(&mut new.vpn_gateway));
    assert_eq!(gateway, Some(("GatewayImmutable", "vpn-gateway".to_owned())));
    let customer = with(&|new| "other".clone_into(&mut new.tunnels[0].customer_gateway));
    assert_eq!(customer, Some(("CustomerGatewayImmutable", "tunnel[0].customer-gateway".to_owned())));
}

#[test]
fn tunnels_do_not_swap_their_roles() {
    let mut old = connection(EXAMPLE);
    old.tunnels.push(old.tunnels[0].clone());
    let swapped = |old: &Connection| {
        let mut new = old.clone();
        new.tunnels.reverse();
        immutable(old, &new).map(|found| found.code)
    };
    assert_eq!(swapped(&old), None, "both are the same");
    old.tunnels[1].nat_traversal = false;
    assert_eq!(swapped(&old), Some("RoleImmutable"));
    "other".clone_into(&mut old.tunnels[1].customer_gateway);
    assert_eq!(swapped(&old), Some("RoleImmutable"));
}

#[test]
fn what_uses_an_object_is_named() {
    let report = crate::check(EXAMPLE, "test");
    let desired = report.desired.unwrap_or_else(|| panic!("{:#?}", report.errors));
    let connection = &desired.connections[0];
    let uses = [format!("connection {}", connection.name)];
    assert_eq!(users(&desired, Kind::VpnGateway, &connection.vpn_gateway), uses);
    assert_eq!(users(&desired, Kind::CustomerGateway, &connection.tunnels[0].customer_gateway), uses);
    assert_eq!(users(&desired, Kind::CustomerGateway, "nobody"), [] as [&str; 0]);
    assert_eq!(users(&desired, Kind::Connection, "nobody"), [] as [&str; 0]);
}
