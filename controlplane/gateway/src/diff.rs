//! What differs between two documents, object by object and field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::model::Desired;

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    New,
    Removed,
    Changed,
    Unchanged,
}

/// An object of either document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectChange {
    /// The table of the document: `connection`, `interface`, ...
    pub kind: &'static str,
    /// Its name, or what stands for one.
    pub name: String,
    pub fate: Fate,
    /// Of a changed object.
    pub fields: Vec<FieldChange>,
}

/// A value that differs; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Within the object, such as `tunnels[0].ike.lifetime`.
    pub field: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

/// Every object of both documents, by kind and name. Secrets, and files that are named, are not looked into.
#[must_use]
pub fn objects(old: &Desired, new: &Desired) -> Vec<ObjectChange> {
    let (old, new) = (by_name(old), by_name(new));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let change = |&(kind, ref name): &(&'static str, String)| {
        let key = &(kind, name.clone());
        let (fate, fields) = match (old.get(key), new.get(key)) {
            (None, _) => (Fate::New, Vec::new()),
            (_, None) => (Fate::Removed, Vec::new()),
            (Some(old), Some(new)) if old == new => (Fate::Unchanged, Vec::new()),
            (Some(old), Some(new)) => (Fate::Changed, differences(old, new)),
        };
        ObjectChange { kind, name: name.clone(), fate, fields }
    };
    keys.into_iter().map(change).collect()
}

type Objects = BTreeMap<(&'static str, String), Value>;

fn by_name(desired: &Desired) -> Objects {
    let Desired {
        control,
        interfaces,
        routes,
        policies,
        host_addresses,
        vpn_gateways,
        customer_gateways,
        connections,
    } = desired;
    let mut all = Objects::new();
    let mut add = |kind, name: String, object: Value| drop(all.insert((kind, name), object));
    add("control", String::new(), value(control));
    interfaces.iter().for_each(|i| add("interface", i.name.clone(), value(i)));
    routes.iter().for_each(|r| add("route", format!("{} of VRF {}", r.prefix, r.vrf), value(r)));
    // Their order is part of what they say.
    policies.iter().enumerate().for_each(|(at, p)| add("policy", format!("{:04}", at + 1), value(p)));
    for host in host_addresses {
        add("host-address", format!("{} of VRF {}", host.address, host.vrf), value(host));
    }
    vpn_gateways.iter().for_each(|gw| add("vpn-gateway", gw.name.clone(), value(gw)));
    customer_gateways.values().for_each(|gw| add("customer-gateway", gw.name.clone(), value(gw)));
    connections.iter().for_each(|c| add("connection", c.name.clone(), value(c)));
    all
}

/// Plain data always serializes.
fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn differences(old: &Value, new: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare(String::new(), Some(old), Some(new), &mut found);
    found
}

fn compare(field: String, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<FieldChange>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                let inner = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
                compare(inner, old.get(key), new.get(key), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.iter().chain(new).all(Value::is_object) => {
            for at in 0..old.len().max(new.len()) {
                compare(format!("{field}[{at}]"), old.get(at), new.get(at), found);
            }
        }
        (old, new) => found.push(FieldChange { field, old: old.and_then(print), new: new.and_then(print) }),
    }
}

fn print(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/examples/two-sites.toml");

    fn desired(text: &str) -> Desired {
        let report = crate::check(text, "test");
        report.desired.unwrap_or_else(|| panic!("{:#?}", report.errors))
    }

    fn changes(from: &str, to: &str) -> Vec<ObjectChange> {
        assert!(DOCUMENT.contains(from), "{from}");
        let all = objects(&desired(DOCUMENT), &desired(&DOCUMENT.replacen(from, to, 1)));
        all.into_iter().filter(|change| change.fate != Fate::Unchanged).collect()
    }

    #[test]
    fn the_same_document_changes_nothing() {
        let all = objects(&desired(DOCUMENT), &desired(DOCUMENT));
        assert!(all.len() > 4 && all.iter().all(|change| change.fate == Fate::Unchanged), "{all:#?}");
    }

    #[test]
    fn a_changed_value_is_named_with_both_values() {
        let changed = changes("name = \"outside\"", "name = \"outside\"\nmtu = 1400");
        let [change] = &changed[..] else { panic!("{changed:#?}") };
        assert_eq!((change.kind, &*change.name, change.fate), ("interface", "outside", Fate::Changed));
        let field = |old: &str, new: &str| FieldChange {
            field: "mtu".into(),
            old: Some(old.into()),
            new: Some(new.into()),
        };
        assert_eq!(change.fields, [field("1500", "1400")]);
    }

    #[test]
    fn a_key_in_the_document_is_not_shown() {
        let inline = DOCUMENT.replace("psk-file = \"a-to-b.psk\"", "psk = \"sesame\"");
        let all = objects(&desired(DOCUMENT), &desired(&inline));
        let changed = all.iter().find(|change| change.fate == Fate::Changed).expect("a change");
        assert!(
            changed.fields.iter().any(|field| field.new.as_deref() == Some("in the document")),
            "{changed:#?}"
        );
        assert!(!format!("{all:?}").contains("sesame"));
    }

    #[test]
    fn what_is_new_and_what_is_gone_is_told_apart() {
        let route = "[[route]]\nprefix = \"198.51.100.0/24\"\ndiscard = true\n\n[vpn-gateway]";
        let added = changes("[vpn-gateway]", route);
        let [change] = &added[..] else { panic!("{added:#?}") };
        assert_eq!((change.kind, change.fate), ("route", Fate::New));
    }
}
