//! One object of a document: read, replaced, added or removed, while everything else stays as it is written.
//!
//! Objects are JSON with the keys that the JSON Schema has, however the document spells them.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::model::{Connection, Desired};
use crate::redact::redact;

mod immutable;
mod json;
mod toml;
mod tree;

pub use immutable::{Immutable, immutable};
pub(crate) use json::spliced;
pub(crate) use toml::insert_into_toml;

use tree::Names;

/// What can be edited by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    VpnGateway,
    CustomerGateway,
    Connection,
}

impl Kind {
    /// The table of the document.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::VpnGateway => "vpn-gateway",
            Self::CustomerGateway => "customer-gateway",
            Self::Connection => "connection",
        }
    }
}

/// An object as the document has it: what is left out there is left out here.
pub type Object = Map<String, Value>;

/// The objects of a kind, in their order, with [`NOT_SHOWN`](crate::redact::NOT_SHOWN) for each secret.
#[must_use]
pub fn list(text: &str, kind: Kind) -> Vec<Object> {
    objects(&redact(text), kind.table())
}

/// An object by itself, in TOML or JSON.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> Result<Object, String> {
    if doctree::is_json(text) {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let (root, mistakes) = doctree::parse(text);
    match mistakes.first() {
        Some(mistake) => {
            let line = text[..mistake.span.start].lines().count().max(1);
            Err(format!("line {line}: {}", mistake.message))
        }
        None => Ok(tree::table(root.get_ref(), "", &Names::default())),
    }
}

/// The name of an object.
#[must_use]
pub fn name(object: &Object) -> &str {
    object.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// An object that came from outside, with its keys by their names.
///
/// # Errors
/// What of it no document can say.
pub fn named(kind: Kind, object: Object) -> Result<Object, String> {
    let text = alone(kind, object);
    match doctree::parse(&text).1.into_iter().next() {
        Some(mistake) => Err(mistake.message),
        None => Ok(objects(&text, kind.table()).pop().unwrap_or_default()),
    }
}

/// As [`named`], of a merge patch: `null` stays.
#[must_use]
pub fn named_patch(kind: Kind, patch: Object) -> Object {
    // The document's reader takes what is `null` for left out.
    let names = Names::of(&alone(
        kind,
        patch.iter().map(|(key, value)| (key.clone(), without_null(value))).collect(),
    ));
    match tree::renamed(patch.into(), &format!("{}[0]", kind.table()), &names) {
        Value::Object(patch) => patch,
        _ => Map::new(),
    }
}

fn without_null(value: &Value) -> Value {
    match value {
        Value::Null => Value::Bool(false),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), without_null(value))).collect::<Object>().into()
        }
        other => other.clone(),
    }
}

/// A document of one object.
fn alone(kind: Kind, object: Object) -> Zeroizing<String> {
    let objects = Value::Array(vec![object.into()]);
    Zeroizing::new(Value::from(Map::from_iter([(kind.table().to_owned(), objects)])).to_string())
}

/// Where the object of that name stands in the document, such as `connection[1]`.
#[must_use]
pub fn place(text: &str, kind: Kind, object: &str) -> Option<String> {
    let at = list(text, kind).iter().position(|one| name(one) == object)?;
    let (root, _) = doctree::parse(text);
    let names = Names::of(text);
    let mut entries = root.get_ref().iter().map(|(key, value)| (key.get_ref(), value));
    let (key, value) = entries.find(|(key, _)| names.name(key, key) == kind.table())?;
    Some(if value.get_ref().is_array() { format!("{key}[{at}]") } else { key.to_string() })
}

/// `object` after a JSON merge patch (RFC 7396).
#[must_use]
pub fn patched(mut object: Object, patch: Object) -> Object {
    for (key, value) in patch {
        match value {
            Value::Null => drop(object.remove(&key)),
            Value::Object(patch) => {
                let before = match object.remove(&key) {
                    Some(Value::Object(before)) => before,
                    _ => Map::new(),
                };
                object.insert(key, patched(before, patch).into());
            }
            value => drop(object.insert(key, value)),
        }
    }
    object
}

/// The text with `object` in the place of the one of its name, or beside the others of its kind; `None` where the
/// text is no document. What is equal keeps its comments and its layout.
#[must_use]
pub fn put(text: &str, kind: Kind, object: &Object) -> Option<Zeroizing<String>> {
    let before = list(text, kind);
    let at = before.iter().position(|one| name(one) == name(object));
    let change = Change { text, table: kind.table(), names: &Names::of(text) };
    let put = if doctree::is_json(text) { json::put } else { toml::put };
    put(&change, at.map(|at| (at, &before[at])), object).map(Zeroizing::new)
}

/// The text without an object; `None` where it is not there.
#[must_use]
pub fn remove(text: &str, kind: Kind, object: &str) -> Option<Zeroizing<String>> {
    let at = list(text, kind).iter().position(|one| name(one) == object)?;
    let change = Change { text, table: kind.table(), names: &Names::of(text) };
    let remove = if doctree::is_json(text) { json::remove } else { toml::remove };
    remove(&change, at).map(Zeroizing::new)
}

/// What of a document needs the object and keeps it from being removed, in words.
#[must_use]
pub fn users(desired: &Desired, kind: Kind, name: &str) -> Vec<String> {
    let connections = |uses: &dyn Fn(&Connection) -> bool| {
        let using = desired.connections.iter().filter(|connection| uses(connection));
        using.map(|connection| format!("connection {}", connection.name)).collect()
    };
    match kind {
        Kind::VpnGateway => connections(&|connection| connection.vpn_gateway == name),
        Kind::CustomerGateway => {
            connections(&|connection| connection.tunnels.iter().any(|tunnel| tunnel.customer_gateway == name))
        }
        Kind::Connection => {
            let leads = |route: &&crate::model::Route| matches!(&route.via, crate::model::Via::Connection(to) if to == name);
            desired.routes.iter().filter(leads).map(|route| format!("route {}", route.prefix)).collect()
        }
    }
}

/// A document of which a part is about to change.
struct Change<'a> {
    text: &'a str,
    table: &'static str,
    names: &'a Names,
}

fn objects(text: &str, table: &str) -> Vec<Object> {
    let (root, _) = doctree::parse(text);
    let mut root = tree::table(root.get_ref(), "", &Names::of(text));
    let objects = match root.remove(table) {
        Some(Value::Array(objects)) => objects,
        Some(object) => vec![object],
        None => Vec::new(),
    };
    let object = |object: Value| match object {
        Value::Object(object) => tunnels_listed(object),
        _ => Map::new(),
    };
    objects.into_iter().map(object).collect()
}

/// One tunnel may be written without a list.
fn tunnels_listed(mut object: Object) -> Object {
    if let Some(tunnel) = object.get_mut("tunnel").filter(|tunnel| tunnel.is_object()) {
        *tunnel = Value::Array(vec![tunnel.take()]);
    }
    object
}

#[cfg(test)]
mod tests;
