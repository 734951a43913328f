use super::*;

const TOML: &str = r#"
[[connection]]
name = "hq"
[[connection.tunnel]]
customer-gateway = "a"
psk = 'back\slash'   # ours
[[connection.tunnel]]
customer-gateway = "b"
psk = "second"
[[connection]]
name = "lab"
tunnel = { customer-gateway = "a", psk-file = "lab.psk" }
"#;

const JSON: &str = r#"{"connection": [
  {"name": "hq", "tunnel": [{"psk": "back\\slash"}, {"psk": "second"}]},
  {"name": "lab", "tunnel": {"psk-file": "lab.psk"}}
]}"#;

fn made() -> Psk {
    Psk::new("made").expect("a key")
}

/// The keys of a text, by connection and tunnel.
fn keys(text: &str) -> Vec<(String, usize, String)> {
    let (root, _) = doctree::parse(text);
    let key = |tunnel: Tunnel<'_>| {
        let key = tunnel.key?.get_ref().as_str()?.to_owned();
        Some((tunnel.connection.to_owned(), tunnel.at.1, key))
    };
    tunnels(root.get_ref()).into_iter().filter_map(key).collect()
}

#[test]
fn keys_that_were_not_shown_come_from_the_document_in_force() {
    for (text, in_force) in [(TOML, TOML), (JSON, JSON), (TOML, JSON), (JSON, TOML)] {
        let completed = complete(&crate::redact::redact(text), in_force, made);
        assert_eq!(keys(&completed.restored), keys(text));
        assert_eq!(completed.filled, None);
    }
    let same = complete(&crate::redact::redact(JSON), JSON, made);
    assert_eq!(*same.restored, JSON);
}

#[test]
fn what_was_not_shown_and_is_not_there_stays_an_error() {
    let renamed = crate::redact::redact(TOML).replace("\"hq\"", "\"other\"");
    let completed = complete(&renamed, TOML, made);
    assert_eq!(*completed.restored, renamed);
    let report = crate::check(&completed.restored, "test");
    let told = report.errors.iter().find(|error| error.message.contains("was not shown"));
    let told = told.unwrap_or_else(|| panic!("{:#?}", report.errors));
    assert_eq!((told.code, &*told.path), (crate::Code::PskCharset, "connection[0].tunnel[0].psk"));
}

#[test]
fn keys_that_are_left_out_are_kept_or_made_and_shared() {
    let without =
        |text: &str| text.replace("psk = 'back\\slash'   # ours\n", "").replace("psk = \"second\"\n", "");
    let open = without(TOML);
    let hq = |index, key: &str| ("hq".to_owned(), index, key.to_owned());
    let filled = |text: &str, in_force: &str| complete(text, in_force, made).filled.expect("filled");
    assert_eq!(keys(&filled(&open, "")), [hq(0, "made"), hq(1, "made")]);
    assert_eq!(keys(&filled(&open, TOML)), keys(TOML));
    let one = TOML.replace("psk = \"second\"\n", "");
    assert_eq!(keys(&filled(&one, "")), [hq(0, "back\\slash"), hq(1, "made")]);
    let json =
        JSON.replace("{\"psk\": \"back\\\\slash\"}", "{}").replace("\"psk\": \"second\"", "\"ike\": {}");
    assert_eq!(keys(&filled(&json, "")), [hq(0, "made"), hq(1, "made")]);
    // The first of two tunnels had one: the second, which is new, shares it.
    let single = TOML.replace("[[connection.tunnel]]\ncustomer-gateway = \"b\"\npsk = \"second\"\n", "");
    assert_eq!(keys(&filled(&open, &single)), [hq(0, "back\\slash"), hq(1, "back\\slash")]);
    let twice = TOML.replace("customer-gateway = \"a\", psk-file = \"lab.psk\"", "customer-gateway = \"a\"");
    assert_eq!(keys(&filled(&twice, TOML)).len(), 3);
}

#[test]
fn certificates_on_both_sides_need_no_key() {
    let text = "[[connection]]\nname = \"hq\"\n[[connection.tunnel]]\ncertificate = \"a\"\n";
    assert!(complete(text, "", made).filled.is_some());
    assert_eq!(complete(&format!("{text}ca = \"b\"\n"), "", made).filled, None);
}

#[test]
fn a_document_that_is_none_stays_as_it_is() {
    let text = "[[connection]\nname = \"hq\"\n[[connection.tunnel]]\n";
    assert_eq!(
        complete(text, TOML, made),
        Completed { restored: Zeroizing::new(text.to_owned()), filled: None }
    );
}
