use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::diagnostic::Sink;
use crate::document;

const PUBLISHED: &str = "../../docs/configuration.schema.json";

/// Has every table there is.
const EVERY_TABLE: &str = r#"{
    "control": {}, "api": {}, "interface": {}, "route": {}, "policy": {}, "host-address": {}, "vpn-gateway": {},
    "customer-gateway": {},
    "connection": {
        "policer": {},
        "tunnel": {"ike": {}, "ipsec": {}, "dpd": {}, "probe": {}}
    }
}"#;

/// The names of the keys of each table of `schema`, by the path of the table.
fn tables(schema: &Value, path: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let alternatives = schema["anyOf"].as_array().map_or_else(|| vec![schema], |any| any.iter().collect());
    for properties in alternatives.iter().filter_map(|one| one["properties"].as_object()) {
        found.insert(path.to_owned(), properties.keys().cloned().collect());
        for (key, value) in properties {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            tables(value, &path, found);
        }
    }
}

#[test]
fn the_schema_has_the_keys_that_are_read() {
    let mut sink = Sink::new(EVERY_TABLE, "every table");
    document::read(EVERY_TABLE, &mut sink);
    let mut known = BTreeMap::new();
    tables(&schema(), "", &mut known);
    // What the data plane reads of its section is its own.
    known.retain(|path, _| !path.starts_with("dataplane"));
    let read =
        sink.asked.into_iter().map(|(path, keys)| (path, keys.into_iter().map(str::to_owned).collect()));
    assert_eq!(known, read.collect());
}

#[test]
fn the_published_schema_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PUBLISHED);
    let published = std::fs::read_to_string(path).unwrap_or_default();
    let now = serde_json::to_string_pretty(&schema()).expect("plain data");
    assert!(published.trim_end() == now, "esplanade config schema >docs/configuration.schema.json");
}

#[test]
fn the_examples_fit_it_and_what_is_wrong_does_not() {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("document", schema()).expect("a resource");
    let index = compiler.compile("document", &mut schemas).expect("a schema");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    for example in std::fs::read_dir(folder).expect("examples") {
        let path = example.expect("an example").path();
        let text = std::fs::read_to_string(&path).expect("read");
        let document: Value = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => toml::from_str(&text).expect("TOML"),
            Some("json") => serde_json::from_str(&text).expect("JSON"),
            _ => continue,
        };
        let wrong = schemas.validate(&document, index).err().map(|error| format!("{error:#}"));
        assert_eq!(wrong, None, "{}", path.display());
    }
    for wrong in [
        json!({ "interfaces": [] }),
        json!({ "interface": { "name": "wan", "port": "p0", "role": "between" } }),
        json!({ "connection": [{ "name": "a", "tunnel": [{ "customer-gateway": "b", "dpd": { "timeout": 5 } }] }] }),
        json!({ "vpn-gateway": { "name": "two words", "addresses": "192.0.2.1" } }),
    ] {
        assert!(schemas.validate(&wrong, index).is_err(), "{wrong}");
    }
}
